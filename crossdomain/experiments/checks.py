"""Checks before numbers: may the comparison of the arms be trusted?"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date, timedelta

from crossdomain.experiments.design import Design
from crossdomain.experiments.metrics import UnitCounts, Window
from crossdomain.experiments.results import CheckResult
from crossdomain.stats.srm import sample_ratio_test

MULTIPLE_EXPOSURE_SHARE = 0.01
"""Share of units in several variants above which leaving them out is no longer harmless."""
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
