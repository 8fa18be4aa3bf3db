"""How alike two items are: a blend of word, spelling, topic and behaviour similarity, for the strongest pairs.

A *pool* keeps for each item and each domain somewhat more neighbours than are served. With the floor below
which a pool knows nothing, the day after can be merged into it exactly: only items that are new or changed are
looked at by everybody, and only items whose pool ran low look at everything again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from scipy import sparse

from crossdomain.content.features import Features, Ints
from crossdomain.content.item_rows import rows_of_items
from crossdomain.content.neighbours import COMPONENTS, SCALE, nearest, score_pairs, to_micros
from crossdomain.content.pools import (
    Kept,
    Lists,
    Numbers,
    above_floor,
    listed,
    merge,
    ranks,
    replaced,
    served_ranks,
    side_by_side,
)

Bools = npt.NDArray[np.bool_]

_PAIR = [
    ("domain", pa.string()),
    ("item_id", pa.string()),
    ("other_domain", pa.string()),
    ("other_item_id", pa.string()),
]
_SCORES = [("similarity", pa.float64()), *((name, pa.float64()) for name in COMPONENTS)]
SIMILAR_SCHEMA = pa.schema([*_PAIR[:3], ("rank", pa.int32()), _PAIR[3], *_SCORES])
STATE_SCHEMA = pa.schema(
    [
        *_PAIR[:3],
        ("features", pa.string()),
        ("candidate", pa.bool_()),
        ("floor", pa.float64()),
        ("model_version", pa.string()),
    ]
)

POOL_SCHEMA = pa.schema(
    [
        ("item", pa.int32()),
        ("side", pa.int8()),
        ("rank", pa.int32()),
        ("other", pa.int32()),
        *((name, pa.int32()) for name in ("similarity", *COMPONENTS)),
    ]
)

_SLACK = 8
"""More neighbours than wanted are taken from the search, which holds posting lists in single precision, and cut
after they were scored in double precision."""
_ERROR = 2e-6
"""How far the search's similarity may be off: two units of the last digit."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """How neighbours are looked for.

    Attributes:
        weights: Weight of each of ``COMPONENTS``, adding up to 1.
        learned: Weights by (domain, other domain) that are in force there instead.
        neighbours: Neighbours of an item and a domain that are served.
        reserve: Further ones in the pool, to be used up as others go.
        least: Weaker pairs do not count.
        threads: Threads; without influence on the result.
    """

    weights: tuple[float, ...]
    learned: Mapping[tuple[str, str], tuple[float, ...]] = field(default_factory=dict)
    neighbours: int = 50
    reserve: int = 14
    least: float = 0.02
    threads: int = 2

    def of(self, domain: str, other: str) -> Search:
        """The search of a direction: its own weights count."""
        return replace(self, weights=self.learned.get((domain, other), self.weights))

    @property
    def size(self) -> int:
        """Most entries of a pool, the item's own group included."""
        return self.neighbours + self.reserve

    @property
    def needed(self) -> int:
        """Entries that a pool must know for sure: those served, and one that may be the item's own twin."""
        return self.neighbours + 1


