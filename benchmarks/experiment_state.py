"""Times the state and moments of an experiment of 10 M exposures and 10 metrics, beside bare DuckDB.

Usage: python benchmarks/experiment_state.py [--exposures 10000000] [--units 4000000] [--days 14] [--home DIR]
       [--rounds 3] [--dimensions activity,channel]

The world is synthetic: exposures spread evenly over the days, three events for every two exposures, a fifth of them
purchases or refunds. Ten metrics of twelve numbers (shares, means of money, ratios), two of them with CUPED.

- bare: one query an SQL writer would run for the same numbers: units, their totals, moments by arm; nothing kept.
- whole: the library's fold of all days at once, moments and counts included; nothing written.
- written: the same, and the state written to the lake (sorted, read back, committed).
- days: the job as it runs every day, one day after the other, writing included.

Bare and whole alternate and their medians count; with no rounds only the days are measured. Seconds of the processor
are given beside those of the clock: where other work shares the machine, only their ratio means something. Every phase
runs in a process of its own; imports are not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from datetime import UTC, date, datetime
from pathlib import Path
from shutil import rmtree
from typing import Any

from stages import RESULTS, ROOT, commit, machine

FIRST = date(2026, 1, 5)
THREADS = 2
MEMORY = "6GB"

DESIGN = """
experiment_id: bench
name: {zh: 基准, en: Benchmark}
hypothesis: {zh: 无, en: None}
owner: growth
unit: account
variants: {control: 0.5, treatment: 0.5}
control: control
primary_metric: purchase_rate
cuped_days: 3
metrics:
  - {name: click_rate, kind: proportion, events: [click]}
  - {name: purchase_rate, kind: proportion, events: [purchase]}
  - {name: refund_rate, kind: proportion, events: [refund]}
  - {name: clicks, kind: mean, events: [click]}
  - {name: views, kind: mean, events: [view], cuped: true}
  - {name: spent, kind: mean, events: [purchase], column: value, cuped: true}
  - {name: revenue, kind: mean, events: [purchase], subtract: [refund], column: value}
  - {name: pieces, kind: mean, events: [purchase], column: quantity}
  - name: value_per_order
    kind: ratio
    numerator: {events: [purchase], column: value}
    denominator: {events: [purchase]}
  - name: clicks_per_view
    kind: ratio
    numerator: {events: [click]}
    denominator: {events: [view]}
"""

WORLD = """
import json, sys
from datetime import date, timedelta
from pathlib import Path
from crossdomain.jobs.model import Job
from crossdomain.jobs.runner import run_job
from crossdomain.settings import Settings
given = json.loads(sys.argv[1])
settings = Settings.from_env()
exposures, units, days = given["exposures"], given["units"], given["days"]
per_day = exposures // days

def build(ctx):
    number = (ctx.ds - settings.start).days
    unit = "unhex(md5((hash(i, {salt}) % {units})::VARCHAR))"
    ts = f"TIMESTAMPTZ '{ctx.ds} 00:00:00+08' + to_seconds((hash(i, 'ts') % 86400)::BIGINT)"
    shown = unit.format(salt=f"'x{number}'", units=units)
    ctx.write("clean.exposures", f'''SELECT 'bench' AS experiment_id, 'account' AS unit_type, unit,
        if(('0x' || hex(unit)[1:2])::INT % 2 = 0, 'control', 'treatment') AS variant, ts, 'p' || i AS placement,
        DATE '{ctx.ds}' AS delivered_ds, 'bench' AS feed FROM (SELECT {shown} AS unit, {ts} AS ts, i
        FROM range({number * per_day}, {(number + 1) * per_day}) AS r(i))''')
    acted = unit.format(salt=f"'e{number}'", units=units)
    ctx.write("clean.events", f'''SELECT 'e' || i AS event_id, {acted} AS account, 'knowledge' AS domain,
        'i' AS item_id, kind AS event_type, {ts} AS ts,
        if(kind IN ('purchase', 'refund'), (hash(i, 'v') % 50000) / 100, NULL) AS value,
        if(kind = 'purchase', 1 + hash(i, 'q') % 3, NULL) AS quantity, NULL AS channel, NULL AS campaign_id,
        NULL AS session_id, 'home' AS placement, NULL AS position, NULL AS rec_id, NULL AS ref_event_id,
        false AS consent_assumed, DATE '{ctx.ds}' AS delivered_ds, 'bench' AS feed
        FROM (SELECT i, ['view', 'view', 'view', 'view', 'click', 'click', 'click', 'impression', 'purchase', 'refund']
            [(1 + hash(i, 'k') % 10)::BIGINT] AS kind
            FROM range({number * per_day * 3 // 2}, {(number + 1) * per_day * 3 // 2}) AS r(i))''')

