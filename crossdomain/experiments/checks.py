"""Checks before numbers: may the comparison of the arms be trusted?"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from datetime import date, timedelta

from crossdomain.experiments.design import Design
from crossdomain.experiments.metrics import UnitCounts, Window
from crossdomain.experiments.results import CheckResult
from crossdomain.stats.comparison import Unmeasurable
from crossdomain.stats.distributions import normal_p
from crossdomain.stats.means import compare_means
from crossdomain.stats.moments import Moments
from crossdomain.stats.srm import SRM_ALPHA, sample_ratio_test

MULTIPLE_EXPOSURE_SHARE = 0.01
"""Share of units in several variants above which leaving them out is no longer harmless."""
LEAST_DAYS_OF_NOVELTY = 7
_LISTED = 10


def sample_ratio_check(design: Design, counts: Mapping[str, int], *, of: str | None = None) -> CheckResult:
    """Arms' counts against the design's weights, chi-square at the level of ``SRM_ALPHA``.

    Args:
        design: The design with its weights.
        counts: Count of each variant.
        of: Name of the count with daily counts; None for units.
    """
    name = "sample_ratio" if of is None else f"sample_ratio:{of}"
    observed = [counts[variant] for variant, _ in design.variants]
    shown = ", ".join(f"{variant} {counts[variant]} (weight {weight:g})" for variant, weight in design.variants)
    if sum(observed) == 0:
        return CheckResult(design.experiment_id, name, False, None, None, f"nothing to compare: {shown}")
    test = sample_ratio_test(observed, [weight for _, weight in design.variants])
    detail = f"{shown}; chi2 {test.chi2:.4f}, df {test.df}"
    if test.approximate:
        detail += "; fewer than 5 expected in an arm, so p is a rough guide"
    return CheckResult(design.experiment_id, name, test.ok, test.p, test.chi2, detail)


def sample_ratio_by_check(
    design: Design, by: str, counts: Mapping[str, Mapping[str, int]], *, least: int = 5, shown_from: int = 0
) -> CheckResult:
    """Arms' counts against the design's weights within each day or value of a dimension.

    A mismatch that is confined to a day or a browser hides in the totals. The smallest p is multiplied by the number
    of values that were tested (Bonferroni).

    Args:
        design: The design with its weights.
        by: ``day`` or a dimension.
        counts: Value to count of each variant.
        least: Expected units of an arm below which a value is not tested.
        shown_from: Units an arm must have for its count to be told.
    """
    weights = [weight for _, weight in design.variants]
    tested: list[tuple[float, str]] = []
    for value, found in sorted(counts.items()):
        observed = [found.get(variant, 0) for variant, _ in design.variants]
        if sum(observed) * min(weights) >= least:
            tested.append((sample_ratio_test(observed, weights).p, value))
    name = f"sample_ratio_by:{by}"
    if not tested:
        return CheckResult(design.experiment_id, name, True, None, None, "no value has enough units to be tested")
    smallest, worst = min(tested)
    p = min(smallest * len(tested), 1.0)
    arms = [(variant, counts[worst].get(variant, 0)) for variant, _ in design.variants]
    shown = ", ".join(f"{name} {units if units >= shown_from else f'under {shown_from}'}" for name, units in arms)
    detail = f"least likely of {len(tested)}: {worst!r} with {shown}; p {smallest:.3g}, {p:.3g} over all"
    return CheckResult(design.experiment_id, name, p >= SRM_ALPHA, p, None, detail)


def alike_before_check(design: Design, covariate: str, arms: Mapping[str, Moments]) -> CheckResult:
    """Whether the arms were alike in what was known before the experiment (carry-over, a broken assignment).

    Args:
        design: The design.
        covariate: What was measured before.
        arms: Moments of it of each variant.
    """
    name, p, shown = f"alike_before:{covariate}", 1.0, "nothing to compare"
    for variant in design.treatments:
        try:
            found = compare_means(arms[design.control], arms[variant])
        except Unmeasurable:
            continue
        if found.p <= p:
            p = found.p
            shown = f"{variant} {found.mean:.4g}, {design.control} {found.mean_control:.4g}, p {p:.3g}"
    p = min(p * len(design.treatments), 1.0)
    return CheckResult(design.experiment_id, name, p >= SRM_ALPHA, p, None, shown)


def novelty_check(design: Design, effects: Sequence[tuple[int, float, float]]) -> CheckResult:
    """Whether the effect fades or grows with time, so that its mean is no forecast.

    Args:
        design: The design.
        effects: (day since exposure or of the experiment, effect on that day, its standard error), one a day; the
            slope is fitted with weights 1 / standard error squared.
    """
    usable = [(day, effect, se) for day, effect, se in effects if se > 0]
    name = "novelty"
    if len(usable) < LEAST_DAYS_OF_NOVELTY:
        said = f"{len(usable)} days with an effect; {LEAST_DAYS_OF_NOVELTY} are needed"
        return CheckResult(design.experiment_id, name, True, None, None, said)
    weights = [1 / se**2 for _, _, se in usable]
    total = math.fsum(weights)
    centre = math.fsum(w * day for w, (day, _, _) in zip(weights, usable, strict=True)) / total
    spread = math.fsum(w * (day - centre) ** 2 for w, (day, _, _) in zip(weights, usable, strict=True))
    slope = math.fsum(w * (day - centre) * effect for w, (day, effect, _) in zip(weights, usable, strict=True)) / spread
    p = normal_p(slope * math.sqrt(spread))
    said = f"the effect changes by {slope:+.4g} a day over {len(usable)} days, p {p:.3g}"
    return CheckResult(design.experiment_id, name, p >= SRM_ALPHA, p, slope, said)


def assignment_check(design: Design, exposed: int, otherwise: int) -> CheckResult:
    """Whether units were shown the variant that they were assigned.

    Args:
        design: The design.
        exposed: Exposed units whose assignment is known.
        otherwise: Those of them that were shown another variant.
    """
    share = otherwise / max(exposed, 1)
    said = f"{otherwise} of {exposed} exposed units were shown another variant than they were assigned, {share:.2%}"
    return CheckResult(design.experiment_id, "assignment", otherwise == 0, None, otherwise, said)


def unit_checks(design: Design, units: UnitCounts) -> tuple[CheckResult, ...]:
    """Units that were left out because of their variants."""
    known = sum(units.by_variant.values())
    share = units.several_variants / max(known + units.several_variants, 1)
    return (
        CheckResult(
            design.experiment_id,
            "multiple_exposures",
            share <= MULTIPLE_EXPOSURE_SHARE,
            None,
            units.several_variants,
            f"{units.several_variants} units were seen in several variants and left out,"
            f" {share:.2%} of those exposed; up to {MULTIPLE_EXPOSURE_SHARE:.0%} is taken as harmless",
        ),
        CheckResult(
            design.experiment_id,
            "unknown_variants",
            units.unknown_variant == 0,
            None,
            units.unknown_variant,
            f"{units.unknown_variant} units were seen only in variants that the design does not have",
        ),
    )


def other_exposures_check(design: Design, other_unit: int, before_start: int) -> CheckResult:
    """Exposures of the experiment that do not count: of another unit, or before its start."""
    return CheckResult(
        design.experiment_id,
        "other_exposures",
        other_unit == 0 and before_start == 0,
        None,
        other_unit + before_start,
        f"{other_unit} exposures are of another unit than {design.unit}, {before_start} lie before the start",
    )


def missing_days_check(
    design: Design, window: Window, *, events: Collection[date], exposures: Collection[date]
) -> CheckResult:
    """Days of the window without any event, or without an exposure although later ones came.

    Exposures may come to an end (a campaign that was shown once); events never do.

    Args:
        design: The design.
        window: The days that should be there.
        events: Days with events of anybody.
        exposures: Days with exposures of this experiment; at least one lies in the window.
    """
    days = [window.first + timedelta(days=step) for step in range((window.last - window.first).days + 1)]
    last_exposure = max(day for day in exposures if day <= window.last)
    silent = [day for day in days if day not in events]
    gaps = [day for day in days if day not in exposures and day < last_exposure]
    parts = [f"no {name} on {_list(found)}" for name, found in (("events", silent), ("exposures", gaps)) if found]
    detail = "; ".join(parts) or f"no day lacks rows from {window.first} to {window.last}"
    if last_exposure < window.last:
        detail += f"; the last exposure was on {last_exposure}"
    missing = len({*silent, *gaps})
    return CheckResult(design.experiment_id, "missing_days", missing == 0, None, missing, detail)


def _list(days: list[date]) -> str:
    shown = ", ".join(day.isoformat() for day in days[:_LISTED])
    return shown if len(days) <= _LISTED else f"{shown} and {len(days) - _LISTED} more days"
