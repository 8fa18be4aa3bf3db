"""What is taken together: an obvious answer, counting one by one as the oracle, chance, and later choices."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import combinations

import numpy as np
import pyarrow as pa
import pytest

from crossdomain.content.together import (
    CHOICES_SCHEMA,
    TOGETHER_SCHEMA,
    Rules,
    Shelf,
    Taken,
    choices,
    taken_together,
)

DAY = date(2026, 1, 5)
EPOCH = date(1970, 1, 1)


def shelf_of(beauty: int, knowledge: int) -> Shelf:
    ids = [("beauty", f"b{n:02}") for n in range(beauty)] + [("knowledge", f"k{n:02}") for n in range(knowledge)]
    domains, items = (np.array(side, dtype=object) for side in zip(*ids, strict=True))
    return Shelf(domains, items, np.array(["|".join(key) for key in ids], dtype=object))


def taken_of(shelf: Shelf, rows: list[tuple[str, int, date]]) -> Taken:
    schema = pa.schema([("person", pa.binary()), ("item", pa.int64()), ("day", pa.date32())])
    content = [{"person": person.encode(), "item": item, "day": day} for person, item, day in rows]
    return Taken.of(pa.Table.from_pylist(content, schema=schema), shelf)


def random_baskets(shelf: Shelf, people: int, seed: int) -> list[tuple[str, int, date]]:
    rng = np.random.default_rng(seed)
    chance = 1.0 / (1 + np.arange(len(shelf)) % 7)
    chance /= chance.sum()
    return sorted(
        {
            (f"p{person:03}", int(item), DAY + timedelta(days=int(rng.integers(14))))
            for person in range(people)
            for item in rng.choice(len(shelf), size=int(rng.integers(0, 9)), p=chance)
        }
    )


def test_the_obvious_answer() -> None:
    shelf = shelf_of(2, 2)
    # Ten people take b00 and k00, ten others b01 and k01.
    rows = [(f"p{n:02}", item, DAY) for n in range(20) for item in ((0, 2) if n < 10 else (1, 3))]
    found = taken_together(taken_of(shelf, rows), shelf, Rules(shrink=0.0)).table(shelf, by_chance=False)
    assert found.schema == TOGETHER_SCHEMA
    pairs = {(row["item_id"], row["other_item_id"]): row for row in found.to_pylist()}
    assert set(pairs) == {("b00", "k00"), ("k00", "b00"), ("b01", "k01"), ("k01", "b01")}
    # Ten took both, chance gives 10 * 10 / 20 = 5: (10 - 5) / 10.
    assert pairs["b00", "k00"]["behaviour"] == 0.5
    assert [pairs["b00", "k00"][name] for name in ("people", "item_people", "other_people", "all_people")] == [
        10, 10, 10, 20,
    ]  # fmt: skip


def test_counting_one_by_one() -> None:
    shelf = shelf_of(6, 5)
    rows = random_baskets(shelf, 120, seed=3)
    rules = Rules(least_people=2, shrink=4.0)
    found = taken_together(taken_of(shelf, rows), shelf, rules)
    baskets: dict[str, set[int]] = {}
    for person, item, _ in rows:
        baskets.setdefault(person, set()).add(item)
    expected = {}
    for a, b in combinations(range(len(shelf)), 2):
        sides = [set(range(6)) if item < 6 else set(range(6, 11)) for item in (a, b)]
        counted = [own for own in baskets.values() if all(own & side for side in sides)]
        n_a, n_b = (sum(item in own for own in counted) for item in (a, b))
        both = sum({a, b} <= own for own in counted)
        if both >= 2 and both > n_a * n_b / len(counted):
            value = (both - n_a * n_b / len(counted)) / (np.sqrt(n_a * n_b) + 4.0)
            expected[a, b] = expected[b, a] = (round(value, 6), both)
    pairs = zip(found.first.tolist(), found.second.tolist(), strict=True)
    got = dict(zip(pairs, zip(found.behaviour.tolist(), found.people.tolist(), strict=True), strict=True))
    assert got.keys() == expected.keys()
    assert len(got) > 20
    for pair, (value, people) in expected.items():
        assert got[pair] == (pytest.approx(value, abs=1e-6), people)
    assert list(zip(found.first, found.second, strict=True)) == sorted(zip(found.first, found.second, strict=True))


def test_only_the_strongest_others_stay_and_both_directions_of_a_pair() -> None:
    shelf = shelf_of(30, 0)
    found = taken_together(
        taken_of(shelf, random_baskets(shelf, 400, seed=4)), shelf, Rules(least_people=1, shrink=1.0, most_others=3)
    )
    pairs = dict(zip(zip(found.first.tolist(), found.second.tolist(), strict=True), found.behaviour, strict=True))
    assert all(pairs[b, a] == value for (a, b), value in pairs.items())
    for item in range(30):
        own = sorted((value for (a, _), value in pairs.items() if a == item), reverse=True)
        assert len(own) >= 3
        kept_by_others = [
            value for (a, b), value in pairs.items()
            if a == item and sorted((v for (c, _), v in pairs.items() if c == b), reverse=True)[2] <= value
        ]  # fmt: skip
        assert len(own) <= 3 + len(kept_by_others)


def test_the_order_of_the_rows_does_not_matter_and_few_items_of_a_person_count() -> None:
    shelf = shelf_of(6, 5)
    rows = random_baskets(shelf, 80, seed=5)
    one, two = (taken_of(shelf, list(order)) for order in (rows, reversed(rows)))
    for name in ("person", "item", "day"):
        assert np.array_equal(getattr(one, name), getattr(two, name))
    latest = one.once(2)
    for person in set(latest.person.tolist()):
        days = one.day[one.person == person]
        mine = latest.day[latest.person == person]
        assert len(mine) <= 2
        assert mine.max() == days.max()


def test_shuffled_baskets_keep_who_takes_how_much_and_what_is_taken_how_often() -> None:
    shelf = shelf_of(6, 5)
    taken = taken_of(shelf, random_baskets(shelf, 200, seed=6))
    mixed = taken.shuffled(shelf, np.random.default_rng(1))
    assert np.array_equal(np.bincount(taken.item), np.bincount(mixed.item))
    assert np.array_equal(taken.person, mixed.person)
    assert not np.array_equal(taken.item, mixed.item)
    assert np.array_equal(taken.item < 6, mixed.item < 6)


def test_a_choice_is_new_to_the_person_and_the_other_was_passed_over() -> None:
    shelf = shelf_of(8, 8)
    rng = np.random.default_rng(7)
    # Two tastes: who takes even items goes on with even ones.
    rows = sorted(
        {
            (f"p{person:03}", int(rng.integers(8)) * 2 + person % 2, DAY + timedelta(days=int(rng.integers(21))))
            for person in range(150)
            for _ in range(8)
        }
    )
    after = (DAY - EPOCH).days + 13
    arguments = {"after": after, "days": 7, "before": 14, "most": 300, "seed": 2}
    taken = taken_of(shelf, rows)
    found = choices(taken, shelf, Rules(least_people=3), fold="learn", **arguments)
    assert found.schema == CHOICES_SCHEMA
    assert found.equals(choices(taken, shelf, Rules(least_people=3), fold="learn", **arguments))
    frame = found.to_pandas()
    assert frame.groupby(["domain", "other_domain"]).size().max() <= 300
    assert len(frame) > 400
    numbers = {name: frame[name].str[1:].astype(int) % 2 for name in ("item_id", "taken_item_id", "passed_item_id")}
    assert (numbers["item_id"] == numbers["taken_item_id"]).all()
    assert (numbers["passed_item_id"] != numbers["taken_item_id"]).mean() > 0.7, "own items are never passed over"
    assert frame["taken_behaviour"].mean() > 3 * frame["passed_behaviour"].mean()


def test_nobody_and_nothing_give_empty_tables() -> None:
    shelf = shelf_of(2, 2)
    nothing = taken_of(shelf, [])
    assert len(taken_together(nothing, shelf, Rules())) == 0
    assert choices(nothing, shelf, Rules(), fold="check", after=5, days=7, before=14, most=9, seed=1).num_rows == 0
    empty = Shelf(*(np.zeros(0, dtype=object) for _ in range(3)))
    assert len(taken_together(taken_of(empty, []), empty, Rules())) == 0
