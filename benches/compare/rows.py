"""The rows: what is done, by whom, and what migrate is to reach."""

import dataclasses
import hashlib
import os
import signal
import subprocess
import time

import contenders
import measured
from contenders import migrate, rclone, rclone_remote
from servers import KEYS

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


# For a plan beside tools that copy no tags.
WITHOUT_TAGS = 'waive = ["tags"]\n'
BARE = "bare loop: GET, SHA-256 and PUT on `hyper`, and nothing else (`benches/bare_copy`): the limit, and no contender."
TAGS = 'The plan has `waive = ["tags"]`, as the others copy no tags.'
BODIES = (
    "The target takes bodies above 1 MiB without hashing them: migrate signs them, and the server's hash would take its time "
    "from the clients."
)


@dataclasses.dataclass
class Goal:
    what: str
    found: str
    met: bool


@dataclasses.dataclass
class Row:
    title: str
    # By label, in the order of the table.
    took: dict
    goals: list
    commands: dict = dataclasses.field(default_factory=dict)
    # Lines below the table.
    notes: list = dataclasses.field(default_factory=list)


def in_turn(bench, title, entrants, target=None, discard=()):
    """Runs all in turn, so often; the target is emptied before each. Each row is checked: a contender that left objects
    out would be fast."""
    took = {one.label: [] for one in entrants}
    for round in range(bench.repeats):
        for one in entrants:
            if round >= (one.repeats or bench.repeats):
                continue
            if target:
                target.empty()
                target.reset()
            took[one.label].append(one.run(bench))
            print(f"   {one.label}: {took[one.label][-1].wall_s:.2f} s", flush=True)
            if target and target.counts()["new_objects"] < target.expected:
                raise measured.Failed(f"{one.label} wrote {target.counts()['new_objects']} of {target.expected} objects")
    notes = [f"{one.label}: {one.note}" for one in entrants if one.note]
    return Row(title, took, [], {one.label: one.shown(bench) for one in entrants}, notes)


def at_most(row, us, them, name, most, what):
    """A goal: the ratio of two contenders, pair by pair. None if the other one does not take part."""
    if them in row.took:
        found = measured.ratio(row.took[us], row.took[them], name)
        row.goals.append(Goal(what, f"{found:.2f}", found <= most))


def below(row, label, name, most, what, unit):
    found = getattr(measured.median(row.took[label]), name)
    row.goals.append(Goal(what, f"{found:.1f} {unit}", found <= most))


def pair(bench, count, size, source="", target=""):
    """A source by formula and a target without objects."""
    ends = bench.endpoints(f"from{source}:data={count}x{size}", f"to{target}:data=0x0")
    ends[1].expected = count
    return ends


def small(bench):
    """Also brings them to `verified`, in the same turns."""
    count = bench.scaled(20_000)
    source, target = pair(bench, count, 4 * KIB)
    plan = bench.plan("small", [source, target], "from", ["to"], f'verify = "checksum"\n{WITHOUT_TAGS}')
    tagged = bench.plan("tagged", [source, target], "from", ["to"])
    entrants = [
        migrate(plan, "--until", "copied"),
        contenders.bare(source, target, 64),
        migrate(plan, "--until", "verified", label="migrate, to `verified`"),
        migrate(tagged, "--until", "copied", label="migrate, with tags"),
        *(one for one in contenders.peers(bench, source, target, 64) if not one.label.startswith("aws")),
    ]
    row = in_turn(bench, f"{count:,} objects of 4 KiB", entrants, target)
    row.notes.append(
        f"{BARE} {TAGS} migrate, with tags: an endpoint outside AWS that is only read is asked for the tags of each "
        "object, since it may not show their number; AWS shows it."
    )
    at_most(row, "migrate", "rclone, 64 at once", "wall_s", 0.25, "wall ≤ 1/4 of rclone")
    at_most(row, "migrate", "rclone, 64 at once", "cpu_s", 1 / 6, "CPU ≤ 1/6 of rclone")
    at_most(row, "migrate, to `verified`", "migrate", "wall_s", 1.5, "to `verified` (checksum) ≤ 1.5 × copied")
    return [row, few(bench)] if "aws" in bench.peers else [row]


