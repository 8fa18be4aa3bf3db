"""Times the scoring of many people: the top k of a product, and the whole job from events to a committed table.

The product: people and items of synthetic vectors, the plain float32 matrix product of the same shape (people in
blocks, into memory that is there already), ``recommend`` of implicit with what each person has filtered, and
``rank_blocks``, in turn, several rounds. Vectors are drawn alike, so that nothing can be passed over; and with the
lengths that a boost by popularity gives them.

The job: a home with synthetic events, people, catalogue and a stored model, and ``crossdomain run score`` in a process
of its own for each number of people, with its peak memory and where the seconds go. Cost is linear in people.

Growth: training, and the job, at 1, 4 and 16 times the people and interactions, each in a process of its own: processor
seconds, peak memory, and the power of the size that the seconds grow by.

Usage: python benchmarks/scoring.py [--people N] [--items N] [--factors N] [--k N] [--threads N]
       [--job N ...] [--powers P ...] [--only PART]
       python benchmarks/scoring.py --growth [--growth-people N]
"""

from __future__ import annotations

import argparse
import json
import os
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from scoring_growth import catalogue_of, drawn_pairs, growth, matrix_parts, training_settings
from scoring_job import OWNED, job, peak_mib, timed
from stages import commit, machine
from threadpoolctl import threadpool_limits

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
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
    parser.add_argument("--growth", action="store_true", help="measure how training and job grow, nothing else")
    parser.add_argument("--growth-people", type=int, default=10_000, help="people at the smallest size")
    options = parser.parse_args()
    report: dict[str, Any] = {"machine": machine(), "commit": commit(), "data": "synthetic", "load": os.getloadavg()}
    report |= {name: getattr(options, name) for name in ("items", "factors", "k", "threads")}
    if options.growth:
        options.only = "growth"
        report["growth"] = growth(options)
    if options.only in (None, "training"):
        report["training"] = training(options)
    if options.only in (None, "product"):
        report["product"] = [product(options, spread) for spread in (0.0, 1.0)]
        report["parallel"] = parallel(options)
    if options.only in (None, "job"):
        report["job"] = [job(options, people, power) for people in options.job for power in options.powers]
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"scoring-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(f"written to {path.relative_to(ROOT)}")


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
    from implicit.cpu.als import AlternatingLeastSquares

    from crossdomain.recommend.als import train

    confidence = drawn_pairs(options.pairs, options.items // 5)
    settings, catalogue = training_settings(options.threads), catalogue_of(confidence.shape[1])
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


def parallel(options: argparse.Namespace) -> dict[str, Any]:
    """The same ranking by one thread, by two, and by two processes that are there already, each with half the people.

    Processes are handed their people and the items and hand back their lists.
    """
    from crossdomain.recommend.topk import rank_blocks

    rng = np.random.default_rng(7)
    people = rng.standard_normal((options.people, options.factors), dtype=np.float32)
    items = rng.standard_normal((options.items, options.factors), dtype=np.float32) / 8
    owned = owned_cells(rng, options.people, options.items)
    half = options.people // 2
    parts = [(people[:half], items, owned[:half], options.k), (people[half:], items, owned[half:], options.k)]
    rounds: dict[str, list[float]] = {"one_thread": [], "two_threads": [], "two_processes": []}
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        list(pool.map(rank_part, [(one[:64], all_, mine[:64], k) for one, all_, mine, k in parts]))  # compiles
        for _ in range(ROUNDS):
            for name, threads in (("one_thread", 1), ("two_threads", 2)):
                rounds[name].append(
                    timed(lambda n=threads: list(rank_blocks(people, items, owned, options.k, threads=n)))[0]
                )
            rounds["two_processes"].append(timed(lambda: list(pool.map(rank_part, parts)))[0])
        _, peaks = zip(*pool.map(rank_part, parts), strict=True)
    row = {
        "people": options.people,
        "seconds": {name: [round(one, 3) for one in found] for name, found in rounds.items()},
        "least_seconds": {name: round(min(found), 3) for name, found in rounds.items()},
        "peak_mib_of_each_process": max(peaks),
        "peak_mib_of_this_one": peak_mib(),
    }
    print(json.dumps(row))
    return row


def rank_part(part: tuple[np.ndarray, np.ndarray, sp.csr_matrix, int]) -> tuple[np.ndarray, int]:
    """Lists of some people, made by one thread, and this process's peak memory."""
    from crossdomain.recommend.topk import rank_blocks

    people, items, owned, k = part
    return np.vstack([ranked.item for ranked in rank_blocks(people, items, owned, k)]), peak_mib()


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


def both(rounds: dict[str, list[tuple[float, float]]]) -> dict[str, Any]:
    """The rounds' seconds of either kind, and the least of them."""
    kinds = ("seconds", "processor_seconds")
    listed = {
        kind: {name: [round(one[place], 3) for one in found] for name, found in rounds.items()}
        for place, kind in enumerate(kinds)
    }
    least = {kind: {name: min(found) for name, found in listed[kind].items()} for kind in kinds}
    return {**listed, "least": least}


if __name__ == "__main__":
    main()
