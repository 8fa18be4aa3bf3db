"""Times the scoring of many people: the top k of a product, and the whole job from events to a committed table.

The product: people and items of synthetic vectors, the plain float32 matrix product of the same shape (people in
blocks, into memory that is there already), ``recommend`` of implicit with what each person has filtered, and
``rank_blocks``, in turn, several rounds. Vectors are drawn alike, so that nothing can be passed over; and with the
lengths that a boost by popularity gives them.

The job: a home with synthetic events, people, catalogue and a stored model, and ``crossdomain run score`` in a process
of its own for each number of people, with its peak memory and where the seconds go. Cost is linear in people.

Usage: python benchmarks/scoring.py [--people N] [--items N] [--factors N] [--k N] [--threads N]
       [--job N ...] [--powers P ...] [--only PART]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from stages import commit, machine
from threadpoolctl import threadpool_limits

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
DAY = date(2026, 1, 5)
OWNED = 20
ROUNDS = 3


def main() -> None:
    """Runs the benchmark and writes one result file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=20_000, help="people of the product")
    parser.add_argument("--items", type=int, default=50_000, help="items of each domain")
    parser.add_argument("--factors", type=int, default=128)
    parser.add_argument("--k", type=int, default=100)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--job", type=int, nargs="*", default=[5_000, 20_000], help="people of the jobs")
    parser.add_argument("--powers", nargs="+", default=["0", "0.75"], help="of popularity, one job each")
    parser.add_argument("--pairs", type=int, default=1_000_000, help="pairs of the training")
    parser.add_argument("--only", choices=("product", "training", "job"))
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        return run_score(options.run)
    report: dict[str, Any] = {"machine": machine(), "commit": commit(), "data": "synthetic", "load": os.getloadavg()}
    report |= {name: getattr(options, name) for name in ("items", "factors", "k", "threads")}
    if options.only in (None, "training"):
        report["training"] = training(options)
    if options.only in (None, "product"):
        report["product"] = [product(options, spread) for spread in (0.0, 1.0)]
    if options.only in (None, "job"):
        report["job"] = [job(options, people, power) for people in options.job for power in options.powers]
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"scoring-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(f"written to {path.relative_to(ROOT)}")
    return None


def product(options: argparse.Namespace, spread: float) -> dict[str, Any]:
    """Seconds and GFLOP/s of the plain product, of implicit and of ours, each round in turn."""
    from implicit.cpu.als import AlternatingLeastSquares

    from crossdomain.recommend.topk import rank_blocks

    rng = np.random.default_rng(7)
    people = rng.standard_normal((options.people, options.factors), dtype=np.float32)
    items = rng.standard_normal((options.items, options.factors), dtype=np.float32) / 8
    items *= np.exp(spread * rng.standard_normal((options.items, 1))).astype(np.float32)
    owned = owned_cells(rng, options.people, options.items)
    transposed = np.ascontiguousarray(items.T)
    room = np.empty((1024, options.items), dtype=np.float32)

    def plain() -> None:
        with threadpool_limits(options.threads, user_api="blas"):
            for start in range(0, options.people, len(room)):
                part = people[start : start + len(room)]
                np.dot(part, transposed, out=room[: len(part)])

    def ours() -> None:
        for _ in rank_blocks(people, items, owned, options.k, threads=options.threads):
            pass

    peer = AlternatingLeastSquares(factors=options.factors, num_threads=options.threads)
    peer.user_factors, peer.item_factors = people, items

    def implicit() -> None:
        with threadpool_limits(1, user_api="blas"):
            peer.recommend(np.arange(options.people), owned, N=options.k)

    rank = next(iter(rank_blocks(people[:64], items, owned[:64], options.k)))  # compiles
    ids, _ = peer.recommend(np.arange(64), owned[:64], N=options.k)
    rounds: dict[str, list[tuple[float, float]]] = {"plain": [], "implicit": [], "ours": []}
    for _ in range(ROUNDS):
        for name, run in (("plain", plain), ("implicit", implicit), ("ours", ours)):
            rounds[name].append(timed(run))
    work = 2 * options.people * options.items * options.factors / 1e9
    measured = both(rounds)
    row = {
        "people": options.people,
        "spread_of_lengths": spread,
        **measured,
        **compared(work, measured["least"]),
        "same_items_as_implicit": round(float(np.mean(rank.item == ids)), 5),
    }
    print(json.dumps(row))
    return row


