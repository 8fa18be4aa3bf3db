"""What the same people take: co-behaviour of pairs of items, and pairs from which the blend's weights are learned.

Two items are taken together when more people take both than chance explains. With n_i and n_j people who take each
one, n_ij who take both and N people in all, chance gives n_i·n_j/N; what is beyond, by √(n_i·n_j) plus a constant, is
the co-behaviour of the pair: the phi coefficient of rare items (Yule 1912) with few people held down. Between two
domains only people who take something in both count, on each side: others say nothing about the pair.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy import sparse

from crossdomain.content.neighbours import DIGITS

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

TOGETHER_SCHEMA = pa.schema(
    [
        ("by_chance", pa.bool_()),
        ("domain", pa.string()),
        ("item_id", pa.string()),
        ("other_domain", pa.string()),
        ("other_item_id", pa.string()),
        ("behaviour", pa.float64()),
        ("people", pa.int64()),
        ("item_people", pa.int64()),
        ("other_people", pa.int64()),
        ("all_people", pa.int64()),
    ]
)
CHOICES_SCHEMA = pa.schema(
    [
        ("fold", pa.string()),
        ("choice", pa.int64()),
        ("domain", pa.string()),
        ("item_id", pa.string()),
        ("other_domain", pa.string()),
        ("taken_item_id", pa.string()),
        ("passed_item_id", pa.string()),
        ("taken_behaviour", pa.float64()),
        ("passed_behaviour", pa.float64()),
    ]
)
LEARN, CHECK = "learn", "check"
"""Folds: the earlier days' choices, by which weights are learned, and the later days', by which they are checked."""
_BLOCK = 2048
"""Items whose pairs are counted at once."""
_TRIES = 4
"""Earlier items drawn for each item that is taken later, each beside one that was passed over."""


@dataclass(frozen=True)
class Shelf:
    """Items that count, by domain, then id: one of each product.

    Attributes:
        domains: Domain of each item.
        item_ids: Its id.
        products: What it is, for items of two domains that are one product.
    """

    domains: npt.NDArray[np.object_]
    item_ids: npt.NDArray[np.object_]
    products: npt.NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.item_ids)

    def names(self) -> list[str]:
        """Domains in their order."""
        return sorted(set(self.domains))

    def span(self, domain: str) -> slice:
        """Where the items of a domain lie."""
        rows = np.flatnonzero(self.domains == domain)
        return slice(int(rows[0]), int(rows[-1]) + 1) if len(rows) else slice(0, 0)


@dataclass(frozen=True)
class Taken:
    """Who took which item on which day, each of them once a day; by person, day, item.

    Attributes:
        person: Number of the person.
        item: Row of the shelf.
        day: Proleptic ordinal of the business day.
    """

    person: Ints
    item: Ints
    day: Ints

    @classmethod
    def of(cls, rows: pa.Table, shelf: Shelf) -> Self:
        """From columns person, item (row of the shelf) and day (date); any order."""
        person = rows["person"].combine_chunks().dictionary_encode()
        # Numbers by key, not by where a key came first: the order of the rows must not matter.
        place = np.argsort(np.argsort(np.array(person.dictionary.to_pylist(), dtype=object), kind="stable"))
        numbers = place[np.asarray(person.indices)] if len(rows) else np.zeros(0, dtype=np.int64)
        item = rows["item"].to_numpy().astype(np.int64)
        days = rows["day"].cast(pa.int32()).to_numpy().astype(np.int64)
        order = np.lexsort((item, days, numbers))
        assert len(item) == 0 or item.max() < len(shelf)
        return cls(numbers[order], item[order], days[order])

    def __len__(self) -> int:
        return len(self.item)

    def between(self, first: int, last: int) -> Taken:
        """What was taken on days from ``first`` to ``last``, both included."""
        return self._some((self.day >= first) & (self.day <= last))

    def once(self, most: int) -> Taken:
        """Each item of a person once, on its last day, and the ``most`` latest ones of a person (ties: first rows)."""
        order = np.lexsort((-self.day, self.item, self.person))
        person, item = self.person[order], self.item[order]
        new = np.ones(len(order), dtype=np.bool_)
        new[1:] = (person[1:] != person[:-1]) | (item[1:] != item[:-1])
        kept = order[new]
        kept = kept[np.lexsort((self.item[kept], -self.day[kept], self.person[kept]))]
        begins = np.searchsorted(self.person[kept], self.person[kept])
        return self._some(np.sort(kept[np.arange(len(kept)) - begins < most]))

    def shuffled(self, shelf: Shelf, rng: np.random.Generator) -> Taken:
        """The items of each domain in another order: everybody takes as many, and everything is taken as often."""
        item = self.item.copy()
        for domain in shelf.names():
            span = shelf.span(domain)
            mine = np.flatnonzero((item >= span.start) & (item < span.stop))
            item[mine] = item[rng.permutation(mine)]
        return replace(self, item=item)

    def _some(self, which: npt.NDArray[np.bool_] | Ints) -> Taken:
        return Taken(self.person[which], self.item[which], self.day[which])


@dataclass(frozen=True, kw_only=True)
class Rules:
    """When a pair counts as taken together.

    Attributes:
        least_people: People who must have taken both.
        shrink: Constant beside √(n_i·n_j): so many people count as chance.
        most_items: Items of a person that count, the latest.
        most_others: Others kept for an item and a domain, the strongest; a pair stays where one side keeps it.
    """

    least_people: int = 5
    shrink: float = 5.0
    most_items: int = 200
    most_others: int = 100


@dataclass(frozen=True)
class Together:
    """Pairs that are taken together, both directions of each; by first, then second item.

    Attributes:
        first: Row of the shelf.
        second: Row of the other item.
        behaviour: Co-behaviour, 0 to 1.
        people: People who took both.
        first_people: People of the two domains who took the first item.
        second_people: The same of the second one.
        all_people: People who took something in both domains.
    """

    first: Ints
    second: Ints
    behaviour: Floats
    people: Ints
    first_people: Ints
    second_people: Ints
    all_people: Ints

    def __len__(self) -> int:
        return len(self.first)

    def matrix(self, items: int) -> sparse.csr_matrix:
        """Co-behaviour as (items, items)."""
        return sparse.csr_matrix((self.behaviour, (self.first, self.second)), shape=(items, items))

    def table(self, shelf: Shelf, *, by_chance: bool) -> pa.Table:
        """``TOGETHER_SCHEMA``, by the items' domains and ids."""
        columns = {
            "by_chance": pa.repeat(pa.scalar(by_chance), len(self)),
            "domain": pa.array(shelf.domains[self.first], pa.string()),
            "item_id": pa.array(shelf.item_ids[self.first], pa.string()),
            "other_domain": pa.array(shelf.domains[self.second], pa.string()),
            "other_item_id": pa.array(shelf.item_ids[self.second], pa.string()),
            "behaviour": pa.array(self.behaviour),
            "people": pa.array(self.people),
            "item_people": pa.array(self.first_people),
            "other_people": pa.array(self.second_people),
            "all_people": pa.array(self.all_people),
        }
        return pa.table(columns, schema=TOGETHER_SCHEMA)


