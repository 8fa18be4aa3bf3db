from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from crossdomain.recommend.popularity import boost, decayed_popularity, popular_lists, popularity
from crossdomain.recommend.settings import RecommendSettings
from tests.unit.recommend.world import connect, read


def test_popularity_counts_accounts_and_decays_with_their_last_evidence():
    events = [
        ("a", "beauty", "b1", "view", 20), ("b", "beauty", "b1", "view", 20), ("c", "beauty", "b2", "view", 0),
        ("c", "beauty", "b2", "view", 9), ("c", "beauty", "b3", "refund", 1),
    ]  # fmt: skip
    people = [(name, "beauty", name, name != "c", True) for name in "abc"]  # consent plays no part in counts
    pairs, _, items = read(connect(events, people), RecommendSettings())
    assert items.item_id.to_pylist() == ["b1", "b2", "b3"]
    assert popularity(pairs, items).tolist() == [2, 1, 0]
    assert decayed_popularity(pairs, items, 10).tolist() == [0.5, 1, 0]
    assert decayed_popularity(pairs, items, 0).tolist() == [2, 1, 0]


def test_boost():
    assert boost(np.array([0.0, 3.9]), 0.5) == pytest.approx([0.1**0.5, 2])
    assert boost(np.array([0.0, 3.9]), 0).tolist() == [1, 1]


def test_lists_skip_what_a_person_has_and_keep_ranks_without_gaps():
    scores = np.array([9, 5, 7, 7, 1, 0, 8], dtype=float)
    on_sale = np.array([1, 1, 1, 1, 1, 1, 0], dtype=bool)
    excluded = sp.csr_matrix(np.array([[0] * 7, [0, 0, 1, 0, 0, 0, 0], [1] * 7]))
    row, item, rank, score = popular_lists(scores, on_sale, slice(1, 7), excluded, 3)
    assert list(zip(row, item, rank, score, strict=True)) == [
        (0, 2, 1, 7), (0, 3, 2, 7), (0, 1, 3, 5), (1, 3, 1, 7), (1, 1, 2, 5), (1, 4, 3, 1),
    ]  # fmt: skip


def test_lists_equal_brute_force():
    rng = np.random.default_rng(1)
    scores = rng.integers(0, 6, 50).astype(float)
    on_sale = rng.random(50) < 0.8
    excluded = sp.random(30, 50, density=0.3, format="csr", random_state=2)
    row, item, rank, _ = popular_lists(scores, on_sale, slice(10, 45), excluded, 5)
    dense = excluded.toarray() > 0
    for person in range(30):
        free = [i for i in range(10, 45) if on_sale[i] and scores[i] > 0 and not dense[person, i]]
        expected = sorted(free, key=lambda i: (-scores[i], i))[:5]
        assert item[row == person].tolist() == expected
        assert rank[row == person].tolist() == list(range(1, len(expected) + 1))
