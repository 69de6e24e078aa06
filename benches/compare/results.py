"""Writes the results: a table, the exact commands, and a plot."""

import os
import pathlib
import platform
import shlex
import sys

import installed
import measured
import plot


def machine():
    text = pathlib.Path("/proc/cpuinfo").read_text()
    model = next((line.split(":")[1].strip() for line in text.splitlines() if line.startswith("model name")), "unknown")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return f"{len(os.sched_getaffinity(0))} cores ({model}), {memory:.0f} GiB, {platform.system()} {platform.release()}"


def goals(row):
    return [f"| {row.title} | {goal.what} | {goal.found} | {'met' if goal.met else '**not met**'} |" for goal in row.goals]


def figures(row):
    lines = []
    first = next(iter(row.took), None)
    for label, took in row.took.items():
        of = measured.median(took)
        # Too short to be seen.
        memory = f"{of.peak_mib:.0f} MiB" if of.peak_mib else "–"
        against = "" if label == first else f"{measured.ratio(row.took[first], took, 'wall_s'):.2f}"
        cpu = "" if label == first else f"{measured.ratio(row.took[first], took, 'cpu_s'):.2f}"
        lines.append(f"| {label} | {of.wall_s:.2f} s | {of.cpu_s:.2f} s | {memory} | {against} | {cpu} | {len(took)} |")
    return lines


def section(row):
    lines = [f"### {row.title}", ""]
    if row.took:
        lines += ["| who | wall | CPU | memory | wall of the first by its | CPU of the first by its | rounds |"]
        lines += ["|---|---|---|---|---|---|---|", *figures(row), ""]
    lines += [f"- {note}" for note in row.notes]
    lines += [""] if row.notes else []
    for label, commands in row.commands.items():
        lines += ["```sh", f"# {label}", *commands, "```", ""]
    return lines


def was_asked(name):
    return any(word == f"--{name}" or word.startswith(f"--{name}=") for word in sys.argv[1:])


def write(folder, rows, tools, given, seconds):
    folder.mkdir(parents=True, exist_ok=True)
    is_drawn = plot.write(folder / "results.svg", rows)
    chosen = [f"--{name}={getattr(given, name)}" for name in ("rows", "repeats", "scale", "peers") if was_asked(name)]
    command = shlex.join(["benches/compare/run", *chosen])
    names = ["migrate", *(name for name in given.peers.split(",") if name in tools)]
    lines = [
        "# Results",
        "",
        f"Written by `{command}` in {seconds / 60:.0f} minutes. Clients and servers share the machine: {machine()}.",
        f"Each figure is the median of its rounds (up to {given.repeats}), which the contenders ran in turn; each ratio is the",
        "median of the ratios of the rounds, or that of the medians if one of both had fewer rounds. CPU and memory are those of all",
        "processes of the client.",
        "The server is [fast_s3](fast_s3/main.rs), in memory.",
        *([f"Numbers of objects and keys are scaled by {given.scale:g}: the goals are those of a scale of 1."] if given.scale != 1 else []),
        "",
        *(f"- {name}: {installed.version(tools, name)}" for name in names),
        "",
        "## Goals",
        "",
        "Where a goal is not met, [speed.md](../docs/speed.md) says what the time goes to.",
        "",
        "| work | goal | measured | |",
        "|---|---|---|---|",
        *(line for row in rows for line in goals(row)),
        "",
        *(["![Wall times](results.svg)", ""] if is_drawn else []),
        "## Figures",
        "",
        *(line for row in rows for line in section(row)),
    ]
    (folder / "RESULTS.md").write_text("\n".join(lines).rstrip() + "\n")
