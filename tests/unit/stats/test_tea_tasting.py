"""The same aggregates analysed by tea-tasting, which shares no code with the library."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import tea_tasting as tt
from tea_tasting.aggr import Aggregates

from crossdomain.stats.comparison import Comparison
from crossdomain.stats.cuped import (
    MeanAndCovariate,
    RatioAndCovariate,
    compare_adjusted_means,
    compare_adjusted_ratios,
)
from crossdomain.stats.exact_sums import joint_moments, moments, pair_moments
from crossdomain.stats.means import compare_means
from crossdomain.stats.proportions import Successes, compare_proportions
from crossdomain.stats.ratios import compare_ratios

EXACT = 1e-9
Arm = dict[str, np.ndarray]


def _arm(rng: np.random.Generator, n: int, lift: float = 1.0) -> Arm:
    habit = rng.gamma(2, 1, n)
    orders = rng.poisson(habit).astype(float)
    sessions = orders + rng.poisson(2, n) + 1.0
    revenue = lift * orders * np.exp(rng.normal(3, 0.5, n))
    return {
        "revenue": revenue, "orders": orders, "sessions": sessions, "bought": (orders > 0).astype(float),
        "revenue_before": habit * 20 + rng.normal(0, 5, n), "sessions_before": rng.poisson(habit) + 2.0,
    }  # fmt: skip


def _aggregates(arm: Arm) -> Aggregates:
    return Aggregates(
        count_=len(arm["revenue"]),
        mean_={name: float(column.mean()) for name, column in arm.items()},
        var_={name: float(column.var(ddof=1)) for name, column in arm.items()},
        cov_={(a, b): float(np.cov(arm[a], arm[b])[0, 1]) for a, b in combinations(arm, 2)},
    )


@pytest.fixture(params=[(400, 400), (900, 150), (60, 3000)])
def arms(request) -> tuple[Arm, Arm]:
    rng = np.random.default_rng(sum(request.param))
    return _arm(rng, request.param[0]), _arm(rng, request.param[1], lift=1.15)


def _same(got: Comparison, want, *, relative: bool = True) -> None:
    assert (got.mean_control, got.mean, got.estimate) == pytest.approx(
        (want.control, want.treatment, want.effect_size), rel=EXACT
    )
    assert (got.low, got.high) == pytest.approx((want.effect_size_ci_lower, want.effect_size_ci_upper), rel=EXACT)
    assert got.p == pytest.approx(want.pvalue, rel=EXACT)
    if relative:
        ends = (want.rel_effect_size_ci_lower, want.rel_effect_size_ci_upper)
        assert got.relative.estimate == pytest.approx(want.rel_effect_size, rel=EXACT)
        assert (got.relative.low, got.relative.high) == pytest.approx(ends, rel=EXACT)


@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_means(arms, alpha):
    want = tt.Mean("revenue", use_t=True, confidence_level=1 - alpha).analyze_aggregates(*map(_aggregates, arms))
    got = compare_means(*(moments(arm["revenue"]) for arm in arms), alpha=alpha, relative="log")
    _same(got, want)
    assert got.statistic == pytest.approx(want.statistic, rel=EXACT)


def test_ratios(arms):
    want = tt.RatioOfMeans("revenue", "sessions", use_t=False).analyze_aggregates(*map(_aggregates, arms))
    got = compare_ratios(*(pair_moments(arm["revenue"], arm["sessions"]) for arm in arms), relative="log")
    _same(got, want)


def test_proportions(arms):
    """Theirs takes the pooled variance for test and interval alike; the interval of their means is ours unpooled."""
    metric = tt.Proportion("bought", method="norm", correction=False, equal_var=True)
    want = metric.analyze_aggregates(*map(_aggregates, arms))
    successes = [Successes(int(arm["bought"].sum()), len(arm["bought"])) for arm in arms]
    _same(compare_proportions(*successes, interval="pooled"), want, relative=False)


def _alike(arms: tuple[Arm, Arm], names: tuple[str, ...]) -> tuple[Arm, Arm]:
    """The second arm with the first one's means of some columns.

    Theirs takes the coefficient from both arms in one pot, ours within arms. Where the arms' means are the same, no
    scatter between the arms is in the pot, and the two coefficients are one.
    """
    control, treatment = arms
    return control, treatment | {
        name: treatment[name] + control[name].mean() - treatment[name].mean() for name in names
    }


def test_cuped_means(arms):
    arms = _alike(arms, ("revenue_before",))
    want = tt.Mean("revenue", "revenue_before", use_t=True).analyze_aggregates(*map(_aggregates, arms))
    got = compare_adjusted_means(*(MeanAndCovariate(*_joint(arm, "revenue", "revenue_before")) for arm in arms))
    assert got.estimate == pytest.approx(want.effect_size, rel=EXACT)
    assert got.statistic == pytest.approx(want.statistic, rel=EXACT)
    # Ours takes a degree of freedom for the coefficient, so that it is never the bolder.
    assert got.p >= want.pvalue
    assert got.p == pytest.approx(want.pvalue, rel=0.05, abs=1e-4)


def test_cuped_means_of_arms_that_differ_before(arms):
    want = tt.Mean("revenue", "revenue_before", use_t=True).analyze_aggregates(*map(_aggregates, arms))
    got = compare_adjusted_means(*(MeanAndCovariate(*_joint(arm, "revenue", "revenue_before")) for arm in arms))
    assert got.estimate == pytest.approx(want.effect_size, abs=0.05 * got.se)
    assert got.se == pytest.approx(want.effect_size / want.statistic, rel=0.01)


def test_cuped_ratios(arms):
    """Linearised at the arms' ratios; with the same means of all columns in both arms these are the whole's."""
    columns = ("revenue", "sessions", "revenue_before", "sessions_before")
    arms = _alike(arms, columns)
    want = tt.RatioOfMeans(*columns, use_t=False).analyze_aggregates(*map(_aggregates, arms))
    got = compare_adjusted_ratios(*(RatioAndCovariate(*_joint(arm, *columns)) for arm in arms))
    assert (got.low, got.high) == pytest.approx((want.effect_size_ci_lower, want.effect_size_ci_upper), rel=EXACT)
    assert got.estimate == pytest.approx(want.effect_size, abs=EXACT)


def _joint(arm: Arm, *names: str):
    found = joint_moments(*(arm[name] for name in names))
    return found.n, found.sums, found.products
