"""People's vectors from their histories, and what each item of a history adds to a score, compiled.

With the items' vectors Y, a history H (rows of Y) of confidences c and ``G = Y'Y + ridge * I``, least squares give the
person ``(G + H' (C - I) H)^-1 H' c``. Of the same matrix ``W = H (G + H' (C - I) H)^-1``, a row for each item of the
history, the vector is ``W' c``, and item j adds ``c_j * W_j y_i`` to the score of item i (Hu, Koren, Volinsky, 2008,
sections 4 and 5). Since ``W = (I + H G^-1 H' (C - I))^-1 H G^-1``, a history that is shorter than the vectors needs
only a system of its own length, with ``Y G^-1`` made once for all people.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

from crossdomain.recommend.interactions import Floats, Ints

REASONS = 2
"""Items of a history that are kept for each recommendation, those that add most."""
_PART = 2048
"""People that a thread takes at a time."""

Factors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Folding:
    """What all people share.

    Attributes:
        vectors: Y, items × factors.
        gram: G over the items that count as unchosen.
        solved: ``Y G^-1``.
    """

    vectors: Floats
    gram: Floats
    solved: Floats

    @classmethod
    def of(cls, item_factors: Factors, counted: slice, regularization: float) -> Folding:
        """Prepares items' vectors.

        Args:
            item_factors: Items × factors; rows of zeros add nothing.
            counted: Items that count as unchosen where they are not in the history.
            regularization: The ridge.
        """
        vectors = item_factors.astype(np.float64)
        own = vectors[counted]
        gram = own.T @ own + regularization * np.eye(vectors.shape[1])
        return cls(vectors, gram, np.ascontiguousarray(np.linalg.solve(gram, vectors.T).T))

    def people(self, confidence: sp.csr_matrix, out: Factors, *, threads: int = 1) -> None:
        """Writes the vectors of people into ``out``, people × factors."""
        bounds, items, weights = _plain(confidence)

        def part(first: int, last: int) -> None:
            _fold(bounds, items, weights, self.vectors, self.gram, self.solved, first, last, out)

        _spread(part, confidence.shape[0], threads)

    def reasons(self, confidence: sp.csr_matrix, recommended: Ints, *, threads: int = 1) -> npt.NDArray[np.int32]:
        """The items of each history that add most to the scores of recommended items.

        Args:
            confidence: People × items, indices sorted.
            recommended: People × k item positions; -1 for none.
            threads: Parts of the people at work side by side.

        Returns:
            People × k × ``REASONS`` item positions, the strongest first, ties to the earlier item; -1 where fewer
            add anything.
        """
        out = np.full((*recommended.shape, REASONS), -1, dtype=np.int32)
        bounds, items, weights = _plain(confidence)

        def part(first: int, last: int) -> None:
            _explain(
                bounds, items, weights, self.vectors, self.gram, self.solved, first, last, recommended, out
            )  # fmt: skip

        _spread(part, confidence.shape[0], threads)
        return out


def _plain(confidence: sp.csr_matrix) -> tuple[Ints, Ints, Floats]:
    return (
        confidence.indptr.astype(np.int64),
        confidence.indices.astype(np.int64),
        confidence.data.astype(np.float64),
    )


def _spread(part: Callable[[int, int], None], people: int, threads: int) -> None:
    parts = [(first, min(first + _PART, people)) for first in range(0, people, _PART)]
    with threadpool_limits(limits=1, user_api="blas"), ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda bounds: part(*bounds), parts))


def _compiled(function: Any) -> Any:
    return numba.njit(nogil=True, error_model="numpy")(function)


@_compiled
def _weighing(own: Floats, solved: Floats, gram: Floats, confidence: Floats) -> Floats:
    """W of one history: its items' vectors, the same times G^-1, and their confidences."""
    length, factors = own.shape
    if length > factors:
        system = gram + np.dot(np.ascontiguousarray((own * (confidence - 1.0).reshape(-1, 1)).T), own)
        return np.ascontiguousarray(np.linalg.solve(system, np.ascontiguousarray(own.T)).T)
    system = np.dot(solved, np.ascontiguousarray(own.T))
    for column in range(length):
        for row in range(length):
            system[row, column] *= confidence[column] - 1.0
        system[column, column] += 1.0
    return np.ascontiguousarray(np.linalg.solve(system, solved))


@_compiled
def _fold(
    bounds: Ints, items: Ints, weights: Floats, vectors: Floats, gram: Floats, solved: Floats,
    first: int, last: int, out: Factors,
) -> None:  # fmt: skip
    for person in range(first, last):
        begin, end = bounds[person], bounds[person + 1]
        if begin == end:
            continue
        history, confidence = items[begin:end], weights[begin:end]
        weighing = _weighing(vectors[history], solved[history], gram, confidence)
        out[person] = np.dot(confidence, weighing)


@_compiled
def _explain(
    bounds: Ints, items: Ints, weights: Floats, vectors: Floats, gram: Floats, solved: Floats,
    first: int, last: int, recommended: Ints, out: npt.NDArray[np.int32],
) -> None:  # fmt: skip
    for person in range(first, last):
        begin, end = bounds[person], bounds[person + 1]
        wanted = 0
        while wanted < recommended.shape[1] and recommended[person, wanted] >= 0:
            wanted += 1
        if begin == end or wanted == 0:
            continue
        history, confidence = items[begin:end], weights[begin:end]
        weighing = _weighing(vectors[history], solved[history], gram, confidence)
        terms = np.dot(weighing, np.ascontiguousarray(vectors[recommended[person, :wanted]].T))
        for place in range(wanted):
            best, second = 0.0, 0.0
            for number in range(len(history)):
                term = terms[number, place] * confidence[number]
                if term > best:
                    out[person, place, 1], second = out[person, place, 0], best
                    out[person, place, 0], best = history[number], term
                elif term > second:
                    out[person, place, 1], second = history[number], term
