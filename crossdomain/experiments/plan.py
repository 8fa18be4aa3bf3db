"""What a plan is, and what it is made from."""

from __future__ import annotations

from dataclasses import dataclass

from crossdomain.errors import InputError
from crossdomain.experiments.design import Design
from crossdomain.experiments.design_parts import Expected

CURVE = 41
"""Points of the power curve, from no effect to twice the minimum one."""


@dataclass(frozen=True)
class Plan:
    """What an experiment needs.

    Attributes:
        metric: The primary metric.
        effect: Effect to find, in the metric's unit; its sign is that of good.
        relative_effect: The same as a share of the expected mean; None where that is 0.
        alpha: Level of one treatment's test, after dividing by the number of treatments.
        power: Wanted probability.
        units: Units over all arms.
        units_per_variant: Units of each variant, by its weight, rounded up.
        days: Days until then; None where nobody knows how many units come a day.
        fixed_units: Units over all arms that a fixed analysis without CUPED would need.
        curve: Pairs of effect and power at these units.
    """

    metric: str
    effect: float
    relative_effect: float | None
    alpha: float
    power: float
    units: int
    units_per_variant: dict[str, int]
    days: int | None
    fixed_units: int
    curve: tuple[tuple[float, float], ...]


def asked(design: Design) -> tuple[Expected, float]:
    """What is expected, and the effect to find with the sign of what is good.

    Raises:
        InputError: One is missing, or does not fit the primary metric.
    """
    expected, wanted = design.expected, design.minimum_effect
    if expected is None:
        raise InputError(f"{design.source}: expected: is required for a plan: give mean, and deviation of a unit")
    if wanted is None:
        raise InputError(f"{design.source}: minimum_effect: is required for a plan: give relative or absolute")
    size = wanted.value * abs(expected.mean) if wanted.relative else wanted.value
    if size == 0:
        raise InputError(f"{design.source}: minimum_effect: a share of an expected mean of 0 is nothing")
    metric = design.metric(design.primary_metric)
    if metric.kind == "proportion" and not 0 < expected.mean < 1:
        raise InputError(f"{design.source}: expected.mean: {expected.mean:g} is no proportion")
    if metric.kind != "proportion" and expected.deviation is None:
        raise InputError(f"{design.source}: expected.deviation: is required for a metric of kind {metric.kind}")
    return expected, size if metric.better == "higher" else -size


def is_adjusted(design: Design) -> bool:
    """Whether the primary metric has a covariate."""
    metric = design.metric(design.primary_metric)
    return metric.cuped or metric.covariate is not None
