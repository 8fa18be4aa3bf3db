"""The plan of a switchback: how many slots it needs, and so how many days."""

from __future__ import annotations

import math

from crossdomain.errors import InputError
from crossdomain.experiments.design import Design
from crossdomain.experiments.design_parts import Expected
from crossdomain.experiments.plan import CURVE, Plan, asked, is_adjusted
from crossdomain.experiments.switchback import slots_a_week, switchback_of
from crossdomain.experiments.switchback_design import DAY
from crossdomain.stats.power import pairs_for_t_test, power_of_t, units_for_t_test


def plan_slots(design: Design) -> Plan:
    """The plan of a switchback, for its primary metric; its units are slots.

    Slots are few, so that power is that of t: of two samples of slots, or of the differences within blocks. With a
    deviation s of a slot's mean, and correlation r of two slots of a block, the difference of c control's and t of the
    treatment's slots in a block has variance s^2 (1 - r) (1 / c + 1 / t). Several treatments share alpha.

    Args:
        design: A design with ``switchback``, ``expected`` and ``minimum_effect``.

    Raises:
        InputError: These are missing, or do not fit.
    """
    expected, effect = asked(design)
    if expected.deviation is None:
        raise InputError(f"{design.source}: expected.deviation: is required: the standard deviation of a slot's mean")
    if expected.units_per_day is not None:
        said = f"follow from slot_minutes: leave out {expected.units_per_day:g}"
        raise InputError(f"{design.source}: expected.units_per_day: the units of a switchback are slots, which {said}")
    if switchback_of(design).scheme == "independent":
        slots, curve = _independent(design, expected, effect)
    else:
        slots, curve = _blocked(design, expected, effect)
    unadjusted = _independent(design, Expected(expected.mean, expected.deviation), effect)[0]
    return Plan(
        metric=design.primary_metric,
        effect=effect,
        relative_effect=effect / expected.mean if expected.mean else None,
        alpha=_alpha(design),
        power=design.power,
        units=slots,
        units_per_variant={name: math.ceil(slots * weight - 1e-9) for name, weight in design.variants},
        days=math.ceil(slots * switchback_of(design).slot_minutes / DAY),
        fixed_units=unadjusted,
        curve=curve,
    )


def _alpha(design: Design) -> float:
    return design.alpha / len(design.treatments)


def _independent(design: Design, expected: Expected, effect: float) -> tuple[int, tuple[tuple[float, float], ...]]:
    """Slots of a comparison between slots, and its power; CUPED leaves 1 - r^2 of the variance."""
    assert expected.deviation is not None
    alpha, weights = _alpha(design), dict(design.variants)
    left = 1 - expected.correlation**2 if is_adjusted(design) else 1.0
    size = abs(effect) / expected.deviation / math.sqrt(left)
    smallest = min(weights[name] for name in design.treatments)
    ratio, share = smallest / weights[design.control], weights[design.control]
    control = units_for_t_test(size, alpha=alpha, power=design.power, ratio=ratio)
    slots = math.ceil(control / share - 1e-9)
    n = slots * share
    shift = size * math.sqrt(n * ratio / (1 + ratio))
    return slots, _curve(effect, shift, n * (1 + ratio) - 2, alpha)


def _blocked(design: Design, expected: Expected, effect: float) -> tuple[int, tuple[tuple[float, float], ...]]:
    """Slots of whole blocks (whole weeks, with weekdays) and their power."""
    assert expected.deviation is not None
    switchback, alpha, weights = switchback_of(design), _alpha(design), dict(design.variants)
    of_control, smallest = weights[design.control], min(weights[name] for name in design.treatments)
    variance = (1 - expected.correlation) * (1 / of_control + 1 / smallest) / switchback.block_slots
    size = abs(effect) / (expected.deviation * math.sqrt(variance))
    blocks = math.ceil(pairs_for_t_test(size, alpha=alpha, power=design.power) - 1e-9)
    if switchback.scheme == "weekdays":
        week = slots_a_week(switchback)
        blocks = math.ceil(blocks / week) * week
    return blocks * switchback.block_slots, _curve(effect, size * math.sqrt(blocks), blocks - 1.0, alpha)


def _curve(effect: float, shift: float, df: float, alpha: float) -> tuple[tuple[float, float], ...]:
    """Power over effects from 0 to twice the minimum."""
    shares = [2 * step / (CURVE - 1) for step in range(CURVE)]
    return tuple((effect * share, power_of_t(shift * share, df, alpha=alpha)) for share in shares)