job = Job(name="clean", version=1, outputs=("clean.exposures", "clean.events"), run=build)
for step in range(days):
    run_job(job, settings.start + timedelta(days=step), settings)
"""
OPEN = """
import json, sys, time
from datetime import date, timedelta
from crossdomain.experiments.design import load_designs
from crossdomain.jobs.runner import open_lake
from crossdomain.settings import Settings
from crossdomain.tables import registry
settings = Settings.from_env()
(design,) = load_designs(settings.include / "experiments")
tables = registry(settings.include)
last = settings.start + timedelta(days=int(sys.argv[1]) - 1)
def view(lake):
    for name in ("clean.events", "clean.exposures"):
        lake.view(tables.get(name), lake.partitions(tables.get(name)), schema="clean")
"""
BARE = (
    OPEN
    + """
QUERY = '''
WITH units AS (
  SELECT unit, min(ts) AS first_ts, any_value(variant) AS variant FROM clean.exposures
  WHERE experiment_id = 'bench' GROUP BY unit HAVING min(variant) = max(variant)),
totals AS (
  SELECT e.account AS unit,
    max(CASE WHEN e.ts >= u.first_ts AND event_type = 'click' THEN 1 ELSE 0 END) AS x0,
    max(CASE WHEN e.ts >= u.first_ts AND event_type = 'purchase' THEN 1 ELSE 0 END) AS x1,
    max(CASE WHEN e.ts >= u.first_ts AND event_type = 'refund' THEN 1 ELSE 0 END) AS x2,
    sum(CASE WHEN e.ts >= u.first_ts AND event_type = 'click' THEN 1 ELSE 0 END)::DECIMAL(18,2) AS x3,
    sum(CASE WHEN e.ts >= u.first_ts AND event_type = 'view' THEN 1 ELSE 0 END)::DECIMAL(18,2) AS x4,
    sum(CASE WHEN e.ts >= u.first_ts AND event_type = 'purchase' THEN value ELSE 0 END)::DECIMAL(18,2) AS x5,
    sum(CASE WHEN e.ts >= u.first_ts AND event_type = 'purchase' THEN value
      WHEN e.ts >= u.first_ts AND event_type = 'refund' THEN -value ELSE 0 END)::DECIMAL(18,2) AS x6,
    sum(CASE WHEN e.ts >= u.first_ts AND event_type = 'purchase' THEN quantity ELSE 0 END)::DECIMAL(18,2) AS x7,
    sum(CASE WHEN e.ts >= u.first_ts AND event_type = 'purchase' THEN value ELSE 0 END)::DECIMAL(18,2) AS x8,
    sum(CASE WHEN e.ts >= u.first_ts AND event_type = 'purchase' THEN 1 ELSE 0 END)::DECIMAL(18,2) AS y8,
    sum(CASE WHEN e.ts >= u.first_ts AND event_type = 'click' THEN 1 ELSE 0 END)::DECIMAL(18,2) AS x9,
    sum(CASE WHEN e.ts >= u.first_ts AND event_type = 'view' THEN 1 ELSE 0 END)::DECIMAL(18,2) AS y9,
    sum(CASE WHEN e.ts < u.first_ts AND e.ts >= u.first_ts - INTERVAL 3 DAY AND event_type = 'view'
      THEN 1 ELSE 0 END)::DECIMAL(18,2) AS cx4,
    sum(CASE WHEN e.ts < u.first_ts AND e.ts >= u.first_ts - INTERVAL 3 DAY AND event_type = 'purchase'
      THEN value ELSE 0 END)::DECIMAL(18,2) AS cx5
  FROM units AS u JOIN clean.events AS e ON e.account = u.unit
  WHERE event_type IN ('click', 'purchase', 'refund', 'view') GROUP BY e.account),
filled AS (
  SELECT u.variant, coalesce(COLUMNS(t.* EXCLUDE (unit)), 0) FROM units AS u LEFT JOIN totals AS t ON t.unit = u.unit)
SELECT variant, count(*), sum(x0), sum(x1), sum(x2), sum(x3), sum(x3 * x3), sum(x4), sum(x4 * x4), sum(cx4),
  sum(cx4 * cx4), sum(x4 * cx4), sum(x5), sum(x5 * x5), sum(cx5), sum(cx5 * cx5), sum(x5 * cx5), sum(x6), sum(x6 * x6),
  sum(x7), sum(x7 * x7), sum(x8), sum(x8 * x8), sum(y8), sum(y8 * y8), sum(x8 * y8), sum(x9), sum(x9 * x9), sum(y9),
  sum(y9 * y9), sum(x9 * y9)
FROM filled GROUP BY variant ORDER BY variant'''
with open_lake(settings) as lake:
    view(lake)
    started, used = time.monotonic(), time.process_time()
    rows = lake.con.execute(QUERY).fetchall()
    seconds, cpu = time.monotonic() - started, time.process_time() - used
