"""Runs a command and says what it took: time, processor time of all its processes, and their memory at its highest."""

import dataclasses
import os
import pathlib
import statistics
import subprocess
import threading
import time


@dataclasses.dataclass
class Took:
    wall_s: float
    cpu_s: float
    peak_mib: float

    def then(self, other):
        return Took(self.wall_s + other.wall_s, self.cpu_s + other.cpu_s, max(self.peak_mib, other.peak_mib))


def tree(pid):
    """A process and all that came of it."""
    try:
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(one for child in children for one in tree(int(child)))]


def high_water_mib(pid):
    try:
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return 0.0


class Failed(Exception):
    """A contender did not do its work: its row is worth nothing."""


def run(command, log, environment=None, code=0):
    """Runs a command to its end. `ru_maxrss` would count the memory of this process too, as the child begins as a copy
    of it, so the kernel's own mark of each process is read."""
    peak, ended = 0.0, threading.Event()
    with open(log, "w") as output:
        began = time.monotonic()
        child = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
        )

        def watch():
            nonlocal peak
            while not ended.wait(0.02):
                peak = max(peak, sum(high_water_mib(pid) for pid in tree(child.pid)))

        watcher = threading.Thread(target=watch)
        watcher.start()
        # Its usage is that of the child and of all children that it has waited for.
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.monotonic() - began
        ended.set()
        watcher.join()
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != code:
        tail = "\n".join(pathlib.Path(log).read_text(errors="replace").splitlines()[-15:])[-3000:]
        raise Failed(f"{' '.join(str(word) for word in command)} ended with {child.returncode}:\n{tail}")
    return Took(wall, usage.ru_utime + usage.ru_stime, peak)


def median(took):
    """The median of each figure."""
    of = lambda name: statistics.median(getattr(one, name) for one in took)
    return Took(of("wall_s"), of("cpu_s"), of("peak_mib"))


def ratio(ours, theirs, name):
    """The median of the ratios, pair by pair; that of the medians, if there are no pairs."""
    if len(ours) != len(theirs):
        return getattr(median(ours), name) / max(getattr(median(theirs), name), 0.01)
    return statistics.median(getattr(one, name) / max(getattr(other, name), 0.01) for one, other in zip(ours, theirs))
