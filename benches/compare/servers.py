"""The servers of one row, and the folder where its contenders work."""

import json
import pathlib
import shutil
import subprocess
import urllib.request

KEYS = {
    "BENCH_ACCESS_KEY_ID": "bench",
    "BENCH_SECRET_ACCESS_KEY": "bench-secret",
    "AWS_ACCESS_KEY_ID": "bench",
    "AWS_SECRET_ACCESS_KEY": "bench-secret",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
}


class Endpoint:
    def __init__(self, name, url):
        self.name, self.url = name, url

    def counts(self):
        with urllib.request.urlopen(f"{self.url}/-/counts") as answer:
            return json.load(answer)

    def _post(self, path):
        urllib.request.urlopen(urllib.request.Request(self.url + path, method="POST")).close()

    def reset(self):
        self._post("/-/counts")

    def empty(self):
        self._post("/-/empty")

    def latency(self, added_ms):
        """Answers each request so much later, from now on."""
        self._post(f"/-/latency?{added_ms}")


class Bench:
    """What a row needs: the tools, how often and how much, endpoints, and a folder. Ends its servers."""

    def __init__(self, tools, peers, work, repeats, scale):
        self.tools, self.peers, self.repeats, self.scale = tools, peers, repeats, scale
        self.work = pathlib.Path(work)
        self._servers = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for server in self._servers:
            server.stdin.close()
            server.wait()

    def scaled(self, count):
        return max(1, round(count * self.scale))

    def endpoints(self, *shapes):
        """Starts one process with an endpoint of each shape; see benches/fast_s3/main.rs."""
        command = [str(self.tools["fast-s3"]), *shapes]
        server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._servers.append(server)
        return [Endpoint(*server.stdout.readline().split()) for _ in shapes]

    def folder(self, name):
        """An empty folder."""
        path = self.work / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        return path

    def plan(self, name, endpoints, source, targets, more=""):
        """Writes a plan of one dataset between endpoints; `source` and `targets` are their names."""
        text = f'name = "{name}"\n'
        for endpoint in endpoints:
            text += (
                f'[sites.{endpoint.name}]\ns3 = {{ endpoint = "{endpoint.url}", region = "us-east-1", path_style = true }}\n'
                'credentials = { env = "BENCH" }\n'
            )
        listed = ", ".join(f'"s3://{target}/data/"' for target in targets)
        text += f'[[phase]]\nname = "only"\n[[phase.dataset]]\nname = "objects"\nsource = "s3://{source}/data/"\n'
        path = self.work / f"{name}.toml"
        path.write_text(f"{text}targets = [{listed}]\n{more}")
        return path
