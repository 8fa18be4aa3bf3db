"""A ranker over the candidates' features, labelled with what people met next, shipped only where it wins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import numpy as np
from threadpoolctl import threadpool_limits

from crossdomain.errors import InputError
from crossdomain.recommend.interactions import Bools, Floats, Ints
from crossdomain.recommend.offline.blend import Blend, blended, fit_linear
from crossdomain.recommend.offline.features import Candidates, Features, Values
from crossdomain.recommend.offline.kernels import compiled
from crossdomain.recommend.offline.protocols import Queries
from crossdomain.recommend.offline.ranking import LIST_LENGTH, Ranking, blocks, side_by_side

_MANY_ROWS = 400_000
"""Rows from which on trees are grown by several threads; below, they wait for each other."""


@dataclass(frozen=True)
class RankerSettings:
    """LambdaMART (Burges, From RankNet to LambdaRank to LambdaMART, 2010) as LightGBM trains it.

    Attributes:
        rounds: Most trees.
        patience: Trees without gain on validation after which training stops.
        learning_rate: Shrinkage.
        leaves: Leaves of a tree.
        least_rows: Fewest candidates in a leaf.
        columns: Share of the features that a tree sees.
        rows: Share of the queries that a tree sees.
        ridge: L2 penalty of the leaves.
        truncation: Places from the top that pairs must reach to count.
        negatives: Most candidates of a query that are kept for training, the true ones first.
        per_source: Candidates of each source; with sampled candidates all of these are ranked.
        blend: Penalty of a linear blend that the trees start from; 0 for none.
        bags: Rankers that are averaged, each with a seed of its own.
        stages: Most earlier stages that label it, the latest ones.
        most_doubt: Share of resamples of the validation's people in which it may be no better than the best source
            alone and yet be used; 1: a better mean is enough. ``docs/evaluation.md`` says what a stricter one costs.
        seed: Seed of the samples and trees.
        threads: Threads.
    """

    rounds: int = 400
    patience: int = 40
    learning_rate: float = 0.06
    leaves: int = 31
    least_rows: int = 100
    columns: float = 0.6
    rows: float = 0.8
    ridge: float = 10.0
    truncation: int = 20
    negatives: int = 100
    per_source: int = 100
    blend: float = 10.0
    bags: int = 1
    stages: int = 2
    most_doubt: float = 1.0
    seed: int = 7
    threads: int = 2

    space: ClassVar[Mapping[str, tuple[float, ...]]] = {
        "learning_rate": (0.02, 0.04, 0.06, 0.1),
        "leaves": (7, 15, 31, 63),
        "least_rows": (30, 100, 300),
        "columns": (0.3, 0.6, 0.9),
        "ridge": (1.0, 10.0, 100.0),
        "truncation": (10, 20, 50),
        "negatives": (50, 100, 200),
        "blend": (0.0, 1.0, 10.0, 100.0),
        "stages": (1, 2),
    }
    """Values of each setting that a search may try; those of ``per_source`` and ``bags`` it tries apart."""


@dataclass(frozen=True)
class Examples:
    """Labelled candidates of queries that have a true one among them.

    Attributes:
        values: Candidates × features.
        label: 1 for true items.
        sizes: Candidates of each query.
        domain: Target domain of each query.
    """

    values: Values
    label: Any
    sizes: Ints
    domain: Ints

    @classmethod
    def joined(cls, parts: Sequence[Examples]) -> Examples:
        """All of some examples."""
        return cls(
            np.concatenate([part.values for part in parts]),
            np.concatenate([part.label for part in parts]),
            np.concatenate([part.sizes for part in parts]),
            np.concatenate([part.domain for part in parts]),
        )

    def where(self, keep: Bools) -> Examples:
        """The queries that are kept."""
        rows = np.repeat(keep, self.sizes)
        return Examples(self.values[rows], self.label[rows], self.sizes[keep], self.domain[keep])


@dataclass(frozen=True)
class Ranker:
    """Trees on top of a blend, averaged over bags.

    Attributes:
        blend: What the trees start from; None for zero.
        boosters: LightGBM boosters of ``rounds`` trees.
        rounds: Trees of each; 0 where the blend alone is best.
    """

    blend: Blend | None
    boosters: tuple[Any, ...]
    rounds: int

    def score(self, values: Values, domain: int) -> Values:
        """One score a candidate; higher is better. Works in one thread: blocks of people lie side by side."""
        total = np.zeros(len(values)) if self.blend is None else self.blend.score(values, domain).astype(np.float64)
        for booster in self.boosters:
            trees = booster.predict(values, num_iteration=self.rounds, num_threads=1) if self.rounds else 0
            total += trees / len(self.boosters)
        return total.astype(np.float32)


def examples(features: Features, queries: Queries, settings: RankerSettings) -> Examples:
    """Examples of some queries; negatives are thinned at random."""

    def work(numbered: tuple[int, slice]) -> Examples:
        number, rows = numbered
        rng = np.random.default_rng([settings.seed, queries.domain, number])
        found = features.block(queries, rows, thin=partial(_thinned, most=settings.negatives, rng=rng))
        sizes = np.diff(found.indptr)
        sizes = sizes[sizes > 0]
        return Examples(found.values, found.label, sizes, np.full(len(sizes), queries.domain))

    numbered = enumerate(blocks(len(queries), _width(queries)))
    return Examples.joined(side_by_side(work, numbered, settings.threads))


def candidates(features: Features, queries: Queries, *, threads: int) -> Candidates:
    """All candidates of some queries."""
    parts = side_by_side(lambda rows: features.block(queries, rows), blocks(len(queries), _width(queries)), threads)
    ends = np.cumsum([0, *(part.indptr[-1] for part in parts)])
    return Candidates(
        np.concatenate([[0], *(part.indptr[1:] + end for part, end in zip(parts, ends[:-1], strict=True))]),
        np.concatenate([part.item for part in parts]),
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.label for part in parts]),
    )


def labelled(found: Candidates, domain: int) -> Examples:
    """The candidates of queries with a true one as examples."""
    sizes = np.diff(found.indptr)
    row = np.repeat(np.arange(len(sizes)), sizes)
    useful = np.bincount(row[found.label > 0], minlength=len(sizes)) > 0
    keep = useful[row]
    return Examples(found.values[keep], found.label[keep], sizes[useful], np.full(int(useful.sum()), domain))


def thinned(one: Examples, settings: RankerSettings) -> Examples:
    """Fewer negatives of each query, at random."""
    row = np.repeat(np.arange(len(one.sizes)), one.sizes)
    keep = _thinned(row, one.label, most=settings.negatives, rng=np.random.default_rng(settings.seed))
    return Examples(one.values[keep], one.label[keep], np.bincount(row[keep], minlength=len(one.sizes)), one.domain)


def train(
    learn: Examples, watch: Examples | None, names: Sequence[str], settings: RankerSettings, rounds: int | None = None
) -> Ranker:
    """Fits the blend, then trees on what it leaves.

    Args:
        learn: What is learned from.
        watch: Where the number of trees is chosen, at most ``settings.rounds``; None: ``rounds`` trees are grown.
        names: Names of the features.
        settings: Settings.
        rounds: Trees without ``watch``; 0 for the blend alone.

    Raises:
        InputError: There is nothing to learn from, or nothing to watch.
    """
    if not len(learn.label) or (watch is not None and not len(watch.label)):
        raise InputError(
            "no true item of the validation is among the candidates, so that nothing can be learned: people met only "
            "items that nobody met before, or too few people are left; give more events, or other days or shares"
        )
    with threadpool_limits(limits=1, user_api="blas"):
        blend = _fitted_blend(learn, names, settings) if settings.blend else None
        data = _dataset(learn, blend, names)
    seeds = range(settings.seed, settings.seed + settings.bags)
    boosters: list[Any] = []
    if watch is not None:
        held = _dataset(watch, blend, names, reference=data)
        boosters = [_grown(data, settings, settings.rounds, held=held)]
        rounds = boosters[0].best_iteration
        if blend is not None and not _helps(boosters[0], blend, watch, settings):
            return Ranker(blend, (), 0)
    elif rounds is None:
        rounds = settings.rounds
    if rounds:
        boosters += [_grown(data, replace(settings, seed=seed), rounds) for seed in seeds[len(boosters) :]]
    return Ranker(blend, tuple(boosters), int(rounds or 0))


def _fitted_blend(learn: Examples, names: Sequence[str], settings: RankerSettings) -> Blend:
    columns = blended(names)
    parts = {int(domain): learn.where(learn.domain == domain) for domain in np.unique(learn.domain)}
    return Blend(
        columns,
        {
            domain: fit_linear(part.values[:, columns], part.label, part.sizes, ridge=settings.blend)
            for domain, part in parts.items()
        },
    )


def _helps(booster: Any, blend: Blend, watch: Examples, settings: RankerSettings) -> bool:
    """Whether the trees rank what is watched better than the blend they start from."""
    start = _start(watch, blend)
    trees = booster.predict(watch.values, num_iteration=booster.best_iteration, num_threads=settings.threads)
    return _gain(watch, start + trees) > _gain(watch, start)


def _gain(watch: Examples, score: Any) -> float:
    """Sum over the queries of ``1 / log2(1 + rank)`` of the true candidates within ten."""
    ranks = _ranks_of_true(np.concatenate(([0], np.cumsum(watch.sizes))), watch.label, score)
    return float((1 / np.log2(1 + ranks[ranks <= 10])).sum())


def _grown(data: Any, settings: RankerSettings, rounds: int, *, held: Any = None) -> Any:
    import lightgbm as lgb

    threads = settings.threads if len(data.data) >= _MANY_ROWS else 1
    options = {
        "objective": "lambdarank", "metric": "ndcg", "eval_at": [10], "learning_rate": settings.learning_rate,
        "num_leaves": settings.leaves, "min_data_in_leaf": settings.least_rows, "lambda_l2": settings.ridge,
        "feature_fraction": settings.columns, "bagging_fraction": settings.rows, "bagging_freq": 1,
        "bagging_by_query": True, "lambdarank_truncation_level": settings.truncation, "deterministic": True,
        "force_row_wise": True, "seed": settings.seed, "num_threads": threads, "verbosity": -1,
        "max_bin": 127, "feature_pre_filter": False,
    }  # fmt: skip
    if held is None:
        return lgb.train(options, data, rounds)
    stop = lgb.early_stopping(settings.patience, verbose=False)
    return lgb.train(options, data, rounds, valid_sets=[held], callbacks=[stop])


def _dataset(one: Examples, blend: Blend | None, names: Sequence[str], *, reference: Any = None) -> Any:
    import lightgbm as lgb

    start = None if blend is None else _start(one, blend)
    return lgb.Dataset(
        one.values, one.label, group=one.sizes, feature_name=list(names), init_score=start, reference=reference,
        free_raw_data=False,
    )  # fmt: skip


def _start(one: Examples, blend: Blend) -> Floats:
    out = np.zeros(len(one.label))
    domain = np.repeat(one.domain, one.sizes)
    for number in np.unique(one.domain):
        here = domain == number
        out[here] = blend.score(one.values[here], int(number))
    return out


def rank_candidates(ranker: Ranker, features: Features, queries: Queries, *, threads: int = 2) -> Ranking:
    """Ranks each query's candidates; what is no candidate is not ranked."""

    def work(rows: slice) -> Ranking:
        return rank_found(ranker, features.block(queries, rows), queries.take(np.arange(len(queries))[rows]))

    found = side_by_side(work, blocks(len(queries), _width(queries)), threads)
    return Ranking(
        queries, np.concatenate([part.rank for part in found]), np.concatenate([part.lists for part in found])
    )


