"""Two proportions: published numbers, statsmodels as oracle, both conventions of the interval."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.proportion import confint_proportions_2indep, proportions_ztest

from crossdomain.errors import InputError
from crossdomain.stats.comparison import Unmeasurable
from crossdomain.stats.proportions import Successes, compare_proportions


def test_published_numbers(vector):
    for case in vector("04_proportions.json")["cases"]:
        control, treatment = Successes(*case["control"]), Successes(*case["treatment"])
        pooled = compare_proportions(control, treatment, interval="pooled")
        unpooled = compare_proportions(control, treatment)
        assert pooled.estimate == pytest.approx(case["diff"], rel=1e-9)
        assert pooled.statistic == pytest.approx(case["z_pooled"], rel=1e-9)
        assert pooled.p == pytest.approx(case["p_pooled"], rel=1e-9)
        assert pooled.se == pytest.approx(case["se_pooled"], rel=1e-9)
        assert (pooled.low, pooled.high) == pytest.approx(tuple(case["ci95_pooled_se"]), rel=1e-9)
        assert (unpooled.low, unpooled.high) == pytest.approx(tuple(case["ci95_unpooled"]), rel=1e-9)
        assert unpooled.p == pooled.p


def test_obvious_answer():
    got = compare_proportions(Successes(10, 100), Successes(20, 100))
    assert got.estimate == pytest.approx(0.1)
    assert got.relative.estimate == pytest.approx(1.0)
    assert got.se == pytest.approx((0.09 / 100 + 0.16 / 100) ** 0.5)
    assert (got.method, got.relative.method) == ("z_pooled_interval_unpooled", "delta")


def test_statsmodels_gives_the_same():
    got = compare_proportions(Successes(41, 500), Successes(77, 640), alpha=0.1)
    z, p = proportions_ztest([77, 41], [640, 500])
    ends = confint_proportions_2indep(77, 640, 41, 500, method="wald", compare="diff", alpha=0.1)
    assert (got.statistic, got.p) == pytest.approx((z, p), rel=1e-9)
    assert (got.low, got.high) == pytest.approx(ends, rel=1e-9)
    log = compare_proportions(Successes(41, 500), Successes(77, 640), relative="log").relative
    ratio = confint_proportions_2indep(77, 640, 41, 500, method="log", compare="ratio")
    assert (log.low + 1, log.high + 1) == pytest.approx(ratio, rel=1e-9)


def test_pooled_interval_agrees_with_its_test():
    for count in range(20, 60):
        got = compare_proportions(Successes(40, 400), Successes(count, 400), interval="pooled")
        assert (got.low <= 0 <= got.high) == (got.p >= 0.05)


def test_coverage_under_the_null():
    rng = np.random.default_rng(5)
    counts = rng.binomial(2000, 0.06, (1000, 2))
    compared = [compare_proportions(Successes(int(a), 2000), Successes(int(b), 2000)) for a, b in counts]
    assert 0.93 <= np.mean([c.low <= 0 <= c.high for c in compared]) <= 0.97
    assert 0.03 <= np.mean([c.p < 0.05 for c in compared]) <= 0.07


@pytest.mark.parametrize(
    ("control", "treatment", "verdict"),
    [
        (Successes(0, 0), Successes(1, 5), "too_few_units"),
        (Successes(0, 9), Successes(0, 5), "zero_variance"),
        (Successes(9, 9), Successes(5, 5), "zero_variance"),
    ],
)
def test_no_test_where_there_is_none(control, treatment, verdict):
    with pytest.raises(Unmeasurable) as refusal:
        compare_proportions(control, treatment)
    assert refusal.value.verdict == verdict


def test_bad_input_is_named():
    with pytest.raises(InputError, match="6 successes in 5 trials"):
        Successes(6, 5)
    with pytest.raises(InputError, match="exact"):
        compare_proportions(Successes(1, 5), Successes(2, 5), interval="exact")  # type: ignore[arg-type]
