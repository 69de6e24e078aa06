"""Debian's package index as a table, written and compared without the tool.

    packages.py make DIRECTORY [MOST] <INDEX    an export as AWS makes it, with table.json, of an index
                                                (`apt-cache dumpavail`, or /var/lib/dpkg/status)
    packages.py compare ONE OTHER               whether two directories hold the same items
"""

import base64
import decimal
import gzip
import json
import pathlib
import re
import sys

decimal.getcontext().prec = 60
FILES = 4
TABLE = {"partition_key": "package", "sort_key": "build", "key_types": {"package": "S", "build": "S"}}
RELATION = re.compile(r"(?P<name>[^\s(:]+)(?::(?P<arch>\S+))?(?:\s*\((?P<is>[<>=]+)\s*(?P<version>[^)]+)\))?")


def records(lines):
    record, field = {}, None
    for line in lines:
        line = line.rstrip("\n")
        if not line:
            if record:
                yield record
            record, field = {}, None
        elif line[0] in " \t":
            record[field] += "\n" + line[1:]
        else:
            field, _, value = line.partition(":")
            record[field] = value.strip()
    if record:
        yield record


def alternatives(text):
    """`a | b (>= 2)` as a list of maps."""
    found = [RELATION.match(one.strip()).groupdict() for one in text.split("|")]
    return {"L": [{"M": {k: {"S": v} for k, v in one.items() if v}} for one in found]}


def number(text, form):
    """The same number in one of several forms."""
    return {"N": [text, text + ".50", text + "E2", "-" + text, "0." + text + "0"][form % 5]}


def item(record, count):
    of = dict(record)
    made = {"package": {"S": of.pop("Package")}}
    made["build"] = {"S": of.pop("Version", "none") + "/" + of.pop("Architecture", "none")}
    sizes = {of[name] for name in ("Size", "Installed-Size") if of.get(name, "").isdigit()}
    if sizes:
        made["sizes"] = {"NS": sorted(sizes)}
    if of.get("Installed-Size", "").isdigit():
        made["installed"] = number(of.pop("Installed-Size"), count)
    for name in ("SHA256", "MD5sum"):
        if name in of:
            made[name] = {"B": base64.b64encode(bytes.fromhex(of.pop(name))).decode()}
    if "Tag" in of:
        made["tags"] = {"SS": sorted({tag.strip() for tag in of.pop("Tag").split(",") if tag.strip()})}
    for name in ("Depends", "Pre-Depends", "Recommends", "Suggests", "Breaks", "Replaces", "Provides"):
        if name in of:
            parts = [part for part in of.pop(name).split(",") if part.strip()]
            made[name] = {"L": [alternatives(part) for part in parts]}
    made["essential"] = {"BOOL": of.pop("Essential", "no") == "yes"}
    made["multi"] = {"S": of["Multi-Arch"]} if "Multi-Arch" in of else {"NULL": True}
    made["empty"] = {"M": {"text": {"S": ""}, "binary": {"B": ""}, "list": {"L": []}, "map": {"M": {}}}}
    made["fields"] = {"M": {name: {"S": value} for name, value in of.items()}}
    return made


def make(directory, most):
    root = pathlib.Path(directory)
    export = root / "AWSDynamoDB" / "01700000000000-debian01"
    (export / "data").mkdir(parents=True)
    (root / "table.json").write_text(json.dumps(TABLE))
    kept, seen = [[] for _ in range(FILES)], set()
    for record in records(sys.stdin):
        made = item(record, len(seen))
        key = (made["package"]["S"], made["build"]["S"])
        if key not in seen and len(seen) < most:
            kept[len(seen) % FILES].append(made)
            seen.add(key)
    manifest = []
    for number_, items in enumerate(kept):
        name = f"part{number_}.json.gz"
        with gzip.open(export / "data" / name, "wt", compresslevel=1) as file:
            for one in items:
                file.write(json.dumps({"Item": one}) + "\n")
        key = f"AWSDynamoDB/01700000000000-debian01/data/{name}"
        manifest.append(json.dumps({"itemCount": len(items), "dataFileS3Key": key}))
    (export / "manifest-files.json").write_text("\n".join(manifest) + "\n")
    summary = {"outputFormat": "DYNAMODB_JSON", "exportType": "FULL_EXPORT", "itemCount": len(seen)}
    (export / "manifest-summary.json").write_text(json.dumps(summary))
    print(len(seen))


def same(value):
    """A value in the one form that all its equals have."""
    ((kind, held),) = value.items()
    if kind == "N":
        return "N", decimal.Decimal(held)
    if kind == "NS":
        return kind, frozenset(decimal.Decimal(one) for one in held)
    if kind in ("SS", "BS"):
        return kind, frozenset(held)
    if kind == "L":
        return kind, tuple(same(one) for one in held)
    if kind == "M":
        return kind, tuple(sorted((name, same(one)) for name, one in held.items()))
    return kind, held


def read(directory):
    root, held = pathlib.Path(directory), {}
    left = [path for path in root.rglob("*") if path.is_file()]
    data = [path for path in left if path.parent.name == "data" and path.name.endswith((".json", ".json.gz"))]
    for path in data:
        with gzip.open(path, "rt") if path.suffix == ".gz" else open(path, encoding="utf-8") as file:
            for line in file:
                one = json.loads(line)["Item"]
                key = (one["package"]["S"], one["build"]["S"])
                if key in held:
                    sys.exit(f"{directory} holds {key} twice")
                held[key] = same({"M": one})
    allowed = {"table.json", "manifest-files.json", "manifest-summary.json"}
    others = [str(path) for path in left if path not in data and path.name not in allowed]
    if others:
        sys.exit(f"{directory} also holds {others[:5]}")
    return held


def compare(one, other):
    went, came = read(one), read(other)
    if not went:
        sys.exit("there is nothing to compare")
    wrong = [key for key in sorted(went.keys() | came.keys()) if went.get(key) != came.get(key)]
    for key in wrong[:5]:
        print(f"{key}: {went.get(key)} became {came.get(key)}", file=sys.stderr)
    if wrong:
        sys.exit(f"{len(wrong)} of {len(went)} items differ")
    print(f"{len(went)} items are as they were")


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 10**9)
    else:
        compare(sys.argv[2], sys.argv[3])
