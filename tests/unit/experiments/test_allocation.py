"""Weights over time: the bandit's, the design's, and comparisons that do not mind that they move."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import numpy as np
import pytest

from crossdomain.experiments.allocation import (
    Allocated,
    first_allocation,
    next_allocation,
    promoted_allocation,
    thompson,
    weighted_pairs,
    weights_on,
)
from crossdomain.experiments.assignment import AssignmentPlan, WeightPeriod, assign
from crossdomain.experiments.daily import sample_ratio_by_periods
from crossdomain.experiments.design_parts import Allocation
from crossdomain.experiments.moments import Stratum, Sums
from crossdomain.stats.bayes import best_of_beta, best_of_normal
from crossdomain.stats.moments import Moments
from tests.unit.experiments.conftest import FIRST

SECOND = FIRST + timedelta(days=1)
ARMS = ("control", "treatment")


def sums(values, denominators=None) -> Sums:
    x = [Decimal(str(value)) for value in values]
    y = [Decimal(str(value)) for value in denominators] if denominators is not None else [Decimal(0)] * len(x)
    return Sums(
        n=len(x), x=sum(x, Decimal(0)), y=sum(y, Decimal(0)), xx=sum((v * v for v in x), Decimal(0)),
        yy=sum((v * v for v in y), Decimal(0)), xy=sum((a * b for a, b in zip(x, y, strict=True)), Decimal(0)),
    )  # fmt: skip


def shares(successes: dict[tuple[date, str], tuple[int, int]], metric="purchase_rate"):
    return {
        Stratum(day, arm, metric): sums([1] * ones + [0] * (n - ones)) for (day, arm), (ones, n) in successes.items()
    }


@pytest.fixture
def bandit(design):
    return replace(design(), allocation=Allocation("thompson", 0.1))


def test_under_one_set_of_weights_the_bandit_is_the_beta_posterior_with_its_floor(bandit):
    strata = shares({(FIRST, "control"): (20, 200), (FIRST, "treatment"): (25, 200)})
    weights, best = thompson(bandit, [WeightPeriod(None, bandit.variants)], strata, FIRST)
    want = best_of_beta([(21, 181), (26, 176)])
    assert best == pytest.approx(want)
    assert dict(weights) == pytest.approx({arm: 0.1 + 0.8 * p for arm, p in zip(ARMS, want, strict=True)}, abs=1e-6)
    assert sum(weight for _, weight in weights) == pytest.approx(1, abs=1e-12)


def test_a_mean_has_a_normal_posterior_and_lower_may_be_better(bandit):
    metric = replace(bandit.metric("revenue"), better="lower")
    lower = replace(bandit, metrics=(metric,), primary_metric="revenue")
    rng = np.random.default_rng(3)
    values = {arm: rng.exponential(mean, 100).round(2) for arm, mean in zip(ARMS, (10, 11), strict=True)}
    strata = {Stratum(FIRST, arm, "revenue"): sums(values[arm]) for arm in ARMS}
    _, best = thompson(lower, [WeightPeriod(None, lower.variants)], strata, FIRST)
    moments = [Moments.of([Decimal(str(v)) for v in values[arm]]) for arm in ARMS]
    want = best_of_normal([-m.mean for m in moments], [m.mean_variance**0.5 for m in moments])
    assert best == pytest.approx(want, rel=1e-6)


def test_a_bandit_waits_until_every_arm_has_units(bandit):
    strata = shares({(FIRST, "control"): (5, 30), (FIRST, "treatment"): (2, 29)})
    assert thompson(bandit, [WeightPeriod(None, bandit.variants)], strata, FIRST) is None
    assert next_allocation(bandit, [first_allocation(bandit)], strata, FIRST) is None


def test_weights_begin_with_the_designs_and_follow_it_when_it_changes(design):
    made = design()
    begun = next_allocation(made, [], {}, FIRST)
    assert begun == Allocated(None, made.variants, (None, None), "design")
    assert next_allocation(made, [begun], {}, FIRST) is None
    changed = replace(made, variants=(("control", 0.9), ("treatment", 0.1)))
    assert next_allocation(changed, [begun], {}, FIRST) == Allocated(SECOND, changed.variants, (None, None), "design")
    assert next_allocation(replace(changed, end=FIRST), [begun], {}, FIRST) is None


def test_pooling_periods_of_other_weights_would_be_fooled_and_weighting_is_not(design):
    """Both arms are alike on each day; only the days differ, and the weights with them."""
    strata = shares(
        {
            (FIRST, "control"): (450, 900), (FIRST, "treatment"): (50, 100),
            (SECOND, "control"): (10, 100), (SECOND, "treatment"): (90, 900),
        }
    )  # fmt: skip
    periods = [WeightPeriod(None, (("control", 0.9), ("treatment", 0.1))),
               WeightPeriod(SECOND, (("control", 0.1), ("treatment", 0.9)))]  # fmt: skip
    made = design()
    pooled = {arm: sum(int(s.x) for k, s in strata.items() if k.variant == arm) / 1000 for arm in ARMS}
    assert pooled == {"control": 0.46, "treatment": 0.14}
    weighted = {arm: weighted_pairs(made, "purchase_rate", arm, strata, periods, SECOND).ratio for arm in ARMS}
    assert weighted == pytest.approx({"control": 0.3, "treatment": 0.3})


def test_the_weighted_mean_is_unbiased_and_its_interval_covers(design):
    """Simulated with a mean that moves with the weights: the estimate's mean and variance are as they should be."""
    rng = np.random.default_rng(11)
    made = replace(design(), primary_metric="revenue")
    periods = [WeightPeriod(None, (("control", 0.8), ("treatment", 0.2))),
               WeightPeriod(SECOND, (("control", 0.3), ("treatment", 0.7)))]  # fmt: skip
    estimates, covered = [], []
    for _ in range(400):
        strata = {}
        for day, level, share in ((FIRST, 5, 0.2), (SECOND, 20, 0.7)):
            arm = rng.random(300) < share
            values = rng.integers(0, 2 * level, 300) + 2 * arm
            for name, chosen in zip(ARMS, (~arm, arm), strict=True):
                strata[Stratum(day, name, "revenue")] = sums(values[chosen])
        pairs = [weighted_pairs(made, "revenue", arm, strata, periods, SECOND) for arm in ARMS]
        effect = pairs[1].ratio - pairs[0].ratio
        se = (pairs[0].ratio_variance + pairs[1].ratio_variance) ** 0.5
        estimates.append(effect)
        covered.append(abs(effect - 2) < 1.96 * se)
    assert np.mean(estimates) == pytest.approx(2, abs=4 * np.std(estimates) / 20)
    assert 0.92 < np.mean(covered) < 0.98


