"""People's vectors from their histories, and what each item of a history adds to a score.

With the items' vectors Y, a history H (rows of Y) of confidences c and ``G = Y'Y + ridge * I``, least squares give the
person ``(G + H' (C - I) H)^-1 H' c``. Of the same matrix ``W = H (G + H' (C - I) H)^-1``, a row for each item of the
history, the vector is ``W' c``, and item j adds ``c_j * W_j y_i`` to the score of item i (Hu, Koren, Volinsky, 2008,
sections 4 and 5). Since ``W = (I + H G^-1 H' (C - I))^-1 H G^-1``, a history that is shorter than the vectors needs
only a system of its own length, with ``Y G^-1`` made once for all people.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

from crossdomain.recommend.interactions import Floats, Ints

REASONS = 2
"""Items of a history that are kept for each recommendation, those that add most."""
_CELLS = 1 << 20
"""Most cells of the arrays of a part of the people."""
_PREPARED = 1 << 14
"""Items that are prepared at a time."""

Factors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Folding:
    """What all people share.

    Attributes:
        vectors: Y, items × factors.
        gram: G over the items that count as unchosen.
        solved: ``Y G^-1``.
    """

    vectors: Factors
    gram: Floats
    solved: Factors

    @classmethod
    def of(cls, item_factors: Factors, counted: slice | Ints, regularization: float) -> Folding:
        """Prepares items' vectors.

        Args:
            item_factors: Items × factors; rows of zeros add nothing.
            counted: Items that count as unchosen where they are not in the history.
            regularization: The ridge.
        """
        own = item_factors[counted].astype(np.float64)
        gram = own.T @ own + regularization * np.eye(own.shape[1])
        inverse = np.linalg.inv(gram)
        solved = np.empty_like(item_factors)
        for start in range(0, len(item_factors), _PREPARED):
            solved[start : start + _PREPARED] = item_factors[start : start + _PREPARED].astype(np.float64) @ inverse
        return cls(item_factors, gram, solved)

    def people(self, confidence: sp.csr_matrix, out: Factors, *, threads: int = 1) -> None:
        """Writes the vectors of people into ``out``, people × factors; who has no history is left out."""
        factors = self.vectors.shape[1]

        def fold(people: Ints) -> None:
            history, weight = _padded(confidence, people)
            out[people] = (weight[:, None, :] @ self._weighing(history, weight))[:, 0]

        _spread(fold, _parts(np.diff(confidence.indptr), factors, factors), threads)

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

        def explain(people: Ints) -> None:
            history, weight = _padded(confidence, people)
            wanted = recommended[people]
            weighing = (weight[:, :, None] * self._weighing(history, weight)).astype(np.float32)
            terms = self.vectors[np.maximum(wanted, 0)] @ np.swapaxes(weighing, 1, 2)  # people × k × history
            for place in range(REASONS):
                best = terms.argmax(axis=2)[:, :, None]
                added = np.take_along_axis(terms, best, axis=2)[:, :, 0]
                reason = np.take_along_axis(history, best[:, :, 0], axis=1)
                out[people, :, place] = np.where((wanted >= 0) & (added > 0), reason, -1)
                np.put_along_axis(terms, best, -np.inf, axis=2)

        _spread(explain, _parts(np.diff(confidence.indptr), self.vectors.shape[1], recommended.shape[1]), threads)
        return out

    def _weighing(self, history: Ints, weight: Floats) -> Floats:
        """W of each person, people × longest history × factors."""
        beyond = np.maximum(weight - 1, 0)
        own = self.vectors[history].astype(np.float64)
        if history.shape[1] > self.vectors.shape[1]:
            system = self.gram + np.swapaxes(own * beyond[:, :, None], 1, 2) @ own
            return np.swapaxes(np.linalg.solve(system, np.swapaxes(own, 1, 2)), 1, 2)
        solved = self.solved[history].astype(np.float64)
        system = solved @ np.swapaxes(own, 1, 2)
        system *= beyond[:, None, :]
        system += np.eye(history.shape[1])
        return np.asarray(np.linalg.solve(system, solved), dtype=np.float64)


def _spread(work: Callable[[Ints], None], parts: Iterator[Ints], threads: int) -> None:
    with threadpool_limits(limits=1, user_api="blas"), ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, parts))


def _parts(lengths: Ints, factors: int, width: int) -> Iterator[Ints]:
    """People with a history in parts of like length, so that padding is small and the cells of a part bounded."""
    order = np.argsort(lengths, kind="stable")
    order = order[lengths[order] > 0]
    start = 0
    while start < len(order):
        longest = int(lengths[order[min(len(order) - 1, start + _CELLS // factors)]])
        size = max(1, _CELLS // (longest * max(factors, width, longest)))
        yield order[start : start + size]
        start += size


def _padded(confidence: sp.csr_matrix, people: Ints) -> tuple[Ints, Floats]:
    """Histories and confidences, people × longest history; 0 where a history ends."""
    part = confidence[people]
    lengths = np.diff(part.indptr)
    filled = np.arange(lengths.max()) < lengths[:, None]
    history = np.zeros(filled.shape, dtype=np.int64)
    weight = np.zeros(filled.shape)
    history[filled] = part.indices
    weight[filled] = part.data
    return history, weight
