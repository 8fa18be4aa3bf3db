"""Times a large day of events from landing to clean, the gate, and the erasure of one person, beside a bare COPY.

Usage: python benchmarks/large_day.py [--rows 10000000] [--home DIR]

The delivery is synthetic: one CSV file of events in time order, one in a thousand rows delivered twice, one in
two thousand with a time that cannot be read. The peer is `COPY (FROM read_csv(file)) TO file (COMPRESSION zstd)`
by the same DuckDB with the same threads, run before and after the jobs; its mean counts. Every phase runs in a
process of its own; imports are not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from shutil import copy, rmtree
from typing import Any

from stages import RESULTS, ROOT, commit, machine

DAY = "2026-01-05"
FEED = "knowledge_events"
THREADS = 2

WORLD = """
import duckdb, sys
rows, out = int(sys.argv[1]), sys.argv[2]
con = duckdb.connect(config={"threads": 1})
con.execute("SET enable_progress_bar = false; SELECT setseed(0.5)")
con.execute(f'''
    CREATE TABLE events AS SELECT i, user, day_second FROM (
        SELECT i, floor(pow(random(), 2) * {max(rows // 20, 100)})::BIGINT AS user,
            (random() * 86399)::INT AS day_second
        FROM range({rows}) AS numbers(i)
    ) ORDER BY day_second, i''')
con.execute(f'''
    COPY (
        SELECT printf('e%010d', i) AS event_id, 'u' || user AS user_id,
            'k' || floor(pow(random(), 3) * 20000)::BIGINT AS item_id,
            (['impression', 'view', 'view', 'view', 'click', 'favorite', 'cart', 'purchase', 'rating', 'attend'])
                [1 + floor(random() * 10)::INT] AS event,
            if(i % 2000 = 7, 'soon',
                strftime(TIMESTAMP '{sys.argv[3]}' + to_seconds(day_second), '%Y-%m-%d %H:%M:%S')) AS time,
            if(random() < .1, printf('%.2f', random() * 500), '') AS amount, if(random() < .1, '1', '') AS quantity,
            (['app', 'web', 'mini'])[1 + floor(random() * 3)::INT] AS channel, '' AS campaign,
            's' || user || '-' || (day_second // 1800) AS session,
            (['home', 'search', 'detail', ''])[1 + floor(random() * 4)::INT] AS placement,
            if(random() < .3, (1 + floor(random() * 20)::INT)::VARCHAR, '') AS position, '' AS ref_event
        FROM (FROM events UNION ALL FROM events WHERE i % 1000 = 3)
    ) TO '{out}' (HEADER)''')
"""
BARE = """
import duckdb, json, os, sys, time
con = duckdb.connect(config={"threads": int(sys.argv[3])})
con.execute("SET enable_progress_bar = false")
started = time.monotonic()
con.execute(f"COPY (FROM read_csv('{sys.argv[1]}')) TO '{sys.argv[2]}' (COMPRESSION zstd)")
print(json.dumps({"seconds": time.monotonic() - started, "bytes": os.path.getsize(sys.argv[2])}))
"""
JOB = """
import json, sys
from crossdomain.jobs.registry import job
from crossdomain.jobs.runner import run_job
from crossdomain.settings import Settings, parse_day
result = run_job(job(sys.argv[1]), parse_day(sys.argv[2]), Settings.from_env())
print(json.dumps({"seconds": result.seconds, "notes": dict(result.notes)}, default=str))
"""
ERASE = """
import json, sys, time
from datetime import UTC, datetime
from crossdomain.governance.erasing import Order, carry_out
from crossdomain.jobs.erase import opened
from crossdomain.settings import Settings
started = time.monotonic()
with opened(Settings.from_env()) as ground:
    receipts = carry_out(ground, [Order("knowledge", sys.argv[1], datetime.now(UTC), "benchmark", "benchmark")])
print(json.dumps({"seconds": time.monotonic() - started, "rows": sum(one.rows for one in receipts)}))
"""


def main() -> None:
    """Runs the benchmark and writes one result file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--home", type=Path, help="kept afterwards; a temporary folder by default")
    options = parser.parse_args()
    home = options.home or Path(tempfile.mkdtemp(prefix="crossdomain-bench-"))
    try:
        report = measure(home, options.rows)
    finally:
        if options.home is None:
            rmtree(home, ignore_errors=True)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"large-day-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(f"\nwritten to {path.relative_to(ROOT)}")


