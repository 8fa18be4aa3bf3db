from __future__ import annotations

import numpy as np
import pytest

from crossdomain.recommend.reranking import diversity
from crossdomain.recommend.reranking.diversity import diversify, mixture_vectors


def test_similarity_is_that_of_topic_mixtures():
    vectors = mixture_vectors(
        np.array([0, 0, 1, 1, 2, 3]), np.array([7, 9, 7, 9, 9, 4]), np.array([0.5, 0.5, 0.25, 0.25, 1.0, 0.9]), 5
    )
    product = vectors @ vectors.T
    assert np.diag(product) == pytest.approx([1, 1, 1, 1, 0])
    assert product[0, 1] == pytest.approx(1), "what an item has in all does not count"
    assert product[0, 2] == pytest.approx(np.sqrt(0.5))
    assert product[4].tolist() == [0] * 5, "without topics like nothing"
    assert product[3, :3].tolist() == [0, 0, 0]


def test_the_second_item_is_unlike_the_first():
    """Items 0 and 1 are of one topic, 2 and 3 of another; 1 is nearly as good as 0."""
    vectors = np.eye(2, dtype=np.float32)[[0, 0, 1, 1]]
    item, score = np.array([[0, 1, 2, 3]]), np.array([[1.0, 0.9, 0.6, 0.0]])
    assert diversify(item, score, vectors, 0.5, 4)[0].tolist() == [[0, 2, 1, 3]]
    assert diversify(item, score, vectors, 1.0, 4)[0].tolist() == [[0, 1, 2, 3]]
    assert diversify(item, score, vectors, 0.5, 1)[0].tolist() == [[0, 1, 2, 3]], "one is chosen, the rest follows"


@pytest.mark.parametrize("relevance", [0.0, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("cells", [1 << 22, 64])
def test_equal_to_a_loop(relevance, cells, monkeypatch):
    monkeypatch.setattr(diversity, "_CELLS", cells)
    rng = np.random.default_rng(3)
    vectors = mixture_vectors(np.repeat(np.arange(30), 4), np.tile(np.arange(4), 30), rng.random(120), 30)
    item = np.array([rng.permutation(30)[:12] for _ in range(40)])
    score = -np.sort(-np.round(rng.normal(size=item.shape), 1), axis=1)  # with ties
    item[::5, 7:] = -1
    score[::5, 7:] = -np.inf
    found, scores = diversify(item, score, vectors, relevance, 6)
    for row, value, got, given in zip(item, score, found, scores, strict=True):
        here = row >= 0
        low, high = value[here].min(), value[here].max()
        scaled = (value[here] - low) / (high - low)
        left, chosen = list(range(here.sum())), []
        while left and len(chosen) < 6:
            gains = [
                relevance * scaled[one]
                - (1 - relevance)
                * max((round(float(vectors[row[one]] @ vectors[row[other]]), 6) for other in chosen), default=0.0)
                for one in left
            ]
            chosen.append(left.pop(int(np.argmax(np.round(gains, 9)))))
        order = [*chosen, *left]
        assert got[here].tolist() == row[order].tolist()
        assert given[here].tolist() == value[order].tolist()
        assert (got[~here] == -1).all()


def test_without_any_topic_nothing_changes():
    none = np.zeros(0, dtype=np.int64)
    vectors = mixture_vectors(none, none, np.zeros(0), 4)
    item, score = np.array([[3, 1, 0, 2]]), np.array([[4.0, 3, 2, 1]])
    assert diversify(item, score, vectors, 0.3, 4)[0].tolist() == item.tolist()


def test_lists_of_nobody_and_of_nothing():
    vectors = np.ones((3, 1), dtype=np.float32)
    nobody = np.zeros((0, 4), dtype=np.int64)
    assert diversify(nobody, nobody.astype(float), vectors, 0.5, 4)[0].shape == (0, 4)
    nothing = np.full((2, 3), -1)
    assert diversify(nothing, np.full((2, 3), -np.inf), vectors, 0.5, 3)[0].tolist() == nothing.tolist()
