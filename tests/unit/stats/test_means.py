"""Welch's test: published numbers, scipy as oracle, coverage under the null."""

from __future__ import annotations

import math
from decimal import Decimal

import numpy as np
import pytest
from scipy import stats

from crossdomain.errors import InputError
from crossdomain.stats.comparison import Unmeasurable
from crossdomain.stats.means import compare_means
from crossdomain.stats.moments import Moments


def _moments(arm):
    return Moments(arm["n"], arm["sum"], arm["sum_squares"])


def test_published_numbers(vector):
    for case in vector("02_welch_summary.json")["cases"]:
        control, treatment = _moments(case["control"]), _moments(case["treatment"])
        # Sums of squares in the file are rounded: what the subtraction leaves is good to 1e-9 absolute.
        near = {"rel": 1e-9, "abs": 1e-9}
        got = compare_means(control, treatment)
        assert got.estimate == pytest.approx(case["diff"], **near)
        assert got.se == pytest.approx(case["se"], **near)
        assert got.df == pytest.approx(case["df"], rel=1e-9)
        assert got.statistic == pytest.approx(case["t"], rel=1e-9)
        assert got.p == pytest.approx(case["p_value"], **near)
        assert (got.low, got.high) == pytest.approx(tuple(case["ci95"]), **near)
        assert got.relative.estimate == pytest.approx(case["rel"], **near)
        assert (got.relative.low, got.relative.high) == pytest.approx(tuple(case["rel_ci95_delta"]), **near)
        log = compare_means(control, treatment, relative="log").relative
        assert (log.low, log.high) == pytest.approx(tuple(case["rel_ci95_log"]), **near)


def test_obvious_answer():
    control, treatment = Moments.of([1, 2, 3]), Moments.of([2, 3, 4])
    got = compare_means(control, treatment)
    assert (got.mean_control, got.mean, got.estimate, got.n) == (2.0, 3.0, 1.0, 3)
    assert got.se == pytest.approx(math.sqrt(2 / 3))
    assert got.df == pytest.approx(4)
    assert got.relative.estimate == 0.5


def test_scipy_gives_the_same():
    rng = np.random.default_rng(3)
    a, b = rng.gamma(2, 50, 400), rng.gamma(2, 55, 250)
    got = compare_means(Moments.of(a), Moments.of(b), alpha=0.1)
    want = stats.ttest_ind(b, a, equal_var=False)
    ends = want.confidence_interval(0.9)
    assert got.p == pytest.approx(want.pvalue, rel=1e-9)
    assert got.df == pytest.approx(want.df, rel=1e-9)
    assert (got.low, got.high) == pytest.approx((ends.low, ends.high), rel=1e-9)


def test_large_values_lose_nothing():
    small = Moments.of([Decimal("1.01"), Decimal("2.02"), Decimal("4.04")])
    shift = Decimal(10) ** 12
    large = Moments.of([shift + Decimal("1.01"), shift + Decimal("2.02"), shift + Decimal("4.04")])
    assert large.variance == small.variance


def test_order_of_values_changes_nothing():
    values = [0.1, 0.7, 1e9, 3.3, 1e-9]
    assert Moments.of(values) == Moments.of(values[::-1])


def test_coverage_of_skewed_totals_under_the_null():
    rng = np.random.default_rng(11)
    arms = rng.gamma(0.5, 40, (2, 400, 500))
    inside = 0
    for a, b in zip(arms[0], arms[1], strict=True):
        got = compare_means(
            Moments(len(a), float(a.sum()), float((a**2).sum())),
            Moments(len(b), float(b.sum()), float((b**2).sum())),
        )
        inside += got.low <= 0 <= got.high
    assert 0.92 <= inside / 400 <= 0.98


@pytest.mark.parametrize(
    ("control", "verdict"), [(Moments.of([1]), "too_few_units"), (Moments.of([2, 2]), "zero_variance")]
)
def test_no_test_where_there_is_none(control, verdict):
    with pytest.raises(Unmeasurable) as refusal:
        compare_means(control, Moments.of([5, 5, 5]))
    assert refusal.value.verdict == verdict


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_values_must_be_finite(bad):
    with pytest.raises(InputError, match="finite"):
        Moments.of([1.0, bad])
    with pytest.raises(InputError, match="total"):
        Moments(2, bad, 1.0)


def test_relative_effect_needs_a_positive_base():
    got = compare_means(Moments.of([-1, -2, -3]), Moments.of([1, 2, 3]))
    assert (got.relative.estimate, got.relative.low, got.relative.high) == (None, None, None)


@pytest.mark.parametrize("options", [{"alpha": 0}, {"alpha": 1.5}, {"relative": "best"}])
def test_options_are_checked(options):
    with pytest.raises(InputError):
        compare_means(Moments.of([1, 2]), Moments.of([2, 4]), **options)
