"""Sample-ratio check: published numbers, scipy as oracle, errors."""

from __future__ import annotations

import pytest
from scipy import stats

from crossdomain.errors import InputError
from crossdomain.stats.srm import sample_ratio_test


def test_published_numbers(vector):
    for case in vector("01_srm.json")["cases"]:
        got = sample_ratio_test(case["counts"], case["weights"])
        assert got.chi2 == pytest.approx(case["chi2"], rel=1e-9)
        assert got.df == case["df"]
        assert got.p == pytest.approx(case["p_value"], rel=1e-9)


def test_obvious_answers():
    assert sample_ratio_test([500, 500], [0.5, 0.5]).p == 1.0
    assert sample_ratio_test([821588, 815482], [0.5, 0.5]).ok is False
    assert sample_ratio_test([0, 100], [0.5, 0.5]).ok is False
    assert sample_ratio_test([3, 4], [1, 1]).approximate is True


def test_scipy_gives_the_same():
    counts, weights = [803, 995, 211], [0.4, 0.5, 0.1]
    want = stats.chisquare(counts, [sum(counts) * weight for weight in weights])
    got = sample_ratio_test(counts, weights)
    assert (got.chi2, got.p) == pytest.approx((want.statistic, want.pvalue), rel=1e-9)


def test_order_of_arms_changes_nothing():
    forward = sample_ratio_test([10, 20, 33], [0.2, 0.3, 0.5])
    backward = sample_ratio_test([33, 20, 10], [0.5, 0.3, 0.2])
    assert (forward.chi2, forward.p) == (backward.chi2, backward.p)


@pytest.mark.parametrize(
    ("counts", "weights"),
    [
        ([1], [1]),
        ([1, 2], [1, 1, 1]),
        ([0, 0], [1, 1]),
        ([-1, 5], [1, 1]),
        ([1, 2], [0, 1]),
        ([1, 2], [1, float("nan")]),
    ],
)
def test_bad_input_is_refused(counts, weights):
    with pytest.raises(InputError):
        sample_ratio_test(counts, weights)
