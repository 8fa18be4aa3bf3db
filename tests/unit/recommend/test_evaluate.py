from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import scipy.sparse as sp

from crossdomain.recommend.evaluate import Split, evaluate, hidden_units, measure, popularity_rater
from crossdomain.recommend.interactions import Items, People
from crossdomain.recommend.settings import RecommendSettings
from tests.unit.recommend.world import DOMAINS

SETTINGS = RecommendSettings(threads=1)


def matrix(rows):
    return sp.csr_matrix(np.array(rows, dtype=np.float32))


def test_measures_by_hand():
    lists = np.array([[3, 1, 0], [2, -1, -1], [0, 1, 2]])
    truth = matrix([[0, 1, 0, 1], [1, 0, 0, 0], [0, 0, 1, 0]])
    found = measure(lists, truth, cutoffs=(2, 3))
    assert found["hr@2"].tolist() == [1, 0, 0]
    assert found["recall@3"].tolist() == [1, 0, 1]
    assert found["ndcg@3"] == pytest.approx([1, 0, 1 / np.log2(4)])  # third place of a one-item truth
    assert found["ndcg@2"] == pytest.approx([1, 0, 0])


def test_ndcg_against_scikit_learn():
    from sklearn.metrics import ndcg_score

    rng = np.random.default_rng(4)
    scores = rng.random((30, 40))
    truth = (rng.random((30, 40)) < 0.2).astype(np.float32)
    truth[:, 0] = 1
    lists = np.argsort(-scores, axis=1)[:, :10]
    expected = [ndcg_score([truth[row]], [scores[row]], k=10) for row in range(30)]
    assert measure(lists, sp.csr_matrix(truth), cutoffs=(10,))["ndcg@10"] == pytest.approx(expected)


@pytest.fixture
def split():
    """Items k0 k1 | b0 b1 b2; units: 0 both sides, 1 both sides with beauty hidden, 2 knowledge only, 3 unknown."""
    items = Items(DOMAINS, np.array([0, 0, 1, 1, 1]), pa.array(["k0", "k1", "b0", "b1", "b2"]), np.ones(5, dtype=bool))
    evidence = matrix([[1, 0, 1, 0, 0], [1, 0, 1, 0, 0], [0, 1, 0, 0, 0], [0, 0, 0, 0, 0]])
    outcome = matrix([[0, 0, 1, 1, 0], [0, 0, 0, 1, 0], [0, 0, 1, 0, 0], [0, 0, 1, 0, 0]])
    popular = np.array([2, 1, 3, 2, 0], dtype=float)
    return Split(evidence, evidence, outcome, popular, popular, (np.array([], dtype=int), np.array([1]))), items


def test_segments_and_their_people(split):
    metrics = evaluate(split[0], [popularity_rater("popularity", split[0].popular)], split[1], SETTINGS)
    found = {(m.direction, m.segment, m.metric): (m.value, m.n) for m in metrics.metrics}
    # warm: 0 and 1 see b1 first, for b0 is behind them. cold: 1 is shown b0 before b1, since its beauty side is
    # hidden; 2 meets b0. The unknown unit 3 is in no segment.
    assert found["knowledge>beauty", "warm", "ndcg@10"] == (1.0, 2)
    assert found["knowledge>beauty", "cold", "ndcg@10"] == (pytest.approx((1 + 1 / np.log2(3)) / 2, abs=1e-6), 2)
    assert found["knowledge>beauty", "all", "ndcg@10"] == (pytest.approx((2 + 1 / np.log2(3)) / 3, abs=1e-6), 3)
    assert found["beauty>knowledge", "all", "hr@10"] == (None, 0)
    assert len(metrics.of("popularity", "popularity", "beauty", "all", "ndcg@10")) == 3
    assert metrics.of("other", "other", "beauty", "all", "ndcg@10") is None


def test_items_unknown_at_the_cut_cannot_be_ranked_but_count(split):
    known, items = split
    later = Split(
        known.evidence,
        known.seen,
        matrix([[0, 0, 0, 1, 1], *[[0] * 5] * 3]),
        known.decayed,
        known.popular,
        known.hidden,
    )
    metrics = evaluate(later, [popularity_rater("popularity", np.arange(5.0))], items, SETTINGS)
    found = {(m.segment, m.metric): m.value for m in metrics.metrics if m.target_domain == "beauty"}
    assert found["all", "recall@20"] == 0.5


def test_the_twin_does_not_see_the_hidden_side(split):
    training = split[0].training(split[1])
    assert training.toarray()[1].tolist() == [1, 0, 0, 0, 0]
    assert training.toarray()[0].tolist() == split[0].evidence.toarray()[0].tolist()


def test_hidden_people_are_two_sided_stable_and_about_the_share():
    keys = pa.array([i.to_bytes(16, "big") for i in range(2_000)], pa.binary())
    everyone = np.ones(2_000, dtype=bool)
    people = People(keys, np.zeros(2_000, dtype=int), np.arange(2_000), everyone, keys, everyone)
    items = Items(DOMAINS, np.array([0, 1]), pa.array(["k", "b"]), np.ones(2, dtype=bool))
    evidence = sp.csr_matrix(np.vstack([np.ones((1_900, 2)), np.tile([1, 0], (100, 1)), np.zeros((2_000, 2))]))
    first = hidden_units(evidence, people, items, share=0.2, seed=7)
    again = hidden_units(evidence, people, items, share=0.2, seed=7)
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert not set(first[0]) & set(first[1])
    assert max(*first[0], *first[1]) < 1_900
    assert [round(len(side) / 1_900, 1) for side in first] == [0.1, 0.1]
    assert hidden_units(evidence, people, items, share=0, seed=7)[0].tolist() == []
