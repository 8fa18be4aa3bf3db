"""A ranker over the candidates' features, labelled with what people met next, shipped only where it wins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from crossdomain.recommend.interactions import Bools, Ints
from crossdomain.recommend.offline.features import Features, Values
from crossdomain.recommend.offline.kernels import compiled
from crossdomain.recommend.offline.protocols import Queries
from crossdomain.recommend.offline.ranking import LIST_LENGTH, Ranking, blocks, side_by_side


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
        negatives: Most candidates that are not true that are kept of a query for training.
        per_source: Candidates of each source; with sampled candidates all of these are ranked.
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
    seed: int = 7
    threads: int = 2


@dataclass(frozen=True)
class Examples:
    """Labelled candidates of queries that have a true one among them."""

    values: Values
    label: Any
    sizes: Ints

    @classmethod
    def joined(cls, parts: Sequence[Examples]) -> Examples:
        """All of some examples."""
        return cls(
            np.concatenate([part.values for part in parts]),
            np.concatenate([part.label for part in parts]),
            np.concatenate([part.sizes for part in parts]),
        )


def examples(features: Features, queries: Queries, settings: RankerSettings) -> Examples:
    """Examples of some queries; negatives are thinned at random."""

    def work(numbered: tuple[int, slice]) -> Examples:
        number, rows = numbered
        rng = np.random.default_rng([settings.seed, queries.domain, number])
        found = features.block(queries, rows, thin=partial(_thinned, most=settings.negatives, rng=rng))
        sizes = np.diff(found.indptr)
        return Examples(found.values, found.label, sizes[sizes > 0])

    numbered = enumerate(blocks(len(queries), _width(queries)))
    return Examples.joined(side_by_side(work, numbered, settings.threads))


def train(learn: Examples, watch: Examples | None, names: Sequence[str], settings: RankerSettings, rounds: int) -> Any:
    """A LightGBM booster; with ``watch`` it stops at the best number of trees, else it grows ``rounds``."""
    import lightgbm as lgb

    options = {
        "objective": "lambdarank", "metric": "ndcg", "eval_at": [10], "learning_rate": settings.learning_rate,
        "num_leaves": settings.leaves, "min_data_in_leaf": settings.least_rows, "lambda_l2": settings.ridge,
        "feature_fraction": settings.columns, "bagging_fraction": settings.rows, "bagging_freq": 1,
        "bagging_by_query": True, "lambdarank_truncation_level": settings.truncation, "deterministic": True,
        "force_row_wise": True, "seed": settings.seed, "num_threads": settings.threads, "verbosity": -1,
        "max_bin": 127, "feature_pre_filter": False,
    }  # fmt: skip
    data = lgb.Dataset(learn.values, learn.label, group=learn.sizes, feature_name=list(names), free_raw_data=False)
    if watch is None:
        return lgb.train(options, data, rounds)
    held = lgb.Dataset(watch.values, watch.label, group=watch.sizes, reference=data, free_raw_data=False)
    stop = lgb.early_stopping(settings.patience, verbose=False)
    return lgb.train(options, data, rounds, valid_sets=[held], callbacks=[stop])


def rank_candidates(booster: Any, features: Features, queries: Queries, *, threads: int = 2) -> Ranking:
    """Ranks each query's candidates by a booster; what is no candidate is not ranked."""

    def work(rows: slice) -> tuple[Any, Any]:
        found = features.block(queries, rows)
        score = booster.predict(found.values, num_threads=1).astype(np.float32)
        truth = queries.truth[rows]
        ranks, lists = ranked(found.indptr, found.item, score, truth.indptr, truth.indices, LIST_LENGTH)
        return ranks, lists

    parts = side_by_side(work, blocks(len(queries), _width(queries)), threads)
    return Ranking(queries, np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts]))


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
