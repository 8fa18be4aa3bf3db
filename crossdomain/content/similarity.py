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

from crossdomain.content.features import Features, Floats, Ints
from crossdomain.content.item_rows import rows_of_items
from crossdomain.content.neighbours import COMPONENTS, DIGITS, Scores, nearest, score_pairs, to_micros

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
        item: Row of each pair's item.
        other: Row of the other item.
        rank: Place among the neighbours of the item in the other's domain, from 1: the strongest first, equal
            ones by the other's id.
        scores: Similarity of each pair and its parts.
        state: ``STATE_SCHEMA``, one row per item and other domain, in their order. ``floor``: every pair above
            it is in the pool; 0 where every pair that counts is.
        asked: Items that looked at everything, over all other domains.
    """

    data: Features
    item: Ints
    other: Ints
    rank: Ints
    scores: Scores
    state: pa.Table
    asked: int

    def table(self, kept: Ints | None = None, rank: Ints | None = None) -> pa.Table:
        """The pairs, or those that are kept with another rank, as ``SIMILAR_SCHEMA``."""
        chosen = np.arange(len(self.item)) if kept is None else kept
        names = [
            pa.array(values, pa.string()).dictionary_encode() for values in (self.data.domains, self.data.item_ids)
        ]
        item, other = pa.array(self.item[chosen]), pa.array(self.other[chosen])
        columns = [names[0].take(item), names[1].take(item), names[0].take(other)]
        columns += [pa.array(self.rank[chosen] if rank is None else rank, pa.int32()), names[1].take(other)]
        scores = self.scores.take(chosen)
        columns += [pa.array(scores.column(number)) for number in range(1 + len(COMPONENTS))]
        return pa.table(columns, names=SIMILAR_SCHEMA.names)


@dataclass(frozen=True)
class _Found:
    """Pairs of one direction: rows of the features, scores, strongest first within an item; floors of all rows."""

    item: Ints
    other: Ints
    scores: Scores
    floor: Floats


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
    before = _Before.of(data, prints, version, previous)
    found, states, asked = [], [], 0
    for domain in domains:
        # Floors of an item lie together: the other domains are the inner order of every table.
        for other in sorted(domains):
            rows, others = data.rows_of(domain), np.flatnonzero(candidate & (data.domains == other))
            known = before.direction(rows, others, other)
            direction, count = _direction(data, rows, others, known, search.of(domain, other), behaviour)
            asked += count
            found.append(direction)
            states.append(_state_table(data, rows, other, prints, candidate, direction.floor, version))
    item, other_item = (np.concatenate([getattr(one, name) for one in found]) for name in ("item", "other"))
    sides = np.concatenate([np.full(len(one.item), number % len(domains)) for number, one in enumerate(found)])
    # Stable: within an item and a domain the strongest stay first.
    order = np.argsort(item * len(domains) + sides, kind="stable")
    scores = Scores(np.concatenate([one.scores.micros for one in found])[order])
    rank = _ranks(item[order] * len(domains) + sides[order])
    state = pa.concat_tables(states).sort_by([(name, "ascending") for name in ("domain", "item_id", "other_domain")])
    return Pool(data, item[order], other_item[order], rank, scores, state, asked)


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
    codes = pd.factorize(groups)[0]
    kept = np.flatnonzero(codes[pool.item] != codes[pool.other])
    begins = np.cumsum(pool.rank == 1)[kept]
    rank = _ranks(begins)
    return pool.table(kept[rank <= neighbours], rank[rank <= neighbours])


@dataclass(frozen=True)
class _Known:
    """What the day before knows of a direction: rows in today's numbers.

    Attributes:
        same: For each row that asks, whether its pool counts.
        floor: Floors of those pools.
        fresh: For each item, whether it was no candidate then, or another one than today.
        item: Items of the pairs whose two items are unchanged, ascending.
        other: Others of the pairs, within an item by rank.
        scores: Scores of the pairs.
    """

    same: Bools
    floor: Floats
    fresh: Bools
    item: Ints
    other: Ints
    scores: Scores


@dataclass(frozen=True)
class _Before:
    """The day before in today's numbers: pairs (-1 for an item that is gone), and the state of unchanged items."""

    data: Features
    item: Ints
    other: Ints
    scores: Scores
    state: pd.DataFrame

    @classmethod
    def of(
        cls, data: Features, prints: npt.NDArray[np.object_], version: str, previous: tuple[pa.Table, pa.Table] | None
    ) -> _Before:
        pairs, state = previous or (SIMILAR_SCHEMA.empty_table(), STATE_SCHEMA.empty_table())
        found = state.select(["other_domain", "candidate", "floor", "features", "model_version"]).to_pandas()
        found["row"] = rows_of_items(data.domains, data.item_ids, state, ("domain", "item_id"))
        found = found[(found["row"] >= 0) & (found["model_version"] == version)]
        found = found[found["features"].to_numpy() == prints[found["row"].to_numpy(dtype=np.int64)]]
        micros = np.zeros((len(pairs), 1 + len(COMPONENTS)), dtype=np.int32)
        for number, name in enumerate(("similarity", *COMPONENTS)):
            micros[:, number] = to_micros(pairs[name].to_numpy())
        return cls(
            data,
            rows_of_items(data.domains, data.item_ids, pairs, ("domain", "item_id")),
            rows_of_items(data.domains, data.item_ids, pairs, ("other_domain", "other_item_id")),
            Scores(micros),
            found,
        )

    def direction(self, rows: Ints, others: Ints, other_domain: str) -> _Known:
        everything = len(self.data)
        state = self.state[self.state["other_domain"] == other_domain]
        candidate = np.zeros(everything, dtype=np.bool_)
        candidate[self.state.loc[self.state["candidate"], "row"].to_numpy(dtype=np.int64)] = True
        floor = np.full(everything, np.nan)
        floor[state["row"].to_numpy(dtype=np.int64)] = state["floor"].to_numpy()
        asks, answers = (np.zeros(everything + 1, dtype=np.bool_) for _ in range(2))  # the last place is -1's
        asks[rows[~np.isnan(floor[rows])]] = True
        answers[others[candidate[others]]] = True
        mine = np.flatnonzero(asks[self.item] & answers[self.other])
        mine = mine[np.argsort(self.item[mine], kind="stable")]
        return _Known(
            ~np.isnan(floor[rows]), floor[rows], ~candidate, self.item[mine], self.other[mine], self.scores.take(mine)
        )


