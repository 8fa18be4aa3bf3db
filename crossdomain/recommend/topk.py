"""The best items of many people at once: a matrix product by blocks of people, and an exact top k."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

from crossdomain.recommend.interactions import Floats, Ints

DIGITS = 6
"""Scores are rounded to this many digits before they are compared and stored."""
BLOCK_CELLS = 1 << 24
"""Most cells of a block of scores: 64 MB of float32 for each thread."""
_SPARE = 6
_GROUP = 16

Block = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Ranked:
    """Ranked items of a block of people.

    Attributes:
        rows: First and last (excluded) person of the block.
        item: People × k candidates' positions, best first; -1 where a list ends early.
        score: Their scores, rounded to ``DIGITS``; -inf where a list ends early.
    """

    rows: slice
    item: Ints
    score: Floats


def top_k(scores: Block, k: int) -> tuple[Ints, Floats]:
    """Exact best k columns of each row by rounded score, ties to the smaller column.

    Args:
        scores: People × candidates; -inf for what must not be chosen. Not changed.
        k: Length of the lists; shorter lists are filled with -1 and -inf.

    Returns:
        Columns and scores rounded to ``DIGITS``, people × k.
    """
    people, candidates = scores.shape
    width = min(candidates, k + _SPARE)
    if not width:
        return np.full((people, k), -1, dtype=np.int64), np.full((people, k), -np.inf)
    chosen = _greatest(scores, width)
    chosen.sort(axis=1)  # then a stable sort by score leaves ties with the smaller column first
    values = _rounded(np.take_along_axis(scores, chosen, axis=1))
    order = np.argsort(-values, axis=1, kind="stable")
    column, value = np.take_along_axis(chosen, order, axis=1), np.take_along_axis(values, order, axis=1)
    if width < candidates:
        # What was left out is at most the smallest chosen; if that ties with rank k, look at the whole row.
        unsure = np.flatnonzero(value[:, k - 1] == value[:, -1])
        for row in unsure:
            whole = _rounded(scores[row])
            column[row] = np.argsort(-whole, kind="stable")[:width]
            value[row] = whole[column[row]]
    return _filled(column, value, k)


def rank_blocks(
    people: Block,
    items: Block,
    excluded: sp.csr_matrix,
    k: int,
    *,
    threads: int = 1,
    block_cells: int = BLOCK_CELLS,
) -> Iterator[Ranked]:
    """Top k of ``people @ items.T`` without the excluded cells, a block of people at a time, in order.

    Memory is bounded by ``threads + 1`` blocks, whatever the number of people. BLAS runs on one thread, so
    that the same block gives the same bits; blocks are spread over ``threads``.

    Args:
        people: float32, people × factors.
        items: float32, candidates × factors.
        excluded: People × candidates; stored cells are not recommended.
        k: Length of the lists.
        threads: Blocks at work side by side.
        block_cells: Most cells of one block of scores.
    """
    size = max(1, block_cells // max(1, len(items)))
    blocks = iter([slice(start, min(start + size, len(people))) for start in range(0, len(people), size)])
    transposed = np.ascontiguousarray(items.T)

    def rank(rows: slice) -> Ranked:
        scores = people[rows] @ transposed
        hidden = excluded[rows]
        scores[np.repeat(np.arange(hidden.shape[0]), np.diff(hidden.indptr)), hidden.indices] = -np.inf
        return Ranked(rows, *top_k(scores, k))

    with threadpool_limits(limits=1, user_api="blas"), ThreadPoolExecutor(threads) as pool:
        waiting = [pool.submit(rank, rows) for rows in islice(blocks, threads + 1)]
        while waiting:
            yield waiting.pop(0).result()
            waiting += [pool.submit(rank, rows) for rows in islice(blocks, 1)]


def _greatest(scores: Block, width: int) -> Ints:
    """Columns of the ``width`` greatest of each row, in no order; a left-out one is not greater than these.

    Wide rows are searched in two steps, four times as fast: the greatest ``width`` values lie within the
    ``width`` groups of columns whose maxima are greatest, and maxima are cheap.
    """
    people, candidates = scores.shape
    groups = candidates // _GROUP
    if candidates <= width:
        return np.tile(np.arange(candidates), (people, 1))
    if groups <= 2 * width:
        return np.argpartition(scores, candidates - width, axis=1)[:, candidates - width :]
    maxima = scores[:, : groups * _GROUP].reshape(people, _GROUP, groups).max(axis=1)
    best = np.argpartition(maxima, groups - width, axis=1)[:, groups - width :]
    columns = (best[:, None, :] + np.arange(_GROUP)[:, None] * groups).reshape(people, -1)
    rest = np.broadcast_to(np.arange(groups * _GROUP, candidates), (people, candidates - groups * _GROUP))
    columns = np.hstack([columns, rest])
    values = np.take_along_axis(scores, columns, axis=1)
    return np.take_along_axis(columns, np.argpartition(values, -width, axis=1)[:, -width:], axis=1)


def _rounded(scores: npt.NDArray[np.floating]) -> Floats:
    values: Floats = scores.astype(np.float64)
    np.round(values, DIGITS, out=values)
    values += 0.0  # no negative zero
    return values


def _filled(column: Ints, value: Floats, k: int) -> tuple[Ints, Floats]:
    column, value = column[:, :k].astype(np.int64), value[:, :k]
    if missing := k - column.shape[1]:
        column = np.pad(column, ((0, 0), (0, missing)), constant_values=-1)
        value = np.pad(value, ((0, 0), (0, missing)), constant_values=-np.inf)
    return np.where(np.isneginf(value), -1, column), value