def measure(home: Path, rows: int) -> dict[str, Any]:
    """The delivery, the bare copy, the jobs, the erasure, the bare copy again."""
    include = home / "include"
    (include / "feeds").mkdir(parents=True)
    (include / "sql").symlink_to(ROOT / "include" / "sql")
    for name in ("feed.schema.json", f"{FEED}.yaml"):
        copy(ROOT / "include" / "feeds" / name, include / "feeds" / name)
    if (ROOT / "include" / "governance").exists():
        (include / "governance").symlink_to(ROOT / "include" / "governance")
    delivered = home / "landing" / FEED / DAY / "events.csv"
    delivered.parent.mkdir(parents=True)
    environment = {
        **os.environ,
        "CROSSDOMAIN_HOME": str(home),
        "CROSSDOMAIN_INCLUDE": str(include),
        "CROSSDOMAIN_START": DAY,
        "CROSSDOMAIN_THREADS": str(THREADS),
    }
    program(WORLD, [str(rows), str(delivered), DAY], environment)
    subprocess.run([sys.executable, "-m", "crossdomain.cli.main", "keys", "create"], env=environment, check=True)
    bare = [program(BARE, [str(delivered), str(home / "bare.parquet"), str(THREADS)], environment)]
    ingest = program(JOB, ["ingest", DAY], environment)
    clean = program(JOB, ["clean", DAY], environment)
    erase = program(ERASE, ["u7"], environment)
    bare.append(program(BARE, [str(delivered), str(home / "bare.parquet"), str(THREADS)], environment))
    seconds = sum(run["seconds"] for run in bare) / len(bare)
    stored = sum(path.stat().st_size for path in (home / "lake" / "clean" / "events_v1").rglob("*.parquet"))
    gate = clean["notes"]["gate_seconds"]
    table = [
        row("bare COPY", seconds, seconds, max(run["peak_mib"] for run in bare)),
        row("ingest", ingest["seconds"], seconds, ingest["peak_mib"]),
        row("clean, gate included", clean["seconds"], seconds, clean["peak_mib"]),
        row("  of which the gate", gate, seconds, clean["peak_mib"]),
        row(
            "ingest + clean", ingest["seconds"] + clean["seconds"], seconds, max(ingest["peak_mib"], clean["peak_mib"])
        ),
        row("erase one person", erase["seconds"], seconds, erase["peak_mib"]),
    ]
    return {
        "machine": machine(),
        "commit": commit(),
        "rows": rows,
        "csv_bytes": delivered.stat().st_size,
        "bare_bytes": bare[-1]["bytes"],
        "clean_bytes": stored,
        "clean_bytes_to_bare": round(stored / bare[-1]["bytes"], 3),
        "classes": clean["notes"]["rows"],
        "bare_seconds": [round(run["seconds"], 2) for run in bare],
        "stages": table,
    }


def program(text: str, arguments: list[str], environment: dict[str, str]) -> dict[str, Any]:
    """Runs a program that prints one JSON document last, and adds its peak memory."""
    process = subprocess.Popen(
        [sys.executable, "-c", text, *arguments], env=environment, stdout=subprocess.PIPE, text=True
    )
    lines = process.stdout.read().strip().splitlines()
    _, status, usage = os.wait4(process.pid, 0)  # not process.wait(): this one gives the peak memory
    if status:
        raise SystemExit(f"a phase failed with status {status}")
    return {**(json.loads(lines[-1]) if lines else {}), "peak_mib": round(usage.ru_maxrss / 1024)}


def row(name: str, seconds: float, bare: float, peak: int) -> dict[str, Any]:
    """One line of the result, printed."""
    found = {"stage": name, "seconds": round(seconds, 2), "times_bare": round(seconds / bare, 2), "peak_mib": peak}
    print(f"{name:<22} {seconds:>8.2f} s {seconds / bare:>7.2f} x bare {peak:>7} MiB", flush=True)
    return found


if __name__ == "__main__":
    main()
