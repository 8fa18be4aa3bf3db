"""Diversity: lists whose items are relevant and unlike each other."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from crossdomain.recommend.interactions import Floats, Ints

Vectors = npt.NDArray[np.float32]

_CELLS = 1 << 22
"""Most cells of the vectors of a part of the people."""
_DIGITS = 6
"""Similarities are rounded, so that sums in another order change nothing."""


def mixture_vectors(item: Ints, topic: Ints, weight: Floats, items: int) -> Vectors:
    """Vectors whose products are the similarities of items by their topics, 0 to 1.

    The product of two is the Bhattacharyya coefficient of their topic mixtures, ``sum sqrt(p q)``: 1 for the same
    mixture, 0 where no topic is shared. One minus its square root is what ``serving.similar_items`` calls topic, turned
    round, so that both put pairs in the same order. An item without topics is like nothing.

    Args:
        item: Position of the item, one entry an item and topic.
        topic: Id of the topic.
        weight: Its share in the item; what an item has in all is scaled to 1.
        items: How many items there are.

    Returns:
        float32, items × topics.
    """
    names, column = np.unique(topic, return_inverse=True)
    shares = np.zeros((items, max(len(names), 1)))
    np.add.at(shares, (item, column), weight)
    total = shares.sum(axis=1, keepdims=True)
    vectors: Vectors = np.sqrt(shares / np.where(total > 0, total, 1)).astype(np.float32)
    return vectors


def diversify(item: Ints, score: Floats, vectors: Vectors, relevance: float, most: int) -> tuple[Ints, Floats]:
    """Orders lists by maximal marginal relevance (Carbonell and Goldstein, 1998).

    The next item is the one with the greatest ``λ × relevance − (1 − λ) × similarity to the most similar item before
    it``. Relevance is the score, scaled to 0 to 1 over the person's pool. The first item stays the best one.

    Args:
        item: People × pool item positions, best first; -1 for none, at the end.
        score: Their scores; -inf for none.
        vectors: Items × n, whose products are similarities from 0 to 1.
        relevance: λ, 0 to 1; with 1 nothing changes.
        most: How many are chosen so; the others follow in the order they had.

    Returns:
        Items and scores, people × pool. Ties go to the item that came earlier.
    """
    order = np.empty(item.shape, dtype=np.int64)
    step = max(1, _CELLS // max(1, item.shape[1] * vectors.shape[1]))
    for start in range(0, len(item), step):
        part = slice(start, start + step)
        order[part] = _chosen(item[part], score[part], vectors, relevance, min(most, item.shape[1]))
    return np.take_along_axis(item, order, axis=1), np.take_along_axis(score, order, axis=1)


def _chosen(item: Ints, score: Floats, vectors: Vectors, relevance: float, most: int) -> Ints:
    """Places of the pool in their new order."""
    people, pool = item.shape
    place = np.broadcast_to(np.arange(pool), item.shape)
    own = vectors[np.maximum(item, 0)]
    gain = relevance * _scaled(item, score)
    nearest = np.zeros(item.shape)
    left = item >= 0
    turn = np.where(left, pool + place, 2 * pool + place)  # what is not chosen keeps its order, ends stay at the end
    rows = np.arange(people)
    for number in range(most):
        value = np.where(left, gain - (1 - relevance) * nearest, -np.inf)
        best = value.argmax(axis=1)
        some = left[rows, best]
        turn[rows[some], best[some]] = number
        left[rows, best] = False
        similar = np.einsum("ijk,ik->ij", own, own[rows, best])
        nearest = np.maximum(nearest, np.round(similar.astype(np.float64), _DIGITS))
    return np.argsort(turn, axis=1, kind="stable")


def _scaled(item: Ints, score: Floats) -> Floats:
    """Scores from 0, the least of the person's pool, to 1; 0 where all are alike."""
    here = item >= 0
    high = np.where(here, score, -np.inf).max(axis=1, initial=-np.inf, keepdims=True)
    low = np.where(here, score, np.inf).min(axis=1, initial=np.inf, keepdims=True)
    spread = np.where(high > low, high - low, 1.0)
    scaled: Floats = np.where(here, (np.where(here, score, 0.0) - np.where(here, low, 0.0)) / spread, 0.0)
    return scaled
