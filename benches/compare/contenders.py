"""How each contender copies a bucket, with its best flags, as RESULTS.md shows them."""

import measured
from servers import KEYS

# aws reads these from a file only.
AWS_CONFIG = "[default]\nregion = us-east-1\ns3 =\n  max_concurrent_requests = {workers}\n  max_queue_size = 10000\n"


def shown(bench, command):
    """A command without the paths of this machine."""
    names = {str(path): name for name, path in bench.tools.items()}
    return " ".join(names.get(str(word), str(word)) for word in command).replace(str(bench.work), "WORK")


class Contender:
    """Copies from one endpoint to another: commands of which the sum counts."""

    def __init__(self, label, commands, environment=None, repeats=None, note=""):
        self.label, self.commands, self.note = label, commands, note
        self.environment, self.repeats = {**KEYS, **(environment or {})}, repeats

    def run(self, bench):
        took = measured.Took(0.0, 0.0, 0.0)
        for command in self.commands(bench):
            took = took.then(measured.run(command, bench.work / "log", self.environment))
        return took

    def shown(self, bench):
        return [shown(bench, command) for command in self.commands(bench)]


def migrate(plan, *flags, label="migrate"):
    def commands(bench):
        return [[bench.tools["migrate"], "run", plan, "--quiet", "--state", bench.folder("state"), *flags]]

    return Contender(label, commands)


def bare(source, target, workers):
    """The least that a copy can be, see benches/bare_copy/main.rs: no contender, but the limit."""

    def commands(bench):
        return [[bench.tools["bare-copy"], source.url, target.url, workers]]

    return Contender(f"bare loop, {workers} at once", commands)


def rclone_remote(endpoint, bucket="data"):
    return f":s3,provider=Other,endpoint='{endpoint.url}',env_auth=true,region=us-east-1:{bucket}"


def rclone(source, target, workers, *flags):
    """`--s3-disable-checksum` and no `--checksum`: no hash of large objects. `--s3-no-check-bucket` and
    `--s3-no-head` leave out requests that its copy does not need."""
    best = ["--transfers", workers, "--checkers", workers, "--fast-list", "--s3-disable-checksum"]
    best += ["--s3-no-check-bucket", "--s3-no-head", *flags]

    def commands(bench):
        return [[bench.tools["rclone"], "copy", *best, rclone_remote(source), rclone_remote(target)]]

    # Without a file of settings it would look for one.
    return Contender(f"rclone, {workers} at once", commands, {"RCLONE_CONFIG": "/dev/null"})


def s3sync(source, target, workers):
    def commands(bench):
        sides = [
            word
            for side, endpoint in [("source", source), ("target", target)]
            for word in [
                *[f"--{side}-endpoint-url", endpoint.url, f"--{side}-force-path-style", f"--{side}-region", "us-east-1"],
                *[f"--{side}-access-key", "bench", f"--{side}-secret-access-key", "bench-secret"],
            ]
        ]
        best = ["--worker-size", workers, "--max-parallel-uploads", workers, "--disable-tagging", "--show-no-progress"]
        # Tags of uploads in parts differ if the parts do, which is a warning, and a warning is an exit code.
        best += ["--disable-multipart-verify"]
        return [[bench.tools["s3sync"], *best, *sides, "s3://data/", "s3://data/"]]

    return Contender(f"s3sync, {workers} at once", commands)


def s5cmd(source, target, workers=256):
    def commands(bench):
        through, own = bench.folder("through"), [bench.tools["s5cmd"], "--log", "error", "--numworkers", workers]
        down = [*own, "--endpoint-url", source.url, "cp", "s3://data/*", f"{through}/"]
        return [down, [*own, "--endpoint-url", target.url, "cp", f"{through}/", "s3://data/"]]

    return Contender(f"s5cmd, {workers} at once", commands, note="through a directory: it speaks to one endpoint at a time")


def aws(bench, source, target, workers):
    config = bench.work / "aws-config"
    config.write_text(AWS_CONFIG.format(workers=workers))

    def commands(bench):
        through = bench.folder("through")
        own = lambda endpoint: [bench.tools["aws"], "--endpoint-url", endpoint.url, "s3", "cp", "--recursive", "--quiet"]
        return [[*own(source), "s3://data/", through], [*own(target), through, "s3://data/"]]

    environment = {"AWS_CONFIG_FILE": str(config), "AWS_EC2_METADATA_DISABLED": "true"}
    note = "through a directory, with `max_concurrent_requests` in its file of settings; measured once"
    return Contender(f"aws, {workers} at once", commands, environment, repeats=1, note=note)


def peers(bench, source, target, workers):
    """One contender of each peer that takes part."""
    made = {
        "rclone": lambda: rclone(source, target, workers),
        "s3sync": lambda: s3sync(source, target, workers),
        "s5cmd": lambda: s5cmd(source, target),
        # More are no faster.
        "aws": lambda: aws(bench, source, target, 32),
    }
    return [make() for name, make in made.items() if name in bench.peers]
