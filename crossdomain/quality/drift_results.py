"""What is said of a measure: what it is, what it should be, and whether that is an alarm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from crossdomain.quality.measures import COUNTS, SHARES, SILENT_MINUTES, Key

Status = Literal["ok", "alarm", "learning"]
OK: Status = "ok"
ALARM: Status = "alarm"
LEARNING: Status = "learning"


@dataclass(frozen=True)
class Drift:
    """What a measure is and should be.

    Attributes:
        key: The measure.
        observed: Rows, share (0 to 1), typical value, spread or minutes.
        expected: The forecast in the same unit; None while learning.
        low: Lowest value without alarm; None while learning.
        high: Highest value without alarm; None while learning.
        rows: Rows that it was measured on.
        days: Quiet days behind the forecast.
        status: ``ok``, ``alarm`` or ``learning``.
        reason: Why, in words.
    """

    key: Key
    observed: float
    expected: float | None
    low: float | None
    high: float | None
    rows: int
    days: int
    status: Status
    reason: str


def in_words(table: str, drift: Drift) -> str:
    """One line for people: what, how much, what was expected."""
    what = " ".join(part for part in (table, drift.key.measure, drift.key.column, drift.key.category) if part)
    said = f"{what}: {amount(drift.key.measure, drift.observed)}"
    if drift.expected is None or drift.low is None or drift.high is None:
        return f"{said}; {drift.reason}"
    expected, low, high = (amount(drift.key.measure, value) for value in (drift.expected, drift.low, drift.high))
    return f"{said}, expected {expected} ({low} to {high}); {drift.reason}"


def amount(measure: str, value: float) -> str:
    """A value of a measure as people write it: shares in percent, counts with separators."""
    if measure in SHARES:
        return f"{100 * value:.2f} %"
    if measure in COUNTS:
        return f"{value:,.0f}"
    return f"{value:.3g}" + (" min" if measure == SILENT_MINUTES else "")
