from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from crossdomain.errors import InputError
from crossdomain.stats.paired import compare_pairs, mean_interval


def test_the_same_as_scipy():
    rng = np.random.default_rng(3)
    control, treatment = rng.random(40), rng.random(40) + 0.1
    found = compare_pairs(control, treatment, alpha=0.1)
    expected = stats.ttest_rel(treatment, control)
    interval = expected.confidence_interval(0.9)
    assert (found.p, found.low, found.high) == pytest.approx((expected.pvalue, interval.low, interval.high))
    assert found.estimate == pytest.approx(np.mean(treatment) - np.mean(control))
    assert found.n == 40


def test_pairs_see_what_means_cannot():
    base = np.linspace(0, 100, 30)
    found = compare_pairs(base, base + 1 + 0.01 * np.cos(base))
    assert found.low > 0.9
    assert stats.ttest_ind(base, base + 1).pvalue > 0.5


def test_equal_differences_leave_no_doubt():
    values = np.arange(5.0)
    assert compare_pairs(values, values).p == 1
    assert compare_pairs(values, values + 2) == compare_pairs(values, values + 2)
    assert (compare_pairs(values, values + 2).low, compare_pairs(values, values + 2).p) == (2, 0)


def test_false_alarms_come_as_often_as_agreed():
    rng = np.random.default_rng(5)
    low = [compare_pairs(*rng.exponential(size=(2, 50))).low for _ in range(2000)]
    assert 0.015 < np.mean(np.array(low) > 0) < 0.035


def test_what_cannot_be_compared():
    with pytest.raises(InputError, match="two values or more, not 1"):
        compare_pairs(np.ones(1), np.ones(1))
    with pytest.raises(InputError, match="not 2 and 3"):
        compare_pairs(np.ones(2), np.ones(3))
    with pytest.raises(InputError, match="alpha"):
        compare_pairs(np.ones(3), np.ones(3), alpha=2)
    with pytest.raises(InputError, match="not 0"):
        mean_interval(np.zeros(0))