def _direction(
    data: Features, rows: Ints, others: Ints, known: _Known, search: Search, behaviour: sparse.csr_matrix | None
) -> tuple[_Found, int]:
    """Pool of one direction, and how many rows looked at everything."""
    asking = data.described()[rows]
    merged = _merged(data, rows, asking & known.same, others, known, search, behaviour)
    place = np.searchsorted(rows, merged.item)
    above = merged.scores.micros[:, 0] > to_micros(merged.floor)[place]
    sure = np.bincount(place[above], minlength=len(rows))
    again = asking & (~known.same | ((merged.floor > 0) & (sure < search.needed)))
    anew = _searched(data, rows[again], others, search, behaviour)
    floor = merged.floor
    floor[again] = anew.floor
    kept = np.flatnonzero(~again[place])
    found = _Found(
        np.concatenate([merged.item[kept], anew.item]),
        np.concatenate([merged.other[kept], anew.other]),
        Scores(np.concatenate([merged.scores.micros[kept], anew.scores.micros])),
        floor,
    )
    return found, int(again.sum())


def _merged(
    data: Features,
    rows: Ints,
    old: Bools,
    others: Ints,
    known: _Known,
    search: Search,
    behaviour: sparse.csr_matrix | None,
) -> _Found:
    """Pools of unchanged rows (``old``): what stays of the day before, and the fresh others that reach its floor."""
    floor = np.where(known.same, known.floor, 0.0)
    asking, fresh = rows[old], others[known.fresh[others]]
    least = np.maximum(floor[old], search.least)
    found = nearest(
        data, asking, fresh, weights=search.weights, count=search.size + _SLACK, least=least - _ERROR,
        behaviour=behaviour, threads=search.threads,
    )  # fmt: skip
    item, other = asking[found.row], fresh[found.other]
    scores = score_pairs(data, item, other, weights=search.weights, behaviour=behaviour, threads=search.threads)
    reaches = np.flatnonzero(scores.micros[:, 0] >= to_micros(least)[found.row])
    return _cut(
        np.concatenate([known.item, item[reaches]]),
        np.concatenate([known.other, other[reaches]]),
        Scores(np.concatenate([known.scores.micros, scores.micros[reaches]])),
        rows,
        floor,
        search.size,
    )


def _searched(data: Features, rows: Ints, others: Ints, search: Search, behaviour: sparse.csr_matrix | None) -> _Found:
    """Pools of rows that look at everything."""
    found = nearest(
        data, rows, others, weights=search.weights, count=search.size + _SLACK, least=search.least - _ERROR,
        behaviour=behaviour, threads=search.threads,
    )  # fmt: skip
    item, other = rows[found.row], others[found.other]
    scores = score_pairs(data, item, other, weights=search.weights, behaviour=behaviour, threads=search.threads)
    counts = np.flatnonzero(scores.micros[:, 0] >= to_micros(search.least))
    return _cut(item[counts], other[counts], scores.take(counts), rows, np.zeros(len(rows)), search.size)


def _cut(item: Ints, other: Ints, scores: Scores, rows: Ints, floor: Floats, size: int) -> _Found:
    """The ``size`` strongest of each item; where some are cut off, the last kept is the floor."""
    order = _by_strength(item, other, scores.micros[:, 0])
    rank = _ranks(item[order])
    floor = floor.copy()
    beyond = np.flatnonzero(rank == size + 1)
    floor[np.searchsorted(rows, item[order[beyond]])] = scores.take(order[beyond - 1]).similarity
    kept = order[rank <= size]
    return _Found(item[kept], other[kept], scores.take(kept), floor)


def _by_strength(item: Ints, other: Ints, micros: npt.NDArray[np.int32]) -> Ints:
    """Order by item, the strongest first, equal ones by the other: one key, so that what is in order costs little."""
    steps = 10**DIGITS
    width = int(other.max(initial=0)) + 1
    strength = steps - micros.astype(np.int64)
    order: Ints = np.argsort((item * (steps + 1) + strength) * width + other, kind="stable")
    return order


def _ranks(keys: Ints) -> Ints:
    """Place from 1 of each entry among those of its key; equal keys lie together."""
    if not len(keys):
        return np.zeros(0, dtype=np.int64)
    begins = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    lengths = np.diff(np.append(begins, len(keys)))
    ranks: Ints = np.arange(len(keys)) - np.repeat(begins, lengths) + 1
    return ranks


def _state_table(
    data: Features,
    rows: Ints,
    other: str,
    prints: npt.NDArray[np.object_],
    candidate: Bools,
    floor: Floats,
    version: str,
) -> pa.Table:
    columns = {
        "domain": data.domains[rows],
        "item_id": data.item_ids[rows],
        "other_domain": pa.repeat(other, len(rows)),
        "features": prints[rows],
        "candidate": candidate[rows],
        "floor": floor,
        "model_version": pa.repeat(version, len(rows)),
    }
    return pa.table({name: pa.array(values) for name, values in columns.items()}).cast(STATE_SCHEMA)
