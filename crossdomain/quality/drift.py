"""Drift: is today's number of a table what its own quiet days let expect?

Every measure of a table and day is compared with a forecast from its quiet days (``crossdomain.quality.forecast``): on
a log scale for counts, on the arc sine scale for shares, so that noise is alike for all sizes. The chance of a false
alarm is shared out over all measures of a table and day (``BUDGET``), however many there are, and a change must also be
large enough to matter (``LEAST_CHANGE``). Few rows are judged by the negative binomial tail as well.

An alarm never refuses a day: clean is committed by then, and a change may well be the truth.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType

import numpy as np
from scipy import stats

from crossdomain.quality.drift_results import ALARM, LEARNING, OK, Drift, Status
from crossdomain.quality.forecast import LEAST_DAYS, WEEKS_FOR_WEEKDAYS, Floats, Forecast, Ints, forecast
from crossdomain.quality.measures import (
    COUNTS,
    FEED_ROWS,
    LATE_SHARE,
    LEVEL,
    NULL_SHARE,
    ROWS,
    SHARE,
    SHARES,
    SILENT_MINUTES,
    SPREAD,
    Key,
    Measure,
)
from crossdomain.quality.quiet_days import Histories, History, complete, history_of

FALSE_ALARMS = 0.012
"""Chance of a false alarm for a table and day over all its measures, before what ``LEAST_CHANGE`` takes off it."""
BUDGET: Mapping[str, float] = MappingProxyType(
    {
        ROWS: 0.4, FEED_ROWS: 0.08, NULL_SHARE: 0.3, SHARE: 0.12, LEVEL: 0.03, SPREAD: 0.02, SILENT_MINUTES: 0.03,
        LATE_SHARE: 0.02,
    }
)  # fmt: skip
"""Part of it that each kind of measure may use up; shared equally among the table's measures of the kind."""
LEAST_CHANGE: Mapping[str, float] = MappingProxyType(
    {
        ROWS: 0.1, FEED_ROWS: 0.1, NULL_SHARE: 0.01, SHARE: 0.01, LEVEL: 0.1, SPREAD: 0.2, SILENT_MINUTES: 60.0,
        LATE_SHARE: 0.02,
    }
)  # fmt: skip
"""Smaller changes never alarm: relative for counts and numbers, in shares (0.01 is one point), in minutes."""
FATTEST_TAIL = 10.0
"""Degrees of freedom of the t distribution at most: days stray further than the normal distribution says."""
WEEKS_OF_NULLS = 4
"""Null shares hardly know weekdays: seven levels out of two weeks would cost more certainty than they give."""
NEW_ROWS = 10
"""A category that was never seen alarms from so many rows on."""
GONE_ROWS = 20
"""A category that was there every day alarms when it is gone, if so many rows were expected."""
MOST_EMPTY_DAYS = 0.1
"""A table or feed that brings nothing on more of its days than this is not judged by its number of rows."""
_ONLY_MORE = (SILENT_MINUTES, LATE_SHARE)
_FEW = 100.0
_LEAST_SPREAD = 0.01
_LARGEST = 700.0


def judge(ds: date, measures: Sequence[Measure], histories: Histories) -> list[Drift]:
    """Judges one table's measures of a day.

    Args:
        ds: The business day.
        measures: All measures of the table on the day; a known category or feed that is not among them counts as 0.
        histories: Quiet days of the table's measures before ``ds``.

    Returns:
        One result a measure, ordered by key.
    """
    found = complete(measures, histories)
    keys = sorted(found)
    if not keys:
        return []
    known = [history_of(key, histories) for key in keys]
    today = [found[key] for key in keys]
    days, values, rows = _aligned(known)
    past, noise = _on_scale(keys, values, rows)
    _, noise_today = _on_scale(keys, _column(today, "value"), _column(today, "rows"))
    weeks = np.array([WEEKS_OF_NULLS if key.measure == NULL_SHARE else WEEKS_FOR_WEEKDAYS for key in keys])
    foreseen = forecast(past, noise, noise_today[:, 0], days, ds.toordinal(), weeks=weeks)
    chance = _chances(keys)
    limits = _limits(keys, today, foreseen, chance)
    return [
        _judged(today[place], known[place], limits[place], float(chance[place]), int(foreseen.days[place]))
        for place in range(len(keys))
    ]


@dataclass(frozen=True)
class _Limits:
    """Forecast and limits in natural units."""

    expected: float
    low: float
    high: float


def _judged(measure: Measure, history: History, limits: _Limits, chance: float, days: int) -> Drift:
    key, kind = measure.key, measure.key.measure
    observed = _natural(measure)

    def drift(status: Status, reason: str) -> Drift:
        if status == LEARNING:
            return Drift(key, observed, None, None, None, measure.rows, days, status, reason)
        return Drift(key, observed, limits.expected, limits.low, limits.high, measure.rows, days, status, reason)

    if days < LEAST_DAYS:
        return drift(LEARNING, f"{days} quiet days so far, {LEAST_DAYS} are needed")
    if kind in COUNTS and _empty_days(history) > MOST_EMPTY_DAYS:
        return drift(LEARNING, "rows come on too few days to be judged by their number")
    if kind not in COUNTS and not measure.rows:
        return drift(LEARNING, "no rows to measure on")
    if kind == SHARE and not any(history.values):
        if measure.value >= NEW_ROWS and _tail(measure, history, limits.expected) < chance:
            return drift(ALARM, f"never seen in {days} quiet days")
        return drift(OK, "new, and rare")
    if kind == SHARE and not measure.value and all(history.values) and limits.expected * measure.rows >= GONE_ROWS:
        return drift(ALARM, f"seen on every one of {days} quiet days, and gone")
    outside = observed > limits.high or (observed < limits.low and kind not in _ONLY_MORE)
    if outside and _tail(measure, history, limits.expected) < chance:
        side = "above" if observed > limits.high else "below"
        return drift(ALARM, f"{side} what {days} quiet days let expect")
    return drift(OK, f"as {days} quiet days let expect")


