"""The job that scores, from events to a committed table, on a home that is made for it.

Started as a program, with the home, it runs the job there and prints what it took as one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

DAY = date(2026, 1, 5)
OWNED = 20
"""Events of a person, half on either side."""


def job(options: argparse.Namespace, people: int, power: str) -> dict[str, Any]:
    """Seconds, rate, size and peak memory of ``score`` for so many people, both directions."""
    with tempfile.TemporaryDirectory(prefix="crossdomain-bench-") as folder:
        environment = {
            **os.environ,
            "CROSSDOMAIN_HOME": folder,
            "CROSSDOMAIN_START": DAY.isoformat(),
            "CROSSDOMAIN_THREADS": str(options.threads),
            "CROSSDOMAIN_RECOMMEND_TOP_K": str(options.k),
            "CROSSDOMAIN_RECOMMEND_POPULARITY_POWER": power,
        }
        os.environ.update(environment)
        fill(Path(folder), people, options.items, options.factors)
        command = [sys.executable, __file__, folder]
        done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout.splitlines()[-1])
    work = 2 * people * 2 * options.items * options.factors / 1e9
    row = {"people": people, "popularity_power": float(power), **found}
    for kind in ("seconds", "processor_seconds"):
        row |= {f"people_per_{kind}": round(people / found[kind]), f"gflops_by_{kind}": round(work / found[kind], 1)}
    print(json.dumps(row))
    return row


def fill(home: Path, people: int, items: int, factors: int) -> None:
    """A lake with a day of events, everyone known on both sides, and a model of random vectors."""
    import pyarrow as pa

    from crossdomain.jobs.holdings import JOB as HOLDINGS
    from crossdomain.jobs.runner import open_lake, run_job
    from crossdomain.recommend.als import AlsModel, to_files
    from crossdomain.settings import Settings
    from crossdomain.storage.models import ModelStore
    from crossdomain.tables import registry

    settings = Settings.from_env()
    tables = registry(settings.include)
    rng = np.random.default_rng(7)
    domains = sorted(settings.domains)
    names = pa.array(np.repeat(domains, items))
    ids = pa.array([f"{domain[0]}{number:06d}" for domain in domains for number in range(items)])
    vectors = rng.standard_normal((2 * items, factors), dtype=np.float32) / 8
    with open_lake(settings) as lake:
        version = ModelStore(lake.home).save("als", to_files("model", AlsModel(names, ids, vectors, 10.0)), {})
        lake.con.execute("SELECT setseed(0.5)")
        lake.con.execute(
            f"CREATE TABLE accounts AS SELECT from_hex(md5(p || d)) AS account, d AS domain, "
            f"from_hex(md5(p || '{domains[0]}')) AS person, p FROM range({people}) t(p), "
            f"(SELECT unnest({domains}) AS d)"
        )
        rows = {
            "derived.people": "SELECT *, true AS personalisation, true AS cross_domain, false AS profiling, false AS "
            "marketing_email, false AS marketing_sms, false AS marketing_push FROM accounts",
            "clean.events": "SELECT p || '-' || n AS event_id, account, domain, "
            f"printf('%s%06d', domain[1], ({items} * pow(random(), 3))::BIGINT % {items}) AS item_id, "
            "CASE WHEN n < 2 THEN 'purchase' ELSE 'view' END AS event_type, "
            f"TIMESTAMPTZ '{DAY} 04:00:00+00' AS ts, false AS consent_assumed, DATE '{DAY}' AS delivered_ds, "
            f"'bench' AS feed FROM accounts, range({OWNED // 2}) t(n)",
            "derived.catalogue": f"SELECT d AS domain, printf('%s%06d', d[1], n) AS item_id, 'on' AS status, '' AS "
            f"content_hash, DATE '{DAY}' AS first_ds, DATE '{DAY}' AS changed_ds, 'bench' AS feed, DATE '{DAY}' AS "
            f"as_of FROM range({items}) t(n), (SELECT unnest({domains}) AS d)",
            "derived.duplicate_items": "SELECT '' AS domain WHERE false",
            "serving.transfer": "SELECT '' AS target_domain WHERE false",
            "serving.champions": f"SELECT unnest({domains}) AS target_domain, '{version}' AS model_version, 'als' AS "
            "model, 'ndcg@10' AS metric, 0 AS n, 'first' AS decision, '' AS reason",
        }
        for name, query in rows.items():
            spec = tables.get(name)
            given = {row[0] for row in lake.con.execute(f"DESCRIBE {query}").fetchall()}
            missing = [f"NULL AS {column.name}" for column in spec.columns if column.name not in given]
            source = f"SELECT {', '.join(['*', *missing])} FROM ({query})"
            values = {"ds": DAY.isoformat()}
            lake.commit(spec, [lake.stage(spec, source, values, made_by={})], replace={"ds": [DAY.isoformat()]})
    run_job(HOLDINGS, DAY, settings)


def run_score(home: Path) -> None:
    """Runs the job here and prints its seconds, where they went, and its peak memory."""
    from crossdomain.jobs import score
    from crossdomain.jobs.runner import run_job
    from crossdomain.recommend import list_rows
    from crossdomain.recommend import score as scoring
    from crossdomain.recommend.als import Folder
    from crossdomain.recommend.topk import top_k
    from crossdomain.settings import Settings
    from crossdomain.storage.lake import Lake

    spent: dict[str, float] = {}
    for holder, name in (
        (Folder, "people"), (Folder, "reasons"), (scoring, "rank_blocks"), (list_rows.Encoder, "table"),
        (Lake, "stage"), (Lake, "commit"), (score, "read_histories"),
    ):  # fmt: skip
        setattr(holder, name, watched(getattr(holder, name), name, spent))
    before = peak_mib()
    top_k(np.zeros((1, 64), dtype=np.float32), 3)  # compiles
    results = []
    seconds, worked = timed(lambda: results.append(run_job(score.JOB, DAY, Settings.from_env())))
    (result,) = results
    (table,) = (one for one in result.tables if one.table == "serving.recommendations")
    size = sum(path.stat().st_size for path in home.rglob("recommendations_v*/**/*.parquet"))
    report = {
        "seconds": round(seconds, 2),
        "processor_seconds": round(worked, 2),
        "processor_seconds_in": {name: round(one, 2) for name, one in spent.items()},
        "rows": table.rows,
        "megabytes": round(size / 1e6, 1),
        "peak_mib": peak_mib(),
        "peak_mib_before": before,
    }
    print(json.dumps(report))


def watched(function: Any, name: str, spent: dict[str, float]) -> Any:
    """The function, its processor seconds added up; of a generator those in which it works."""

    def call(*args: Any, **options: Any) -> Any:
        start = time.process_time()
        found = function(*args, **options)
        if name == "rank_blocks":
            found = list(found)
        spent[name] = spent.get(name, 0.0) + time.process_time() - start
        return found

    return call


def timed(run: Callable[[], Any]) -> tuple[float, float]:
    """Seconds of one call by the clock, and of the processors: these tell less of what else runs on the machine."""
    start, worked = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - start, time.process_time() - worked


def peak_mib() -> int:
    """The most memory that this process held so far; what getrusage says may be that of the process that started it."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) // 1024


if __name__ == "__main__":
    run_score(Path(sys.argv[1]))
