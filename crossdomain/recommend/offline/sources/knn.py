"""Neighbourhoods: items met by the same people, and people who met the same items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np
import scipy.sparse as sp

from crossdomain.recommend.folding import REASONS
from crossdomain.recommend.offline.kernels import add_dense_rows, add_sparse_rows, compiled
from crossdomain.recommend.offline.log import Codes, Log
from crossdomain.recommend.offline.sources.base import Asked, Block, Source, person_weights

_PEOPLE_WORK = 2e8
_DENSE_CELLS = 1 << 25
_DENSE_SHARE = 0.25
Weights: TypeAlias = sp.csr_matrix | Block


@dataclass(frozen=True)
class ItemKnn(Source):
    """Items that the same people met as those of the history.

    Similarity of items i and j is ``c_ij / (n_i^a * n_j^b + shrink)``, c and n sums of the people's weights; with
    a = b = 1/2 and weights of 1 it is the cosine, with person weights ``1 / length`` and a = 1 the random walk of
    Paudel et al., Updatable, Accurate, Diverse, and Scalable Recommendations (2017).

    Attributes:
        neighbours: Nearest items that are kept of each item; 0 for all.
        shrink: Added to the denominator.
        source_power: Exponent a, of the item in the history.
        target_power: Exponent b, of the item that is scored.
        person_power: A person's weight is the length of the history to the power ``-person_power``.
        place_decay: See ``Asked.weighed``.
        half_life_days: See ``Asked.weighed``.
        across: See ``Asked.weighed``.
    """

    neighbours: int = 0
    shrink: float = 0.0
    source_power: float = 0.5
    target_power: float = 0.5
    person_power: float = 0.0
    place_decay: float = 1.0
    half_life_days: float = 0.0
    across: float = 1.0

    name: ClassVar[str] = "item_knn"
    learned_by: ClassVar[tuple[str, ...]] = (
        "neighbours", "shrink", "source_power", "target_power", "person_power"
    )  # fmt: skip
    space: ClassVar[Mapping[str, tuple[float, ...]]] = {
        "neighbours": (0, 50, 200),
        "shrink": (0, 1, 10, 50),
        "source_power": (0, 0.25, 0.5, 0.75, 1),
        "target_power": (0, 0.25, 0.5, 0.75),
        "person_power": (0, 0.5, 1),
        "place_decay": (1, 0.95, 0.9, 0.8, 0.6),
        "half_life_days": (0, 30, 120, 480),
        "across": (1, 0.75, 0.5, 0.25),
    }
    views: ClassVar[tuple[str, ...]] = ("all", "within", "across", "last", "day")
    explains: ClassVar[bool] = True

    def learn(self, train: Log, *, seed: int, threads: int) -> Weights:
        """Similarities, items of the history × items that are scored."""
        matrix = train.matrix
        weights = person_weights(matrix, self.person_power)
        scaled = sp.diags_array(weights).tocsr() @ matrix
        together = (matrix.T @ scaled).tocsr()
        return compact(normalised(together, self.source_power, self.target_power, self.shrink, self.neighbours))

    def score(self, state: Any, asked: Asked, view: str = "all") -> Block:
        """Sum of the similarities to the weighed history."""
        weighed = asked.weighed(
            place_decay=self.place_decay, half_life_days=self.half_life_days, across=self.across, view=view
        )
        return product(weighed, state, asked.span)

    def explain(self, state: Any, asked: Asked, item: Codes) -> Codes:
        """What is most similar, weighed as it is for the score."""
        weighed = asked.weighed(
            place_decay=self.place_decay, half_life_days=self.half_life_days, across=self.across, view="all"
        )
        return strongest(weighed, state, item)


@dataclass(frozen=True)
class PersonKnn(Source):
    """What the people with the most similar histories met.

    Attributes:
        neighbours: Nearest people that count.
        item_power: An item's weight is its number of people to the power ``-item_power``.
        person_power: Similarities are divided by the other's length to this power.
        place_decay: See ``Asked.weighed``.
        half_life_days: See ``Asked.weighed``.
        across: See ``Asked.weighed``.
    """

    neighbours: int = 100
    item_power: float = 0.5
    person_power: float = 0.5
    place_decay: float = 1.0
    half_life_days: float = 0.0
    across: float = 1.0

    name: ClassVar[str] = "person_knn"
    learned_by: ClassVar[tuple[str, ...]] = ("item_power", "person_power")
    space: ClassVar[Mapping[str, tuple[float, ...]]] = {
        "neighbours": (50, 200, 500),
        "item_power": (0, 0.25, 0.5, 1),
        "person_power": (0, 0.2, 0.35, 0.5),
        "place_decay": (1, 0.95, 0.9, 0.8),
        "half_life_days": (0, 120, 480),
        "across": (1, 0.75, 0.5, 0.25),
    }
    views: ClassVar[tuple[str, ...]] = ("all", "within", "across")

    def applies(self, train: Log) -> bool:
        """Affordable where few people share an item."""
        return bool((train.counts**2).sum() < _PEOPLE_WORK)

    def learn(self, train: Log, *, seed: int, threads: int) -> tuple[sp.csr_matrix, sp.csr_matrix]:
        """People by item, weighed, and items by person."""
        matrix = train.matrix
        items = np.power(np.maximum(train.counts, 1), -self.item_power).astype(np.float32)
        people = person_weights(matrix, self.person_power)
        weighed = (sp.diags_array(people) @ matrix @ sp.diags_array(items)).T.tocsr()
        return weighed.astype(np.float32), matrix

    def score(self, state: Any, asked: Asked, view: str = "all") -> Block:
        """Sum over the neighbours of their similarity."""
        weighed, matrix = state
        history = asked.weighed(
            place_decay=self.place_decay, half_life_days=self.half_life_days, across=self.across, view=view
        )
        alike = (history @ weighed).tocsr()
        rows = np.repeat(np.arange(alike.shape[0]), np.diff(alike.indptr))
        alike.data[asked.user[rows] == alike.indices] = 0
        return product(greatest(alike, self.neighbours), matrix, asked.span)


def normalised(
    together: sp.csr_matrix, source_power: float, target_power: float, shrink: float, neighbours: int
) -> sp.csr_matrix:
    """Similarities from sums over people: divided by the powers of both diagonals, without the diagonal itself."""
    size = np.maximum(together.diagonal(), 1e-12)
    rows = np.repeat(np.arange(together.shape[0]), np.diff(together.indptr))
    below = size[rows] ** source_power * size[together.indices] ** target_power + shrink
    data = (together.data / below).astype(np.float32)
    data[rows == together.indices] = 0
    found = sp.csr_matrix((data, together.indices, together.indptr), shape=together.shape)
    found.eliminate_zeros()
    return greatest(found, neighbours) if neighbours else found


def greatest(matrix: sp.csr_matrix, count: int) -> sp.csr_matrix:
    """The ``count`` greatest cells of each row, ties to the smaller column."""
    matrix.sort_indices()
    kept = matrix.copy()
    _drop_smaller(kept.indptr, kept.data, count)
    kept.eliminate_zeros()
    return kept


def compact(weights: sp.csr_matrix) -> Weights:
    """Weights of items on items in the form that is faster to multiply with: dense where they are few and full."""
    cells = weights.shape[0] * weights.shape[1]
    if cells <= _DENSE_CELLS and weights.nnz > _DENSE_SHARE * cells:
        dense: Block = weights.toarray()
        return dense
    return weights


def product(weighed: sp.csr_matrix, weights: Weights, span: slice) -> Block:
    """Dense rows of ``weighed @ weights`` in a span of the columns."""
    out = np.zeros((weighed.shape[0], span.stop - span.start), dtype=np.float32)
    left = (weighed.indptr, weighed.indices, weighed.data)
    if isinstance(weights, np.ndarray):
        add_dense_rows(*left, weights, span.start, out)
    else:
        add_sparse_rows(*left, weights.indptr, weights.indices, weights.data, span.start, out)
    return out


def strongest(weighed: sp.csr_matrix, weights: Weights, item: Codes) -> Codes:
    """The cells of each row that add most to ``weighed @ weights`` at some columns; see ``Source.explain``."""
    weighed.sort_indices()
    out = np.full((*item.shape, REASONS), -1, dtype=np.int32)
    left = (weighed.indptr, weighed.indices, weighed.data)
    if isinstance(weights, np.ndarray):
        _strongest_dense(*left, weights, item, out)
    else:
        weights.sort_indices()
        _strongest_sparse(*left, weights.indptr, weights.indices, weights.data, item, out)
    return out


@compiled
def _keep_strongest(value: Any, name: Any, best: Any, chosen: Any) -> None:
    """Puts a value in its place among the greatest so far; names come ascending, so ties go to the earlier."""
    place = len(best) - 1
    if value <= best[place]:
        return
    while place > 0 and best[place - 1] < value:
        best[place], chosen[place] = best[place - 1], chosen[place - 1]
        place -= 1
    best[place], chosen[place] = value, name


@compiled
def _strongest_dense(indptr: Any, indices: Any, data: Any, weights: Any, item: Any, out: Any) -> None:
    best = np.zeros(out.shape[2])
    for row in range(len(item)):
        for place in range(item.shape[1]):
            if item[row, place] < 0:
                continue
            best[:] = 0
            for at in range(indptr[row], indptr[row + 1]):
                value = data[at] * weights[indices[at], item[row, place]]
                _keep_strongest(value, indices[at], best, out[row, place])


@compiled
def _strongest_sparse(
    indptr: Any, indices: Any, data: Any, w_indptr: Any, w_indices: Any, w_data: Any, item: Any, out: Any
) -> None:
    best = np.zeros(out.shape[2])
    for row in range(len(item)):
        for place in range(item.shape[1]):
            if item[row, place] < 0:
                continue
            best[:] = 0
            for at in range(indptr[row], indptr[row + 1]):
                begin, end = w_indptr[indices[at]], w_indptr[indices[at] + 1]
                found = begin + np.searchsorted(w_indices[begin:end], item[row, place])
                if found < end and w_indices[found] == item[row, place]:
                    _keep_strongest(data[at] * w_data[found], indices[at], best, out[row, place])


@compiled
def _drop_smaller(indptr: Any, data: Any, count: int) -> None:
    for row in range(len(indptr) - 1):
        begin, end = indptr[row], indptr[row + 1]
        if end - begin <= count:
            continue
        part = data[begin:end]
        least = np.sort(part)[len(part) - count]
        ties = count - np.sum(part > least)
        for at in range(len(part)):
            if part[at] == least and ties > 0:
                ties -= 1
            elif part[at] <= least:
                part[at] = 0
