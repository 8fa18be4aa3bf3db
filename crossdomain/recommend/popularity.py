"""Popularity and decayed popularity: the baselines, the option without personalisation, and the fallback."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from crossdomain.recommend.interactions import Bools, Floats, Ints, Items, Pairs
from crossdomain.recommend.topk import DIGITS

PRIOR = 0.1
"""Added to decayed popularity before it boosts a score, so that quiet items keep a part of theirs."""


def popularity(pairs: Pairs, items: Items) -> Floats:
    """Accounts with evidence for each item in the window."""
    positive = pairs.positive
    return np.bincount(pairs.item[positive], minlength=len(items)).astype(np.float64)


def decayed_popularity(pairs: Pairs, items: Items, half_life_days: float) -> Floats:
    """Accounts with evidence for each item, each counting half per half-life since its last one.

    A half-life of 0 means no decay.
    """
    positive = pairs.positive
    age = pairs.last_age[positive]
    ages = int(age.max(initial=0)) + 1
    met, accounts = np.unique(pairs.item[positive] * ages + age, return_counts=True)
    return decayed_counts(met // ages, met % ages, accounts, len(items), half_life_days)


def decayed_counts(item: Ints, age: Ints, accounts: Ints, items: int, half_life_days: float) -> Floats:
    """Decayed popularity from counts: how many accounts last met an item how many days ago, by item and age."""
    weight = accounts * (np.power(0.5, age / half_life_days) if half_life_days else 1.0)
    return np.bincount(item, weights=weight, minlength=items).astype(np.float64)


def boost(decayed: Floats, power: float) -> Floats:
    """Factor of each item's score: ``(decayed + PRIOR) ** power``; ones for a power of 0."""
    return np.power(decayed + PRIOR, power)


def popular_lists(
    scores: Floats, on_sale: Bools, span: slice, excluded: sp.csr_matrix, k: int
) -> tuple[Ints, Ints, Ints, Floats]:
    """The most popular items of a domain for each person, without that person's excluded ones.

    Args:
        scores: Popularity of all items; an item with 0 is not popular and not listed.
        on_sale: Which items may be listed.
        span: Where the domain's items lie.
        excluded: People × all items.
        k: Longest list.

    Returns:
        Rows of ``excluded``, items, ranks from 1 without gaps, scores rounded to ``DIGITS``; ordered by row
        and rank. Ties go to the earlier item. A list is shorter where fewer items are left.
    """
    rounded = np.round(scores, DIGITS)
    candidates = span.start + np.flatnonzero(on_sale[span] & (rounded[span] > 0))
    order = candidates[np.lexsort((candidates, -rounded[candidates]))]
    place = np.full(excluded.shape[1], -1, dtype=np.int64)
    place[order] = np.arange(len(order))
    taken_row = np.repeat(np.arange(excluded.shape[0]), np.diff(excluded.indptr))
    taken_place = place[excluded.indices]
    taken_row, taken_place = taken_row[taken_place >= 0], taken_place[taken_place >= 0]
    most = int(np.bincount(taken_row).max()) if len(taken_row) else 0
    length = min(len(order), k + most)
    free = np.ones((excluded.shape[0], length), dtype=bool)
    inside = taken_place < length
    free[taken_row[inside], taken_place[inside]] = False
    rank = np.cumsum(free, axis=1)
    row, position = np.nonzero(free & (rank <= k))
    return row, order[position], rank[row, position], rounded[order[position]]
