"""Warnings that a metric's values are too skewed for arms of such unequal size."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from crossdomain.experiments.design import Design
from crossdomain.experiments.design_parts import Metric
from crossdomain.experiments.results import CheckResult
from crossdomain.experiments.unit_metrics import covariate_columns, covariate_values, measured_units
from crossdomain.experiments.unit_rows import Floats, UnitRows
from crossdomain.stats.skewness import HARMLESS, pooled_skewness, skewness_of_difference


def skewness_warnings(design: Design, rows: UnitRows) -> Iterator[CheckResult]:
    """A warning for each mean and ratio whose difference is too skewed, ``skewness:<metric>``, of its worst variant.

    Measured are the terms whose means are compared: values within their caps, less what a covariate explains, and of a
    ratio its linearisation. Clusters and blocks have tests of their own, for few of them.

    Args:
        design: A design of a file.
        rows: Its units.
    """
    for metric in design.metrics:
        if metric.kind not in ("mean", "ratio") or rows.cluster is not None:
            continue
        arms = _terms(design, rows, metric)
        if arms is None or any(len(arm) < 2 for arm in arms):
            continue
        names = [variant for variant, _ in design.variants]
        skewness, control = pooled_skewness(arms), len(arms[names.index(design.control)])
        found = {
            name: skewness_of_difference(skewness, control, len(arm))
            for name, arm in zip(names, arms, strict=True)
            if name != design.control
        }
        worst = max(found, key=lambda name: abs(found[name]))
        if abs(found[worst]) > HARMLESS:
            more = (found[worst] / HARMLESS) ** 2
            treated = len(arms[names.index(worst)])
            said = (
                f"values of skewness {skewness:.3g} in arms of {control:,} and {treated:,} units ({design.control}, "
                f"{worst}): the difference has {found[worst]:+.3f}, harmless is up to {HARMLESS:.3f}; "
                f"{more:.3g} times the units would be enough"
            )
            name = f"skewness:{metric.name}"
            yield CheckResult(design.experiment_id, name, False, None, found[worst], said)


def _terms(design: Design, rows: UnitRows, metric: Metric) -> list[Floats] | None:
    """By arm the terms whose means are compared; None where the metric is not measured."""
    found = measured_units(design, rows, metric)
    if found is None:
        return None
    part, x, y = found
    arms = [part.arm == place for place in range(len(design.variants))]
    if y is not None:
        return [_linearised(x[arm], y[arm]) for arm in arms]
    terms = [x[arm] for arm in arms]
    for name in covariate_columns(metric):
        before = covariate_values(part, name)
        terms = _residuals(terms, [before[arm] for arm in arms])
    return terms


def _linearised(x: Floats, y: Floats) -> Floats:
    total = y.sum()
    return x - x.sum() / total * y if total else x


def _residuals(terms: list[Floats], before: list[Floats]) -> list[Floats]:
    """Terms less their regression on a covariate within arms."""
    pairs = [(x - x.mean(), c - c.mean()) for x, c in zip(terms, before, strict=True) if len(x)]
    spread = sum(float((c * c).sum()) for _, c in pairs)
    slope = sum(float((x * c).sum()) for x, c in pairs) / spread if spread else 0.0
    return [np.asarray(x - slope * c) for x, c in zip(terms, before, strict=True)]
