"""What a number should be today, from its own quiet days: a straight line and the days of the week, fitted robustly.

For each series a line through its quiet days, with a step for every day of the week once each was seen twice, is
fitted by least squares twice: days far from the first line (more than ``FAR`` robust standard deviations) have no
weight in the second. The error of a forecast has three parts: what a day strays by itself (estimated from the
residuals, without the sampling noise that is known), the uncertainty of the line, and today's own sampling noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]

LEAST_DAYS = 14
"""Quiet days that a forecast needs."""
WEEKS_FOR_WEEKDAYS = 2
"""Each day of the week must have occurred so often before it gets a level of its own, unless a series asks for more."""
FAR = 4.0
"""Days further from the first line than so many robust standard deviations do not bend the second."""
_NORMAL_MAD = 1.4826
_TREND_SCALE = 28.0
_TINY = 1e-9


@dataclass(frozen=True)
class Forecast:
    """Forecasts of m series on their own scale.

    Attributes:
        mean: What today should be (m); nan where the history is too short.
        error: Standard deviation of today's distance from it (m).
        freedom: Degrees of freedom behind ``error`` (m).
        days: Days that were used (m).
    """

    mean: Floats
    error: Floats
    freedom: Floats
    days: Ints


def forecast(
    values: Floats, noise: Floats, noise_today: Floats, days: Ints, today: int, *, weeks: Ints | None = None
) -> Forecast:
    """Forecasts series for a day.

    Args:
        values: Past values (m series, n days), nan where a series has no quiet value.
        noise: Known sampling variance of each of them (m, n).
        noise_today: Known sampling variance of today's values (m).
        days: The past days as ordinals (n), all before ``today``; ordinal 1 is a Monday (``date.toordinal``).
        today: The day to forecast.
        weeks: How often each day of the week must have occurred in a series before it gets a level of its own (m);
            ``WEEKS_FOR_WEEKDAYS`` if not given.
    """
    series = len(values)
    seen = np.isfinite(values)
    count = seen.sum(axis=1)
    by_week = _knows_weekdays(seen, days, WEEKS_FOR_WEEKDAYS if weeks is None else weeks)
    mean, error = np.full(series, np.nan), np.full(series, np.nan)
    freedom = np.zeros(series)
    for weekly in (False, True):
        chosen = np.flatnonzero((count >= LEAST_DAYS) & (by_week == weekly))
        if len(chosen):
            design = _design(days, today, weekly=weekly)
            fitted = _fit(np.nan_to_num(values[chosen]), seen[chosen], noise[chosen], noise_today[chosen], design)
            mean[chosen], error[chosen], freedom[chosen] = fitted
    return Forecast(mean, error, freedom, count)


def _knows_weekdays(seen: npt.NDArray[np.bool_], days: Ints, weeks: Ints | int) -> npt.NDArray[np.bool_]:
    """Whether a series has every day of the week often enough."""
    counts = np.stack([seen[:, days % 7 == weekday].sum(axis=1) for weekday in range(7)])
    enough: npt.NDArray[np.bool_] = counts.min(axis=0) >= weeks
    return enough


def _design(days: Ints, today: int, *, weekly: bool) -> Floats:
    """Columns (level today, slope, steps of the other days of the week): the first coefficient is the forecast."""
    columns = [np.ones(len(days)), (days - today) / _TREND_SCALE]
    if weekly:
        columns += [np.where(days % 7 == weekday, 1.0, 0.0) for weekday in range(7) if weekday != today % 7]
    return np.stack(columns, axis=1)


def _fit(
    values: Floats, seen: npt.NDArray[np.bool_], noise: Floats, noise_today: Floats, design: Floats
) -> tuple[Floats, Floats, Floats]:
    weight = seen.astype(float)
    first, _ = _least_squares(values, weight, design)
    distance = np.abs(values - first @ design.T)
    usual_noise = np.where(seen, noise, 0.0).sum(axis=1) / seen.sum(axis=1)
    middle = np.nanmedian(np.where(seen, distance, np.nan), axis=1)
    near = np.maximum(_NORMAL_MAD * middle, np.sqrt(usual_noise)) * FAR
    weight = np.where(distance <= near[:, None] + _TINY, weight, 0.0)
    weight = np.where((weight.sum(axis=1) >= LEAST_DAYS)[:, None], weight, seen)
    second, leverage = _least_squares(values, weight, design)
    freedom = weight.sum(axis=1) - design.shape[1]
    scatter = (weight * (values - second @ design.T) ** 2).sum(axis=1) / freedom
    scatter = np.maximum(scatter, usual_noise)
    straying = scatter - usual_noise
    error = np.sqrt(straying + noise_today + scatter * leverage)
    return second[:, 0], error, freedom


def _least_squares(values: Floats, weight: Floats, design: Floats) -> tuple[Floats, Floats]:
    """Coefficients (m, p), and the variance of the first in units of the residual variance (m)."""
    gram = np.einsum("mn,np,nq->mpq", weight, design, design, optimize=True)
    inverse = np.linalg.pinv(gram, hermitian=True)
    right = (weight * values) @ design
    return np.einsum("mpq,mq->mp", inverse, right), inverse[:, 0, 0]
