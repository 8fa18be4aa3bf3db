"""Checks of an analyst's rows before their numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime

import numpy as np

from crossdomain.experiments.checks import (
    alike_before_check,
    novelty_check,
    sample_ratio_by_check,
    sample_ratio_check,
)
from crossdomain.experiments.comparing import compare_all
from crossdomain.experiments.design import Design
from crossdomain.experiments.results import CheckResult
from crossdomain.experiments.unit_metrics import build_samples, find_flaws, usable_rows
from crossdomain.experiments.unit_rows import Codes, UnitRows
from crossdomain.stats.exact_sums import moments


def check_rows(design: Design, rows: UnitRows, days: Sequence[date]) -> tuple[CheckResult, ...]:
    """All checks of unit rows.

    Args:
        design: A design of a file.
        rows: Its units.
        days: Days of the rows, sorted; empty where they are not dates.
    """
    return (
        *check_units(design, rows),
        *_before(design, rows),
        *_days(design, rows, days),
    )


def check_units(design: Design, rows: UnitRows) -> tuple[CheckResult, ...]:
    """Checks of the split, of what is left out and of the metrics' values: those that ask for no time."""
    return (
        *_sample_ratios(design, rows),
        *_left_out(design, rows),
        *_empty_arms(design, rows),
        *_values(design, rows),
    )


def _sample_ratios(design: Design, rows: UnitRows) -> Iterator[CheckResult]:
    assert design.file is not None
    if counted := design.sample_ratio_metrics or _trials(design):
        arm = rows.arm[rows.unit]
        for name in counted:
            values = rows.numbers(name)[0]
            counts = {
                variant: round(float(np.sort(values[arm == place]).sum()))
                for place, (variant, _) in enumerate(design.variants)
            }
            yield sample_ratio_check(design, counts, of=name)
        return
    if rows.cluster is not None:
        # Units come and go with their clusters: their split by a dimension or a day says nothing.
        yield sample_ratio_check(design, _by_variant(design, arms_of_clusters(rows)))
        return
    yield sample_ratio_check(design, _by_variant(design, rows.arm))
    for dimension in design.dimensions:
        codes, labels = rows.labels(dimension)
        pairs = np.unique(np.stack([codes, rows.unit]), axis=1)
        by_value = {
            label: _by_variant(design, rows.arm[pairs[1][pairs[0] == place]]) for place, label in enumerate(labels)
        }
        yield sample_ratio_by_check(design, dimension, by_value)
    if design.file.day is not None and design.file.unit is not None:
        codes, labels = rows.labels(design.file.day)
        first = np.full(rows.units, len(labels))
        np.minimum.at(first, rows.unit, codes)
        by_day = {label: _by_variant(design, rows.arm[first == place]) for place, label in enumerate(labels)}
        yield sample_ratio_by_check(design, "day", by_day)


def _trials(design: Design) -> tuple[str, ...]:
    """The primary metric's denominator, where rows are totals: their number says nothing of the units' split."""
    assert design.file is not None
    totals = all(metric.kind == "proportion" and metric.denominator is not None for metric in design.metrics)
    if design.file.unit is not None or design.file.cluster is not None or not totals:
        return ()
    return (str(design.metric(design.primary_metric).denominator),)


def _left_out(design: Design, rows: UnitRows) -> Iterator[CheckResult]:
    assert design.file is not None
    left = rows.left_out
    what = "units" if rows.cluster is None else "clusters" if design.switchback is None else "slots"
    if design.file.unit is not None or design.file.cluster is not None:
        yield CheckResult(
            design.experiment_id,
            "multiple_exposures",
            left.several_variants == 0,
            None,
            left.several_variants,
            f"{left.several_variants} of {left.units} {what} are in several variants and left out",
        )
    if design.file.unit is not None:
        yield CheckResult(
            design.experiment_id,
            "missing_units",
            left.without_unit == 0,
            None,
            left.without_unit,
            f"{left.without_unit} rows have no {design.file.unit} and are left out",
        )
    named = ", ".join(repr(name) if name else "nothing" for name in left.variants)
    yield CheckResult(
        design.experiment_id,
        "unknown_variants",
        left.unknown_variant == 0,
        None,
        left.unknown_variant,
        f"{left.unknown_variant} rows are of variants that the design does not have" + (f": {named}" if named else ""),
    )


