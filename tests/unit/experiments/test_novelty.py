"""Effects by days since exposure: against regressions with a log link, and on worlds whose truth is known."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.stats import norm

from crossdomain.experiments.checks import LEAST_DAYS_OF_NOVELTY, novelty_check
from crossdomain.experiments.moments import Stratum, Sums
from crossdomain.experiments.novelty import cohort_effects, cohort_elasticities, novelty_checks
from tests.unit.experiments.conftest import DESIGN, FIRST

DAYS = 14
LAST = FIRST + timedelta(days=DAYS - 1)


def with_primary(design, name: str, more: str = ""):
    return design(DESIGN.replace("primary_metric: purchase_rate", f"primary_metric: {name}") + more)


def sums(x: np.ndarray, y: np.ndarray | None = None) -> Sums:
    def exact(values: np.ndarray) -> Decimal:
        return Decimal(int(values.sum()))

    if y is None:
        return Sums(n=len(x), x=exact(x), xx=exact(x * x))
    return Sums(n=len(x), x=exact(x), y=exact(y), xx=exact(x * x), yy=exact(y * y), xy=exact(x * y))


def cohorts(draw, metric: str) -> dict[Stratum, Sums]:
    """Moments of cohorts by what ``draw(treated, days of exposure)`` gives their units."""
    found = {}
    for step in range(DAYS):
        for variant in ("control", "treatment"):
            first = FIRST + timedelta(days=step)
            found[Stratum(first, variant, metric)] = sums(draw(variant == "treatment", DAYS - step))
    return found


def regression(arms: list[np.ndarray], family) -> tuple[float, float]:
    y = np.concatenate(arms)
    treated = np.repeat([0.0, 1.0], [len(arm) for arm in arms])
    fitted = sm.GLM(y, sm.add_constant(treated), family=family).fit(cov_type="HC0")
    return fitted.params[1], fitted.bse[1]


def one_cohort(metric: str, arms: list[Sums]) -> dict[Stratum, Sums]:
    return {Stratum(FIRST, name, metric): arm for name, arm in zip(("control", "treatment"), arms, strict=True)}


def test_a_mean_is_compared_as_by_a_regression_with_a_log_link(design):
    rng = np.random.default_rng(1)
    arms = [rng.negative_binomial(2, 0.2, 2000), rng.negative_binomial(2, 0.17, 2500)]
    wanted = with_primary(design, "revenue")
    ((days, effect, error),) = cohort_effects(
        wanted, one_cohort("revenue", [sums(arm) for arm in arms]), "treatment", LAST
    )
    assert days == DAYS - 1
    assert (effect, error) == pytest.approx(regression(arms, sm.families.Poisson()), rel=1e-3)


def test_a_proportion_is_compared_by_its_hazards(design):
    rng = np.random.default_rng(2)
    arms = [rng.binomial(1, 0.3, 2000), rng.binomial(1, 0.4, 2500)]
    family = sm.families.Binomial(sm.families.links.CLogLog())
    strata = one_cohort("purchase_rate", [sums(arm) for arm in arms])
    ((_, effect, error),) = cohort_effects(design(), strata, "treatment", LAST)
    assert (effect, error) == pytest.approx(regression(arms, family), rel=1e-3)


def test_a_ratio_is_compared_by_the_delta_method(design):
    rng = np.random.default_rng(3)
    pairs = []
    for low in (20, 25):
        orders = rng.poisson(2, 1500)
        pairs.append((orders * low + rng.poisson(5, 1500), orders))
    strata = one_cohort("value_per_order", [sums(x, y) for x, y in pairs])
    ((_, effect, error),) = cohort_effects(with_primary(design, "value_per_order"), strata, "treatment", LAST)
    drawn = []
    for _ in range(400):
        logs = []
        for x, y in pairs:
            chosen = rng.integers(0, len(x), len(x))
            logs.append(np.log(x[chosen].sum() / y[chosen].sum()))
        drawn.append(logs[1] - logs[0])
    assert effect == pytest.approx(
        np.log(pairs[1][0].sum() / pairs[1][1].sum() * pairs[0][1].sum() / pairs[0][0].sum())
    )
    assert error == pytest.approx(np.std(drawn), rel=0.15)


@pytest.mark.parametrize("metric", ["revenue", "purchase_rate"])
def test_a_constant_effect_is_not_called_novelty_however_long_units_had(design, metric):
    """The treatment multiplies the rate by 1.5: what units give grows with their days, and so does the difference."""
    rng = np.random.default_rng(4)
    wanted = with_primary(design, metric)

    def draw(treated: bool, days: int) -> np.ndarray:
        bought = rng.poisson(0.05 * (1.5 if treated else 1.0) * days, 1000)
        return bought if metric == "revenue" else np.minimum(bought, 1)

    found = [next(novelty_checks(wanted, cohorts(draw, metric), LAST)) for _ in range(200)]
    assert sum(check.ok for check in found) >= 197
    p = np.array([check.p for check in found])
    assert 0.01 <= np.mean(p < 0.05) <= 0.1  # 200 draws: 0.05 give or take three standard errors
    if metric == "revenue":
        assert abs(p.mean() - 0.5) < 0.07
    else:
        assert p.mean() > 0.5, "of all explanations the mildest counts"


def of_shares(control: np.ndarray, treated: np.ndarray, units: int, rng: np.random.Generator) -> dict[Stratum, Sums]:
    """Cohorts of a proportion from the share of each arm after 0.5, 1.5, … days."""
    found = {}
    for days, shares in enumerate(zip(control, treated, strict=True)):
        for variant, share in zip(("control", "treatment"), shares, strict=True):
            bought = Decimal(int(rng.binomial(units, share)))
            first = LAST - timedelta(days=days)
            found[Stratum(first, variant, "purchase_rate")] = Sums(n=units, x=bought, xx=bought)
    return found


AGES = np.arange(DAYS) + 0.5
UNEQUAL = {
    # Share of people who bought within some days, if each buys at a rate of his own, whose mean is 1.
    "gamma, variance 3": lambda days: 1 - (1 + 3 * days) ** (-1 / 3),
    "gamma, variance 10": lambda days: 1 - (1 + 10 * days) ** (-1 / 10),
    "four of five never buy": lambda days: 0.2 * (1 - np.exp(-5 * days)),
    "lognormal": lambda days: 1 - np.exp(-np.multiply.outer(days, LOGNORMAL)).mean(axis=-1),
}
LOGNORMAL = np.exp(2 * norm.ppf((np.arange(2000) + 0.5) / 2000) - 2)


@pytest.mark.parametrize("lift", [1.3, 0.8])
@pytest.mark.parametrize("rate", [0.005, 0.05])
@pytest.mark.parametrize("shares", UNEQUAL.values(), ids=UNEQUAL)
def test_a_million_unequal_people_are_not_called_novelty(design, shares, rate, lift):
    """The keen go first, so the ratio of cumulated rates sinks, though everybody's rate is 1.3 times as high."""
    rng = np.random.default_rng(8)
    control, treated = shares(rate * AGES), shares(lift * rate * AGES)
    found = [next(novelty_checks(design(), of_shares(control, treated, 36_000, rng), LAST)) for _ in range(40)]
    assert sum(check.ok for check in found) == 40
    if rate > 0.01:  # without heed of it they would be called so
        effects = cohort_effects(design(), of_shares(control, treated, 10**8, rng), "treatment", LAST)
        assert not novelty_check(design(), effects).ok
        assert any("put down to the keen" in check.detail for check in found)


