"""Lists of neighbours: cut and merged as sorting would, copied side by side, ranked."""

from __future__ import annotations

import numpy as np
import pytest

from crossdomain.content.pools import (
    Kept,
    Lists,
    above_floor,
    listed,
    merge,
    ranks,
    replaced,
    served_ranks,
    side_by_side,
)

PARTS = 6


def random_pairs(rows: int, others: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row, other and scores of pairs, none twice; the blend has many ties."""
    rng = np.random.default_rng(seed)
    pairs = [(row, other) for row in range(rows) for other in others if rng.random() < 0.4]
    row, other = (np.array(side, dtype=np.int64) for side in zip(*pairs, strict=True))
    micros = rng.integers(1, 9, size=(len(pairs), PARTS)).astype(np.int32)
    return row, other, micros


def as_rows(lists: Lists) -> list[list[tuple[int, ...]]]:
    return [
        [(int(lists.other[at]), *lists.micros[:, at].tolist()) for at in range(start, end)]
        for start, end in zip(lists.start[:-1], lists.start[1:], strict=True)
    ]


def strongest(pairs: list[tuple[int, ...]], size: int) -> list[tuple[int, ...]]:
    return sorted(pairs, key=lambda pair: (-pair[1], pair[0]))[:size]


def test_the_strongest_of_each_row_with_floors() -> None:
    row, other, micros = random_pairs(20, np.arange(30), 1)
    found = listed(row, other, micros, 20, 5)
    for number, mine in enumerate(as_rows(found)):
        pairs = [(int(o), *m.tolist()) for r, o, m in zip(row, other, micros, strict=True) if r == number]
        assert mine == strongest(pairs, 5)
        assert found.floor[number] == (mine[-1][1] if len(pairs) > 5 else 0)
    above = above_floor(found)
    assert above.tolist() == [sum(one[1] > floor for one in mine) for mine, floor in
                              zip(as_rows(found), found.floor, strict=True)]  # fmt: skip


def test_a_merge_is_what_sorting_all_of_it_gives() -> None:
    # Numbers of the day before 0 … 29; every third item is gone, and the others moved by ten.
    now = np.array([-1 if number % 3 == 0 else number + 10 for number in range(30)], dtype=np.int32)
    before = listed(*random_pairs(20, np.arange(30), 2), 20, 6)
    fresh = listed(*random_pairs(20, np.arange(50, 60), 3), 20, 6)
    floor = np.arange(20, dtype=np.int32) % 3
    kept = Kept(before.start[:-1], before.start[1:], before.other, list(before.micros), now)
    found = merge(kept, fresh, floor, 6)
    for number, (mine, old, new) in enumerate(zip(*map(as_rows, (found, before, fresh)), strict=True)):
        pairs = [(int(now[pair[0]]), *pair[1:]) for pair in old if now[pair[0]] >= 0] + new
        assert mine == strongest(pairs, 6)
        assert found.floor[number] == (mine[-1][1] if len(pairs) > 6 else floor[number])


def test_rows_are_replaced_and_sides_lie_beside_each_other() -> None:
    lists = [listed(*random_pairs(10, np.arange(12), seed), 10, 4) for seed in (4, 5)]
    which = np.arange(10) % 4 == 1
    anew = listed(*random_pairs(int(which.sum()), np.arange(12), 6), int(which.sum()), 4)
    found = replaced(lists[0], which, anew)
    expected, other_rows = as_rows(lists[0]), iter(as_rows(anew))
    assert as_rows(found) == [next(other_rows) if new else old for new, old in zip(which, expected, strict=True)]
    size = sum(len(one.other) for one in lists)
    other, micros = np.zeros(size, dtype=np.int32), np.zeros((PARTS, size), dtype=np.int32)
    counts = side_by_side(lists, other, micros, 0)
    joined = [pair for sides in zip(*map(as_rows, lists), strict=True) for side in sides for pair in side]
    assert [(int(o), *m.tolist()) for o, m in zip(other, micros.T, strict=True)] == joined
    assert counts.tolist() == [len(side) for sides in zip(*map(as_rows, lists), strict=True) for side in sides]


def test_ranks_pass_over_the_items_own_group() -> None:
    counts = np.array([3, 0, 2], dtype=np.int64)
    assert ranks(counts).tolist() == [1, 2, 3, 1, 2]
    item, other = np.array([0, 0, 0, 1, 1], dtype=np.int32), np.array([1, 2, 3, 0, 3], dtype=np.int32)
    group = np.array([7, 7, 8, 9], dtype=np.int32)
    assert served_ranks(counts, item, other, group, 1).tolist() == [0, 1, 0, 0, 1]
    assert served_ranks(counts, item, other, group, 5).tolist() == [0, 1, 2, 0, 1]


@pytest.mark.parametrize("rows", [0, 3])
def test_nothing(rows: int) -> None:
    found = listed(np.zeros(0, int), np.zeros(0, int), np.zeros((0, PARTS), np.int32), rows, 4)
    assert (found.start.tolist(), len(found)) == ([0] * (rows + 1), rows)
