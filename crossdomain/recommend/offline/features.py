"""Features of candidate items for a ranker: every source's scores, and what is known of item and person."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from crossdomain.errors import InputError
from crossdomain.recommend.interactions import Bools, Ints
from crossdomain.recommend.offline.kernels import best_columns, compiled, unions
from crossdomain.recommend.offline.log import Codes, Log
from crossdomain.recommend.offline.protocols import DAY, Queries, Stage
from crossdomain.recommend.offline.ranking import Closed, asked_block
from crossdomain.recommend.offline.sources import SOURCES, Asked, Source
from crossdomain.recommend.offline.sources.popular import ItemTimes

WINDOWS = (3, 7, 14, 30, 90, 365)
"""Days before the moment in which an item's interactions are counted."""
TIMED_ITEM = (*(f"item_days_{days}" for days in WINDOWS), "item_before", "item_age", "item_quiet")
AGE = ("item_before", "item_age", "item_quiet")
"""Features that tell whether an item has been on sale at the moment."""
PERSON = ("history", "share_here", "last_here", "quiet_days", "quiet_days_here", "domain")
Values = npt.NDArray[np.float32]
Thin = Callable[[Ints, npt.NDArray[np.int8]], Bools]


@dataclass(frozen=True)
class Fitted:
    """A source and what it learned from a stage."""

    source: Source
    state: Any


@dataclass(frozen=True)
class Candidates:
    """Candidates of some queries, by query, then item.

    Attributes:
        indptr: Where each query's candidates begin.
        item: Items, ascending within a query.
        values: Candidates × features.
        label: 1 for true items.
    """

    indptr: Ints
    item: Codes
    values: Values
    label: npt.NDArray[np.int8]


class Features:
    """The features of a stage, in an order that depends on the sources only."""

    def __init__(
        self, stage: Stage, fitted: Sequence[Fitted], *, per_source: int = 100, without: Sequence[str] = ()
    ) -> None:
        self._stage = stage
        self._fitted = tuple(fitted)
        self._per_source = per_source
        self._views = [(one, view) for one in self._fitted for view in one.source.views if _has(stage.train, view)]
        self._times = ItemTimes.of(stage.timeline or stage.train) if stage.train.timed else None
        views = [(one.source.name, view) for one, view in self._views]
        names = _names(views, [one.source.name for one in self._fitted], timed=self._times is not None)
        self._kept = np.array([at for at, name in enumerate(names) if name not in without])
        self.names = tuple(names[at] for at in self._kept)
        self._people = _People.of(stage.history)

    def block(self, queries: Queries, rows: slice, *, thin: Thin | None = None) -> Candidates:
        """Candidates of some rows: those that were sampled, or the union of each source's best.

        Args:
            queries: The queries.
            rows: Which of them.
            thin: Which candidates to keep, from their places and labels; None: all.
        """
        asked = asked_block(self._stage, queries, rows)
        span = asked.span
        scores = [one.source.score(one.state, asked, view) for one, view in self._views]
        mains = [at for at, (_, view) in enumerate(self._views) if view == "all"]
        indptr, place = self._candidates(queries, rows, [scores[at] for at in mains])
        row = np.repeat(np.arange(len(asked.user)), np.diff(indptr))
        item = (place + span.start).astype(np.int32)
        label = _labels(queries, rows, row, item)
        raw = [one[row, place] for one in scores]
        known = [*raw, *(_shares(indptr, one) for one in raw), *(_places(indptr, raw[at]) for at in mains)]
        if thin is not None:
            keep = thin(row, label)
            row, item, label = row[keep], item[keep], label[keep]
            known = [one[keep] for one in known]
            indptr = np.searchsorted(row, np.arange(len(asked.user) + 1)).astype(np.int64)
        parts = known
        parts += [*self._item(item, asked.moment[row]), *(one[row] for one in self._person(asked))]
        values = np.empty((len(item), len(self._kept)), dtype=np.float32)
        for column, at in enumerate(self._kept):
            values[:, column] = parts[at]
        return Candidates(indptr, item, values, label)

    def _candidates(self, queries: Queries, rows: slice, mains: list[Values]) -> tuple[Ints, Ints]:
        """Where each query's candidates begin, and their columns; what may not be shown scores -inf from here on."""
        if queries.candidates is not None:
            columns = queries.candidates[rows] - self._stage.train.names.span(queries.domain).start
            return np.arange(len(columns) + 1, dtype=np.int64) * columns.shape[1], columns.ravel()
        closed = Closed.of(self._stage, queries, rows)
        for scores in mains:
            closed.hide(scores)
        lists = np.hstack([best_columns(scores, self._per_source) for scores in mains])
        return unions(lists, len(closed.columns))  # type: ignore[no-any-return]

    def _item(self, item: Codes, moment: Ints) -> list[Values]:
        out = [np.log1p(self._stage.train.counts[item]).astype(np.float32)]
        if self._times is not None:
            table = np.empty((len(TIMED_ITEM), len(item)), dtype=np.float32)
            windows = np.array(WINDOWS, dtype=np.int64) * DAY
            _item_times(self._times.indptr, self._times.ts, item, moment, windows, table)
            out += list(table)
        return out

    def _person(self, asked: Asked) -> list[Values]:
        return self._people.values(asked)