def taken_together(taken: Taken, shelf: Shelf, rules: Rules) -> Together:
    """Pairs that more people take than chance explains, inside each domain and between them.

    Args:
        taken: What people took.
        shelf: The items.
        rules: When a pair counts.
    """
    once = taken.once(rules.most_items)
    people = int(once.person.max(initial=-1)) + 1
    matrix = sparse.csr_matrix(
        (np.ones(len(once), dtype=np.float32), (once.person, once.item)), shape=(people, len(shelf))
    )
    matrix.sum_duplicates()  # shuffled items may meet a person twice
    matrix.data[:] = 1.0
    parts = []
    names = shelf.names()
    for place, domain in enumerate(names):
        for other in names[place:]:
            parts += list(_pairs(matrix, shelf.span(domain), shelf.span(other), rules))
    columns = [np.concatenate([part[number] for part in parts]) if parts else np.zeros(0) for number in range(7)]
    first, second = columns[0].astype(np.int64), columns[1].astype(np.int64)
    order = np.lexsort((second, first))
    counts = [column[order].astype(np.int64) for column in columns[3:]]
    return Together(first[order], second[order], columns[2][order].astype(np.float64), *counts)


def _pairs(matrix: sparse.csr_matrix, one: slice, two: slice, rules: Rules) -> Iterator[tuple[np.ndarray, ...]]:
    """Both directions of the pairs of two domains: first, second, behaviour, people, of the first, the second, all."""
    sides = [matrix[:, span].tocsr() for span in (one, two)]
    both = np.flatnonzero((np.diff(sides[0].indptr) > 0) & (np.diff(sides[1].indptr) > 0))
    left, right = (side[both] for side in sides)
    counts = [np.bincount(side.indices, minlength=side.shape[1]).astype(np.float64) for side in (left, right)]
    turned, found = left.T.tocsr(), []
    for start in range(0, turned.shape[0], _BLOCK):
        joint = (turned[start : start + _BLOCK] @ right).tocoo()
        enough = joint.data >= rules.least_people
        row, column, people = joint.row[enough] + start, joint.col[enough], joint.data[enough].astype(np.float64)
        if one == two:
            upper = row < column
            row, column, people = row[upper], column[upper], people[upper]
        product = counts[0][row] * counts[1][column]
        beyond = people - product / len(both)
        value = np.round(beyond / (np.sqrt(product) + rules.shrink), DIGITS)
        kept = value > 0
        found.append(np.stack([row[kept], column[kept], value[kept], people[kept]]))
    row, column, value, people = np.concatenate(found, axis=1) if found else np.zeros((4, 0))
    row, column = row.astype(np.int64), column.astype(np.int64)
    if one == two:  # an item's others stand on both sides of the diagonal
        strong = _either(row, column, value, rules.most_others)
    else:
        strong = _strongest(row, column, value, rules.most_others) | _strongest(column, row, value, rules.most_others)
    row, column, value, people = row[strong], column[strong], value[strong], people[strong]
    whole = np.full(len(row), len(both))
    yield row + one.start, column + two.start, value, people, counts[0][row], counts[1][column], whole
    yield column + two.start, row + one.start, value, people, counts[1][column], counts[0][row], whole


