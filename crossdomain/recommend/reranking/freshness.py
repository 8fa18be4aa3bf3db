"""Freshness: new items are given a part of what popularity takes from them."""

from __future__ import annotations

import numpy as np

from crossdomain.recommend.interactions import Floats, Ints


def fresh_factors(age: Ints, boost: float, half_life_days: float) -> Floats:
    """Factor of each item's score: ``1 + boost × 0.5 ** (age / half-life)``.

    It multiplies scores before the best are chosen, so that the list is the exact best of the boosted scores.

    Args:
        age: Days since the item was listed, or first seen; -1 where that is not known, which boosts nothing.
        boost: What is added on the first day; 0 for ones.
        half_life_days: Age at which half of it is left.
    """
    return 1 + np.where(age >= 0, boost * np.power(0.5, np.maximum(age, 0) / half_life_days), 0.0)
