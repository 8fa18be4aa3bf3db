"""The best items of each query with their scores, the source that each owes its place to, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from crossdomain.recommend.folding import REASONS
from crossdomain.recommend.interactions import Bools, Floats, Ints
from crossdomain.recommend.offline.features import Features, Fitted, Values
from crossdomain.recommend.offline.kernels import best_columns
from crossdomain.recommend.offline.log import Codes
from crossdomain.recommend.offline.protocols import Queries, Stage
from crossdomain.recommend.offline.ranking import Closed, asked_block, blocks, side_by_side
from crossdomain.recommend.offline.training import Recommender
from crossdomain.recommend.topk import DIGITS

_TELLING = 10
"""Places of a source that are good enough for a reason."""


@dataclass(frozen=True)
class Pool:
    """What can be recommended in answer to some queries, by query, then item.

    Attributes:
        row: Query of each candidate.
        item: The item.
        score: Rounded; higher is better; that of a ranker, ``log(1 + exp(x))`` of its output x, is above 0.
        source: Index of the source that the candidate is told to come from.
        rows: Number of queries.
    """

    row: Ints
    item: Ints
    score: Floats
    source: Ints
    rows: int

    def best(self, keep: Bools, width: int) -> tuple[Ints, Floats]:
        """Items and scores, queries × width, of those that are kept; ties go to the smaller item; -1 where a list ends.

        The score is -inf where there is no item.
        """
        at = np.flatnonzero(keep)
        at = at[np.lexsort((self.item[at], -self.score[at], self.row[at]))]
        place = np.arange(len(at)) - np.searchsorted(self.row[at], self.row[at])
        at, place = at[place < width], place[place < width]
        item = np.full((self.rows, width), -1, dtype=np.int64)
        score = np.full((self.rows, width), -np.inf)
        item[self.row[at], place], score[self.row[at], place] = self.item[at], self.score[at]
        return item, score

    def source_of(self, item: Ints, items: int) -> Ints:
        """The source of each item of lists (queries × k, -1 for none); -1 for what is no candidate."""
        key = self.row * items + self.item
        wanted = np.arange(self.rows)[:, None] * items + item
        at = np.minimum(np.searchsorted(key, wanted), max(len(key) - 1, 0))
        found: Ints = np.where((item >= 0) & (key[at] == wanted), self.source[at], -1) if len(key) else item * 0 - 1
        return found


@dataclass(frozen=True)
class Answerer:
    """A recommender over sources that learned from a stage.

    Attributes:
        recommender: The recommender.
        stage: What the sources learned from, what is known about people, and what can be ranked.
        fitted: The sources.
        least: Fewest candidates of each source; else as many as the ranker learned from.
    """

    recommender: Recommender
    stage: Stage
    fitted: Sequence[Fitted]
    least: int = 0

    @cached_property
    def features(self) -> Features:
        """Features of the stage's candidates."""
        per_source = max(self.recommender.recipe.ranker.per_source, self.least)
        return Features(self.stage, self.fitted, per_source=per_source, without=self.recommender.without)

    def pool(
        self,
        queries: Queries,
        *,
        closed: sp.csr_matrix | None = None,
        factor: Floats | None = None,
        most: int = 200,
    ) -> Pool:
        """Candidates of some queries with their scores.

        Args:
            queries: The queries.
            closed: Queries × all items that must not be shown.
            factor: What scores of all items are multiplied by.
            most: Most candidates where a single source answers.
        """
        gate = self.recommender.gates.get(queries.domain)
        if gate is None or gate.ships:
            work = partial(self._ranked, self.features, queries)
        else:
            number = [one.source.name for one in self.fitted].index(gate.best_source)
            work = partial(self._single, number, queries, most)
        width = int(queries.truth.shape[1])
        parts = side_by_side(work, blocks(len(queries), width), self.recommender.recipe.ranker.threads)
        row, item, score, source = (np.concatenate(part) for part in zip(*parts, strict=True)) if parts else _nothing()
        if factor is not None:
            score = score * factor[item]
        keep = np.isfinite(score)
        if closed is not None:
            keep &= ~_are_in(row, item, closed)
        return Pool(row[keep], item[keep], np.round(score[keep], DIGITS), source[keep], len(queries))

    def because(self, queries: Queries, item: Ints, source: Ints) -> Codes:
        """For each item of lists the items of the history that its source rests on; see ``Source.explain``."""
        out = np.full((*item.shape, REASONS), -1, dtype=np.int32)

        def work(rows: slice) -> None:
            asked = asked_block(self.stage, queries, rows)
            for number in np.unique(source[rows]):
                if number >= 0:
                    one, own = self.fitted[number], source[rows] == number
                    found = one.source.explain(one.state, asked, np.where(own, item[rows], -1).astype(np.int32))
                    out[rows][own] = found[own]

        side_by_side(work, blocks(len(queries), 1 << 12), self.recommender.recipe.ranker.threads)
        return out

    def _ranked(self, features: Features, queries: Queries, rows: slice) -> tuple[Ints, Ints, Floats, Ints]:
        found = features.block(queries, rows)
        raw = self.recommender.ranker.score(found.values, queries.domain).astype(np.float64)
        row = np.repeat(np.arange(len(found.indptr) - 1), np.diff(found.indptr)) + rows.start
        return row, found.item.astype(np.int64), np.logaddexp(0, raw), self._sources(features.names, found.values)

    def _sources(self, names: Sequence[str], values: Values) -> Ints:
        """The source that each candidate is told to come from.

        One that can name items and has the candidate among its best ``_TELLING``, the best place first; else that with
        the best place. Ties go to the first source.
        """
        places = values[:, [names.index(f"{one.source.name}_place") for one in self.fitted]]
        explains = np.array([one.source.explains for one in self.fitted])
        telling = np.where(explains & (places <= np.log2(1 + _TELLING)), places, np.inf)
        chosen: Ints = np.where(np.isfinite(telling).any(axis=1), telling.argmin(axis=1), places.argmin(axis=1))
        return chosen

    def _single(self, number: int, queries: Queries, most: int, rows: slice) -> tuple[Ints, Ints, Floats, Ints]:
        one = self.fitted[number]
        scores = one.source.score(one.state, asked_block(self.stage, queries, rows))
        Closed.of(self.stage, queries, rows).hide(scores)
        columns = best_columns(scores, most)
        row, place = np.nonzero(columns >= 0)
        column = np.sort(np.where(columns >= 0, columns, np.iinfo(columns.dtype).max), axis=1)[row, place]
        start = self.stage.train.names.span(queries.domain).start
        value = scores[row, column].astype(np.float64)
        return row + rows.start, column + start, value, np.full(len(row), number)


def questions(stage: Stage, domain: int, user: Ints, moment: int) -> Queries:
    """Queries without a truth, all at one moment."""
    nothing: sp.csr_matrix = sp.csr_matrix((len(user), len(stage.train.names.item_ids)), dtype=np.float32)
    return Queries(domain, user.astype(np.int32), np.full(len(user), moment, dtype=np.int64), nothing)


def _are_in(row: Ints, item: Ints, cells: sp.csr_matrix) -> Bools:
    own = np.repeat(np.arange(cells.shape[0]), np.diff(cells.indptr)) * np.int64(cells.shape[1]) + cells.indices
    found: Bools = np.isin(row * np.int64(cells.shape[1]) + item, own)
    return found


def _nothing() -> tuple[Any, ...]:
    none: npt.NDArray[np.int64] = np.zeros(0, dtype=np.int64)
    return none, none, np.zeros(0), none