def _either(row: Ints, column: Ints, value: Floats, most: int) -> npt.NDArray[np.bool_]:
    """:func:`_strongest` of pairs that are there in one direction only."""
    kept = _strongest(
        np.concatenate([row, column]), np.concatenate([column, row]), np.concatenate([value, value]), most
    )
    either: npt.NDArray[np.bool_] = kept[: len(row)] | kept[len(row) :]
    return either


def _strongest(of: Ints, other: Ints, value: Floats, most: int) -> npt.NDArray[np.bool_]:
    """Whether each pair is among the ``most`` strongest of its item; equal ones by the other."""
    order = np.lexsort((other, -value, of))
    begins = np.searchsorted(of[order], of[order])
    kept = np.zeros(len(of), dtype=np.bool_)
    kept[order[np.arange(len(of)) - begins < most]] = True
    return kept


def choices(
    taken: Taken, shelf: Shelf, rules: Rules, *, fold: str, after: int, days: int, before: int, most: int, seed: int
) -> pa.Table:
    """Who had taken one item and then took a new one, beside an item that they passed over.

    The item passed over is one of the same domain that somebody else took on the same days, drawn as often as it was
    taken: what is popular wins nothing by it. Co-behaviour is that of the days before, of which the person is no
    part: it had not taken the second item.

    Args:
        taken: What people took.
        shelf: The items.
        rules: When a pair counts as taken together.
        fold: Name of these days.
        after: Ordinal of the last day of what was taken before.
        days: Days after it whose new items are looked at.
        before: Days up to ``after`` that count as before.
        most: Most choices of a pair of domains.
        seed: Of the draws.

    Returns:
        ``CHOICES_SCHEMA``; choices are numbered, and nobody stands beside them.
    """
    rng = np.random.default_rng(seed)
    earlier, later = taken.between(after - before + 1, after), taken.between(after + 1, after + days)
    known = taken_together(earlier, shelf, rules).matrix(len(shelf))
    earlier, later = earlier.once(rules.most_items), later.once(rules.most_items)
    met = _keys(taken.between(after - before + 1, after + days), len(shelf))
    new = ~np.isin(_keys(later, len(shelf)), _keys(earlier, len(shelf)))
    later = later._some(new & np.isin(later.person, earlier.person))
    drawn = _drawn(earlier, later, met, shelf, rng)
    first, second, passed = (_fewer(drawn, shelf, most, rng)[:, number] for number in range(3))
    values = [_values(known, first, other) for other in (second, passed)]
    columns = {
        "fold": pa.repeat(fold, len(first)),
        "choice": pa.array(np.arange(len(first))),
        "domain": pa.array(shelf.domains[first], pa.string()),
        "item_id": pa.array(shelf.item_ids[first], pa.string()),
        "other_domain": pa.array(shelf.domains[second], pa.string()),
        "taken_item_id": pa.array(shelf.item_ids[second], pa.string()),
        "passed_item_id": pa.array(shelf.item_ids[passed], pa.string()),
        "taken_behaviour": pa.array(values[0]),
        "passed_behaviour": pa.array(values[1]),
    }
    return pa.table(columns, schema=CHOICES_SCHEMA)


