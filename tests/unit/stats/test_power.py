"""Sample sizes: published numbers, statsmodels as oracle, simulation, errors."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.power import TTestIndPower

from crossdomain.errors import InputError
from crossdomain.stats.power import (
    power_of_z,
    smallest_effect,
    units_for_means,
    units_for_proportions,
    units_for_t_test,
)


def test_published_numbers(vector):
    cases = {case["name"]: case for case in vector("05_sample_size.json")["cases"]}
    for case in cases.values():
        if "baseline" in case:
            got = units_for_proportions(
                case["baseline"], case["mde_abs"], alpha=case["alpha"], power=case["power"], null="baseline"
            )
            assert got == pytest.approx(case["n_per_arm_exact"], rel=1e-9)
    for size in ("0.5", "0.2"):
        assert units_for_t_test(float(size)) == pytest.approx(cases[f"cohen_d_{size}_ttest"]["n_per_arm"], rel=1e-7)
    rule = cases["rule_of_16"]
    assert units_for_means(rule["sigma"], rule["delta"]) == pytest.approx(rule["exact"], rel=1e-9)
    conversion = cases["kohavi_conv_5pct"]
    p, rounded = conversion["p"], 8 / (1.959963984540054 + 0.8416212335729143) ** 2
    got = units_for_means((p * (1 - p)) ** 0.5, p * conversion["rel"]) * rounded
    assert got == pytest.approx(conversion["n_per_arm"], rel=1e-9)


@pytest.mark.parametrize("ratio", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("effect", [0.05, 0.4, 1.5, -0.4])
def test_statsmodels_gives_the_same(effect, ratio):
    want = TTestIndPower().solve_power(effect, alpha=0.05, power=0.9, ratio=ratio)
    assert units_for_t_test(effect, power=0.9, ratio=ratio) == pytest.approx(want, rel=1e-6)


def test_simulated_power_is_the_planned_one():
    n = round(units_for_proportions(0.1, 0.03))
    rng = np.random.default_rng(5)
    a, b = rng.binomial(n, 0.1, 20_000) / n, rng.binomial(n, 0.13, 20_000) / n
    pooled = (a + b) / 2
    found = np.abs(b - a) / np.sqrt(2 * pooled * (1 - pooled) / n) > 1.959963984540054
    assert found.mean() == pytest.approx(0.8, abs=0.02)


def test_effect_and_power_are_inverse():
    effect = smallest_effect(0.4, alpha=0.01, power=0.9)
    assert power_of_z(effect, 0.4, alpha=0.01) == pytest.approx(0.9)
    assert power_of_z(-effect, 0.4, alpha=0.01) == pytest.approx(0.9)
    n = units_for_means(3.0, 0.5, ratio=2)
    assert power_of_z(0.5, (9 / n + 9 / (2 * n)) ** 0.5) == pytest.approx(0.8)


@pytest.mark.parametrize(
    "call",
    [
        lambda: units_for_means(1, 0),
        lambda: units_for_means(0, 1),
        lambda: units_for_means(1, 1, alpha=1),
        lambda: units_for_means(1, 1, power=0.01),
        lambda: units_for_means(1, 1, ratio=0),
        lambda: units_for_proportions(0.9, 0.2),
        lambda: units_for_t_test(float("nan")),
        lambda: power_of_z(1, 0),
    ],
)
def test_bad_input_is_refused(call):
    with pytest.raises(InputError):
        call()
