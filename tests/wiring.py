"""Which job's keys start which jobs, read from the DAG files."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

DAGS = Path(__file__).resolve().parents[1] / "dags"
_RUNS_ON = re.compile(r"schedule=on_day_of\(([A-Z_|\s]+)\)")
_GOES_ON = re.compile(r'trigger_rule="none_failed"\)\s+def \w+\(\)[^"]*run_and_emit\("(\w+)"')
_TASK = re.compile(r'run_and_emit\("(?P<job>\w+)", emits=(?P<asset>[A-Z_]+),')


def starters() -> dict[str, set[str]]:
    """For each job that keys start, the jobs whose keys do.

    The first job of a DAG is started by the assets that the DAG runs on; each next one by the one before it, and by
    those assets too: a task goes on where the ones before it were skipped.
    """
    files = [path.read_text(encoding="utf-8") for path in sorted(DAGS.glob("*.py"))]
    emitters = {match["asset"]: match["job"] for text in files for match in _TASK.finditer(text)}
    found: dict[str, set[str]] = {}
    for text in files:
        jobs = [match["job"] for match in _TASK.finditer(text)]
        if runs_on := _RUNS_ON.search(text):
            by = {emitters[asset.strip()] for asset in runs_on[1].split("|")}
            found[jobs[0]] = set(by)
            goes_on = set(_GOES_ON.findall(text))
            found |= {later: {earlier} | (by if later in goes_on else set()) for earlier, later in pairwise(jobs)}
    return found


def followers() -> dict[str, set[str]]:
    """For each job, those that its keys start."""
    found = starters()
    return {name: {job for job, by in found.items() if name in by} for name in {*found, *set().union(*found.values())}}