def training(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds of bare implicit on a matrix and of our training on the same, each round in turn."""
    import pyarrow as pa
    from implicit.cpu.als import AlternatingLeastSquares

    from crossdomain.recommend.als import train
    from crossdomain.recommend.interactions import Items
    from crossdomain.recommend.settings import RecommendSettings

    rng = np.random.default_rng(7)
    people, items = options.pairs // 20, options.items // 5
    columns = (items * rng.random(options.pairs) ** 3).astype(np.int32)
    confidence = sp.csr_matrix(
        (np.full(options.pairs, 6, dtype=np.float32), (rng.integers(0, people, options.pairs), columns)),
        shape=(people, items),
    )
    confidence.sum_duplicates()
    settings = RecommendSettings(factors=64, iterations=5, regularization=1.0, threads=options.threads)
    ids = pa.array([f"{number:06d}" for number in range(items)])
    catalogue = Items(("a", "b"), np.repeat([0, 1], [items // 2, items - items // 2]), ids, np.ones(items, dtype=bool))
    bare = AlternatingLeastSquares(
        factors=64, regularization=1.0, alpha=1.0, iterations=5, random_state=7, num_threads=options.threads
    )

    def implicit() -> None:
        bare.user_factors = bare.item_factors = None
        with threadpool_limits(1, user_api="blas"):
            bare.fit(confidence, show_progress=False)

    rounds: dict[str, list[tuple[float, float]]] = {"implicit": [], "ours": []}
    for _ in range(ROUNDS):
        rounds["implicit"].append(timed(implicit))
        rounds["ours"].append(timed(lambda: train(confidence, catalogue, settings)))
    measured = both(rounds)
    found = train(confidence, catalogue, settings)
    row = {
        **found.sizes(),
        "factors": 64,
        **measured,
        **{
            f"times_implicit_by_{kind}": round(found["implicit"] / found["ours"], 3)
            for kind, found in measured["least"].items()
        },
        "pairs_per_second_and_sweep": round(found.rate),
        "matrix_bytes_per_pair": round(sum(part.nbytes for part in matrix_parts(confidence)) / confidence.nnz, 1),
    }
    print(json.dumps(row))
    return row


def matrix_parts(matrix: sp.csr_matrix) -> tuple[np.ndarray, ...]:
    """The arrays of a sparse matrix."""
    return matrix.data, matrix.indices, matrix.indptr


def compared(work: float, least: dict[str, dict[str, float]]) -> dict[str, Any]:
    """Rates of the product, and how ours stands to the others, by either kind of seconds."""
    row: dict[str, Any] = {}
    for kind, found in least.items():
        row[f"gflops_by_{kind}"] = {name: round(work / one, 1) for name, one in found.items()}
        row[f"share_of_plain_by_{kind}"] = round(found["plain"] / found["ours"], 3)
        row[f"times_implicit_by_{kind}"] = round(found["implicit"] / found["ours"], 3)
    return row


def owned_cells(rng: np.random.Generator, people: int, items: int) -> sp.csr_matrix:
    """``OWNED`` items of each person."""
    columns = rng.integers(0, items, people * OWNED)
    matrix = sp.csr_matrix(
        (np.ones(len(columns), dtype=np.float32), columns, np.arange(0, len(columns) + 1, OWNED)), shape=(people, items)
    )
    matrix.sum_duplicates()
    return matrix


def timed(run: Callable[[], Any]) -> tuple[float, float]:
    """Seconds of one call by the clock, and of the processors: these tell less of what else runs on the machine."""
    start, worked = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - start, time.process_time() - worked


def both(rounds: dict[str, list[tuple[float, float]]]) -> dict[str, Any]:
    """The rounds' seconds of either kind, and the least of them."""
    kinds = ("seconds", "processor_seconds")
    listed = {
        kind: {name: [round(one[place], 3) for one in found] for name, found in rounds.items()}
        for place, kind in enumerate(kinds)
    }
    least = {kind: {name: min(found) for name, found in listed[kind].items()} for kind in kinds}
    return {**listed, "least": least}


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
        command = [sys.executable, __file__, "--run", folder]
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
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
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
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "peak_mib_before": before // 1024,
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


if __name__ == "__main__":
    main()
