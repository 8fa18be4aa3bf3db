"""Rankings of a source or a blend: where the true items land, and the first items of each list."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

from crossdomain.recommend.interactions import Bools, Floats, Ints
from crossdomain.recommend.offline.kernels import best_columns, expected_ranks
from crossdomain.recommend.offline.log import Codes
from crossdomain.recommend.offline.protocols import Queries, Stage
from crossdomain.recommend.offline.sources.base import Asked, Block, Source

LIST_LENGTH = 50
BLOCK_CELLS = 1 << 22
Score = Callable[[Asked], Block]
Part = TypeVar("Part")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Ranking:
    """How the queries of one domain were answered.

    Attributes:
        queries: The queries.
        rank: Expected rank of each true item, in the order of ``queries.truth``; inf where it is not ranked.
        lists: Queries × ``LIST_LENGTH`` items, best first, ties to the earlier item; -1 where a list ends early.
    """

    queries: Queries
    rank: Floats
    lists: Codes

    def where(self, keep: Bools) -> Ranking:
        """The answers to the queries that are kept."""
        cells = np.repeat(keep, np.diff(self.queries.truth.indptr))
        return Ranking(self.queries.take(np.flatnonzero(keep)), self.rank[cells], self.lists[keep])


@dataclass(frozen=True)
class Closed:
    """What a block of people cannot be shown of the target domain.

    Attributes:
        columns: Items that the catalogue lacks, for everybody.
        row: Row of each cell that its person met or rejected before.
        column: Column of that cell.
    """

    columns: Bools
    row: Ints
    column: Codes

    @classmethod
    def of(cls, stage: Stage, queries: Queries, rows: slice) -> Closed:
        """For some rows of the queries."""
        span = stage.train.names.span(queries.domain)
        seen = stage.history.seen[queries.user[rows]][:, span]
        row = np.repeat(np.arange(seen.shape[0]), np.diff(seen.indptr))
        return cls(~stage.catalogue[span], row, seen.indices)

    def hide(self, scores: Block) -> None:
        """Gives these cells -inf."""
        if self.columns.any():
            scores[:, self.columns] = -np.inf
        scores[self.row, self.column] = -np.inf


def rank_source(source: Source, state: Any, stage: Stage, queries: Queries, *, threads: int = 1) -> Ranking:
    """Ranks by one source alone."""
    return rank_scores(lambda asked: source.score(state, asked), stage, queries, threads=threads)


def rank_scores(score: Score, stage: Stage, queries: Queries, *, threads: int = 1) -> Ranking:
    """Ranks by any scores of all items of the domain.

    What the person met or rejected is not ranked, nor what the catalogue lacks; with sampled candidates only these are.
    """
    span = stage.train.names.span(queries.domain)

    def work(rows: slice) -> tuple[Floats, Codes]:
        asked = asked_block(stage, queries, rows)
        scores = score(asked)
        truth = queries.truth[rows]
        if queries.candidates is not None:
            columns = queries.candidates[rows]
            scores = np.take_along_axis(scores, columns - span.start, axis=1)
            places = _places(columns, truth.indptr, truth.indices)
            first = best_columns(scores, LIST_LENGTH)
            lists = np.where(first >= 0, np.take_along_axis(columns, np.maximum(first, 0), axis=1), -1)
        else:
            Closed.of(stage, queries, rows).hide(scores)
            places = truth.indices - span.start
            first = best_columns(scores, LIST_LENGTH)
            lists = np.where(first >= 0, first + span.start, -1)
        return expected_ranks(scores, truth.indptr, places), lists.astype(np.int32)

    parts = side_by_side(work, blocks(len(queries), span.stop - span.start), threads)
    return Ranking(queries, np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts]))


def joined(parts: Sequence[Ranking]) -> Ranking:
    """The rankings of one domain's queries from several stages as one."""
    if len(parts) == 1:
        return parts[0]
    queries = Queries(
        parts[0].queries.domain,
        np.concatenate([part.queries.user for part in parts]),
        np.concatenate([part.queries.moment for part in parts]),
        sp.vstack([part.queries.truth for part in parts], format="csr"),
    )
    return Ranking(
        queries, np.concatenate([part.rank for part in parts]), np.concatenate([part.lists for part in parts])
    )


def asked_block(stage: Stage, queries: Queries, rows: slice) -> Asked:
    """The people of some rows with what is known about them."""
    return Asked(stage.history, queries.domain, queries.user[rows], queries.moment[rows])


def blocks(rows: int, columns: int) -> Iterator[slice]:
    """Slices of rows whose scores fit into a block."""
    size = max(1, BLOCK_CELLS // max(1, columns))
    return (slice(start, min(start + size, rows)) for start in range(0, rows, size))


def side_by_side(work: Callable[[Part], Result], parts: Iterable[Part], threads: int) -> list[Result]:
    """What a function gives for each part, in order; threads share the parts and change nothing."""
    with threadpool_limits(limits=1, user_api="blas"), ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, parts))


def _places(columns: Codes, indptr: Any, indices: Any) -> Codes:
    """Where each true item stands among its row's ascending candidates."""
    rows = np.repeat(np.arange(len(columns)), np.diff(indptr))
    return np.array([np.searchsorted(columns[row], item) for row, item in zip(rows, indices, strict=True)], np.int32)