def _empty_arms(design: Design, rows: UnitRows) -> Iterator[CheckResult]:
    counts = _by_variant(design, rows.arm)
    empty = [variant for variant, count in counts.items() if count == 0]
    said = f"no unit is in {', '.join(empty)}" if empty else "every variant has units"
    yield CheckResult(design.experiment_id, "empty_arms", not empty, None, len(empty), said)


def _values(design: Design, rows: UnitRows) -> Iterator[CheckResult]:
    """Missing, NaN and infinite values of each metric that has them."""
    names = [variant for variant, _ in design.variants]
    for metric in design.metrics:
        flaws = find_flaws(design, rows, metric)
        if any(flaws.not_finite):
            shown = ", ".join(f"{name} {count}" for name, count in zip(names, flaws.not_finite, strict=True))
            yield CheckResult(
                design.experiment_id,
                f"not_finite:{metric.name}",
                False,
                None,
                sum(flaws.not_finite),
                f"NaN or infinite values: {shown}; the metric is not measured",
            )
        if any(flaws.missing):
            shown = ", ".join(f"{name} {count}" for name, count in zip(names, flaws.missing, strict=True))
            done = {
                "refuse": "the metric is not measured: say by `missing` whether they stand for zero or are left out",
                "zero": "they stand for zero",
                "leave_out": f"left out, {int(usable_rows(design, rows, metric)[0].sum())} rows of all arms are kept",
            }[metric.missing]
            yield CheckResult(
                design.experiment_id,
                f"missing_values:{metric.name}",
                metric.missing != "refuse",
                None,
                sum(flaws.missing),
                f"missing values: {shown}; {done}",
            )


def _before(design: Design, rows: UnitRows) -> Iterator[CheckResult]:
    """Covariates must be alike in all arms; clusters' covariates are not independent units, so they are not tested."""
    assert design.file is not None
    if rows.cluster is not None:
        return
    used = [metric.covariate.column for metric in design.metrics if metric.covariate is not None]
    for name in dict.fromkeys((*design.file.covariates, *used)):
        values, known = rows.constants(name)
        arms = {
            variant: moments(values[known & (rows.arm == place)]) for place, (variant, _) in enumerate(design.variants)
        }
        yield alike_before_check(design, name, arms)


def _days(design: Design, rows: UnitRows, days: Sequence[date]) -> Iterator[CheckResult]:
    """Days between the first and the last without any row, and an effect that changes with time."""
    assert design.file is not None
    if not days or design.file.day is None:
        return
    span = (days[-1] - days[0]).days + 1
    missing = span - len(set(days))
    said = f"{missing} of {span} days from {days[0]} to {days[-1]} have no row"
    yield CheckResult(design.experiment_id, "missing_days", missing == 0, None, missing, said)
    codes, labels = rows.labels(design.file.day)
    only = replace(design, metrics=(design.metric(design.primary_metric),), analysis="fixed", looks=(), guardrails=())
    for variant in design.treatments:
        effects = []
        for place, label in enumerate(labels):
            part = rows.chosen(codes == place)
            for result in compare_all(only, build_samples(only, part), None):
                if result.variant == variant and result.estimate is not None and result.se is not None:
                    number = (datetime.fromisoformat(label).date() - days[0]).days
                    effects.append((number, result.estimate, result.se))
        found = novelty_check(design, effects)
        yield replace(found, check_name=f"novelty:{variant}")


def _by_variant(design: Design, arm: Codes) -> dict[str, int]:
    counts = np.bincount(arm, minlength=len(design.variants))
    return {variant: int(count) for (variant, _), count in zip(design.variants, counts, strict=True)}


def arms_of_clusters(rows: UnitRows) -> Codes:
    """Arm of each cluster, where clusters were randomised."""
    assert rows.cluster is not None
    _, first = np.unique(rows.cluster, return_index=True)
    return rows.arm[first]
