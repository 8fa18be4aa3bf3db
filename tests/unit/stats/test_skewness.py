"""Skewness: scipy's number, arms of one size cancel it, and the published rule at its border."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from crossdomain.errors import InputError
from crossdomain.stats.skewness import HARMLESS, pooled_skewness, skewness_of_difference


def test_of_one_arm_it_is_scipys():
    values = np.random.default_rng(1).lognormal(size=500)
    assert pooled_skewness([values]) == pytest.approx(stats.skew(values), rel=1e-12)
    assert pooled_skewness([values, values + 100]) == pytest.approx(stats.skew(values), rel=1e-9)
    assert pooled_skewness([values[::-1]]) == pooled_skewness([values])
    assert pooled_skewness([np.ones(5), np.ones(3)]) == 0.0
    assert pooled_skewness([]) == 0.0


def test_arms_of_one_size_cancel_it_and_next_to_an_endless_one_it_is_a_means():
    assert skewness_of_difference(9.0, 500, 500) == 0.0
    assert skewness_of_difference(9.0, 10**9, 400) == pytest.approx(9 / 20, rel=1e-5)
    assert skewness_of_difference(9.0, 400, 1600) == -skewness_of_difference(9.0, 1600, 400) < 0
    # 355 g^2 units are the border of the rule for one mean.
    assert skewness_of_difference(3.0, 10**12, 355 * 9) == pytest.approx(HARMLESS, rel=1e-6)
    with pytest.raises(InputError):
        skewness_of_difference(1.0, 0, 5)


def test_it_is_the_skewness_of_simulated_differences():
    rng = np.random.default_rng(2)
    drawn = rng.exponential(size=(40_000, 50)).mean(axis=1) - rng.exponential(size=(40_000, 200)).mean(axis=1)
    assert stats.skew(drawn) == pytest.approx(skewness_of_difference(2.0, 200, 50), abs=4 * math.sqrt(6 / 40_000))
