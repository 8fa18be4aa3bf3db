"""How far an experiment is, and what level a look at it may use so that all looks together keep the design's."""

from __future__ import annotations

import math
from dataclasses import dataclass

from crossdomain.experiments.design import Design
from crossdomain.stats.always_valid import PLANNED_UNITS, always_valid, mixing_variance
from crossdomain.stats.distributions import normal_critical, normal_p
from crossdomain.stats.sequential import repeated_p, spending_boundaries

_LEAST_ALPHA = 1e-15
"""Level of a look at which nothing may be spent yet: its interval is wide, not infinite."""


@dataclass(frozen=True)
class Progress:
    """Where an experiment is in its plan.

    Attributes:
        information: Shares of the planned information at the looks before and now; empty where none is planned.
        is_look: Whether the design lets this moment be decided on.
        finished: Whether the planned end is reached.
    """

    information: tuple[float, ...]
    is_look: bool
    finished: bool


FINAL = Progress((1.0,), is_look=True, finished=True)


def measure_progress(design: Design, *, units: int, day: int | None) -> Progress:
    """Progress of an experiment.

    The share of information now is that of the planned units, or else that of the days up to the last look
    (calendar time: Lan, DeMets: Group sequential procedures, calendar versus information time, 1989); earlier
    looks are placed by their days. Without either, the moment is taken as the end.

    Args:
        design: The design.
        units: Units of all arms so far.
        day: Day of the experiment, from 1; None where the data do not say.
    """
    share = min(units / design.planned_units, 1.0) if design.planned_units else None
    if design.analysis == "group_sequential":
        return _at_look(design, share, day)
    last = (design.end - design.start).days + 1 if design.start and design.end else None
    if share is not None:
        finished = share >= 1 or (last is not None and day is not None and day >= last)
    else:
        finished = last is None or day is None or day >= last
    if design.analysis == "always_valid":
        # Without a planned end it may go on: that it is over must be said by the design.
        planned = share is not None or last is not None
        return Progress((share or 1.0,), is_look=True, finished=finished and planned)
    return Progress((share or 1.0,), is_look=finished, finished=finished)


def _at_look(design: Design, share: float | None, day: int | None) -> Progress:
    last = design.looks[-1]
    if day is None:
        now = 1.0 if share is None else share
        before = tuple(look / last for look in design.looks if look / last < now - 1e-9)
        return Progress((*before, now), is_look=True, finished=now >= 1)
    finished = day >= last or (share is not None and share >= 1)
    now = 1.0 if finished else (day / last if share is None else share)
    passed = [look for look in design.looks if look < day and look < last]
    before = tuple(now * look / min(day, last) for look in passed)
    return Progress((*before, now), is_look=finished or day in design.looks, finished=finished)


def level_now(design: Design, progress: Progress, units: int) -> float:
    """Level at which a comparison of two arms is made now, so that the design's alpha holds over all looks.

    Args:
        design: The design.
        progress: Where the experiment is.
        units: Units of both arms together.
    """
    if design.analysis == "group_sequential":
        bounds = spending_boundaries(progress.information, alpha=design.alpha, shape=design.spending)
        return max(normal_p(bounds.critical[-1]), _LEAST_ALPHA)
    if design.analysis == "always_valid" and units > 0:
        interval = always_valid(0.0, 1.0, units, mixing=_mixing(design), alpha=design.alpha)
        return max(normal_p(interval.high), _LEAST_ALPHA)
    return design.alpha


def p_now(design: Design, progress: Progress, p: float, units: int) -> float:
    """A comparison's p-value, made to hold over all looks.

    Args:
        design: The design.
        progress: Where the experiment is.
        p: Two-sided p-value of the comparison by itself.
        units: Units of both arms together.
    """
    if design.analysis == "fixed":
        return p
    z = normal_critical(p) if p > 0 else math.inf
    if design.analysis == "group_sequential":
        return repeated_p(progress.information, min(z, 37.0), shape=design.spending)
    return always_valid(min(z, 37.0), 1.0, units, mixing=_mixing(design), alpha=design.alpha).p


def interval_any_day(design: Design, estimate: float, se: float, units: int) -> tuple[float, float]:
    """Always-valid interval of an estimate, whatever the design's analysis; for what must not wait for the end.

    Args:
        design: The design.
        estimate: The estimate.
        se: Its standard error, positive.
        units: Units of both arms together.
    """
    interval = always_valid(estimate, se, units, mixing=_mixing(design), alpha=design.alpha)
    return interval.low, interval.high


def _mixing(design: Design) -> float:
    """Mixing variance of two arms' confidence sequence: narrowest at the planned units of two arms."""
    planned = design.planned_units * 2 / len(design.variants) if design.planned_units else PLANNED_UNITS
    return mixing_variance(planned, alpha=design.alpha)
