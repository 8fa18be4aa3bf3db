"""How many units an experiment needs, and how probably it then finds an effect."""

from __future__ import annotations

import math
from typing import Literal

from scipy import optimize, stats
from scipy.special import ndtri

from crossdomain.errors import InputError
from crossdomain.stats.comparison import check_alpha
from crossdomain.stats.distributions import normal_below, normal_critical, t_critical


def units_for_means(
    deviation: float,
    effect: float,
    *,
    alpha: float = 0.05,
    power: float = 0.8,
    ratio: float = 1.0,
    deviation_treatment: float | None = None,
) -> float:
    """Units of the control that a two-sided z test of two means needs; not rounded.

    n = (z_{1-alpha/2} + z_{power})^2 (s_c^2 + s_t^2 / ratio) / effect^2, the treatment having ``ratio`` n units.
    With alpha .05, power .8 and equal arms that is the rule of thumb 16 s^2 / effect^2 (van Belle 2008) with 15.7
    for 16. The power counted is that of the right direction.

    Args:
        deviation: Standard deviation of a control unit.
        effect: Difference of the means to find, not zero.
        alpha: Two-sided level.
        power: Probability of finding the effect.
        ratio: Units of the treatment for one of the control.
        deviation_treatment: Standard deviation of a treatment unit; the control's, unless given.

    Raises:
        InputError: A number is out of range.
    """
    _check(alpha, power, effect, ratio)
    if not 0 < deviation < math.inf:
        raise InputError(f"the standard deviation must be a positive number, not {deviation}")
    variance = deviation**2 + (deviation if deviation_treatment is None else deviation_treatment) ** 2 / ratio
    return float((normal_critical(alpha) + float(ndtri(power))) ** 2 * variance / effect**2)


def units_for_t_test(effect_size: float, *, alpha: float = 0.05, power: float = 0.8, ratio: float = 1.0) -> float:
    """Units of the control that a two-sided t test needs, by the noncentral t distribution; not rounded.

    Source: Cohen: Statistical Power Analysis (1988), chapter 2.

    Args:
        effect_size: Difference of means over the common standard deviation (Cohen's d), not zero.
        alpha: Two-sided level.
        power: Probability of rejecting, in either direction.
        ratio: Units of the treatment for one of the control.

    Raises:
        InputError: A number is out of range.
    """
    _check(alpha, power, effect_size, ratio)

    def missing(n: float) -> float:
        df = n * (1 + ratio) - 2
        shift = abs(effect_size) * math.sqrt(n * ratio / (1 + ratio))
        return power_of_t(shift, df, alpha=alpha) - power

    least = 2.0 / (1 + ratio) + 1e-3
    if missing(least) >= 0:
        return least
    about = max(units_for_means(1.0, effect_size, alpha=alpha, power=power, ratio=ratio), least)
    return float(optimize.brentq(missing, least, 2 * about + 10, xtol=1e-10, rtol=1e-13))


def pairs_for_t_test(effect_size: float, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """Pairs (blocks) that a two-sided paired t test needs, by the noncentral t distribution; not rounded.

    Source: Cohen: Statistical Power Analysis (1988), chapter 2.

    Args:
        effect_size: Mean difference of a pair over the standard deviation of these differences, not zero.
        alpha: Two-sided level.
        power: Probability of rejecting, in either direction.

    Raises:
        InputError: A number is out of range.
    """
    _check(alpha, power, effect_size, 1.0)

    def missing(n: float) -> float:
        return power_of_t(abs(effect_size) * math.sqrt(n), n - 1, alpha=alpha) - power

    least = 1.0 + 1e-3
    if missing(least) >= 0:
        return least
    about = max((normal_critical(alpha) + float(ndtri(power))) ** 2 / effect_size**2, least)
    return float(optimize.brentq(missing, least, 2 * about + 20, xtol=1e-10, rtol=1e-13))


def power_of_t(shift: float, df: float, *, alpha: float = 0.05) -> float:
    """Probability that a two-sided t test rejects, in either direction.

    Args:
        shift: True difference over its standard error (the noncentrality), from 0 on.
        df: Degrees of freedom, positive.
        alpha: Two-sided level.
    """
    bound = t_critical(alpha, df)
    # Far out the wrong direction's probability is nil, and scipy gives NaN for it.
    wrong = stats.nct.cdf(-bound, df, shift) if shift < 6 else 0.0
    return float(stats.nct.sf(bound, df, shift) + wrong)


def units_for_proportions(
    baseline: float,
    effect: float,
    *,
    alpha: float = 0.05,
    power: float = 0.8,
    ratio: float = 1.0,
    null: Literal["pooled", "baseline"] = "pooled",
) -> float:
    """Units of the control that the pooled two-sided z test of two proportions needs; not rounded.

    (z_{1-alpha/2} sqrt(p (1 - p) (1 + 1 / r)) + z_{power} sqrt(p1 (1 - p1) + p2 (1 - p2) / r))^2 / effect^2 with r the
    ratio of the arms. ``pooled`` takes p = (p1 + r p2) / (1 + r), as the test does (Fleiss, Levin, Paik: Statistical
    methods for rates and proportions, 2003, 4.2); ``baseline`` takes p = p1, as Evan Miller's calculator does, which
    gives too few units where the effect raises the variance.

    Args:
        baseline: Proportion of the control, p1.
        effect: Difference to find; p2 = baseline + effect must be a proportion too.
        alpha: Two-sided level.
        power: Probability of finding the effect.
        ratio: Units of the treatment for one of the control.
        null: Where the variance under the null hypothesis is taken.

    Raises:
        InputError: A number is out of range.
    """
    _check(alpha, power, effect, ratio)
    other = baseline + effect
    if not (0 < baseline < 1 and 0 < other < 1):
        raise InputError(f"the proportions {baseline:g} and {other:g} must lie between 0 and 1")
    shared = (baseline + ratio * other) / (1 + ratio) if null == "pooled" else baseline
    under_null = shared * (1 - shared) * (1 + 1 / ratio)
    alternative = baseline * (1 - baseline) + other * (1 - other) / ratio
    z_alpha, z_power = normal_critical(alpha), float(ndtri(power))
    return float((z_alpha * math.sqrt(under_null) + z_power * math.sqrt(alternative)) ** 2 / effect**2)


def power_of_z(effect: float, se: float, *, alpha: float = 0.05) -> float:
    """Probability that a two-sided z test finds an effect of that size, in its own direction.

    Args:
        effect: True difference.
        se: Standard error of the estimate.
        alpha: Two-sided level.

    Raises:
        InputError: A number is out of range.
    """
    check_alpha(alpha)
    if not se > 0:
        raise InputError(f"the standard error must be positive, not {se}")
    return normal_below(abs(effect) / se - normal_critical(alpha))


def smallest_effect(se: float, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """The effect that a two-sided z test finds with a given power (minimum detectable effect).

    Args:
        se: Standard error of the estimate.
        alpha: Two-sided level.
        power: Probability of finding the effect.

    Raises:
        InputError: A number is out of range.
    """
    _check(alpha, power, 1.0, 1.0)
    return float(se * (normal_critical(alpha) + float(ndtri(power))))


def _check(alpha: float, power: float, effect: float, ratio: float) -> None:
    check_alpha(alpha)
    if not alpha < power < 1:
        raise InputError(f"power must lie between alpha, {alpha}, and 1, not {power}")
    if not 0 < abs(effect) < math.inf:
        raise InputError(f"the effect to find must be a number other than zero, not {effect}")
    if not 0 < ratio < math.inf:
        raise InputError(f"the arms' ratio must be positive, not {ratio}")
