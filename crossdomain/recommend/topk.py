"""The best items of many people at once: a matrix product by tiles, and an exact top k that keeps pace with it.

Scores are never held whole: a tile of people meets a slice of items, small enough for the processor's cache, and what
cannot be among the best k is dropped at once (``selection``). Items come by length of their vectors, longest first: a
person whose bar lies above what the longest vector of a slice can reach is done, without the products that are left.
"""

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
from crossdomain.recommend.selection import DIGITS, Ids, Selection

__all__ = ["BLOCK_CELLS", "DIGITS", "Ranked", "rank_blocks", "top_k"]

BLOCK_CELLS = 1 << 26
"""Most people times items of a block, which is the work of one thread at a time."""
_TILE = 256
"""People of a tile."""
_SLICE = 2048
"""Items of a slice: a tile of scores takes 2 MB."""

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
    chosen = Selection.of(sp.csr_matrix((people, candidates)), k)
    if candidates:
        chosen.offer(scores, 0, np.arange(candidates, dtype=np.int32), np.arange(people))
    return chosen.best()


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

    Memory is bounded by the lists of ``threads + 1`` blocks and a tile of scores for each thread, whatever the number
    of people. BLAS runs on one thread, so that the same block gives the same bits; blocks are spread over ``threads``.

    Args:
        people: float32, people × factors.
        items: float32, candidates × factors.
        excluded: People × candidates; stored cells are not recommended.
        k: Length of the lists.
        threads: Blocks at work side by side.
        block_cells: Most people times items of one block.
    """
    size = max(1, block_cells // max(1, len(items)))
    blocks = iter([slice(start, min(start + size, len(people))) for start in range(0, len(people), size)])
    shelves = _Shelves.of(items)
    ordered = excluded[:, shelves.order].tocsr()
    ordered.sort_indices()

    def rank(rows: slice) -> Ranked:
        tiles = [slice(start, min(start + _TILE, rows.stop)) for start in range(rows.start, rows.stop, _TILE)]
        found = [shelves.best(people[tile], ordered[tile], k) for tile in tiles]
        return Ranked(rows, np.vstack([item for item, _ in found]), np.vstack([score for _, score in found]))

    with threadpool_limits(limits=1, user_api="blas"), ThreadPoolExecutor(threads) as pool:
        waiting = [pool.submit(rank, rows) for rows in islice(blocks, threads + 1)]
        while waiting:
            yield waiting.pop(0).result()
            waiting += [pool.submit(rank, rows) for rows in islice(blocks, 1)]


@dataclass(frozen=True)
class _Shelves:
    """Items by length of their vectors, longest first, in slices.

    Attributes:
        order: Positions of the items.
        slices: Transposed vectors of each slice, contiguous.
        longest: Length of the longest vector of each slice, with room for the rounding of the products.
    """

    order: Ids
    slices: list[Block]
    longest: Floats

    @classmethod
    def of(cls, items: Block) -> _Shelves:
        length = _lengths(items)
        order = np.argsort(-length, kind="stable").astype(np.int32)
        starts = range(0, len(items), _SLICE)
        room = 1 + 2 * items.shape[1] * np.finfo(np.float32).eps
        return cls(
            order=order,
            slices=[np.ascontiguousarray(items[order[start : start + _SLICE]].T) for start in starts],
            longest=length[order[::_SLICE]] * room,
        )

    def best(self, people: Block, hidden: sp.csr_matrix, k: int) -> tuple[Ints, Floats]:
        """Positions and scores of a tile of people; ``hidden`` has its columns in this order."""
        chosen = Selection.of(hidden, k)
        rows = np.arange(len(people))
        length = _lengths(people)
        scores = np.empty((len(people), _SLICE), dtype=np.float32)
        for number, vectors in enumerate(self.slices):
            open_ = length[rows] * self.longest[number] >= chosen.bar[rows]
            if not open_.any():
                break
            if np.count_nonzero(open_) < 0.75 * len(rows):
                rows, people = rows[open_], people[open_]
            first, width = number * _SLICE, vectors.shape[1]
            block = scores[: len(rows)] if width == _SLICE else np.empty((len(rows), width), dtype=np.float32)
            np.matmul(people, vectors, out=block)
            chosen.offer(block, first, self.order[first : first + width], rows)
        return chosen.best()


def _lengths(vectors: Block) -> Floats:
    lengths: Floats = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    return lengths
