"""Popularity: of all time, decayed to the moment of the question, and of people alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from crossdomain.recommend.interactions import Floats, Ints
from crossdomain.recommend.offline.kernels import compiled
from crossdomain.recommend.offline.log import Log
from crossdomain.recommend.offline.protocols import DAY
from crossdomain.recommend.offline.sources.base import Asked, Block, Source


@dataclass(frozen=True)
class Popularity(Source):
    """People who met an item."""

    name: ClassVar[str] = "popularity"

    def learn(self, train: Log, *, seed: int, threads: int) -> Floats:
        """Counts of all items."""
        return train.counts

    def score(self, state: Floats, asked: Asked, view: str = "all") -> Block:
        """The same counts for everybody."""
        return np.tile(state[asked.span].astype(np.float32), (len(asked.user), 1))


@dataclass(frozen=True)
class LatestPopularity(Source):
    """Popularity among people's latest interactions, for logs that know the order and not the time.

    Attributes:
        place_decay: An interaction counts by this factor less for each later one of its person in its domain.
    """

    place_decay: float = 0.5

    name: ClassVar[str] = "latest_popularity"
    learned_by: ClassVar[tuple[str, ...]] = ("place_decay",)
    space: ClassVar[Mapping[str, tuple[float, ...]]] = {"place_decay": (0.95, 0.9, 0.8, 0.65, 0.5, 0.3, 0.1)}

    def applies(self, train: Log) -> bool:
        """With times ``DecayedPopularity`` knows more."""
        return len(train) > 0 and not train.timed

    def learn(self, train: Log, *, seed: int, threads: int) -> Floats:
        """The weighed counts of all items."""
        counts = np.zeros(len(train.names.item_ids))
        for domain in range(len(train.names.domains)):
            here = train.where(train.domain == domain)
            weight = np.power(self.place_decay, here.from_end)
            counts += np.bincount(here.item, weights=weight, minlength=len(counts))
        return counts

    def score(self, state: Floats, asked: Asked, view: str = "all") -> Block:
        """The same counts for everybody."""
        return np.tile(state[asked.span].astype(np.float32), (len(asked.user), 1))


@dataclass(frozen=True)
class ItemTimes:
    """Times of each item's interactions, ascending.

    Attributes:
        indptr: Where each item's times begin.
        ts: Seconds.
    """

    indptr: Ints
    ts: Ints

    @classmethod
    def of(cls, log: Log) -> ItemTimes:
        """The times in a log."""
        order = np.lexsort((log.ts, log.item))
        items = np.arange(len(log.names.item_ids) + 1)
        return cls(np.searchsorted(log.item[order], items).astype(np.int64), log.ts[order])

    def decayed(self, items: slice, moment: int, half_life_days: float) -> Floats:
        """Interactions before the moment, each counting half per half-life since it happened."""
        low, high = self.indptr[items.start], self.indptr[items.stop]
        age = moment - self.ts[low:high]
        weight = np.where(age > 0, np.power(0.5, np.maximum(age, 0) / (DAY * half_life_days)), 0)
        item = np.repeat(np.arange(items.stop - items.start), np.diff(self.indptr[items.start : items.stop + 1]))
        decayed: Floats = np.bincount(item, weights=weight, minlength=items.stop - items.start).astype(np.float64)
        return decayed


@dataclass(frozen=True)
class DecayedPopularity(Source):
    """Interactions before the moment, each counting half per half-life; popularity where there are no times.

    Attributes:
        half_life_days: Age at which an interaction counts half.
    """

    half_life_days: float = 30.0

    name: ClassVar[str] = "decayed_popularity"
    space: ClassVar[Mapping[str, tuple[float, ...]]] = {"half_life_days": (1, 2, 3, 5, 7, 14, 30, 60, 120, 240)}

    def applies(self, train: Log) -> bool:
        """Needs times."""
        return train.timed

    def learn(self, train: Log, *, seed: int, threads: int) -> ItemTimes:
        """Times of each item."""
        return ItemTimes.of(train)

    def score(self, state: ItemTimes, asked: Asked, view: str = "all") -> Block:
        """Scores that depend on the moment only; questions of one moment are answered once."""
        span = asked.span
        moments, which = np.unique(asked.moment, return_inverse=True)
        if len(moments) == 1:
            row = state.decayed(span, int(moments[0]), self.half_life_days).astype(np.float32)
            return np.tile(row, (len(asked.user), 1))
        table = np.zeros((len(moments), span.stop - span.start), dtype=np.float32)
        _decayed_table(state.indptr[span.start : span.stop + 1], state.ts, moments, DAY * self.half_life_days, table)
        return table[which.ravel()]


@dataclass(frozen=True)
class SegmentPopularity(Source):
    """Popularity among people alike: those with the nearest histories, in a space of few directions.

    Attributes:
        segments: Number of groups of people.
        directions: Singular vectors of the log that people are described with.
        half_life_days: Age before the last moment of the log at which an interaction counts half; 0 for no decay.
        prior: Weight of what everybody likes, as a number of interactions of the segment.
    """

    segments: int = 20
    directions: int = 16
    half_life_days: float = 0.0
    prior: float = 50.0

    name: ClassVar[str] = "segment_popularity"
    learned_by: ClassVar[tuple[str, ...]] = ("segments", "directions")
    space: ClassVar[Mapping[str, tuple[float, ...]]] = {"half_life_days": (0, 7, 30, 120), "prior": (20, 100, 500)}

    def applies(self, train: Log) -> bool:
        """Needs more people and items than directions and groups."""
        return min(len(np.unique(train.user)), len(np.unique(train.item))) > max(self.directions, self.segments)

    def learn(self, train: Log, *, seed: int, threads: int) -> Any:
        """Item directions, centres of the groups, the group of each person, the log, and shares found so far."""
        from scipy.sparse.linalg import svds
        from sklearn.cluster import MiniBatchKMeans

        scaled = _scaled(train.matrix)
        start = np.random.default_rng(seed).standard_normal(min(scaled.shape))
        directions = svds(scaled, k=self.directions, v0=start)[2].T.astype(np.float32)
        people = np.flatnonzero(np.diff(train.indptr))
        vectors = _unit(scaled[people] @ directions)
        means = MiniBatchKMeans(self.segments, random_state=seed, n_init=3, batch_size=4096).fit(vectors)
        label = np.zeros(len(train.names.users), dtype=np.int64)
        label[people] = means.labels_
        return directions, means.cluster_centers_.astype(np.float32), label, train, {}

    def score(self, state: Any, asked: Asked, view: str = "all") -> Block:
        """The popularity in the group whose centre is nearest."""
        directions, centres, label, train, shares = state
        vectors = _unit(_scaled(asked.weighed()) @ directions)
        nearest = np.argmin((centres**2).sum(axis=1) - 2 * vectors @ centres.T, axis=1)
        asked_for = (self, asked.domain)
        if asked_for not in shares:
            shares[asked_for] = self._shares(label, train, asked.span)
        block: Block = shares[asked_for][nearest]
        return block

    def _shares(self, label: Ints, train: Log, span: slice) -> Block:
        """Segments × items of the span: each segment's shares, drawn towards everybody's by ``prior``."""
        here = (train.item >= span.start) & (train.item < span.stop)
        weight = train.weight[here].astype(np.float64)
        if self.half_life_days and train.timed:
            weight *= np.power(0.5, (train.ts.max() - train.ts[here]) / (DAY * self.half_life_days))
        shape = (self.segments, span.stop - span.start)
        cells = (label[train.user[here]], train.item[here] - span.start)
        met = sp.csr_matrix((weight, cells), shape=shape).toarray()
        met += self.prior * met.sum(axis=0) / max(met.sum(), 1e-12)
        shares: Block = (met / np.maximum(met.sum(axis=1, keepdims=True), 1e-12)).astype(np.float32)
        return shares


def _scaled(matrix: sp.csr_matrix) -> sp.csr_matrix:
    size = np.maximum(np.diff(matrix.indptr), 1).astype(np.float32)
    return sp.diags_array(1 / np.sqrt(size)).astype(np.float32).tocsr() @ matrix


def _unit(vectors: Block) -> Block:
    unit: Block = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    return unit


@compiled
def _decayed_table(indptr: Ints, ts: Ints, moments: Ints, half_life: float, table: npt.NDArray[np.float32]) -> None:
    """Fills moments × items; moments ascend, so each item's times are walked once."""
    for item in range(len(indptr) - 1):
        at, end = indptr[item], indptr[item + 1]
        weight, since = 0.0, 0
        for row in range(len(moments)):
            while at < end and ts[at] < moments[row]:
                weight = weight * 0.5 ** ((ts[at] - since) / half_life) + 1.0 if weight > 0 else 1.0
                since = ts[at]
                at += 1
            if weight > 0:
                table[row, item] = weight * 0.5 ** ((moments[row] - since) / half_life)
