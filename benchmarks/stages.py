"""Times each stage of a day on a large synthetic world, each job in a process of its own.

Usage: python benchmarks/stages.py [--users N] [--items N] [--events N] [--home DIR]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from shutil import rmtree
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
START = date(2026, 1, 5)


def main() -> None:
    """Runs the benchmark and writes one result file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--events", type=int, default=1_000_000, help="events a day")
    parser.add_argument("--home", type=Path, help="kept afterwards; a temporary folder by default")
    options = parser.parse_args()
    home = options.home or Path(tempfile.mkdtemp(prefix="crossdomain-bench-"))
    try:
        report = measure(home, options)
    finally:
        if options.home is None:
            rmtree(home, ignore_errors=True)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"stages-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(f"\nwritten to {path.relative_to(ROOT)}")


def measure(home: Path, options: argparse.Namespace) -> dict[str, Any]:
    """World, the opening day (with one day of history), one ordinary day, and the bare engine."""
    opening = START - timedelta(days=1)
    environment = {
        **os.environ,
        "CROSSDOMAIN_HOME": str(home),
        "CROSSDOMAIN_START": opening.isoformat(),
        "OPENBLAS_NUM_THREADS": "1",
    }
    report: dict[str, Any] = {"machine": machine(), "commit": commit(), "world": vars(options) | {"home": None}}
    rows: list[dict[str, Any]] = []
    report["stages"] = rows
    world = (
        "import sys; from datetime import date; from pathlib import Path\n"
        "from crossdomain.demo.world import write_world\n"
        f"write_world(Path(sys.argv[1]), users={options.users}, items={options.items}, days=1, "
        f"start=date.fromisoformat('{START}'), seed=7, events_per_day={options.events}, history_days=1)"
    )
    rows.append(timed("world", [sys.executable, "-c", world, str(home)], environment, rows=2 * options.events))
    subprocess.run([sys.executable, "-m", "crossdomain.cli.main", "keys", "create"], env=environment, check=True)
    events = landing_rows(home, START)
    rows.append(bare_copy(home, environment, events))
    jobs = (
        "ingest", "clean", "people", "catalogue", "holdings", "topics", "together", "similar", "bundles", "pages",
        "train", "score", "experiment_state", "experiments", "publish",
    )  # fmt: skip
    for day in (opening, START):
        for job in jobs:
            command = [sys.executable, "-m", "crossdomain.cli.main", "run", job, "--date", day.isoformat(), "--json"]
            rows.append(timed(f"{job} {'opening' if day == opening else 'day'}", command, environment, rows=events))
    return report


def timed(name: str, command: list[str], environment: dict[str, str], *, rows: int) -> dict[str, Any]:
    """Runs a command and prints and returns its seconds, rows of events per second and peak memory."""
    before = time.monotonic()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)  # not process.wait(): this one gives the peak memory
    seconds = time.monotonic() - before
    if status:
        raise SystemExit(f"{name} failed with status {status}")
    row = {
        "stage": name,
        "seconds": round(seconds, 2),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 2),
        "event_rows_per_second": round(rows / seconds),
        "peak_mib": round(usage.ru_maxrss / 1024),
    }
    print(
        f"{name:<20} {row['seconds']:>8} s {row['cpu_seconds']:>8} cpu s "
        f"{row['event_rows_per_second']:>10,} rows/s {row['peak_mib']:>6} MiB",
        flush=True,
    )
    return row


def bare_copy(home: Path, environment: dict[str, str], events: int) -> dict[str, Any]:
    """The peer: DuckDB reads the day's event files as text and writes Parquet, nothing else."""
    files = [str(path) for path in event_files(home, START)]
    program = (
        "import duckdb, sys; con = duckdb.connect(config={'threads': 2}); out = sys.argv[1]\n"
        "for number, path in enumerate(sys.argv[2:]):\n"
        "    con.execute(f\"COPY (FROM read_csv('{path}', all_varchar=true)) TO '{out}/{number}.parquet' "
        '(COMPRESSION zstd)")'
    )
    with tempfile.TemporaryDirectory() as out:
        return timed("bare DuckDB COPY", [sys.executable, "-c", program, out, *files], environment, rows=events)


def event_files(home: Path, day: date) -> list[Path]:
    """Event files of a delivery day."""
    return sorted(path for path in home.glob(f"landing/*_events/{day}/*") if path.name.endswith((".csv", ".csv.gz")))


def landing_rows(home: Path, day: date) -> int:
    """Rows in the event files of a delivery day."""
    import duckdb

    return sum(
        duckdb.sql(f"SELECT count(*) FROM read_csv('{path}', all_varchar=true)").fetchall()[0][0]
        for path in event_files(home, day)
    )


def machine() -> dict[str, Any]:
    """What ran it."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(pages / 2**30, 1),
        "system": platform.system(),
        "python": platform.python_version(),
    }


def commit() -> str:
    """The commit that was measured; marked where the tree differs from it."""
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


if __name__ == "__main__":
    main()