def test_with_the_same_weights_throughout_a_weighted_mean_is_the_mean(design):
    strata = {Stratum(FIRST, "control", "revenue"): sums([1, 2.5, 9]), Stratum(SECOND, "control", "revenue"): sums([4])}
    pairs = weighted_pairs(design(), "revenue", "control", strata, [WeightPeriod(None, design().variants)], SECOND)
    plain = Moments.of([1, Decimal("2.5"), 9, 4])
    assert (pairs.n, pairs.ratio) == (4, plain.mean)
    assert pairs.ratio_variance == pytest.approx(plain.mean_variance)


def test_ratios_are_weighted(design):
    strata = {Stratum(FIRST, "control", "value_per_order"): sums([10, 20], [1, 3])}
    found = weighted_pairs(
        design(), "value_per_order", "control", strata, [WeightPeriod(None, design().variants)], SECOND
    )
    assert found.ratio == 7.5


def test_days_on_which_a_variant_had_no_weight_are_left_out(design):
    strata = shares({(FIRST, "treatment"): (1, 2), (SECOND, "treatment"): (9, 10)})
    periods = [WeightPeriod(None, design().variants), WeightPeriod(SECOND, (("control", 0.0), ("treatment", 1.0)))]
    pairs = weighted_pairs(design(), "purchase_rate", "treatment", strata, periods, SECOND)
    assert (pairs.n, pairs.ratio) == (2, 0.5)


def test_a_promoted_variant_gets_all_the_weight_once(design):
    made = design()
    found = promoted_allocation(made, [first_allocation(made)], "treatment", FIRST)
    assert found == Allocated(SECOND, (("control", 0.0), ("treatment", 1.0)), (None, None), "promoted")
    assert promoted_allocation(made, [first_allocation(made), found], "treatment", SECOND) is None


def test_weights_on_a_day():
    periods = [WeightPeriod(FIRST, (("a", 1.0),)), WeightPeriod(SECOND, (("a", 0.5), ("b", 0.5)))]
    assert weights_on(periods, FIRST) == {"a": 1.0}
    assert weights_on(periods, SECOND) == {"a": 0.5, "b": 0.5}
    assert weights_on(periods, FIRST - timedelta(days=1)) == {}


def test_the_sample_ratio_is_tested_within_periods(design):
    later = [WeightPeriod(None, design().variants), WeightPeriod(SECOND, (("control", 0.1), ("treatment", 0.9)))]
    as_dealt = {FIRST: {"control": 500, "treatment": 500}, SECOND: {"control": 100, "treatment": 900}}
    assert sample_ratio_by_periods(design(), as_dealt, later).ok
    swapped = {FIRST: {"control": 500, "treatment": 500}, SECOND: {"control": 900, "treatment": 100}}
    assert not sample_ratio_by_periods(design(), swapped, later).ok


def test_a_simulated_bandit_finds_the_better_arm_and_keeps_its_floor(bandit):
    rng = np.random.default_rng(5)
    chance = {"control": 0.10, "treatment": 0.16}
    history, strata = [first_allocation(bandit)], {}
    for step in range(12):
        day = FIRST + timedelta(days=step)
        plan = AssignmentPlan("exp", "exp", tuple(one.period for one in history))
        units = [f"{step}-{number}".encode() for number in range(400)]
        dealt = assign(units, plan, day=day).variants
        for arm in ARMS:
            n = dealt.count(arm)
            strata |= shares({(day, arm): (int(rng.binomial(n, chance[arm])), n)})
        if (found := next_allocation(bandit, history, strata, day)) is not None:
            history.append(found)
        assert min(weight for _, weight in history[-1].weights) >= 0.1 - 1e-6
    assert dict(history[-1].weights)["treatment"] > 0.85
    assert history == sorted(history, key=lambda one: one.first or date.min)
