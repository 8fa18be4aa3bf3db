"""Which job's keys start which jobs, read from the DAG files."""

from __future__ import annotations

import re
from pathlib import Path

DAGS = Path(__file__).resolve().parents[1] / "dags"
_RUNS_ON = re.compile(r"schedule=on_day_of\(([A-Z_|\s]+)\)")
_JOB = re.compile(r'"(?P<job>\w+)": (?P<asset>[A-Z_]+)[,}]')


def starters() -> dict[str, set[str]]:
    """For each job that keys start, the jobs whose keys do.

    The jobs of a DAG are started by the assets that the DAG runs on, and each by those that its task runs before it.
    """
    files = [path.read_text(encoding="utf-8") for path in sorted(DAGS.glob("*.py"))]
    emitters = {match["asset"]: match["job"] for text in files for match in _JOB.finditer(text)}
    found: dict[str, set[str]] = {}
    for text in files:
        jobs = [match["job"] for match in _JOB.finditer(text)]
        if runs_on := _RUNS_ON.search(text):
            by = {emitters[asset.strip()] for asset in runs_on[1].split("|")}
            found |= {name: by | set(jobs[:place]) for place, name in enumerate(jobs)}
    return found


def followers() -> dict[str, set[str]]:
    """For each job, those that its keys start."""
    found = starters()
    return {name: {job for job, by in found.items() if name in by} for name in {*found, *set().union(*found.values())}}