def few(bench):
    """A tenth of `small`, for aws, which takes minutes for all of it."""
    count = bench.scaled(2_000)
    source, target = pair(bench, count, 4 * KIB)
    plan = bench.plan("few", [source, target], "from", ["to"], WITHOUT_TAGS)
    entrants = [migrate(plan, "--until", "copied"), contenders.aws(bench, source, target, 32)]
    row = in_turn(bench, f"{count:,} objects of 4 KiB, with aws", entrants, target)
    row.notes.append(TAGS)
    return row


def hash_pass_s(size):
    """What one pass of SHA-256 costs here, measured over 256 MiB."""
    block, passes = bytes(MIB), 256
    digest, began = hashlib.sha256(), time.process_time()
    for _ in range(passes):
        digest.update(block)
    return (time.process_time() - began) * size / (passes * MIB)


def large(bench):
    rows = []
    for count, size, shown in [(8, 128 * MIB, "8 objects of 128 MiB"), (1, 2 * GIB, "1 object of 2 GiB")]:
        size = max(16 * MIB, round(size * bench.scale) // MIB * MIB)
        source, target = pair(bench, count, size, target=":discard")
        plan = bench.plan(f"large{count}", [source, target], "from", ["to"], WITHOUT_TAGS)
        streams = ["--s3-upload-concurrency", 8, "--multi-thread-streams", 8, "--s3-chunk-size", "16M"]
        entrants = [migrate(plan, "--until", "copied"), *contenders.peers(bench, source, target, 64)]
        if "rclone" in bench.peers:
            entrants[1] = rclone(source, target, 64, *streams)
        entrants.insert(1, contenders.bare(source, target, 8))
        row = in_turn(bench, shown if bench.scale == 1 else f"{shown.split(' of')[0]} of {size // MIB} MiB", entrants, target)
        theirs = "rclone, 64 at once"
        at_most(row, "migrate", theirs, "wall_s", 1, "wall ≤ rclone without a hash")
        if theirs in row.took:
            most = measured.median(row.took[theirs]).cpu_s + hash_pass_s(count * size)
            below(row, "migrate", "cpu_s", most, f"CPU ≤ rclone + one pass of SHA-256 ({most:.2f} s)", "s")
        below(row, "migrate", "peak_mib", 200, "memory ≤ 200 MiB", "MiB")
        row.notes += [BARE, TAGS, BODIES, "Bodies in flight take 48 MiB for each core, so memory grows with the cores."]
        rows.append(row)
    return rows


def latency(bench):
    count, added_s = bench.scaled(5_000), 0.1
    source, target = pair(bench, count, 4 * KIB, ":latency=100", ":latency=100")
    plan = bench.plan("latency", [source, target], "from", ["to"], WITHOUT_TAGS)
    entrants = [migrate(plan, "--until", "copied"), contenders.bare(source, target, 512)]
    if "rclone" in bench.peers:
        entrants += [rclone(source, target, 64), rclone(source, target, 256)]
    if "s3sync" in bench.peers:
        entrants += [contenders.s3sync(source, target, 256)]
    if "s5cmd" in bench.peers:
        entrants += [contenders.s5cmd(source, target)]
    row = in_turn(bench, f"{count:,} objects of 4 KiB, 100 ms added to each request", entrants, target)
    at_most(row, "migrate", "rclone, 64 at once", "wall_s", 0.2, "wall ≤ 1/5 of rclone at 64")
    at_most(row, "migrate", "rclone, 256 at once", "wall_s", 1.0, "wall ≤ rclone at 256")
    row.notes.append(f"{BARE} {TAGS} With tags, this source would be asked for those of each object.")
    row.notes.append("migrate first asks the target what it can do, in some 80 requests; docs/speed.md says how long that takes.")
    row.notes.append(f"GET and PUT alone take {count * 2 * added_s / 256:.1f} s at 256 requests at once.")
    return [row]


# Added to each request of the keys that are far.
FAR_MS = 50


def million(bench):
    """One copy, and then everything that finds nothing to do, at once and behind a latency. Few rounds, as each takes so
    long."""
    count = bench.scaled(1_000_000)
    source, target = pair(bench, count, 4 * KIB, target=":discard")
    plan, state = bench.plan("million", [source, target], "from", ["to"], 'verify = "listing"\n'), bench.folder("state")

    def ours(row, verb, *flags, plan=plan, label="migrate"):
        command = [bench.tools["migrate"], verb, plan, "--state", state, *flags]
        took = measured.run(command, bench.work / "log", dict(KEYS))
        row.took.setdefault(label, []).append(took)
        row.commands[label] = [contenders.shown(bench, command)]
        print(f"   {row.title}: {label}: {took.wall_s:.2f} s", flush=True)

    copied = Row(f"{count:,} keys copied", {}, [])
    ours(copied, "run", "--quiet", "--until", "copied")
    if target.counts()["new_objects"] < count:
        raise measured.Failed("keys were left out")
    ledger = sum(file.stat().st_size for file in state.rglob("*") if file.is_file())
    each_us = copied.took["migrate"][0].cpu_s / count * 1e6
    copied.notes.append(f"migrate: {each_us:.0f} µs of CPU and {ledger / count:.0f} bytes of state a record. Measured once.")

    again = Row(f"{count:,} keys, nothing to do", {}, [])
    first = Row(f"{count:,} keys, the first proof at level `listing`", {}, [], notes=["Measured once."])
    listing = Row(f"{count:,} keys, `verify --level listing`", {}, [])
    status = Row(f"`status` on {count:,} records", {}, [])
    rounds = min(bench.repeats, 3)
    for _ in range(rounds):
        ours(again, "run", "--quiet", "--until", "copied")
    # S3 tells no time when it takes a write, so the first proof looks at each object once.
    bytes_read = lambda: source.counts()["bytes_read"] + target.counts()["bytes_read"]
    before = bytes_read()
    ours(first, "run", "--quiet", "--until", "verified")
    read = bytes_read() - before
    first.goals.append(Goal("no object data read", f"{read:,} bytes", read == 0))
    for _ in range(rounds):
        ours(listing, "verify", "--quiet", "--level", "listing")
        ours(status, "status")
    for share, part in [(0.1, "a tenth"), (0.4, "four tenths")]:
        ends = pair(bench, max(1, round(count * share)), 4 * KIB, target=":discard")
        smaller = bench.plan(part.replace(" ", "-"), ends, "from", ["to"])
        ours(Row(f"{part} of the keys copied", {}, []), "run", "--quiet", "--until", "copied", plan=smaller)
        ours(again, "run", "--quiet", "--until", "copied", plan=smaller, label=f"migrate, {part} of the keys")
    again.notes.append("Of fewer keys: measured once, each with a ledger that holds the others too.")
    below(again, "migrate", "wall_s", 10 * bench.scale, f"wall ≤ {10 * bench.scale:g} s", "s")
    at_most(again, "migrate", "migrate, a tenth of the keys", "peak_mib", 1.1, "memory the same at a tenth of the keys (≤ 1.1 ×)")
    below(again, "migrate", "peak_mib", 150, "memory ≤ 150 MiB", "MiB")
    below(status, "migrate", "wall_s", 0.1, "wall ≤ 0.1 s", "s")
    rclone_check(bench, source, target, [again, first, listing])
    return [copied, again, first, listing, status, *far(bench, count, [source, target], ours)]


def far(bench, count, ends, ours):
    """The same keys, with time added to each request from now on."""
    for end in ends:
        end.latency(FAR_MS)
    again = Row(f"{count:,} keys, nothing to do, {FAR_MS} ms added to each request", {}, [])
    listing = Row(f"{count:,} keys, `verify --level listing`, {FAR_MS} ms added to each request", {}, [])
    for _ in range(min(bench.repeats, 2)):
        ours(again, "run", "--quiet", "--until", "copied")
        ours(listing, "verify", "--quiet", "--level", "listing")
    one_by_one_s = count / 1000 * FAR_MS / 1000
    for row in [again, listing]:
        most = one_by_one_s / 4
        below(row, "migrate", "wall_s", most, f"in parallel: wall ≤ 1/4 of one page after the other ({most:.1f} s)", "s")
        row.notes.append(f"One page after the other takes {one_by_one_s:.1f} s at least, if both sides are listed at once.")
    rclone_check(bench, *ends, [again, listing])
    return [again, listing]


def rclone_check(bench, source, target, rows):
    """What rclone does that comes nearest, once, beside each of the rows."""
    if "rclone" not in bench.peers:
        return
    remotes = [rclone_remote(source), rclone_remote(target)]
    command = [bench.tools["rclone"], "check", "--checkers", 64, "--fast-list", *remotes]
    took = measured.run(command, bench.work / "log", {**KEYS, "RCLONE_CONFIG": "/dev/null"})
    print(f"   rclone check: {took.wall_s:.2f} s", flush=True)
    for row in rows:
        row.took["rclone check"] = [took]
        row.commands["rclone check"] = [contenders.shown(bench, command)]
        row.notes.append("rclone check: measured once")
        at_most(row, "migrate", "rclone check", "wall_s", 0.1, "wall ≤ 1/10 of `rclone check`")


def plan(bench):
    count = bench.scaled(200_000)
    source, target = pair(bench, count, 4 * KIB, ":latency=100", ":latency=100")
    text = bench.plan("plan", [source, target], "from", ["to"])
    # What the servers can do has nothing to do with listing.
    commands = lambda bench: [[bench.tools["migrate"], "plan", text, "--no-probe", "--quiet", "--state", bench.folder("state")]]
    row = in_turn(bench, f"`plan` of {count:,} keys, 100 ms added to each request", [contenders.Contender("migrate", commands)])
    one_by_one = count / 1000 * 0.1
    row.notes.append(f"One page after the other takes {one_by_one:.1f} s at least.")
    below(row, "migrate", "wall_s", one_by_one / 2, f"in parallel: wall ≤ {one_by_one / 2:.1f} s", "s")
    return [row]


def fanout(bench):
    """Three targets, one of them slow, against the slow one alone."""
    count, size = bench.scaled(5_000), 64 * KIB
    shapes = [f"from:data={count}x{size}", "a:data=0x0:discard", "b:data=0x0:discard", "slow:latency=20:data=0x0:discard"]
    ends = bench.endpoints(*shapes)
    source, slow = ends[0], ends[3]
    alone = bench.plan("alone", [source, slow], "from", ["slow"])
    three = bench.plan("three", ends, "from", ["a", "b", "slow"])
    row = Row(f"{count:,} objects of 64 KiB to three targets, one with 20 ms a request", {}, [])
    entrants = [("migrate", three), ("migrate, to the slow one alone", alone)]
    read = []
    for _ in range(bench.repeats):
        for label, path in entrants:
            for end in ends:
                end.empty()
                end.reset()
            row.took.setdefault(label, []).append(migrate(path, "--until", "copied").run(bench))
            if label == "migrate":
                read.append(source.counts()["bytes_read"] / (count * size))
                if any(end.counts()["new_objects"] < count for end in ends[1:]):
                    raise measured.Failed("objects were left out")
    for label, path in entrants:
        row.commands[label] = migrate(path, "--until", "copied").shown(bench)
    at_most(row, "migrate", "migrate, to the slow one alone", "wall_s", 1.2, "wall ≤ 1.2 × the slowest single target")
    row.notes.append("A target counts as slow after ten seconds, so nothing is put off here, which would be read again.")
    row.goals.append(Goal("source bytes read 1.00 ×", f"{max(read):.2f} ×", max(read) < 1.005))
    return [row]


def resume(bench):
    """Killed with SIGKILL at half, and run again."""
    count, size = bench.scaled(200_000), 4 * KIB
    source, target = pair(bench, count, size, target=":discard")
    path, state = bench.plan("resume", [source, target], "from", ["to"]), bench.folder("state")
    command = [str(bench.tools["migrate"]), "run", str(path), "--quiet", "--state", str(state), "--until", "copied"]
    with open(bench.work / "log", "w") as log:
        killed = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **KEYS})
        while target.counts()["new_objects"] < count / 2 and killed.poll() is None:
            time.sleep(0.05)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
    before = target.counts()["new_objects"]
    target.reset()
    took = measured.run(command, bench.work / "log", KEYS)
    found, read = target.counts(), source.counts()["bytes_read"]
    if before + found["new_objects"] < count:
        raise measured.Failed("keys were left out")
    row = Row(f"{count:,} objects of 4 KiB, killed at half, and resumed", {"migrate, the rest": [took]}, [])
    row.commands["migrate, the rest"] = [contenders.shown(bench, command)]
    again = read - count * size
    row.goals.append(Goal("repeated bytes ≤ the windows in flight (256 objects)", f"{again / KIB:,.0f} KiB", again <= 256 * size))
    first = (found["first_new_ms"] or 0) / 1000
    row.goals.append(Goal("first new object ≤ 2 s", f"{first:.2f} s", first <= 2))
    row.notes.append(f"Killed at {before:,} objects. Measured once.")
    return [row]


