"""CUPED: regression as oracle, the variance that it saves, ratios, errors."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import statsmodels.api as sm

from crossdomain.errors import InputError
from crossdomain.stats.comparison import Unmeasurable
from crossdomain.stats.cuped import MeanAndCovariate, RatioAndCovariate, compare_adjusted_means, compare_adjusted_ratios
from crossdomain.stats.means import compare_means
from crossdomain.stats.moments import Moments, PairMoments
from crossdomain.stats.ratios import compare_ratios


def _arm(rng, n, shift=0.0, rho=0.7):
    before = rng.gamma(2, 3, n)
    after = 10 + shift + rho * before + rng.normal(0, 3, n)
    return after, before


def _joint(kind, *columns):
    return kind.of(*(list(map(Fraction, column)) for column in columns))


def test_regression_on_arm_and_covariate_gives_the_same():
    rng = np.random.default_rng(11)
    (y_c, x_c), (y_t, x_t) = _arm(rng, 400), _arm(rng, 400, shift=0.5)
    got = compare_adjusted_means(_joint(MeanAndCovariate, y_c, x_c), _joint(MeanAndCovariate, y_t, x_t))
    design = sm.add_constant(np.column_stack([np.r_[np.zeros(400), np.ones(400)], np.r_[x_c, x_t]]))
    fit = sm.OLS(np.r_[y_c, y_t], design).fit(cov_type="HC1")
    assert got.estimate == pytest.approx(fit.params[1], rel=1e-9)
    assert got.se == pytest.approx(fit.bse[1], rel=5e-3)  # theirs also counts the coefficient's own error
    assert (got.mean, got.mean_control) == (pytest.approx(y_t.mean()), pytest.approx(y_c.mean()))
    assert got.relative.estimate == pytest.approx(got.estimate / y_c.mean())
    assert got.relative.low < got.relative.estimate < got.relative.high


def test_variance_falls_by_the_squared_correlation():
    rng = np.random.default_rng(12)
    (y_c, x_c), (y_t, x_t) = _arm(rng, 3000), _arm(rng, 3000)
    plain = compare_means(Moments.of(y_c), Moments.of(y_t))
    adjusted = compare_adjusted_means(_joint(MeanAndCovariate, y_c, x_c), _joint(MeanAndCovariate, y_t, x_t))
    within = np.corrcoef(np.r_[y_c - y_c.mean(), y_t - y_t.mean()], np.r_[x_c - x_c.mean(), x_t - x_t.mean()])[0, 1]
    assert (adjusted.se / plain.se) ** 2 == pytest.approx(1 - within**2, abs=0.01)


def test_a_covariate_without_variance_adjusts_nothing():
    y_c, y_t = [1, 2, 4, 8], [2, 3, 5, 9]
    plain = compare_means(Moments.of(y_c), Moments.of(y_t))
    got = compare_adjusted_means(MeanAndCovariate.of(y_c, [3] * 4), MeanAndCovariate.of(y_t, [3] * 4))
    assert (got.estimate, got.se) == (plain.estimate, pytest.approx(plain.se, rel=1e-12))


def test_relative_interval_covers():
    rng = np.random.default_rng(13)
    inside = {"delta": 0, "log": 0}
    for _ in range(300):
        (y_c, x_c), (y_t, x_t) = _arm(rng, 60), _arm(rng, 60, shift=2)
        truth = 2 / (10 + 0.7 * 6)
        for method in inside:
            got = compare_adjusted_means(
                _joint(MeanAndCovariate, y_c, x_c), _joint(MeanAndCovariate, y_t, x_t), relative=method
            ).relative
            inside[method] += got.low <= truth <= got.high
    assert all(0.91 <= count / 300 <= 0.985 for count in inside.values())


@pytest.mark.parametrize("pair", [False, True])
def test_ratios_are_their_linearisation(pair):
    rng = np.random.default_rng(14)
    arms = []
    for _ in range(2):
        habit = rng.gamma(3, 1, 500)
        y, d = rng.poisson(habit) + 1, rng.poisson(habit) + 1
        x, c = y * rng.gamma(2, 5, 500), d * rng.gamma(2, 5, 500)
        arms.append((x, y, c, d) if pair else (x, y, c))
    got = compare_adjusted_ratios(*(_joint(RatioAndCovariate, *arm) for arm in arms))
    values, covariates = [], []
    for arm in arms:
        x, y, c = arm[:3]
        ratio = x.sum() / y.sum()
        values.append((x - ratio * y) / y.mean() + ratio)
        base = c.sum() / arm[3].sum() if pair else 0
        covariates.append((c - base * arm[3]) / arm[3].mean() + base if pair else c)
    want = compare_adjusted_means(*(_joint(MeanAndCovariate, *both) for both in zip(values, covariates, strict=True)))
    assert (got.estimate, got.se) == pytest.approx((want.estimate, want.se), rel=1e-9)
    plain = compare_ratios(*(PairMoments.of(arm[0], map(int, arm[1])) for arm in arms))
    assert got.mean - got.mean_control == pytest.approx(plain.estimate, rel=1e-9)
    if not pair:
        assert got.se < 1.02 * plain.se


@pytest.mark.parametrize(
    ("call", "verdict"),
    [
        (lambda: compare_adjusted_means(*[MeanAndCovariate.of([1, 2], [1, 2])] * 2), "too_few_units"),
        (lambda: compare_adjusted_means(*[MeanAndCovariate.of([1, 2, 3], [1, 2, 3])] * 2), "zero_variance"),
        (
            lambda: compare_adjusted_ratios(*[RatioAndCovariate.of([1, 2, 3], [0, 0, 0], [1, 2, 3])] * 2),
            "zero_denominator",
        ),
    ],
)
def test_no_test_where_there_is_none(call, verdict):
    with pytest.raises(Unmeasurable) as refusal:
        call()
    assert refusal.value.verdict == verdict


@pytest.mark.parametrize(
    "call",
    [
        lambda: MeanAndCovariate.of([1, 2], [1]),
        lambda: MeanAndCovariate(2, (1, 2), (1, 2)),
        lambda: MeanAndCovariate(-1, (1, 2), (1, 2, 3)),
        lambda: MeanAndCovariate(2, (1, float("nan")), (1, 2, 3)),
    ],
)
def test_bad_input_is_refused(call):
    with pytest.raises(InputError):
        call()
