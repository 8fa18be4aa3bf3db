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
METRICS = tuple(f"{name}@{k}" for k in CUTOFFS for name in ACCURACY)
DIGITS = 6
_DIVERSE_LISTS = 500
_DRAWS = 50
_LIST_SAMPLES = 200


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


@dataclass(frozen=True)
class Lists:
    """What some lists of one domain are like, so that it can be resampled by people.

    Attributes:
        ratios: For each metric that is a mean, numerator and denominator of each query.
        shown: For each cutoff, queries × items of the domain: 1 where an item is shown.
    """

    ratios: Mapping[str, tuple[Floats, Floats]]
    shown: Mapping[int, sp.csr_matrix]


def of_lists(ranking: Ranking, train: Log, cutoffs: Sequence[int] = CUTOFFS) -> Lists:
    """What the lists are like as a whole.

    ``coverage`` share of the domain's items that anybody is shown; ``novelty`` mean of ``-log2`` of the share of people
    who know a shown item (at least one counts); ``diversity`` one minus the mean cosine of the people who met two
    items of a list; ``gini`` of exposure over the domain's items, 0 even; ``calibration`` the mean divergence of a
    list's item groups from those of the person's history (Steck, Calibrated Recommendations, 2018; 0 is calibrated).
    Groups are the items' types; without these three bands of popularity that hold a third of the interactions each.
    ``Bootstrap.of_lists`` gives their values and intervals.
    """
    span = train.names.span(ranking.queries.domain)
    people = max(1, int((np.diff(train.indptr) > 0).sum()))
    surprise = -np.log2(np.maximum(train.counts[span], 1) / people)
    group = _groups(train, span)
    history = _shares(train.matrix[ranking.queries.user][:, span], group)
    people_of = train.matrix.tocsc()
    first = ranking.lists[:_DIVERSE_LISTS]
    cosines = pair_cosines(first, people_of.indptr, people_of.indices, people_of.shape[0])
    ratios: dict[str, tuple[Floats, Floats]] = {}
    shown = {}
    for k in cutoffs:
        lists = ranking.lists[:, :k]
        shown[k] = _shown(lists, span)
        ratios[f"novelty@{k}"] = (shown[k] @ surprise, np.diff(shown[k].indptr).astype(np.float64))
        ratios[f"calibration@{k}"] = _divergence(history, _list_shares(lists, span, group))
        ratios[f"diversity@{k}"] = _diversity(lists, cosines)
    return Lists(ratios, shown)


def gini(exposure: Ints | Floats) -> float:
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

    def of_lists(self, models: Mapping[str, Lists], chosen: Bools | None = None) -> dict[str, Means]:
        """Values of each model's lists, of all or the chosen people, and those of ``_LIST_SAMPLES`` resamples.

        Coverage and Gini count distinct items, of which a resample, having people twice, shows fewer. So their
        resamples are shifted to have the value as their mean: their spread is used, not their place.
        """
        drawn = self._counts[:_LIST_SAMPLES] if chosen is None else self._counts[:_LIST_SAMPLES, chosen]
        counts = np.vstack([np.ones(drawn.shape[1]), drawn]).astype(np.float64)
        return {model: self._lists(lists, counts) for model, lists in models.items()}

    def _lists(self, lists: Lists, counts: Floats) -> Means:
        found: dict[str, Floats] = {}
        for name, (over, under) in lists.ratios.items():
            found[name] = (counts @ over) / np.maximum(counts @ under, 1e-12)
        for k, shown in lists.shown.items():
            exposure = (shown.T @ counts.T).T
            found[f"coverage@{k}"] = _shifted((exposure > 0).mean(axis=1))
            found[f"gini@{k}"] = _shifted(np.array([gini(row) for row in exposure]))
        table = np.stack([found[name] for name in sorted(found)], axis=1)
        return Means(tuple(sorted(found)), table[0], table[1:], counts.shape[1])

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


def _shown(lists: Codes, span: slice) -> sp.csr_matrix:
    rows, places = np.nonzero(lists >= 0)
    cells = (np.ones(len(rows)), (rows, lists[rows, places] - span.start))
    return sp.csr_matrix(cells, shape=(len(lists), span.stop - span.start))


def _shifted(values: Floats) -> Floats:
    """The first value, and the others moved to have it as their mean."""
    moved: Floats = values - values[1:].mean() + values[0] if len(values) > 1 else values.copy()
    moved[0] = values[0]
    return moved


def _divergence(history: Floats, shown: Floats) -> tuple[Floats, Floats]:
    """Kullback-Leibler divergence of each person with a history and a list, the list smoothed by a hundredth."""
    both = (history.sum(axis=1) > 0) & (shown.sum(axis=1) > 0)
    p, q = history, 0.99 * shown + 0.01 * history
    terms = np.where(p > 0, p * np.log2(np.where(p > 0, p, 1) / np.where(q > 0, q, 1)), 0)
    return np.where(both, terms.sum(axis=1), 0), both.astype(np.float64)


def _diversity(lists: Codes, cosines: Floats) -> tuple[Floats, Floats]:
    """One minus the mean cosine of the pairs of each of the first ``_DIVERSE_LISTS`` lists of at least two items."""
    found, counted = np.zeros(len(lists)), np.zeros(len(lists))
    count = (lists[: len(cosines)] >= 0).sum(axis=1)
    wide = np.flatnonzero(count > 1)
    found[wide] = 1 - cosines[wide, count[wide] - 1] / (count[wide] * (count[wide] - 1) / 2)
    counted[wide] = 1
    return found, counted


def _unit_rows(values: Floats) -> Floats:
    unit: Floats = values / np.maximum(values.sum(axis=1, keepdims=True), 1e-12)
    return unit