def rank_found(ranker: Ranker, found: Candidates, queries: Queries) -> Ranking:
    """Ranks candidates that were found before; in one thread."""
    score = ranker.score(found.values, queries.domain)
    truth = queries.truth
    rank, first = ranked(found.indptr, found.item, score, truth.indptr, truth.indices, LIST_LENGTH)
    return Ranking(queries, rank, first)


@compiled
def _ranks_of_true(indptr: Any, label: Any, score: Any) -> Any:
    """Expected rank of each true candidate in its query."""
    out = np.empty(np.sum(label > 0), dtype=np.float64)
    filled = 0
    for row in range(len(indptr) - 1):
        for at in range(indptr[row], indptr[row + 1]):
            if label[at] > 0:
                greater, equal = 0, 0
                for other in range(indptr[row], indptr[row + 1]):
                    if score[other] > score[at]:
                        greater += 1
                    elif score[other] == score[at]:
                        equal += 1
                out[filled] = 1 + greater + 0.5 * (equal - 1)
                filled += 1
    return out


@compiled
def ranked(indptr: Any, item: Any, score: Any, truth_ptr: Any, truth: Any, length: int) -> Any:
    """Expected ranks of the true items (inf if no candidate), and the first items, ties to the smaller item."""
    ranks = np.full(len(truth), np.inf)
    lists = np.full((len(indptr) - 1, length), -1, dtype=np.int32)
    value = np.empty(length, dtype=score.dtype)
    for row in range(len(indptr) - 1):
        begin, end = indptr[row], indptr[row + 1]
        filled = 0
        for at in range(begin, end):
            if filled == length and score[at] <= value[length - 1]:
                continue
            place = filled if filled < length else length - 1
            while place > 0 and value[place - 1] < score[at]:
                value[place], lists[row, place] = value[place - 1], lists[row, place - 1]
                place -= 1
            value[place], lists[row, place] = score[at], item[at]
            filled = min(filled + 1, length)
        for wanted in range(truth_ptr[row], truth_ptr[row + 1]):
            at = begin + np.searchsorted(item[begin:end], truth[wanted])
            if at < end and item[at] == truth[wanted]:
                greater, equal = 0, 0
                for other in range(begin, end):
                    if score[other] > score[at]:
                        greater += 1
                    elif score[other] == score[at]:
                        equal += 1
                ranks[wanted] = 1 + greater + 0.5 * (equal - 1)
    return ranks, lists


def _width(queries: Queries) -> int:
    """Columns by which blocks are sized: a block of scores of every source is held at once."""
    return int(queries.truth.shape[1]) // 2


def _thinned(row: Ints, label: Any, *, most: int, rng: np.random.Generator) -> Bools:
    """Candidates of queries with a true one: all that are true, and at most so many of the others, at random."""
    true = label > 0
    useful = np.bincount(row[true], minlength=int(row.max(initial=-1)) + 1) > 0
    draw = np.where(true, -1, rng.random(len(row)))
    order = np.lexsort((draw, row))
    place = np.empty(len(row), dtype=np.int64)
    place[order] = np.arange(len(row)) - np.searchsorted(row, row)
    kept: Bools = useful[row] & ((place < most) | true)
    return kept
