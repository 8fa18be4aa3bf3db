"""Metrics of rankings, one value a person, and what lists are like as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from crossdomain.recommend.interactions import Bools, Floats, Ints
from crossdomain.recommend.offline.kernels import pair_cosines
from crossdomain.recommend.offline.log import Codes, Log
from crossdomain.recommend.offline.ranking import Ranking

CUTOFFS = (5, 10, 20, 50)
ACCURACY = ("hr", "recall", "precision", "ndcg", "mrr")
DIGITS = 6
_DIVERSE_LISTS = 500
_DRAWS = 50


@dataclass(frozen=True)
class Interval:
    """A mean with its bootstrap interval.

    Attributes:
        value: Mean over people.
        low: 2.5 % point of the means of resampled people.
        high: 97.5 % point.
        n: People.
    """

    value: float
    low: float
    high: float
    n: int


def per_person(ranking: Ranking, cutoffs: Sequence[int] = CUTOFFS) -> dict[str, Floats]:
    """Accuracy of each query.

    ``hr`` any true item within k; ``recall`` share of the true items; ``precision`` their number by k; ``ndcg``
    binary gains ``1 / log2(1 + rank)`` by those of an ideal list; ``mrr`` one by the best rank, 0 beyond k. A rank is
    the expected rank: items that tie share the middle of their places.
    """
    indptr, rank = ranking.queries.truth.indptr, ranking.rank
    size = np.diff(indptr)
    ideal = np.concatenate(([0.0], np.cumsum(1 / np.log2(2 + np.arange(max(cutoffs))))))
    best = np.minimum.reduceat(rank, indptr[:-1]) if len(size) else np.zeros(0)
    gain = 1 / np.log2(1 + rank)
    out: dict[str, Floats] = {}
    for k in cutoffs:
        within = rank <= k
        found = _sums(within.astype(np.float64), indptr)
        out[f"hr@{k}"] = (found > 0).astype(np.float64)
        out[f"recall@{k}"] = found / size
        out[f"precision@{k}"] = found / k
        out[f"ndcg@{k}"] = _sums(np.where(within, gain, 0), indptr) / ideal[np.minimum(size, k)]
        out[f"mrr@{k}"] = np.where(best <= k, 1 / best, 0)
    return out


def of_lists(ranking: Ranking, train: Log, cutoffs: Sequence[int] = CUTOFFS) -> dict[str, float]:
    """What the lists are like as a whole.

    ``coverage`` share of the domain's items that anybody is shown; ``novelty`` mean of ``-log2`` of the share of people
    who know a shown item (at least one counts); ``diversity`` one minus the mean cosine of the people who met two
    items of a list; ``gini`` of exposure over the domain's items, 0 even; ``calibration`` the mean divergence of a
    list's item groups from those of the person's history (Steck, Calibrated Recommendations, 2018; 0 is calibrated).
    Groups are the items' types; without these three bands of popularity that hold a third of the interactions each.
    """
    span = train.names.span(ranking.queries.domain)
    counts = train.counts
    people = max(1, int((np.diff(train.indptr) > 0).sum()))
    group = _groups(train, span)
    history = _shares(train.matrix[ranking.queries.user][:, span], group)
    people_of = train.matrix.tocsc()
    first = ranking.lists[:_DIVERSE_LISTS]
    cosines = pair_cosines(first, people_of.indptr, people_of.indices, people_of.shape[0])
    out = {}
    for k in cutoffs:
        lists = ranking.lists[:, :k]
        shown = lists[lists >= 0]
        exposure = np.bincount(shown - span.start, minlength=span.stop - span.start)
        out[f"coverage@{k}"] = float((exposure > 0).mean())
        known = np.maximum(counts[shown], 1) / people
        out[f"novelty@{k}"] = float(-np.log2(known).mean()) if len(shown) else 0.0
        out[f"gini@{k}"] = gini(exposure)
        out[f"calibration@{k}"] = _divergence(history, _list_shares(lists, span, group))
        out[f"diversity@{k}"] = _diversity(first[:, :k], cosines)
    return {name: round(value, DIGITS) for name, value in out.items()}


def gini(exposure: Ints) -> float:
    """Gini coefficient: 0 all alike, towards 1 all on one."""
    ordered = np.sort(exposure.astype(np.float64))
    total = ordered.sum()
    if not total:
        return 0.0
    places = np.arange(1, len(ordered) + 1)
    return float((2 * places - len(ordered) - 1) @ ordered / (len(ordered) * total))


@dataclass(frozen=True)
class Means:
    """Means of some people's metrics, and those of every resample.

    Attributes:
        names: Metrics.
        value: Means.
        draws: Resamples × metrics.
        n: People.
    """

    names: tuple[str, ...]
    value: Floats
    draws: Floats
    n: int

    def minus(self, other: Means) -> Means:
        """The paired difference: both were resampled alike."""
        return Means(self.names, self.value - other.value, self.draws - other.draws, self.n)

    def intervals(self) -> dict[str, Interval]:
        """Means with 95 % intervals, rounded to ``DIGITS``."""
        low, high = np.quantile(self.draws, [0.025, 0.975], axis=0)
        rows = (np.stack([self.value, low, high], axis=1).round(DIGITS) + 0.0).tolist()
        return {
            name: Interval(value=row[0], low=row[1], high=row[2], n=self.n)
            for name, row in zip(self.names, rows, strict=True)
        }


class Bootstrap:
    """Resampled people, the same for every model, so that differences are paired."""

    def __init__(self, people: int, *, samples: int = 1000, seed: int = 7) -> None:
        rng = np.random.default_rng([seed, people])
        draws = (rng.integers(0, people, people, dtype=np.int32) for _ in range(samples))
        self._counts = np.stack([np.bincount(draw, minlength=people).astype(np.uint16) for draw in draws])

    def means(self, models: Mapping[str, Mapping[str, Floats]], chosen: Bools | None = None) -> dict[str, Means]:
        """Means of each model over the people, or over the chosen ones among those that a resample holds."""
        pick = slice(None) if chosen is None else np.flatnonzero(chosen)
        metrics = tuple(next(iter(models.values())))
        table = np.stack([values[name][pick] for values in models.values() for name in metrics], axis=1)
        parts = []
        for start in range(0, len(self._counts), _DRAWS):
            counts = self._counts[start : start + _DRAWS, pick].astype(np.float64)
            parts.append(counts @ table / np.maximum(counts.sum(axis=1, keepdims=True), 1))
        value, draws = table.mean(axis=0), np.concatenate(parts)
        spans = {model: slice(at * len(metrics), (at + 1) * len(metrics)) for at, model in enumerate(models)}
        return {model: Means(metrics, value[span], draws[:, span], len(table)) for model, span in spans.items()}


def _sums(values: Floats, indptr: Ints) -> Floats:
    return np.add.reduceat(values, indptr[:-1]) if len(indptr) > 1 else np.zeros(0)


def _groups(train: Log, span: slice) -> Ints:
    given = train.names.item_group[span]
    if (given >= 0).any():
        return given.astype(np.int64) + 1
    counts = train.counts[span]
    order = np.lexsort((np.arange(len(counts)), -counts))
    before = np.cumsum(counts[order]) - counts[order]
    band = np.zeros(len(counts), dtype=np.int64)
    band[order] = np.minimum(3 * before // max(counts.sum(), 1), 2).astype(np.int64)
    return band


def _shares(met: sp.csr_matrix, group: Ints) -> Floats:
    one = sp.csr_matrix((np.ones(len(group)), (np.arange(len(group)), group)))
    return _unit_rows((met @ one).toarray())


def _list_shares(lists: Codes, span: slice, group: Ints) -> Floats:
    out = np.zeros((len(lists), int(group.max()) + 1))
    rows, places = np.nonzero(lists >= 0)
    np.add.at(out, (rows, group[lists[rows, places] - span.start]), 1)
    return _unit_rows(out)


def _divergence(history: Floats, shown: Floats) -> float:
    """Mean Kullback-Leibler divergence of people with a history and a list, the list smoothed by a hundredth."""
    both = (history.sum(axis=1) > 0) & (shown.sum(axis=1) > 0)
    if not both.any():
        return 0.0
    p, q = history[both], 0.99 * shown[both] + 0.01 * history[both]
    terms = np.where(p > 0, p * np.log2(np.where(p > 0, p, 1) / np.where(q > 0, q, 1)), 0)
    return float(terms.sum(axis=1).mean())


def _diversity(lists: Codes, cosines: Floats) -> float:
    """One minus the mean cosine of the pairs of a list, over the lists of at least two items."""
    count = (lists >= 0).sum(axis=1)
    wide = np.flatnonzero(count > 1)
    pairs = count[wide] * (count[wide] - 1) / 2
    return float(np.mean(1 - cosines[wide, count[wide] - 1] / pairs)) if len(wide) else 0.0


def _unit_rows(values: Floats) -> Floats:
    unit: Floats = values / np.maximum(values.sum(axis=1, keepdims=True), 1e-12)
    return unit
