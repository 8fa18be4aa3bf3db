"""The plan of an experiment: units and days that it needs, and what it then finds how probably."""

from __future__ import annotations

import math

from crossdomain.experiments.design import Design
from crossdomain.experiments.design_parts import Expected
from crossdomain.experiments.plan import CURVE, Plan, asked, is_adjusted
from crossdomain.experiments.slot_planning import plan_slots
from crossdomain.stats.always_valid import always_valid, mixing_variance
from crossdomain.stats.distributions import normal_critical, normal_p
from crossdomain.stats.power import power_of_z, units_for_means, units_for_proportions
from crossdomain.stats.sequential import Boundaries, crossing_probabilities, drift_for, spending_boundaries


def make_plan(design: Design) -> Plan:
    """The plan of a design, for its primary metric.

    Units are those of the treatment that needs most, since arms may differ in weight; with several treatments each is
    tested at alpha over their number (the first step of Holm's procedure). CUPED multiplies the variance by one minus
    the squared correlation; a group sequential analysis multiplies the units by the square of its drift over the
    fixed test's; an always-valid one is planned for its last day, so that it mostly ends earlier. A switchback's units
    are slots: see ``plan_slots``.

    Args:
        design: A design with ``expected`` and ``minimum_effect``.

    Raises:
        InputError: These are missing, or do not fit the primary metric.
    """
    if design.switchback is not None:
        return plan_slots(design)
    expected, effect = asked(design)
    alpha = design.alpha / len(design.treatments)
    weights = dict(design.variants)
    growth = _growth(design, alpha)
    kept = 1 - expected.correlation**2 if is_adjusted(design) else 1.0
    fixed = max(
        _units_of_control(design, expected, effect, alpha, weights[treatment] / weights[design.control])
        for treatment in design.treatments
    )
    total = fixed * kept * growth / weights[design.control]
    units = {name: math.ceil(total * weight - 1e-9) for name, weight in design.variants}
    count = sum(units.values())
    return Plan(
        metric=design.primary_metric,
        effect=effect,
        relative_effect=effect / expected.mean if expected.mean else None,
        alpha=alpha,
        power=design.power,
        units=count,
        units_per_variant=units,
        days=math.ceil(count / expected.units_per_day) if expected.units_per_day else None,
        fixed_units=math.ceil(fixed / weights[design.control]),
        curve=_curve(design, effect, alpha),
    )


def _units_of_control(design: Design, expected: Expected, effect: float, alpha: float, ratio: float) -> float:
    if expected.deviation is None:
        return units_for_proportions(expected.mean, effect, alpha=alpha, power=design.power, ratio=ratio)
    return units_for_means(expected.deviation, effect, alpha=alpha, power=design.power, ratio=ratio)


def _growth(design: Design, alpha: float) -> float:
    """By how much the units grow because the experiment is looked at before its end."""
    fixed = _drift_of_fixed(design.power, alpha)
    if design.analysis == "group_sequential":
        return (drift_for(design.power, _boundaries(design, alpha)) / fixed) ** 2
    if design.analysis == "always_valid":
        return ((_last_critical(alpha) + normal_critical(2 * (1 - design.power))) / fixed) ** 2
    return 1.0


def _curve(design: Design, effect: float, alpha: float) -> tuple[tuple[float, float], ...]:
    """Power over effects from 0 to twice the minimum, the experiment being as large as planned."""
    points = []
    if design.analysis == "group_sequential":
        bounds = _boundaries(design, alpha)
        drift = drift_for(design.power, bounds)
        for step in range(CURVE):
            share = 2 * step / (CURVE - 1)
            crossed = crossing_probabilities(bounds.information, bounds.critical, drift=drift * share)[-1]
            points.append((effect * share, crossed))
        return tuple(points)
    critical = _last_critical(alpha) if design.analysis == "always_valid" else normal_critical(alpha)
    drift = critical + normal_critical(2 * (1 - design.power))
    level = normal_p(critical)
    for step in range(CURVE):
        share = 2 * step / (CURVE - 1)
        points.append((effect * share, power_of_z(drift * share, 1.0, alpha=level)))
    return tuple(points)


def _drift_of_fixed(power: float, alpha: float) -> float:
    return normal_critical(alpha) + normal_critical(2 * (1 - power))


def _boundaries(design: Design, alpha: float) -> Boundaries:
    """Boundaries at the design's looks, placed by their days."""
    last = design.looks[-1]
    return spending_boundaries([look / last for look in design.looks], alpha=alpha, shape=design.spending)


def _last_critical(alpha: float) -> float:
    """Critical value of the confidence sequence at the units that it is planned for."""
    planned = 1e6  # any number: at the planned units the value does not depend on it
    return always_valid(0.0, 1.0, planned, mixing=mixing_variance(planned, alpha=alpha), alpha=alpha).high
