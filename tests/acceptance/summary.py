"""Reads the NDJSON events of several runs and prints what was copied, repeated and read."""

import json
import sys

last = {}
runs = 0
for line in sys.stdin:
    try:
        event = json.loads(line)
    except json.JSONDecodeError:
        continue  # The line that a SIGKILL cut off.
    if event["event"] == "run_began":
        runs += 1
    if event["event"] == "dataset_ended":
        last.setdefault(event["dataset"], []).append(event)
print(f"   {runs} runs")
for dataset, ends in last.items():
    first = ends[0]
    for target in first["targets"]:
        print(
            f"   {dataset} -> {target['target']}: {target['records']} records, {target['copied']} copied, "
            f"{target['same']} found equal, {target['repeated']} repeated ({target['repeated_bytes']} bytes), "
            f"{target['failed']} failed"
        )
    size = first["targets"][0]["bytes"]
    print(f"   {dataset}: {first['source_bytes_read'] / max(size, 1):.2f} x the source's bytes read by the run that ended the pass")
