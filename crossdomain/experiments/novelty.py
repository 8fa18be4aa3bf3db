"""Whether the effect on the primary metric depends on how long units have been in the experiment.

Units that came on the same day have had the experiment for equally long, so the effects of these cohorts, seen on the
same day, are effects by days of exposure. Most metrics grow with the days that a unit had, and so does their absolute
effect, though nothing changes. Compared is therefore what stays the same when the treatment multiplies a rate by the
same factor all the time: the logarithm of the ratio of the means; for a proportion, which fills up with time, of the
cumulated hazards ``-log(1 - share)``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date, timedelta

from crossdomain.experiments.checks import novelty_check
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


def novelty_checks(design: Design, strata: Mapping[Stratum, Sums], until: date) -> Iterator[CheckResult]:
    """A check of each variant, ``novelty:<variant>``; none where the primary metric is a quantile.

    With people whose rates differ, a constant effect on a proportion shrinks a little as the keen are used up; it
    takes far more units than such an effect itself to be told from zero at the level of the check.

    Args:
        design: The design; caps and CUPED of its primary metric are left aside, since cohorts are compared by sums.
        strata: Moments as of ``until``.
        until: Last business day that counts.
    """
    if design.metric(design.primary_metric).kind == "quantile":
        return
    for variant in design.treatments:
        effects = cohort_effects(design, strata, variant, until)
        yield replace(novelty_check(design, effects), check_name=f"novelty:{variant}")


def cohort_effects(
    design: Design, strata: Mapping[Stratum, Sums], variant: str, until: date
) -> list[tuple[int, float, float]]:
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
                found.append(((until - first).days, treated - control, math.hypot(control_error, error)))
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