@dataclass(frozen=True)
class Pool:
    """Neighbours of all items, by item, other domain, rank.

    Attributes:
        data: Features of the items.
        counts: Neighbours of each item and other domain, in their order.
        other: Row of each neighbour.
        micros: (1 + components, pairs): blend and parts in units of the last digit.
        state: ``STATE_SCHEMA``, one row per item and other domain, in their order. ``floor``: every pair above
            it is in the pool; 0 where every pair that counts is.
        asked: Items that looked at everything, over all other domains.
    """

    data: Features
    counts: Ints
    other: Numbers
    micros: Numbers
    state: pa.Table
    asked: int

    @property
    def item(self) -> Numbers:
        """Row of each pair's item."""
        sides = max(1, len(self.counts) // max(1, len(self.data)))
        return np.repeat((np.arange(len(self.counts)) // sides).astype(np.int32), self.counts)

    @property
    def rank(self) -> Numbers:
        """Place among the neighbours of the item in the other's domain, from 1: the strongest first, ties by id."""
        return ranks(self.counts)

    def table(self) -> pa.Table:
        """The pairs as ``POOL_SCHEMA``: for the day after."""
        sides = np.arange(len(self.counts)) % max(1, len(self.counts) // max(1, len(self.data)))
        columns = [self.item, np.repeat(sides.astype(np.int8), self.counts), self.rank, self.other, *self.micros]
        return pa.table([pa.array(column) for column in columns], schema=POOL_SCHEMA)


def blend_weights(**weights: float) -> tuple[float, ...]:
    """Weights of the blend in the order of ``COMPONENTS``, made to add up to 1; what is not named counts nothing.

    Raises:
        ValueError: A weight is negative, or all are zero.
    """
    values = [weights.get(name, 0.0) for name in COMPONENTS]
    if min(values) < 0 or sum(values) <= 0:
        raise ValueError(f"weights of the blend must not be negative, and one must be positive: {weights}")
    return tuple(value / sum(values) for value in values)


def find_pool(
    data: Features,
    *,
    domains: Sequence[str],
    prints: npt.NDArray[np.object_],
    candidate: Bools,
    search: Search,
    version: str,
    previous: tuple[pa.Table, pa.Table] | None = None,
    behaviour: sparse.csr_matrix | None = None,
) -> Pool:
    """The pool of a day, merged from that of the day before where there is one.

    The result is the one that a search without ``previous`` serves, whatever ``previous`` is.

    Args:
        data: Features of all items.
        domains: Domains in their order.
        prints: For each item a text that changes when its features do.
        candidate: Whether the item may be an answer; others only ask.
        search: How.
        version: Of everything else that scores depend on; rows of ``previous`` of another one do not count.
        previous: The day before's ``Pool.table()`` and ``Pool.state``.
        behaviour: (items, items) co-behaviour of pairs.
    """
    candidate = candidate & data.described()
    sides = sorted(domains)
    before = _Before.of(data, prints, version, previous, sides)
    of_domain, asked = [], 0
    for domain in sides:
        rows, lists = data.rows_of(domain), []
        for side, other in enumerate(sides):
            others = np.flatnonzero(candidate & (data.domains == other))
            known = before.direction(rows, side)
            direction, count = _direction(data, rows, others, known, search.of(domain, other), behaviour)
            asked += count
            lists.append(direction)
        of_domain.append(lists)
    del before, known
    # Rows of a domain lie together, and the sides of a row.
    pairs = sum(len(found.other) for lists in of_domain for found in lists)
    other_item = np.empty(pairs, dtype=np.int32)
    micros = np.empty((1 + len(COMPONENTS), pairs), dtype=np.int32)
    counts, floors, at = [], [], 0
    for lists in of_domain:
        counts.append(side_by_side(lists, other_item, micros, at))
        floors.append(np.stack([found.floor for found in lists], axis=1).ravel())
        at += int(counts[-1].sum())
        lists.clear()
    state = _state_table(data, sides, prints, candidate, np.concatenate(floors), version)
    return Pool(data, np.concatenate(counts), other_item, micros, state, asked)


def similar_items(pool: Pool, groups: npt.NDArray[np.object_], *, neighbours: int) -> pa.Table:
    """What is served of a pool: the strongest others of each item and domain, none of the item's own group.

    Args:
        pool: The pool.
        groups: Group of each item; one that has no twin is a group of its own.
        neighbours: Most for an item and a domain.

    Returns:
        ``SIMILAR_SCHEMA`` (texts as dictionaries) by domain, item id, other domain, rank (1 = most similar, without
        gaps).
    """
    group = pd.factorize(groups)[0].astype(np.int32)
    rank = served_ranks(pool.counts, pool.item, pool.other, group, neighbours)
    kept = np.flatnonzero(rank)
    named = [pa.array(values, pa.string()).dictionary_encode() for values in (pool.data.domains, pool.data.item_ids)]
    item, other = pa.array(pool.item[kept]), pa.array(pool.other[kept])
    columns = [named[0].take(item), named[1].take(item), named[0].take(other)]
    columns += [pa.array(rank[kept]), named[1].take(other)]
    columns += [pa.array(pool.micros[part][kept] / SCALE) for part in range(1 + len(COMPONENTS))]
    return pa.table(columns, names=SIMILAR_SCHEMA.names)


@dataclass(frozen=True)
class _Known:
    """What the day before knows of a direction.

    Attributes:
        same: For each row that asks, whether its pool counts.
        floor: Floors of those pools, else 0.
        fresh: For each item, whether it was no candidate then, or another one than today.
        kept: The neighbours.
    """

    same: Bools
    floor: Numbers
    fresh: Bools
    kept: Kept


@dataclass(frozen=True)
class _Before:
    """The day before in today's rows.

    Attributes:
        number: For each row of today the item's number on the day before, -1 for what is new or changed.
        floor: (numbers, sides) floors.
        answers: For each number today's row of an unchanged item that was a candidate, else -1.
        start: Where the neighbours of each number and side begin, and the end of all.
        other: Number of each neighbour.
        micros: Columns of the scores.
    """

    number: Ints
    floor: Numbers
    answers: Numbers
    start: Ints
    other: Numbers
    micros: list[Numbers]

    @classmethod
    def of(
        cls,
        data: Features,
        prints: npt.NDArray[np.object_],
        version: str,
        previous: tuple[pa.Table, pa.Table] | None,
        sides: Sequence[str],
    ) -> _Before:
        pairs, state = previous or (POOL_SCHEMA.empty_table(), STATE_SCHEMA.empty_table())
        state = state.sort_by([(name, "ascending") for name in ("domain", "item_id", "other_domain")])
        if state["other_domain"].to_pylist() != list(sides) * (len(state) // len(sides)):
            # Another set of domains: nothing of it can be used.
            pairs, state = POOL_SCHEMA.empty_table(), STATE_SCHEMA.empty_table()
        items = state.take(pa.array(np.arange(0, len(state), len(sides))))
        facts = {
            name: items[name].to_numpy(zero_copy_only=False) for name in ("model_version", "features", "candidate")
        }
        row = rows_of_items(data.domains, data.item_ids, items, ("domain", "item_id"))
        same = (row >= 0) & (facts["model_version"] == version)
        same[same] = facts["features"][same] == prints[row[same]]
        number = np.full(len(data), -1, dtype=np.int64)
        number[row[same]] = np.flatnonzero(same)
        answers = np.where(same & facts["candidate"].astype(np.bool_), row, -1).astype(np.int32)
        columns = [_numbers(pairs, name) for name in POOL_SCHEMA.names]
        key = columns[0].astype(np.int64) * len(sides) + columns[1]
        assert (np.diff(key) >= 0).all(), "pairs lie by item, other domain and rank"
        start = np.zeros(len(items) * len(sides) + 1, dtype=np.int64)
        np.cumsum(np.bincount(key, minlength=len(items) * len(sides)), out=start[1:])
        floor = to_micros(state["floor"].to_numpy()).reshape(-1, len(sides))
        return cls(number, floor, answers, start, columns[3], columns[4:])

    def direction(self, rows: Ints, side: int) -> _Known:
        number = self.number[rows]
        same = number >= 0
        begin, end = (np.zeros(len(rows), dtype=np.int64) for _ in range(2))
        place = number[same] * self.floor.shape[1] + side
        begin[same], end[same] = self.start[place], self.start[place + 1]
        floor = np.zeros(len(rows), dtype=np.int32)
        floor[same] = self.floor[number[same], side]
        fresh = np.ones(len(self.number), dtype=np.bool_)
        fresh[self.answers[self.answers >= 0]] = False
        return _Known(same, floor, fresh, Kept(begin, end, self.other, self.micros, self.answers))


def _numbers(table: pa.Table, name: str) -> Numbers:
    return np.asarray(table[name].combine_chunks().to_numpy(zero_copy_only=False))


def _direction(
    data: Features, rows: Ints, others: Ints, known: _Known, search: Search, behaviour: sparse.csr_matrix | None
) -> tuple[Lists, int]:
    """Pool of one direction, and how many rows looked at everything."""
    asking = data.described()[rows]
    merged = _merged(data, rows, asking & known.same, others, known, search, behaviour)
    again = asking & (~known.same | ((merged.floor > 0) & (above_floor(merged) < search.needed)))
    anew = _searched(data, rows[again], others, search, behaviour)
    return replaced(merged, again, anew), int(again.sum())


def _merged(
    data: Features,
    rows: Ints,
    old: Bools,
    others: Ints,
    known: _Known,
    search: Search,
    behaviour: sparse.csr_matrix | None,
) -> Lists:
    """Pools of unchanged rows (``old``): what stays of the day before, and the fresh others that reach its floor."""
    asked, fresh = np.flatnonzero(old), others[known.fresh[others]]
    least = np.maximum(known.floor[old], to_micros(search.least))
    found = nearest(
        data, rows[old], fresh, weights=search.weights, count=search.size + _SLACK, least=least / SCALE - _ERROR,
        behaviour=behaviour, threads=search.threads,
    )  # fmt: skip
    item, other = rows[asked[found.row]], fresh[found.other]
    scores = score_pairs(data, item, other, weights=search.weights, behaviour=behaviour, threads=search.threads)
    reaches = np.flatnonzero(scores.micros[:, 0] >= least[found.row])
    arrived = listed(asked[found.row[reaches]], other[reaches], scores.micros[reaches], len(rows), search.size)
    may_stay = np.zeros(len(data) + 1, dtype=np.bool_)  # the last place is -1's
    may_stay[others] = True
    now = np.where(may_stay[known.kept.now], known.kept.now, -1).astype(np.int32)
    return merge(replace(known.kept, now=now), arrived, known.floor, search.size)


def _searched(data: Features, rows: Ints, others: Ints, search: Search, behaviour: sparse.csr_matrix | None) -> Lists:
    """Pools of rows that look at everything."""
    found = nearest(
        data, rows, others, weights=search.weights, count=search.size + _SLACK, least=search.least - _ERROR,
        behaviour=behaviour, threads=search.threads,
    )  # fmt: skip
    item, other = rows[found.row], others[found.other]
    scores = score_pairs(data, item, other, weights=search.weights, behaviour=behaviour, threads=search.threads)
    counts = np.flatnonzero(scores.micros[:, 0] >= to_micros(search.least))
    return listed(found.row[counts], other[counts], scores.micros[counts], len(rows), search.size)


def _state_table(
    data: Features,
    sides: Sequence[str],
    prints: npt.NDArray[np.object_],
    candidate: Bools,
    floor: Numbers,
    version: str,
) -> pa.Table:
    """``STATE_SCHEMA``, every item once for each side."""
    rows = np.repeat(np.arange(len(data)), len(sides))
    columns = {
        "domain": data.domains[rows],
        "item_id": data.item_ids[rows],
        "other_domain": np.tile(np.array(sides, dtype=object), len(data)),
        "features": prints[rows],
        "candidate": candidate[rows],
        "floor": floor / SCALE,
        "model_version": pa.repeat(version, len(rows)),
    }
    return pa.table({name: pa.array(values) for name, values in columns.items()}).cast(STATE_SCHEMA)
