"""Rehearsal of a plan: synthetic experiments of its size, with and without its effect, analysed as designed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from crossdomain.errors import InputError
from crossdomain.experiments.design import Design
from crossdomain.experiments.monitoring import Progress, level_now
from crossdomain.experiments.plan import Plan
from crossdomain.experiments.planning import make_plan
from crossdomain.stats.distributions import normal_critical

Floats = npt.NDArray[np.float64]

_ALWAYS_VALID_LOOKS = 30
_MOST_NUMBERS = 4_000_000
"""Numbers drawn at once."""
_MOST_DRAWS = 5_000_000_000
"""Numbers drawn in all, beyond which a rehearsal takes too long to be one."""


@dataclass(frozen=True)
class Rehearsal:
    """What synthetic experiments of a plan gave.

    Attributes:
        experiments: How many of each sort.
        false_positives: Share that found an effect where there was none.
        power: Share that found the planned effect, in its direction.
        mean_units: Mean units over all arms when an experiment with the effect ended.
        looks: Looks of an experiment.
        plan: The plan.
    """

    experiments: int
    false_positives: float
    power: float
    mean_units: float
    looks: int
    plan: Plan


def rehearse(design: Design, *, experiments: int, seed: int) -> Rehearsal:
    """Simulates the control and the first treatment of a design.

    Units of a proportion are Bernoulli; others are gamma with the expected mean and deviation (normal where the mean
    is not positive), so that they are skewed as money is. Looks are those of the design; always-valid intervals are
    looked at thirty times, evenly spaced.

    Args:
        design: A design that can be planned.
        experiments: Synthetic experiments without, and as many with the effect.
        seed: Seed of the draws.

    Raises:
        InputError: The design cannot be planned, or the rehearsal would take too long.
    """
    if design.switchback is not None:
        raise InputError(f"{design.source}: switchback: a rehearsal deals units, not slots: `plan` says what they find")
    plan = make_plan(design)
    arms = (plan.units_per_variant[design.control], plan.units_per_variant[design.treatments[0]])
    assert design.expected is not None
    if design.expected.deviation is not None and 2 * experiments * sum(arms) > _MOST_DRAWS:
        most = _MOST_DRAWS // (2 * sum(arms))
        raise InputError(f"{experiments} experiments of {sum(arms)} units take too long: give at most {most}")
    shares = _looks(design)
    planned = replace(design, planned_units=plan.units, alpha=plan.alpha)
    sizes = [np.maximum(np.floor(np.array(shares) * n).astype(np.int64), 2) for n in arms]
    bounds = np.array([_critical(planned, shares[: k + 1], int(sizes[0][k] + sizes[1][k])) for k in range(len(shares))])
    found = {0.0: 0, plan.effect: 0}
    used = 0.0
    total = sizes[0] + sizes[1]
    for place, effect in enumerate(found):
        for z in _statistics(design, effect, sizes, experiments, np.random.default_rng([seed, place])):
            crossed = np.abs(z) > bounds
            first = np.where(crossed.any(axis=1), crossed.argmax(axis=1), len(shares) - 1)
            right = np.sign(z[np.arange(len(z)), first]) == np.sign(plan.effect)
            if effect:
                found[effect] += int((crossed.any(axis=1) & right).sum())
                used += float(total[first].sum()) * plan.units / sum(arms)
            else:
                found[effect] += int(crossed.any(axis=1).sum())
    return Rehearsal(
        experiments=experiments,
        false_positives=found[0.0] / experiments,
        power=found[plan.effect] / experiments,
        mean_units=used / experiments,
        looks=len(shares),
        plan=plan,
    )


def _looks(design: Design) -> tuple[float, ...]:
    """Shares of the planned units at the looks."""
    if design.analysis == "group_sequential":
        return tuple(look / design.looks[-1] for look in design.looks)
    if design.analysis == "always_valid":
        return tuple((look + 1) / _ALWAYS_VALID_LOOKS for look in range(_ALWAYS_VALID_LOOKS))
    return (1.0,)


def _critical(design: Design, information: tuple[float, ...], units: int) -> float:
    return normal_critical(level_now(design, Progress(information, is_look=True, finished=False), units))


def _statistics(
    design: Design, effect: float, sizes: list[npt.NDArray[np.int64]], experiments: int, rng: np.random.Generator
) -> Iterator[Floats]:
    """Statistics of the looks, a row an experiment, in pieces."""
    assert design.expected is not None
    proportion = design.expected.deviation is None
    piece = experiments if proportion else max(1, _MOST_NUMBERS // int(sizes[0][-1] + sizes[1][-1]))
    for start in range(0, experiments, piece):
        count = min(piece, experiments - start)
        sums = [
            _sums(design, mean, steps, count, rng)
            for mean, steps in zip((design.expected.mean, design.expected.mean + effect), sizes, strict=True)
        ]
        means = [total / steps for (total, _), steps in zip(sums, sizes, strict=True)]
        difference = means[1] - means[0]
        if proportion:
            pooled = (sums[0][0] + sums[1][0]) / (sizes[0] + sizes[1])
            variance = pooled * (1 - pooled) * (1 / sizes[0] + 1 / sizes[1])
        else:
            variance = sum(
                (squares - steps * mean**2) / (steps - 1) / steps
                for (_, squares), mean, steps in zip(sums, means, sizes, strict=True)
            )
        yield np.where(variance > 0, difference / np.sqrt(np.where(variance > 0, variance, 1.0)), 0.0)


def _sums(
    design: Design, mean: float, steps: npt.NDArray[np.int64], count: int, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Sums and sums of squares up to each look."""
    expected = design.expected
    assert expected is not None
    added = np.diff(steps, prepend=0)
    if expected.deviation is None:
        totals = np.cumsum(rng.binomial(added, mean, (count, len(steps))), axis=1).astype(np.float64)
        return totals, totals
    deviation = expected.deviation * math.sqrt(1 - expected.correlation**2 if _cuped(design) else 1.0)
    sums, squares = np.empty((count, len(steps))), np.empty((count, len(steps)))
    for look, units in enumerate(added.tolist()):
        if mean > 0:
            values = rng.gamma((mean / deviation) ** 2, deviation**2 / mean, (count, units))
        else:
            values = rng.normal(mean, deviation, (count, units))
        sums[:, look], squares[:, look] = values.sum(axis=1), (values**2).sum(axis=1)
    return np.cumsum(sums, axis=1), np.cumsum(squares, axis=1)


def _cuped(design: Design) -> bool:
    metric = design.metric(design.primary_metric)
    return metric.cuped or metric.covariate is not None