def start(bench):
    tool = bench.tools["migrate"]
    rounds = max(bench.repeats, 15)
    took = [measured.run([tool, "--help"], bench.work / "log") for _ in range(rounds)]
    row = Row("`migrate --help`", {"migrate": took}, [])
    wall_ms = measured.median(took).wall_s * 1000
    row.goals.append(Goal("wall ≤ 20 ms", f"{wall_ms:.1f} ms", wall_ms <= 20))
    row.notes.append(f"The binary has {tool.stat().st_size / MIB:.1f} MiB.")
    return [row]


def own_bench(bench, name, *arguments):
    """A bench of this repository that prints its figures itself."""
    from installed import ROOT

    command = ["cargo", "bench", "--quiet", "--bench", name, "--", *(str(argument) for argument in arguments)]
    print(f"   {' '.join(command)}", flush=True)
    told = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
    return Row(f"`{' '.join(command)}`", {}, [], {}, [line for line in told if line.strip()])


def ledger(bench):
    row = own_bench(bench, "ledger", bench.scaled(1_000_000), 1)
    written = float(row.notes[0].split(": ")[1].split()[0])
    row.goals.append(Goal("≥ 50,000 records a second", f"{written:,.0f}", written >= 50_000))
    words = row.notes[1].split()
    beside = int(words[0]) - int(words[-1])
    row.goals.append(Goal("≤ 200 bytes a record beside its key and part list", f"{beside}", beside <= 200))
    return [row]


def tables(bench):
    row = own_bench(bench, "tables", bench.scaled(50_000), f"{bench.scaled(50_000)}@2000")
    for line in row.notes:
        if "of the slower bare loop" in line:
            found = float(line.split("runs at ")[1].split()[0])
            items = line.split()[0]
            row.goals.append(Goal(f"{items} items: ≥ 0.90 of the slower bare loop", f"{found:.2f}", found >= 0.9))
    return [row]


ALL = {
    "small": small,
    "large": large,
    "latency": latency,
    "million": million,
    "plan": plan,
    "fanout": fanout,
    "resume": resume,
    "start": start,
    "ledger": ledger,
    "tables": tables,
}