def _values(matrix: sparse.csr_matrix, row: Ints, column: Ints) -> Floats:
    if not len(row):
        return np.zeros(0)
    return np.asarray(matrix[row, column], dtype=np.float64).ravel()


def _keys(taken: Taken, items: int) -> Ints:
    keys: Ints = taken.person * items + taken.item
    return keys


def _drawn(earlier: Taken, later: Taken, met: Ints, shelf: Shelf, rng: np.random.Generator) -> Ints:
    """(choices, 3): an earlier item, the one taken, the one passed over, of all later items and draws."""
    begin = np.searchsorted(earlier.person, later.person)
    count = np.searchsorted(earlier.person, later.person, side="right") - begin
    found = []
    for domain in shelf.names():
        span = shelf.span(domain)
        mine = np.flatnonzero((later.item >= span.start) & (later.item < span.stop))
        if not len(mine):
            continue
        for _ in range(_TRIES):
            first = earlier.item[begin[mine] + (rng.random(len(mine)) * count[mine]).astype(np.int64)]
            passed = later.item[mine][rng.integers(len(mine), size=len(mine))]
            taken = later.item[mine]
            fair = ~np.isin(later.person[mine] * len(shelf) + passed, met) & (passed != first)
            fair &= shelf.products[first] != shelf.products[taken]
            fair &= shelf.products[first] != shelf.products[passed]
            found.append(np.stack([first, taken, passed], axis=1)[fair])
    return np.concatenate(found) if found else np.zeros((0, 3), dtype=np.int64)


def _fewer(drawn: Ints, shelf: Shelf, most: int, rng: np.random.Generator) -> Ints:
    """At most so many choices of each pair of domains, by the items."""
    kept = []
    names = shelf.names()
    for domain in names:
        for other in names:
            mine = np.flatnonzero((shelf.domains[drawn[:, 0]] == domain) & (shelf.domains[drawn[:, 1]] == other))
            kept.append(rng.choice(mine, most, replace=False) if len(mine) > most else mine)
    chosen = drawn[np.concatenate(kept)] if kept else drawn
    return chosen[np.lexsort(chosen.T[::-1])]