print(json.dumps({"seconds": seconds, "cpu": cpu, "units": [row[1] for row in rows],
    "revenue": [str(row[17]) for row in rows], "spent_with_covariate": [str(row[16]) for row in rows]}))
"""
)
WHOLE = (
    OPEN
    + """
from crossdomain.experiments.moments import WHOLE, carried, day_difference, samples
from crossdomain.experiments.state import Fold, fingerprint, fold_state, state_rows
from crossdomain.experiments.tallies import day_tallies
with open_lake(settings) as lake:
    view(lake)
    started, used = time.monotonic(), time.process_time()
    fold = Fold(date.min, last, held=False, design=fingerprint(design))
    fold_state(lake.con, design, fold)
    folded = time.monotonic() - started
    strata = carried({}, day_difference(lake.con, design))
    tallies = day_tallies(lake.con, design, fold)
    seconds, cpu = time.monotonic() - started, time.process_time() - used
    if sys.argv[2] == "write":
        spec = tables.get("derived.experiment_state")
        staged = lake.stage(spec, state_rows(design, fold), {"ds": last.isoformat()}, made_by={"job": "bench"})
        lake.commit(spec, [staged], replace={"ds": [last.isoformat()]})
        seconds, cpu = time.monotonic() - started, time.process_time() - used
found = samples(design, strata[WHOLE], last)
arms = ("control", "treatment")
print(json.dumps({"seconds": seconds, "cpu": cpu, "fold": folded, "units": [found["revenue", arm].n for arm in arms],
    "revenue": [str(found["revenue", arm].x) for arm in arms],
    "spent_with_covariate": [str(found["spent", arm].xcx) for arm in arms]}))
