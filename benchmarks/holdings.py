"""Times remembering what people own or rejected by day (``derived.holdings``), beside a state folded every day.

Usage: python benchmarks/holdings.py [--days 1095] [--rows 10000] [--accounts 500000] [--again 0.2] [--home DIR]

Synthetic days with so many purchases and rejections each, of which a share repeats what the account holds already.

- log: job ``holdings`` on one more day; then what a reader pays, ``score`` and ``train`` alike: the partitions and the
  versions of all days, and what is held, folded into a table.
- state: what a sequential table would cost instead: the same rows folded into one file, sorted and written as the lake
  does it, each day; and what a reader of that file pays.

Seconds of the processor are given beside those of the clock: where other work shares the machine, only those count.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from stages import RESULTS, commit, machine

from crossdomain.jobs.holdings import JOB
from crossdomain.jobs.model import Job
from crossdomain.jobs.registry import job
from crossdomain.jobs.runner import looking_at, open_lake, run_job
from crossdomain.recommend.holdings import held_sql
from crossdomain.recommend.interactions import PRODUCTS
from crossdomain.settings import Settings
from crossdomain.storage.lake import Lake
from crossdomain.tables import registry

FIRST = date(2023, 1, 1)
THREADS, MEMORY = 1, "2GB"
TABLE = "derived.holdings"


def main() -> None:
    """Runs the benchmark and writes one result file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=1095)
    parser.add_argument("--rows", type=int, default=10_000, help="purchases and rejections a day")
    parser.add_argument("--accounts", type=int, default=500_000)
    parser.add_argument("--again", type=float, default=0.2, help="share of rows about what the account holds already")
    parser.add_argument("--home", type=Path, help="where the lake is built; else a temporary folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measured(options.home or Path(folder), options)
    report = {"benchmark": "holdings", "machine": machine(), "commit": commit(), "threads": THREADS, **found}
    path = RESULTS / f"holdings-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(f"written: {path}")


def measured(home: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Builds the lake once; measures the last day."""
    settings = Settings(home=home, start=FIRST, tz="UTC", threads=THREADS, memory_limit=MEMORY)
    last = FIRST + timedelta(days=options.days - 1)
    with open_lake(settings) as lake:
        for step in range(options.days):
            put(lake, settings, TABLE, FIRST + timedelta(days=step), day_sql(step, options))
        put(lake, settings, "clean.events", last, events_sql(options))
        accounts = f"SELECT {account_sql('n')} AS account, 'beauty' AS domain FROM range({options.accounts}) t(n)"
        put(lake, settings, "derived.people", last, accounts + " ORDER BY account")
        for name in ("derived.catalogue", "derived.duplicate_items"):
            put(lake, settings, name, last, "SELECT '' AS domain WHERE false")
    found: dict[str, Any] = {"days": options.days, "rows_a_day": options.rows, "accounts": options.accounts}
    found["log"] = {"job of a day": timed(lambda: run_job(JOB, last, settings, force=True))}
    with open_lake(settings) as lake:
        put(lake, settings, TABLE, last, day_sql(options.days - 1, options))  # the job saw other rows
        spec = registry(settings.include).get(TABLE)
        size = sum(file.path.stat().st_size for one in lake.partitions(spec) for file in one.files)
    reader = replace(job("score"), inputs=tuple(one for one in job("score").inputs if one.table in READ), outputs=())
    log, rows = read(reader, last, settings)
    found["log"] |= log | {"megabytes, all days": round(size / 1e6, 1), "rows held": rows}
    found["state"] = state(settings, last)
    for name in ("log", "state"):
        print(json.dumps({name: found[name]}))
    return found


READ = (TABLE, "derived.people", "derived.catalogue", "derived.duplicate_items")


def read(reader: Job, last: date, settings: Settings) -> tuple[dict[str, Any], int]:
    """What ``score`` does with the table: resolve all days, fold what is held into a temporary table."""
    rows: list[int] = []

    def resolve() -> None:
        with looking_at(reader, last, settings):
            pass

    def fold() -> None:
        with looking_at(reader, last, settings) as ctx:
            ctx.con.execute(f"CREATE OR REPLACE TEMP TABLE held AS {held_sql(PRODUCTS)}", {"last": last})
            rows.extend(ctx.con.execute("SELECT count(*) FROM held").fetchall()[0])

    return {"find all days and their versions": timed(resolve), "that, and what is held": timed(fold)}, rows[0]


def state(settings: Settings, last: date) -> dict[str, Any]:
    """A day of the state: the state before and the day's rows put together and staged, as a sequential job would."""
    spec = registry(settings.include).get(TABLE)
    keys = "account, domain, item_id"
    ends = ", ".join(f"max({one}) AS {one}" for one in ("day", "delivered_ds", "bought_at", "rejected_at"))
    whole: dict[str, Any] = {}
    with open_lake(settings) as lake:
        days = lake.partitions(spec)
        before, day = (lake.relation(spec, part) for part in (days[:-1], days[-1:]))
        lake.con.execute(f"CREATE TABLE before AS SELECT {keys}, {ends} FROM ({before}) GROUP BY ALL ORDER BY {keys}")
        path = lake.home.root / "before.parquet"
        lake.con.execute(f"COPY before TO '{path}' (FORMAT parquet, COMPRESSION zstd)")
        lake.con.execute("DROP TABLE before")
        both = f"FROM '{path}' UNION ALL BY NAME SELECT * EXCLUDE ds FROM ({day})"
        values = {"ds": last.isoformat()}

        def fold() -> None:
            rows = f"SELECT {keys}, {ends} FROM ({both}) GROUP BY ALL"
            whole["file"] = lake.stage(spec, rows, values, made_by={})

        seconds = timed(fold)

        def held() -> None:
            rows = f"SELECT {keys}, bought_at, rejected_at FROM '{whole['file'].path}'"
            lake.con.execute(f"CREATE OR REPLACE TEMP TABLE held AS {rows}")

        return {
            "fold and write of a day": seconds,
            "read": timed(held),
            "megabytes, each day": round(whole["file"].path.stat().st_size / 1e6, 1),
            "rows": whole["file"].rows,
        }


def account_sql(number: str) -> str:
    """SQL of an account key of 16 bytes."""
    return f"unhex(md5(({number})::VARCHAR))"


def day_sql(step: int, options: argparse.Namespace) -> str:
    """SQL of a day's rows: most of a pair of account and item that is new, some of one that an earlier day has."""
    day = FIRST + timedelta(days=step)
    new = f"n + {step} * {options.rows}"
    old = f"(hash(n, {step}) % greatest({step} * {options.rows}, 1))::BIGINT"
    pair = f"if(n < {round(options.again * options.rows)} AND {step} > 0, {old}, {new})"
    at = f"TIMESTAMPTZ '{day} 00:00:00+00' + to_seconds((n % 86400)::BIGINT)"
    return (
        f"SELECT {account_sql(f'hash(pair) % {options.accounts}')} AS account, 'beauty' AS domain, "
        f"printf('b%07d', (hash(pair, 1) % 50000)::BIGINT) AS item_id, DATE '{day}' AS day, "
        f"DATE '{day}' AS delivered_ds, if(n % 10 > 0, {at}, NULL) AS bought_at, "
        f"if(n % 10 > 0, NULL, {at}) AS rejected_at "
        f"FROM (SELECT n, {pair} AS pair FROM range({options.rows}) t(n)) "
        "QUALIFY row_number() OVER (PARTITION BY account, item_id ORDER BY n) = 1"
    )


def events_sql(options: argparse.Namespace) -> str:
    """SQL of the last day's events: so many purchases and rejections, thirty times as many of other kinds."""
    day = FIRST + timedelta(days=options.days - 1)
    return (
        f"SELECT n::VARCHAR AS event_id, {account_sql(f'hash(n) % {options.accounts}')} AS account, "
        "'beauty' AS domain, printf('b%07d', (hash(n, 1) % 50000)::BIGINT) AS item_id, "
        "CASE WHEN n % 31 > 0 THEN 'view' WHEN n % 310 > 0 THEN 'purchase' ELSE 'refund' END AS event_type, "
        f"TIMESTAMPTZ '{day} 00:00:00+00' + to_seconds((n % 86400)::BIGINT) AS ts, false AS consent_assumed, "
        f"DATE '{day}' AS delivered_ds, 'bench' AS feed FROM range({31 * options.rows}) t(n)"
    )


def put(lake: Lake, settings: Settings, table: str, day: date, query: str) -> None:
    """Writes a partition; columns that the query leaves out are null, or false where they must not be."""
    spec = registry(settings.include).get(table)
    given = {row[0] for row in lake.con.execute(f"DESCRIBE {query}").fetchall()}
    missing = [
        f"{'account' if column.type == 'BLOB' else 'false' if column.required else 'NULL'} AS {column.name}"
        for column in spec.columns
        if column.name not in given and "WHERE false" not in query
    ]
    blank = [f"NULL AS {column.name}" for column in spec.columns if column.name not in given and "WHERE false" in query]
    values = {"ds": day.isoformat()}
    rows = f"SELECT {', '.join(['*', *missing, *blank])} FROM ({query})"
    lake.commit(spec, [lake.stage(spec, rows, values, made_by={})], replace={"ds": [day.isoformat()]})


def timed(run: Callable[[], Any]) -> dict[str, float]:
    """Seconds of the second of two calls, by the clock and of the processor, and the process's peak memory so far."""
    run_twice: dict[str, float] = {}
    for _ in range(2):
        start, worked = time.perf_counter(), time.process_time()
        run()
        run_twice = {
            "seconds": round(time.perf_counter() - start, 3),
            "processor_seconds": round(time.process_time() - worked, 3),
        }
    return {**run_twice, "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}


if __name__ == "__main__":
    main()
