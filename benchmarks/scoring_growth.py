"""How training and scoring grow with people and their interactions, each size in a process of its own.

Started as a program, with a matrix and a number of threads, it trains on it and prints what that took as one line of
JSON.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from scoring_job import job, peak_mib, timed

if TYPE_CHECKING:
    from crossdomain.recommend.interactions import Items
    from crossdomain.recommend.settings import RecommendSettings

TIMES = (1, 4, 16)
"""Sizes at which growth is measured."""
PAIRS = 20
"""Pairs of a person that are trained on."""
ROUNDS = 3


def growth(options: argparse.Namespace) -> dict[str, Any]:
    """Training and job at each size, and the powers of the size by which their processor seconds grow."""
    people = [times * options.growth_people for times in TIMES]
    trained = [training_alone(options, PAIRS * one) for one in people]
    scored = [job(options, one, "0.75") for one in people]
    seconds = {
        "training": [row["processor_seconds"] for row in trained],
        "job": [row["processor_seconds"] for row in scored],
        "ranking": [row["processor_seconds_in"]["rank_blocks"] for row in scored],
    }
    powers = {name: [round(one, 2) for one in powers_of(found)] for name, found in seconds.items()}
    print(json.dumps(powers))
    return {"times": TIMES, "training": trained, "job": scored, "powers": powers}


def powers_of(seconds: Sequence[float]) -> list[float]:
    """From each of ``TIMES`` to the next the power of the size by which the seconds grow: 1 is linear."""
    steps = zip(pairwise(TIMES), pairwise(seconds), strict=True)
    return [float(np.log(later / sooner) / np.log(more / less)) for (less, more), (sooner, later) in steps]


def training_alone(options: argparse.Namespace, pairs: int) -> dict[str, Any]:
    """Training on drawn pairs in a process of its own, which is given the matrix as a file."""
    with tempfile.TemporaryDirectory(prefix="crossdomain-bench-") as folder:
        path = Path(folder) / "pairs.npz"
        sp.save_npz(path, drawn_pairs(pairs, options.items // 5), compressed=False)
        command = [sys.executable, __file__, str(path), str(options.threads)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(json.dumps(row))
    return row


def run_training(path: Path, threads: int) -> None:
    """Trains here, several rounds, and prints the least seconds and the peak memory."""
    from crossdomain.recommend.als import train

    confidence = sp.load_npz(path)
    settings, catalogue = training_settings(threads), catalogue_of(confidence.shape[1])
    before = peak_mib()
    rounds = [timed(lambda: train(confidence, catalogue, settings)) for _ in range(ROUNDS)]
    report = {
        "people": confidence.shape[0],
        "items": confidence.shape[1],
        "pairs": int(confidence.nnz),
        "seconds": round(min(one for one, _ in rounds), 3),
        "processor_seconds": round(min(one for _, one in rounds), 3),
        "matrix_mib": round(sum(part.nbytes for part in matrix_parts(confidence)) / 2**20, 1),
        "peak_mib": peak_mib(),
        "peak_mib_before": before,
    }
    print(json.dumps(report))


def drawn_pairs(pairs: int, items: int) -> sp.csr_matrix:
    """Confidences of so many drawn pairs of people and items, twenty a person; popular items are drawn more often."""
    rng = np.random.default_rng(7)
    people = pairs // PAIRS
    columns = (items * rng.random(pairs) ** 3).astype(np.int32)
    values = np.full(pairs, 6, dtype=np.float32)
    confidence = sp.csr_matrix((values, (rng.integers(0, people, pairs), columns)), shape=(people, items))
    confidence.sum_duplicates()
    return confidence


def training_settings(threads: int) -> RecommendSettings:
    """64 factors, 5 sweeps."""
    from crossdomain.recommend.settings import RecommendSettings

    return RecommendSettings(factors=64, iterations=5, regularization=1.0, threads=threads)


def catalogue_of(items: int) -> Items:
    """So many items, half of them of each domain."""
    import pyarrow as pa

    from crossdomain.recommend.interactions import Items

    ids = pa.array([f"{number:06d}" for number in range(items)])
    return Items(("a", "b"), np.repeat([0, 1], [items // 2, items - items // 2]), ids, np.ones(items, dtype=bool))


def matrix_parts(matrix: sp.csr_matrix) -> tuple[np.ndarray, ...]:
    """The arrays of a sparse matrix."""
    return matrix.data, matrix.indices, matrix.indptr


if __name__ == "__main__":
    run_training(Path(sys.argv[1]), int(sys.argv[2]))
