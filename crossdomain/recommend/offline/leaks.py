"""Checks that nothing of the test reaches the training: the usual ways in which it does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crossdomain.recommend.offline.log import Log, Names
from crossdomain.recommend.offline.protocols import Stage

_LEAST_PEOPLE = 10
_EXAMPLES = 5


@dataclass(frozen=True)
class Leak:
    """One kind of leak.

    Attributes:
        kind: ``test_in_training``: a true item of a person is in what the models learned from or know of the person.
            ``future``: interactions or rejections at or after the moment at which somebody is asked about are in the
            training; those of the person, or with a cut in time those of anybody. ``two_domains``: an id that items of
            two domains share. ``two_ids``: items of one domain that the same people met, ten or more, all of them, or
            that have the same title; probably one product.
        count: How many.
        examples: Some of them.
        error: The result cannot be used; else a person should look.
    """

    kind: str
    count: int
    examples: tuple[str, ...]
    error: bool


def find_leaks(stages: Sequence[Stage], items: pa.Table | None = None, *, cut_in_time: bool = False) -> list[Leak]:
    """Leaks of the test stages; an empty list if there are none.

    Args:
        stages: Test stages.
        items: A catalogue, maybe with ``title``.
        cut_in_time: The protocol promises that nobody's later interactions are learned from.
    """
    names = stages[0].train.names
    found = [
        _test_in_training(stages),
        _future(stages, cut_in_time=cut_in_time),
        _two_domains(names),
        _same_people(stages[0].train),
        _same_title(items),
    ]
    return [leak for leak in found if leak.count]


def _test_in_training(stages: Sequence[Stage]) -> Leak:
    pairs = []
    for stage in stages:
        for queries in stage.queries:
            for log in (stage.train, stage.history):
                both = log.seen[queries.user].multiply(queries.truth > 0).tocoo()
                pairs += [
                    f"{_user(log, queries.user[row])} {_item(log, column)}"
                    for row, column in zip(both.row, both.col, strict=True)
                ]
    pairs = sorted(set(pairs))
    return Leak("test_in_training", len(pairs), tuple(pairs[:_EXAMPLES]), error=True)


def _future(stages: Sequence[Stage], *, cut_in_time: bool) -> Leak:
    late: list[str] = []
    for stage in stages:
        log = stage.train
        if not log.timed:
            continue
        for queries in stage.queries:
            moment = np.full(len(log.names.users), np.iinfo(np.int64).max // 2)
            moment[queries.user] = queries.moment
            if cut_in_time:
                moment[:] = queries.moment.min()
            for known in (log, log.rejections):
                if known is not None:
                    rows = np.flatnonzero(known.ts >= moment[known.user] + (0 if cut_in_time else 1))
                    late += [
                        f"{_user(log, known.user[row])} {_item(log, known.item[row])} {known.ts[row]}" for row in rows
                    ]
    late = sorted(set(late))
    return Leak("future", len(late), tuple(late[:_EXAMPLES]), error=True)


def _two_domains(names: Names) -> Leak:
    counted = pc.value_counts(names.item_ids)
    twice = sorted(row["values"] for row in counted.to_pylist() if row["counts"] > 1)
    return Leak("two_domains", len(twice), tuple(twice[:_EXAMPLES]), error=False)


def _same_people(train: Log) -> Leak:
    """Items whose people are the same: equal sums of a random number for each person."""
    counts = train.counts
    draw = np.random.default_rng(0).integers(1, 2**40, len(train.names.users))
    matrix = train.matrix.tocsc()
    sums = np.add.reduceat(np.append(draw[matrix.indices], 0), matrix.indptr[:-1])
    wide = np.flatnonzero(counts >= _LEAST_PEOPLE)
    groups: dict[tuple[int, int], list[int]] = {}
    for item in wide:
        groups.setdefault((int(train.names.item_domain[item]), int(sums[item])), []).append(int(item))
    twins = [" = ".join(_item(train, item) for item in group) for group in groups.values() if len(group) > 1]
    return Leak("two_ids", len(twins), tuple(twins[:_EXAMPLES]), error=False)


def _same_title(items: pa.Table | None) -> Leak:
    if items is None or "title" not in items.column_names:
        return Leak("two_ids", 0, (), error=False)
    titled = items.filter(pc.greater(pc.utf8_length(pc.fill_null(items["title"], "")), 0))
    key = pc.utf8_lower(pc.utf8_trim_whitespace(titled["title"]))
    grouped = titled.set_column(titled.schema.get_field_index("title"), "title", key).group_by(["domain", "title"])
    twice = grouped.aggregate([("item_id", "count")]).filter(pc.field("item_id_count") > 1).sort_by("title")
    return Leak("two_ids", len(twice), tuple(twice["title"].to_pylist()[:_EXAMPLES]), error=False)


def _user(log: Log, user: int) -> str:
    return str(log.names.users[int(user)])


def _item(log: Log, item: int) -> str:
    return f"{log.names.domains[log.names.item_domain[item]]}:{log.names.item_ids[int(item)]}"
