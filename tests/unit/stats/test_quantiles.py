"""Quantiles and caps: published numbers, brute force, clusters, errors."""

from __future__ import annotations

import numpy as np
import pytest

from crossdomain.errors import InputError
from crossdomain.stats.comparison import Unmeasurable
from crossdomain.stats.quantiles import compare_quantiles, estimate_quantile
from crossdomain.stats.winsorizing import cut, pooled_caps


def test_published_numbers(vector):
    cases = {case["name"]: case for case in vector("19_quantile_winsor.json")["cases"]}
    data = np.array(cases["p90"]["data"])
    got = estimate_quantile(data, cases["p90"]["nu"])
    assert got.value == pytest.approx(cases["p90"]["quantile_numpy_linear"], rel=1e-9)
    assert (got.low, got.high) == (cases["p90"]["lower"], cases["p90"]["upper"])
    assert (got.high - got.low) / (2 * 1.959963984540054) == pytest.approx(cases["p90"]["se_from_ci"], rel=1e-9)
    assert 0.9 * cases["p90"]["se_from_ci"] < got.se <= cases["p90"]["se_from_ci"]
    ordered = np.sort(data)
    assert ordered[cases["p90"]["index_lower_1based"] - 1] == got.low
    assert ordered[cases["p90"]["index_upper_1based"] - 1] == got.high
    caps = pooled_caps([data[:100], data[100:]], upper=0.99)
    assert caps == (None, pytest.approx(cases["winsor_p99_upper"]["cap_value"], rel=1e-9))
    assert data.mean() == pytest.approx(cases["winsor_p99_upper"]["mean_raw"], rel=1e-9)
    assert cut(data, caps).mean() == pytest.approx(cases["winsor_p99_upper"]["mean_capped"], rel=1e-9)


def test_coverage_and_error_of_the_difference():
    rng = np.random.default_rng(7)
    false, inside = 0, 0
    for _ in range(600):
        a, b = rng.lognormal(size=1500), rng.lognormal(size=1500)
        got = compare_quantiles(estimate_quantile(a, 0.75), estimate_quantile(b, 0.75))
        false += got.p < 0.05
        one = estimate_quantile(a, 0.75)
        inside += one.low <= np.exp(0.6744897501960817) <= one.high
    assert 0.025 <= false / 600 <= 0.075
    assert 0.93 <= inside / 600 <= 0.98


def test_clusters_widen_the_interval_as_brute_force_says():
    rng = np.random.default_rng(8)

    def sample(people: int = 800) -> tuple[np.ndarray, np.ndarray]:
        level = rng.normal(size=people)
        sizes = rng.integers(1, 8, people)
        who = np.repeat(np.arange(people), sizes)
        return np.exp(level[who] + 0.5 * rng.normal(size=len(who))), who

    medians, errors, naive = [], [], []
    for _ in range(300):
        values, who = sample()
        got = estimate_quantile(values, 0.5, clusters=who)
        medians.append(got.value)
        errors.append(got.se)
        naive.append(estimate_quantile(values, 0.5).se)
        assert got.units == 800
    assert np.mean(errors) == pytest.approx(np.std(medians), rel=0.12)
    assert np.mean(naive) < 0.7 * np.std(medians)


def test_order_changes_nothing():
    rng = np.random.default_rng(9)
    values, who = rng.gamma(2, size=300), rng.integers(0, 90, 300)
    order = rng.permutation(300)
    assert estimate_quantile(values, 0.8, clusters=who) == estimate_quantile(values[order], 0.8, clusters=who[order])


def test_one_cap_for_all_arms():
    a, b = np.arange(100.0), np.arange(100.0) + 1000
    low, high = pooled_caps([a, b], lower=0.05, upper=0.95)
    assert (low, high) == (np.quantile(np.concatenate([a, b]), 0.05), np.quantile(np.concatenate([a, b]), 0.95))
    assert cut(np.array([-5.0, 50.0, 5000.0]), (low, high)).tolist() == [low, 50.0, high]
    zeros = np.array([0.0] * 90 + [1.0, 2.0, 3.0])
    assert pooled_caps([zeros], upper=0.5) == (None, 0.0)
    assert pooled_caps([zeros], upper=0.5, ignore_zeros=True) == (None, 2.0)
    assert pooled_caps([np.zeros(5)], upper=0.5, ignore_zeros=True) == (None, None)


def test_no_test_where_there_is_none():
    with pytest.raises(Unmeasurable) as refusal:
        estimate_quantile(np.arange(5.0), 0.5)
    assert refusal.value.verdict == "too_few_units"
    with pytest.raises(Unmeasurable, match=r"too few for an interval of the 0\.99"):
        estimate_quantile(np.arange(50.0), 0.99)
    alike = estimate_quantile(np.zeros(100), 0.5)
    with pytest.raises(Unmeasurable) as refusal:
        compare_quantiles(alike, alike)
    assert refusal.value.verdict == "zero_variance"


@pytest.mark.parametrize(
    "call",
    [
        lambda: estimate_quantile(np.array([np.nan] * 50), 0.5),
        lambda: estimate_quantile(np.arange(50.0), 1.0),
        lambda: estimate_quantile(np.arange(50.0), 0.5, clusters=np.arange(49)),
        lambda: pooled_caps([np.arange(5.0)], upper=1.0),
        lambda: pooled_caps([np.arange(5.0)], lower=0.9, upper=0.1),
        lambda: compare_quantiles(estimate_quantile(np.arange(50.0), 0.4), estimate_quantile(np.arange(50.0), 0.5)),
    ],
)
def test_bad_input_is_refused(call):
    with pytest.raises(InputError):
        call()