"""
)
DAYS = """
import json, sys, time
from datetime import timedelta
from crossdomain.jobs.experiment_state import JOB
from crossdomain.jobs.runner import run_job
from crossdomain.jobs import runner
from crossdomain.settings import Settings
settings = Settings.from_env()
day = settings.start + timedelta(days=int(sys.argv[1]))
runner._has_inputs = lambda *_: False  # one day only, though those after it could follow
used = time.process_time()
result = run_job(JOB, day, settings)
print(json.dumps({"seconds": result.seconds, "cpu": time.process_time() - used, "rows": result.tables[0].rows}))
"""


def main() -> None:
    """Measures and writes one JSON file into results/."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--exposures", type=int, default=10_000_000)
    parser.add_argument("--units", type=int, default=4_000_000)
    parser.add_argument("--days", type=int, default=14)
    parser.add_argument("--home", type=Path)
    parser.add_argument("--rounds", type=int, default=3, help="0: only the days")
    parser.add_argument("--dimensions", default="", help="of the design, such as activity,channel")
    given = parser.parse_args()
    home = given.home or Path(tempfile.mkdtemp(prefix="experiment-state-"))
    include = _include(home, given.dimensions)
    size = {"exposures": given.exposures, "units": given.units, "days": given.days}
    environ = {
        **os.environ, "CROSSDOMAIN_HOME": str(home / "lake"), "CROSSDOMAIN_INCLUDE": str(include),
        "CROSSDOMAIN_START": FIRST.isoformat(), "CROSSDOMAIN_THREADS": str(THREADS),
        "CROSSDOMAIN_MEMORY_LIMIT": MEMORY, "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    if not (home / "lake" / "lake").exists():
        _call(WORLD, environ, json.dumps(size))
    at_once = _at_once(environ, str(given.days), given.rounds) if given.rounds else {}
    rmtree(home / "lake" / "lake" / "derived", ignore_errors=True)
    daily = [_call(DAYS, environ, str(step)) for step in range(given.days)]
    document = {
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": machine(),
        "threads": THREADS,
        "memory_limit": MEMORY,
        "size": {**size, "events": given.exposures * 3 // 2, "dimensions": given.dimensions},
        **at_once,
        "load_at_end": os.getloadavg()[0],
        "days": daily,
    }
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    path = RESULTS / f"experiment-state-{stamp}.json"
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(document, indent=1))
    if given.home is None:
        rmtree(home, ignore_errors=True)


def _at_once(environ: dict[str, str], days: str, rounds: int) -> dict[str, Any]:
    """The phases that take all days at once; bare and whole must give the same numbers."""
    bare, whole = [], []
    for _ in range(rounds):
        bare.append(_call(BARE, environ, days))
        whole.append(_call(WHOLE, environ, days, "only"))
    for name in ("units", "revenue", "spent_with_covariate"):
        if bare[0][name] != whole[0][name] and [float(x) for x in bare[0][name]] != [float(x) for x in whole[0][name]]:
            raise SystemExit(f"{name} differ: {bare[0][name]} and {whole[0][name]}")
    written = _call(WHOLE, environ, days, "write")
    phases = (("bare", bare), ("whole", whole), ("written", [written]))
    seconds = {name: statistics.median(one["seconds"] for one in runs) for name, runs in phases}
    cpu = {name: statistics.median(one["cpu"] for one in runs) for name, runs in phases}
    return {
        "analysed_units": sum(whole[0]["units"]),
        "seconds": seconds,
        "cpu_seconds": cpu,
        "whole_over_bare": seconds["whole"] / seconds["bare"],
        "whole_over_bare_cpu": cpu["whole"] / cpu["bare"],
        "rounds": {name: [{"seconds": one["seconds"], "cpu": one["cpu"]} for one in runs] for name, runs in phases[:2]},
    }


def _include(home: Path, dimensions: str) -> Path:
    """The platform's tables with one design."""
    include = home / "include"
    (include / "experiments").mkdir(parents=True, exist_ok=True)
    (include / "experiments" / "bench.yaml").write_text(
        DESIGN + (f"dimensions: [{dimensions}]\n" if dimensions else ""), encoding="utf-8"
    )
    schema = ROOT / "include" / "experiments" / "design.schema.json"
    (include / "experiments" / schema.name).write_text(schema.read_text(encoding="utf-8"), encoding="utf-8")
    tables = include / "sql"
    if not tables.exists():
        tables.symlink_to(ROOT / "include" / "sql")
    return include


def _call(program: str, environ: dict[str, str], *arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], env=environ, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    lines = done.stdout.strip().splitlines()
    found: dict[str, Any] = json.loads(lines[-1]) if lines else {}
    return found


if __name__ == "__main__":
    main()
