"""Whether the effect on the primary metric depends on how long units have been in the experiment.

Units that came on the same day have had the experiment for equally long, so the effects of these cohorts, seen on the
same day, are effects by days of exposure. Most metrics grow with the days that a unit had, and so does their absolute
effect, though nothing changes. Compared is therefore what stays the same when the treatment multiplies a rate by the
same factor all the time: the logarithm of the ratio of the means; for a proportion, which fills up with time, of the
cumulated rates ``-log(1 - share)``.

If people's own rates differ, the keen go first, and the rate of a cohort falls though nobody's does. A treatment that
multiplies everybody's rate by ``r`` then makes time run faster: after ``a`` days it has what the control has after
``r a``, whatever the distribution of the rates (accelerated time; Kalbfleisch, Prentice: The statistical analysis of
failure time data, 2002, 2.3). The logarithm of the ratio is ``log r`` times the elasticity of the cumulated rate in the
days, which sinks. How much of the falling rate is due to that, and how much to the time itself, cannot be told; so the
effects are divided by a power of the elasticity, and the check fails only if no power explains the change.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
from scipy.optimize import brentq

from crossdomain.experiments.checks import LEAST_DAYS_OF_NOVELTY, novelty_check
from crossdomain.experiments.design import Design
from crossdomain.experiments.moments import Stratum, Sums
from crossdomain.experiments.results import CheckResult
from crossdomain.experiments.samples import Sample
from crossdomain.experiments.selections import matured_after
from crossdomain.stats.moments import Moments, PairMoments
from crossdomain.stats.proportions import Successes

LARGEST_ERROR = 1 / 3
"""Standard error of an arm's logarithm above which a cohort is left out: about nine successes. The logarithm of less
is far from normal."""


HIGHEST_POWER = 1.5
"""Power of the elasticity that effects are divided by at most: 0 for equal people, 1 where all of the falling rate is
due to unequal ones; more leaves room for the error of the elasticity."""
_LEAST_ELASTICITY = 0.05

Effects = list[tuple[int, float, float]]
"""Days since a cohort's first, its effect and the standard error of that."""


def novelty_checks(design: Design, strata: Mapping[Stratum, Sums], until: date) -> Iterator[CheckResult]:
    """A check of each variant, ``novelty:<variant>``; none where the primary metric is a quantile.

    Args:
        design: The design; caps and CUPED of its primary metric are left aside, since cohorts are compared by sums.
        strata: Moments as of ``until``.
        until: Last business day that counts.
    """
    metric = design.metric(design.primary_metric)
    if metric.kind == "quantile":
        return
    fills_up = metric.kind == "proportion" and not matured_after(metric)
    for variant in design.treatments:
        effects, said = cohort_effects(design, strata, variant, until), ""
        if fills_up and len(effects) >= LEAST_DAYS_OF_NOVELTY:
            elasticities = cohort_elasticities(design, strata, variant, until)
            if power := least_change(effects, elasticities):
                effects = _divided(effects, elasticities, power)
                said = f"; of the rates' flattening {power:.2f} is put down to the keen, who go first"
        found = novelty_check(design, effects)
        yield replace(found, check_name=f"novelty:{variant}", detail=found.detail + said)


def cohort_effects(design: Design, strata: Mapping[Stratum, Sums], variant: str, until: date) -> Effects:
    """Effect of a variant on the primary metric in each cohort, as the logarithm of a ratio.

    Args:
        design: The design.
        strata: Moments as of ``until``.
        variant: The variant.
        until: Last business day that counts; of a metric over the days after exposure, cohorts whose days are not
            over are left out.

    Returns:
        Days since the cohort's first, the effect and its standard error (delta method, arms independent), by days;
        cohorts with an arm of no or too little data are left out.
    """
    return [
        (days, treated - control, math.hypot(control_error, error))
        for days, (control, control_error), (treated, error) in _cohorts(design, strata, variant, until)
    ]


def cohort_elasticities(design: Design, strata: Mapping[Stratum, Sums], variant: str, until: date) -> list[float]:
    """Relative growth of the cumulated rate with relative growth of the days, in each cohort of ``cohort_effects``.

    One where people's rates are equal and constant. From a parabola through the logarithms of each arm, the mean of the
    arms, which is that of the time between ``a`` and ``r a``; at least a twentieth.

    Args:
        design: The design, whose primary metric is a proportion.
        strata: Moments as of ``until``.
        variant: The variant.
        until: Last business day that counts.
    """
    cohorts = _cohorts(design, strata, variant, until)
    # Units came in the course of their first day, and the day that is asked about is over.
    days = np.log([one[0] + 0.5 for one in cohorts])
    slopes = np.zeros(len(cohorts))
    for arm in (1, 2):
        values, errors = np.array([one[arm] for one in cohorts], dtype=np.float64).T
        square, linear, _ = np.polyfit(days, values, 2, w=1 / errors)
        slopes += (linear + 2 * square * days) / 2
    return [float(slope) for slope in np.maximum(slopes, _LEAST_ELASTICITY)]


def least_change(effects: Effects, elasticities: Sequence[float]) -> float:
    """The power of the elasticities, from 0 to ``HIGHEST_POWER``, with which the effects change least with the days."""

    def change(power: float) -> float:
        days, values, errors = np.array(_divided(effects, elasticities, power), dtype=np.float64).T
        weights = errors**-2.0
        centred = days - np.average(days, weights=weights)
        return float(np.sum(weights * centred * values) / math.sqrt(np.sum(weights * centred**2)))

    none, most = change(0.0), change(HIGHEST_POWER)
    if none * most < 0:
        return float(brentq(change, 0.0, HIGHEST_POWER))
    return 0.0 if abs(none) <= abs(most) else HIGHEST_POWER


def _divided(effects: Effects, elasticities: Sequence[float], power: float) -> Effects:
    return [
        (days, effect / one**power, error / one**power)
        for (days, effect, error), one in zip(effects, elasticities, strict=True)
    ]


def _cohorts(
    design: Design, strata: Mapping[Stratum, Sums], variant: str, until: date
) -> list[tuple[int, tuple[float, float], tuple[float, float]]]:
    """Days since the first of each cohort, the logarithm of the control with its error, and that of the variant."""
    metric = replace(design.metric(design.primary_metric), cuped=False, winsorize=None)
    last = until - timedelta(days=matured_after(metric))
    found = []
    for first in sorted({one.first_ds for one in strata if one.first_ds <= last}, reverse=True):
        arms = [
            _log_of(sums.sample(metric))
            for name in (design.control, variant)
            if (sums := strata.get(Stratum(first, name, metric.name))) is not None
        ]
        match arms:
            case [(control, control_error), (treated, error)] if max(control_error, error) <= LARGEST_ERROR:
                found.append(((until - first).days, (control, control_error), (treated, error)))
    return found


def _log_of(sample: Sample) -> tuple[float, float] | None:
    """Logarithm of an arm's mean, ratio or cumulated hazard, with its standard error; None where there is none."""
    match sample:
        case Successes() if 0 < sample.count < sample.n:
            hazard = -math.log1p(-sample.share)
            return math.log(hazard), math.sqrt(sample.share_variance) / ((1 - sample.share) * hazard)
        case Moments() if sample.n > 1 and sample.total > 0:
            return math.log(sample.mean), math.sqrt(sample.mean_variance) / sample.mean
        case PairMoments() if sample.n > 1 and sample.y > 0 and sample.x > 0:
            return math.log(sample.ratio), math.sqrt(sample.ratio_variance) / sample.ratio
    return None
