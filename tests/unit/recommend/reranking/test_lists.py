from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from crossdomain.recommend.reranking.lists import are_in, cap_groups, drop_over, merge, put_first, put_last

GROUP = np.array([0, 0, 0, 1, 1, -1, -1, -1])


def capped(items, most, k):
    item = np.array([items])
    score = np.where(item >= 0, -np.arange(item.shape[1], dtype=float), -np.inf)
    chosen, scores = cap_groups(item, score, GROUP, most, k)
    assert [score[0][items.index(one)] for one in chosen[0] if one >= 0] == [s for s in scores[0] if s > -np.inf]
    return chosen[0].tolist()


def test_what_is_over_gives_way():
    assert capped([0, 1, 2, 3, 4, 5], 1, 3) == [0, 3, 5]
    assert capped([0, 1, 2, 3, 4, 5], 2, 4) == [0, 1, 3, 4]


def test_what_is_over_fills_what_is_left_in_its_order():
    assert capped([0, 1, 3, 2], 1, 4) == [0, 3, 1, 2]


def test_no_cap_and_no_group():
    assert capped([0, 1, 2, 3], 0, 3) == [0, 1, 2]
    assert capped([5, 6, 7, 0], 1, 3) == [5, 6, 7]


def test_short_lists_stay_short():
    assert capped([0, 1, -1, -1], 1, 3) == [0, 1, -1]


@pytest.mark.parametrize("most", [1, 2, 5])
def test_equal_to_a_loop(most):
    rng = np.random.default_rng(most)
    group = rng.integers(-1, 6, 40)
    item = np.array([rng.permutation(40)[:20] for _ in range(50)])
    score = -np.sort(rng.random(item.shape), axis=1)
    chosen, _ = cap_groups(item, score, group, most, 8)
    for row, found in zip(item, chosen, strict=True):
        kept, over, seen = [], [], {}
        for one in row:
            seen[group[one]] = seen.get(group[one], 0) + 1
            (over if group[one] >= 0 and seen[group[one]] > most else kept).append(one)
        assert found.tolist() == [*kept, *over][:8]


def test_late_items_come_after_all_others_in_their_order():
    item = np.array([[4, 2, 0, 3], [1, 0, -1, -1]])
    score = np.array([[4.0, 3, 2, 1], [2, 1, -np.inf, -np.inf]])
    late = np.array([[True, False, True, False], [True, False, False, False]])
    found, scores = put_last(item, score, late, 3)
    assert found.tolist() == [[2, 3, 4], [0, 1, -1]]
    assert scores.tolist() == [[3, 1, 4], [1, 2, -np.inf]]


def test_items_are_looked_for_in_their_own_row():
    chosen = sp.csr_matrix(np.array([[1, 0, 0], [0, 0, 1], [0, 0, 0]]))
    item = np.array([[0, 2, -1], [0, 2, 1], [0, 1, 2]])
    assert are_in(item, chosen).tolist() == [[True, False, False], [False, True, False], [False] * 3]


def test_what_is_beyond_the_room_is_dropped_and_the_rest_moves_up():
    item = np.array([[4, 2, 0, 3, 1], [1, 0, 2, -1, -1]])
    score = np.array([[5.0, 4, 3, 2, 1], [3, 2, 1, -np.inf, -np.inf]])
    counted = np.array([[True, False, True, True, False], [True, True, True, False, False]])
    found, scores = drop_over(item, score, counted, np.array([1, 0]))
    assert found.tolist() == [[4, 2, 1, -1, -1], [-1] * 5]
    assert scores.tolist() == [[5, 4, 1, -np.inf, -np.inf], [-np.inf] * 5]


def test_what_comes_first_stands_there_once():
    item = np.array([[4, 2, 0], [1, -1, -1]])
    score = np.array([[3.0, 2, 1], [1, -np.inf, -np.inf]])
    first = np.array([[2, 7], [-1, 8]])
    found, scores = put_first(item, score, first, np.array([[0.5, 0.25], [0, 0.75]]), 4)
    assert found.tolist() == [[2, 7, 4, 0], [8, 1, -1, -1]]
    assert scores[0].tolist() == [0.5, 0.25, 3, 1]
    assert scores[1, :2].tolist() == [0.75, 1]


def test_lists_are_merged_by_score_and_ties_go_to_the_smaller_position():
    item, score = merge(np.array([[3, 5, -1]]), np.array([[2.0, 1, -np.inf]]), np.array([[4, 1]]), np.array([[2.0, 1]]))
    assert item.tolist() == [[3, 4, 1, 5, -1]]
    assert score.tolist() == [[2, 2, 1, 1, -np.inf]]
