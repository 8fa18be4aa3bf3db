"""Times the daily ranker: training, letting its sources learn, and ranking everybody, beside ALS on the same log.

A synthetic log of people of many tastes in two domains. Trained as job ``train`` does it (windows, twin, gate), then
``RankedServer`` answers everybody of one direction; ALS folds in and ranks the same people with the exact product.
Growth is told by the number of people and of items.

Usage: python benchmarks/ranker_serving.py [--people N ...] [--items N] [--each N] [--threads N]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import scipy.sparse as sp
from stages import commit, machine

from crossdomain.recommend.als import Folder, fit
from crossdomain.recommend.interactions import Items
from crossdomain.recommend.offline.log import Log, Names
from crossdomain.recommend.ranked import RankedServer, Window, default_recipe, learn_day
from crossdomain.recommend.settings import RecommendSettings
from crossdomain.recommend.topk import rank_blocks

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
DAY = 86_400
DAYS = 90
TASTES = 40
BLOCK = 10_000


def main() -> None:
    """Runs the benchmark and writes one result file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, nargs="+", default=[5_000, 20_000])
    parser.add_argument("--items", type=int, default=5_000, help="of each domain")
    parser.add_argument("--each", type=int, default=30, help="interactions of a person")
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    report: dict[str, Any] = {"machine": machine(), "commit": commit(), "data": "synthetic", "load": os.getloadavg()}
    report |= {"items": options.items, "each": options.each, "threads": options.threads}
    report["runs"] = [measured(options, people) for people in options.people]
    path = RESULTS / f"ranker-serving-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(f"written to {path.relative_to(ROOT)}")


def measured(options: argparse.Namespace, people: int) -> dict[str, Any]:
    """Wall and processor seconds of each step for so many people."""
    settings = RecommendSettings(threads=options.threads, top_k=options.k)
    log = tastes(people, options.items, options.each)
    nobody = np.zeros(0, dtype=np.int64)
    steps: dict[str, dict[str, float]] = {}
    windows = [window(log, number) for number in range(3)]
    learned = timed(steps, "train", lambda: learn_day(windows, (nobody, nobody), default_recipe(settings), settings))
    if learned is None:
        raise SystemExit("too few people label a ranker: give more --people")
    offered = np.ones(len(log.names.item_ids), dtype=bool)
    server = RankedServer(learned.model, log, offered, DAYS * DAY)
    units = np.arange(people)
    timed(steps, "sources learn", lambda: server.informed(0, units, own_side=False))
    timed(steps, "rank", lambda: rank(server, units, options.k))
    timed(steps, "als", lambda: plain(log, units, settings))
    found = {
        "people": people,
        "pairs": len(log),
        "trees": learned.model.ranker.rounds,
        "sources": list(learned.model.recipe.sources),
        "steps": steps,
        "people_a_second": round(people / steps["rank"]["seconds"]),
        "peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }
    print(json.dumps(found, indent=1))
    return found


def timed(steps: dict[str, dict[str, float]], name: str, work: Callable[[], Any]) -> Any:
    """Does something and notes how long it took."""
    began, busy = time.perf_counter(), time.process_time()
    found = work()
    spent = {"seconds": time.perf_counter() - began, "processor_seconds": time.process_time() - busy}
    steps[name] = {key: round(value, 2) for key, value in spent.items()}
    return found


def tastes(people: int, items: int, each: int) -> Log:
    """People who mostly meet items of one of ``TASTES`` tastes, in both domains, evenly over ``DAYS`` days."""
    rng = np.random.default_rng(11)
    user = np.repeat(np.arange(people), each)
    domain = rng.integers(2, size=len(user))
    popular = np.minimum((rng.pareto(1.2, len(user)) * items / 60).astype(np.int64), items - 1)
    own = (popular // TASTES) * TASTES + user % TASTES
    item = domain * items + np.where(rng.random(len(user)) < 0.7, np.minimum(own, items - 1), popular)
    _, first = np.unique(user * (2 * items) + item, return_index=True)
    ts = rng.integers(0, DAYS * DAY, len(user))
    user, item, ts = user[first], item[first], ts[first]
    order = np.lexsort((ts, user))
    names = Names(
        users=pa.array(np.arange(people)).cast(pa.string()),
        domains=("beauty", "knowledge"),
        item_ids=pa.array(np.arange(2 * items)).cast(pa.string()),
        item_domain=np.repeat([0, 1], items).astype(np.int32),
        item_group=np.full(2 * items, -1, dtype=np.int32),
    )
    weight = np.ones(len(user), dtype=np.float32)
    return Log(names, user[order].astype(np.int32), item[order].astype(np.int32), ts[order], weight, timed=True)


def window(log: Log, number: int) -> Window:
    """The ``number``-th seven days from the end."""
    begin = (DAYS - 7 * (number + 1)) * DAY
    known = log.where(log.ts < begin)
    return Window(known, known.matrix, log.where((log.ts >= begin) & (log.ts < begin + 7 * DAY)).matrix, begin)


def rank(server: RankedServer, units: Any, k: int) -> None:
    """Lists and reasons of everybody, in blocks as the job has them."""
    factor = np.ones(len(server.offered))
    for start in range(0, len(units), BLOCK):
        part = units[start : start + BLOCK]
        nothing: sp.csr_matrix = sp.csr_matrix((len(part), len(server.offered)), dtype=np.float32)
        pool, queries = server.pool(0, part, nothing, factor, own_side=False)
        item, _ = pool.best(np.ones(len(pool.item), dtype=bool), k)
        server.because(queries, item, pool, own_side=False)


def plain(log: Log, units: Any, settings: RecommendSettings) -> None:
    """ALS on the same log: trained, everybody folded in, the same direction ranked, and explained."""
    names = log.names
    items = Items(
        ("beauty", "knowledge"),
        names.item_domain.astype(np.int64),
        names.item_ids,
        np.ones(len(names.item_ids), dtype=bool),
    )
    confidence = log.matrix.copy()
    confidence.data[:] = 1 + settings.alpha
    model = fit(confidence, items, settings)
    fold, _ = model.aligned(items)
    folder = Folder(fold, items, settings.regularization, settings.threads)
    vectors = folder.people(confidence)
    span = names.span(0)
    seen = log.matrix[:, span].tocsr()
    for start in range(0, len(units), BLOCK):
        rows = slice(start, start + BLOCK)
        chosen = np.full((len(units[rows]), settings.top_k), -1, dtype=np.int64)
        for block in rank_blocks(vectors[rows], fold[span], seen[rows], settings.top_k, threads=settings.threads):
            chosen[block.rows] = block.item
        folder.reasons(confidence[rows], chosen)


if __name__ == "__main__":
    main()
