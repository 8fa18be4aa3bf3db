"""Thresholds: the rate that was asked for is kept where the truth is planted, and by definition."""

from __future__ import annotations

import numpy as np
import pytest

from crossdomain.content.calibration import BINS, calibrate, shuffled_features, threshold
from crossdomain.content.documents import TermMatrix, term_matrix
from crossdomain.content.features import features, gram_matrix, learn_weights
from crossdomain.content.similarity import blend_weights

WEIGHTS = blend_weights(cosine=0.5, jaccard=0.2, topic=0.3)


def counts_at(**cells: int) -> np.ndarray:
    counts = np.zeros(10, dtype=np.int64)
    for name, count in cells.items():
        counts[int(name[1:])] = count
    return counts


def test_theta_is_the_lowest_edge_that_keeps_the_rate() -> None:
    found = threshold(counts_at(s0=5000, s3=400, s6=100), counts_at(s0=5300, s3=198, s6=2), fdr=0.05)
    # From 0.6 on (1 + 2) / 100; from 0.3 on (1 + 200) / 500 is too many.
    assert (found.theta, found.above, found.null_above, found.pairs) == (0.4, 100, 2, 5500)
    assert threshold(found.counts, found.null_counts, fdr=0.5).theta == 0.1


def test_a_dip_on_the_way_up_does_not_count() -> None:
    # At 0.5 the rate is kept, at 0.6 it is broken, at 0.8 it is kept again: θ lies above the breach.
    found = threshold(counts_at(s5=1000, s6=5, s8=100), counts_at(s5=0, s6=20, s8=1), fdr=0.05)
    assert found.theta == pytest.approx(0.7)


def test_no_theta_where_chance_gives_as_many() -> None:
    found = threshold(counts_at(s0=100, s5=10), counts_at(s0=100, s5=10), fdr=0.05)
    assert (found.theta, found.above) == (None, 0)
    assert threshold(counts_at(), counts_at(), fdr=0.05).theta is None


def test_shuffling_keeps_the_words_of_a_domain_and_the_size_of_an_item(planted) -> None:  # type: ignore[no-untyped-def]
    terms = term_matrix(planted(200)[0])
    grams = gram_matrix([None] * 200)
    topics = np.eye(200)
    weights = learn_weights(terms, grams)
    data = features(terms, grams, topics, weights)
    mixed = shuffled_features(terms, grams, topics, weights, seed=1)
    for domain in ("knowledge", "beauty"):
        rows = data.rows_of(domain)
        # An item that draws a word twice has it once: a few entries go, none come.
        before, after = (
            np.bincount(part.words[rows].indices, minlength=len(terms.vocabulary)) for part in (data, mixed)
        )
        assert (after <= before).all()
        assert after.sum() > 0.8 * before.sum()
        assert set(mixed.topics[rows].indices) == set(data.topics[rows].indices)
    assert (mixed.words != data.words).nnz > 0


def world(topics: int, seed: int) -> tuple[TermMatrix, np.ndarray, np.ndarray]:
    """Items of two domains; the words of an item come from its topic, or with one topic in all from anywhere."""
    rng = np.random.default_rng(seed)
    rows, topic = [], []
    for number in range(600):
        about = int(rng.integers(topics))
        words = [f"t{about}w{rng.integers(40)}" if topics > 1 else f"w{rng.integers(800)}" for _ in range(15)]
        rows.append({"domain": ("beauty", "knowledge")[number % 2], "item_id": f"i{number:03}", "tokens": words})
        topic.append(about)
    order = sorted(range(600), key=lambda place: (rows[place]["domain"], rows[place]["item_id"]))
    import pyarrow as pa

    return term_matrix(pa.Table.from_pylist(rows)), np.array(topic)[order], np.zeros((600, 0))


@pytest.mark.parametrize("seed", [1, 2])
def test_the_rate_holds_where_the_truth_is_planted(seed: int) -> None:
    terms, topic, none = world(20, seed)
    grams = gram_matrix([None] * 600)
    weights = learn_weights(terms, grams)
    data = features(terms, grams, none, weights)
    mixed = shuffled_features(terms, grams, none, weights, seed=seed)
    rows, others = data.rows_of("knowledge"), data.rows_of("beauty")
    arguments = {"weights": WEIGHTS, "fdr": 0.05, "sample": 1000, "seed": seed}
    found = calibrate(data, mixed, rows, others, **arguments)  # type: ignore[arg-type]
    assert found.theta is not None
    assert len(found.counts) == BINS
    assert found.pairs == len(rows) * len(others)

    from crossdomain.content.neighbours import score_pairs

    a, b = (side.ravel() for side in np.meshgrid(rows, others))
    above = score_pairs(data, a, b, weights=WEIGHTS).similarity >= found.theta
    same = topic[a] == topic[b]
    assert above.sum() == found.above
    assert np.mean(~same[above]) <= 0.05
    assert above[same].mean() >= 0.7
    sampled = calibrate(data, mixed, rows, others, **{**arguments, "sample": 50})  # type: ignore[arg-type]
    assert sampled.pairs == 50 * len(others)


def test_words_at_random_reach_no_theta() -> None:
    terms, _, none = world(1, 3)
    grams = gram_matrix([None] * 600)
    weights = learn_weights(terms, grams)
    data = features(terms, grams, none, weights)
    mixed = shuffled_features(terms, grams, none, weights, seed=3)
    found = calibrate(
        data, mixed, data.rows_of("knowledge"), data.rows_of("beauty"), weights=WEIGHTS, fdr=0.05, sample=1000, seed=3
    )
    assert found.theta is None