def check_features(names: Sequence[str]) -> None:
    """Checks names of features before the long work.

    Raises:
        InputError: No source, item or person has a feature of such a name.
    """
    views = [(name, view) for name, source in SOURCES.items() for view in source.views]
    known = _names(views, list(SOURCES), timed=True)
    if unknown := [name for name in names if name not in known]:
        raise InputError(f"--without {unknown[0]}: there is no such feature; there are {', '.join(known)}")


def _names(views: Sequence[tuple[str, str]], sources: Sequence[str], *, timed: bool) -> list[str]:
    """Names of the features in their order."""
    scores = [f"{source}_{view}" for source, view in views]
    places = [f"{source}_place" for source in sources]
    return [
        *scores,
        *(f"{name}_share" for name in scores),
        *places,
        "item_total",
        *(TIMED_ITEM if timed else ()),
        *PERSON,
    ]


@dataclass(frozen=True)
class _People:
    log: Log
    length: Ints
    here: Ints
    last_ts: Ints
    last_ts_here: Ints
    last_domain: Codes

    @classmethod
    def of(cls, log: Log) -> _People:
        users, domains = len(log.names.users), len(log.names.domains)
        here = np.zeros((users, domains), dtype=np.int64)
        np.add.at(here, (log.user, log.domain), 1)
        latest = np.full((users, domains), -1, dtype=np.int64)
        np.maximum.at(latest, (log.user, log.domain), log.ts)
        last = log.indptr[1:] - 1
        known = np.diff(log.indptr) > 0
        domain = np.where(known, log.domain[np.maximum(last, 0)], -1) if len(log) else np.full(users, -1)
        return cls(log, np.diff(log.indptr), here, latest.max(axis=1), latest, domain.astype(np.int32))

    def values(self, asked: Asked) -> list[Values]:
        user, domain = asked.user, asked.domain
        length = self.length[user]
        quiet = _days(asked.moment, self.last_ts[user], timed=self.log.timed)
        quiet_here = _days(asked.moment, self.last_ts_here[user, domain], timed=self.log.timed)
        parts = (
            length, self.here[user, domain] / np.maximum(length, 1), self.last_domain[user] == domain,
            quiet, quiet_here, np.full(len(user), domain),
        )  # fmt: skip
        return [np.asarray(part, dtype=np.float32) for part in parts]


def fit_sources(stage: Stage, sources: Mapping[str, Source], *, seed: int, threads: int) -> list[Fitted]:
    """Sources that learned from a stage, in the order of ``SOURCES``."""
    return [
        Fitted(sources[name], sources[name].learn(stage.train, seed=seed, threads=threads))
        for name in SOURCES
        if name in sources
    ]


def _has(train: Log, view: str) -> bool:
    if view == "across":
        return len(train.names.domains) > 1
    if view == "within":
        return len(train.names.domains) > 1
    return view != "day" or train.timed


def _days(moment: Ints, ts: Ints, *, timed: bool) -> Values:
    if not timed:
        return np.full(len(moment), np.nan, dtype=np.float32)
    return np.where(ts >= 0, (moment - ts) / DAY, np.nan).astype(np.float32)


def _labels(queries: Queries, rows: slice, row: Ints, item: Codes) -> npt.NDArray[np.int8]:
    truth = queries.truth[rows]
    width = truth.shape[1]
    true = np.repeat(np.arange(truth.shape[0]), np.diff(truth.indptr)) * width + truth.indices
    return np.isin(row * width + item, true).astype(np.int8)


def _shares(indptr: Ints, values: Values) -> Values:
    """Scores by the greatest of their query; zeros where none is greater than zero."""
    begin, size = indptr[:-1], np.diff(indptr)
    most = np.maximum.reduceat(values, begin[size > 0]) if len(values) else values
    top = np.repeat(np.maximum(most, 0), size[size > 0])
    shares: Values = np.divide(values, top, out=np.zeros_like(values), where=top > 0)
    return shares


def _places(indptr: Ints, values: Values) -> Values:
    out = np.empty(len(values), dtype=np.float32)
    _fill_places(indptr, values, out)
    return out


@compiled
def _fill_places(indptr: Any, values: Any, out: Any) -> None:
    """Logarithm of each candidate's place in its query by one source; ties share the last of their places."""
    for row in range(len(indptr) - 1):
        begin, end = indptr[row], indptr[row + 1]
        ordered = np.sort(-values[begin:end])
        for at in range(begin, end):
            out[at] = np.log2(1 + np.searchsorted(ordered, -values[at], side="right"))


@compiled
def _item_times(indptr: Any, ts: Any, item: Any, moment: Any, windows: Any, out: Any) -> None:
    for at in range(len(item)):
        begin, end = indptr[item[at]], indptr[item[at] + 1]
        low, high = begin, end
        while low < high:
            middle = (low + high) // 2
            if ts[middle] < moment[at]:
                low = middle + 1
            else:
                high = middle
        known = low - begin
        cut = low
        for window in range(len(windows)):
            since = moment[at] - windows[window]
            while cut > begin and ts[cut - 1] >= since:
                cut -= 1
            out[window, at] = np.log1p(low - cut)
        out[len(windows), at] = np.log1p(known)
        out[len(windows) + 1, at] = (moment[at] - ts[begin]) / 86400.0 if known else np.nan
        out[len(windows) + 2, at] = (moment[at] - ts[low - 1]) / 86400.0 if known else np.nan