def test_fading_is_found_among_unequal_people(design):
    """Everybody's rate is half as high again at first, and half of that is gone every two days."""
    rng = np.random.default_rng(9)
    gained = np.array([np.sum(0.5 * 0.5 ** (np.arange(0, age, 0.01) / 2)) * 0.01 for age in AGES])
    for shares in (lambda days: 1 - np.exp(-days), UNEQUAL["gamma, variance 3"]):
        strata = of_shares(shares(0.03 * AGES), shares(0.03 * (AGES + gained)), 36_000, rng)
        (check,) = novelty_checks(design(), strata, LAST)
        assert not check.ok
        assert check.value < 0


def test_elasticities_are_those_of_the_curve(design):
    """Of a gamma's cumulated rate, log(1 + v t) / v, by its derivative; of equal people one."""
    rng = np.random.default_rng(10)
    for shares, wanted in (
        (lambda days: 1 - np.exp(-days), np.ones(DAYS)),
        (UNEQUAL["gamma, variance 3"], 3 * 0.03 * AGES / (1 + 3 * 0.03 * AGES) / np.log1p(3 * 0.03 * AGES)),
    ):
        curve = shares(0.03 * AGES)
        found = cohort_elasticities(design(), of_shares(curve, curve, 10**7, rng), "treatment", LAST)
        assert found == pytest.approx(wanted, abs=0.1)


@pytest.mark.parametrize(("half_life", "grows"), [(2.0, False), (None, True)])
def test_an_effect_that_fades_or_grows_is_found(design, half_life, grows):
    rng = np.random.default_rng(5)

    def draw(treated: bool, days: int) -> np.ndarray:
        ages = np.arange(days)
        lift = 0.1 * ages if grows else 1.5 * 0.5 ** (ages / (half_life or 1))
        return rng.poisson(0.3 * (days + (lift.sum() if treated else 0.0)), 3000)

    (check,) = novelty_checks(with_primary(design, "revenue"), cohorts(draw, "revenue"), LAST)
    assert not check.ok
    assert check.check_name == "novelty:treatment"
    assert (check.value > 0) == grows


def test_few_days_or_too_little_data_say_so(design):
    rng = np.random.default_rng(6)
    strata = cohorts(lambda treated, days: rng.poisson(0.3 * days, 50), "revenue")
    wanted = with_primary(design, "revenue")
    days = [FIRST + timedelta(days=step) for step in range(LEAST_DAYS_OF_NOVELTY - 1)]
    few = {stratum: value for stratum, value in strata.items() if stratum.first_ds in days}
    (check,) = novelty_checks(wanted, few, LAST)
    assert (check.ok, check.p) == (True, None)
    assert "6 days with an effect; 7 are needed" in check.detail
    none = cohorts(lambda treated, days: np.zeros(50, dtype=int), "revenue")
    assert cohort_effects(wanted, none, "treatment", LAST) == []
    one_arm = {stratum: value for stratum, value in strata.items() if stratum.variant == "control"}
    assert cohort_effects(wanted, one_arm, "treatment", LAST) == []
    assert cohort_effects(wanted, strata, "treatment", date(2026, 1, 4)) == []


def test_cohorts_wait_until_their_days_are_over(design):
    text = "  - {name: back, kind: proportion, events: [purchase], days: [1, 3]}\n"
    rng = np.random.default_rng(7)
    strata = cohorts(lambda treated, days: rng.binomial(1, 0.4, 500), "back")
    effects = cohort_effects(with_primary(design, "back", text), strata, "treatment", LAST)
    assert [days for days, _, _ in effects] == list(range(3, DAYS))