def _chances(keys: Sequence[Key]) -> Floats:
    """The chance of a false alarm that each measure may take."""
    together = Counter(key.measure for key in keys)
    return np.array([FALSE_ALARMS * BUDGET[key.measure] / together[key.measure] for key in keys])


def _limits(keys: Sequence[Key], today: Sequence[Measure], foreseen: Forecast, chance: Floats) -> list[_Limits]:
    freedom = np.clip(foreseen.freedom, 1.0, FATTEST_TAIL)
    half = stats.t.isf(chance / 2, freedom) * foreseen.error
    found = []
    for place, key in enumerate(keys):
        mean, reach = float(foreseen.mean[place]), float(half[place])
        expected, low, high = (_back(key.measure, at) for at in (mean, mean - reach, mean + reach))
        least = LEAST_CHANGE[key.measure]
        step = least if key.measure in (*SHARES, SILENT_MINUTES) else least * expected
        most = 1.0 if key.measure in SHARES else np.inf
        found.append(_Limits(expected, max(min(low, expected - step), 0.0), min(max(high, expected + step), most)))
    return found


def _on_scale(keys: Sequence[Key], values: Floats, rows: Floats) -> tuple[Floats, Floats]:
    """Values (m, n) on the scale of their kind, and the sampling variance that is known of them."""
    scaled, noise = np.full(values.shape, np.nan), np.zeros(values.shape)
    spreads = {key.column: place for place, key in enumerate(keys) if key.measure == SPREAD}
    for place, key in enumerate(keys):
        value, size = values[place], np.where(rows[place] > 0, rows[place], np.nan)
        if key.measure in COUNTS:
            scaled[place], noise[place] = np.log1p(value), 1 / (value + 1)
        elif key.measure in SHARES:
            scaled[place] = np.arcsin(np.sqrt((value + 0.375) / (size + 0.75)))
            noise[place] = 1 / (4 * size + 2)
        elif key.measure == LEVEL:
            scaled[place] = np.where(np.isnan(size), np.nan, value)
            noise[place] = values[spreads[key.column]] ** 2 / size
        elif key.measure == SPREAD:
            scaled[place] = np.where(np.isnan(size), np.nan, np.log(value + _LEAST_SPREAD))
            noise[place] = 1 / (2 * size)
        else:
            scaled[place] = np.log1p(value)
    return scaled, np.nan_to_num(noise)


def _back(kind: str, scaled: float) -> float:
    """From the scale of a kind to rows, share, typical value, spread or minutes."""
    if kind in SHARES:
        return math.sin(min(max(scaled, 0.0), math.pi / 2)) ** 2
    limited = min(scaled, _LARGEST)  # few days that stray widely give a limit beyond all numbers
    return math.exp(limited) - _LEAST_SPREAD if kind == SPREAD else math.expm1(limited)


def _natural(measure: Measure) -> float:
    kind = measure.key.measure
    if kind in SHARES:
        return measure.value / measure.rows if measure.rows else 0.0
    return math.expm1(measure.value) if kind == LEVEL else measure.value


def _tail(measure: Measure, history: History, expected: float) -> float:
    """Chance of a count as far out as this one, if only its rate is unknown; 0 where counts are large or none.

    The rate has the gamma posterior of the quiet days (Jeffreys prior), so the count is negative binomial.
    """
    kind = measure.key.measure
    if kind not in (*COUNTS, *SHARES):
        return 0.0
    size = 1.0 if kind in COUNTS else float(measure.rows)
    usual = expected * size
    seen, exposure, count = float(sum(history.values)), float(len(history.days)), measure.value
    if kind in SHARES:
        exposure = float(sum(history.rows))
        if expected > 0.5:  # the rarer side is the one that has a tail
            seen, count, usual = exposure - seen, size - count, size - usual
    if min(usual, count) > _FEW:
        return 0.0
    odds = exposure / (exposure + size)
    above = stats.nbinom.sf(count - 1, seen + 0.5, odds)
    below = stats.nbinom.cdf(count, seen + 0.5, odds)
    return float(2 * min(above, below))


def _empty_days(history: History) -> float:
    return sum(1 for value in history.values if not value) / len(history.values)


def _aligned(histories: Sequence[History]) -> tuple[Ints, Floats, Floats]:
    """All days (n), values (m, n) and rows (m, n); nan where a measure has no quiet day."""
    every = sorted({day for history in histories for day in history.days})
    place = {day: number for number, day in enumerate(every)}
    values = np.full((len(histories), len(every)), np.nan)
    rows = np.full((len(histories), len(every)), np.nan)
    for number, history in enumerate(histories):
        at = [place[day] for day in history.days]
        values[number, at] = history.values
        rows[number, at] = history.rows
    return np.array([day.toordinal() for day in every], np.int64), values, rows


def _column(measures: Sequence[Measure], name: str) -> Floats:
    return np.array([[float(getattr(measure, name))] for measure in measures])
