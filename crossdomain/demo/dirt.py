"""Dirt and delay: what is wrong with delivered rows, at stated rates, so that every refusal can be counted.

Dirty rows are additional rows (with ids of their own): the clean rows of the world stay whole, so that its truth holds.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import date, timedelta

import numpy as np

from crossdomain.demo.behaviour import PURCHASE
from crossdomain.demo.clock import DAY_SECONDS, Calendar

FLAWS = ("", "bad_date", "missing_id", "negative_value")
BAD_DATE, MISSING_ID, NEGATIVE_VALUE = 1, 2, 3

LATE_DAYS = 3
RATES = {
    "late": 0.01,
    "bad_date": 0.0004,
    "missing_id": 0.0004,
    "negative_value": 0.0003,
    "exact_duplicate": 0.001,
    "corrected": 0.0004,
    "too_late": 0.0003,
    "too_early": 0.0003,
}
"""Rows of each kind per clean row of a business day; every kind but late comes at least once a day where possible."""

MEANING = {
    "late": "delivered 1 to 3 days after its day; a good row",
    "bad_date": "a date that does not exist (or no number, where times are epoch seconds)",
    "missing_id": "a required id (row, user or item) is blank",
    "negative_value": "a negative price, or a purchase of a negative value",
    "exact_duplicate": "a row repeated without any difference in the same delivery",
    "corrected": "the newer version of a row; a good row",
    "superseded": "the older version of a row; the newer one is in the same delivery or a later one",
    "too_late": "delivered 4 to 6 days after its day",
    "too_early": "its time is 2 days after the delivery's day",
    "undelivered": "late rows that would arrive after the last delivery day; in no file, counted by business day",
}
NOT_CLEAN = ("bad_date", "missing_id", "negative_value", "exact_duplicate", "superseded", "too_late", "too_early")
"""Kinds of delivered rows that must not become clean rows."""


@dataclass
class DirtBook:
    """Counts of dirt: `rows[feed, delivery day, kind]`."""

    rows: Counter[tuple[str, date, str]] = field(default_factory=Counter)

    def add(self, feed: str, day: date, kind: str, rows: int) -> None:
        """Count rows of a kind; nothing is noted for none."""
        if rows:
            self.rows[feed, day, kind] += rows


def spoil(
    events: np.ndarray, day: date, *, feed: str, calendar: Calendar, book: DirtBook, rng: np.random.Generator
) -> list[tuple[date, np.ndarray]]:
    """Decide when the events of a business day are delivered, and add the dirty rows.

    Args:
        events: clean `EVENT` rows of the day, in order, ids ascending.
        day: business day.
        feed: name for the counts.
        calendar: the days.
        book: takes the counts.
        rng: random stream of the day.

    Returns:
        Pairs of a delivery day and its rows in file order, the deliveries ascending; newer versions of a
        row come after older ones.
    """
    if not len(events):
        return []
    delay = np.where(rng.random(len(events)) < RATES["late"], rng.integers(1, LATE_DAYS + 1, len(events)), 0)
    parts: list[tuple[date, str, np.ndarray]] = []
    parts += _corrections(events, delay, day, calendar, rng)
    for days in range(LATE_DAYS + 1):
        when = calendar.delivered(day, late=days)
        kind = "late" if when > calendar.delivered(day) else ""
        parts.append((when, kind, events[delay == days]))
    parts += _copies(events, delay, day, calendar, rng)
    files: dict[date, list[np.ndarray]] = {}
    for when, kind, rows in sorted(parts, key=lambda part: (part[0], _FILE_ORDER[part[1]])):
        if when > calendar.last:
            if kind == "late":
                book.add(feed, day, "undelivered", len(rows))
            continue
        if kind:
            book.add(feed, when, kind, len(rows))
        files.setdefault(when, []).append(rows)
    return [(when, np.concatenate(rows)) for when, rows in files.items()]


# In a file the older version of a row stands before the newer one, and repeated rows at the end.
_FILE_ORDER = {
    "superseded": 0,
    "": 1,
    "late": 1,
    "bad_date": 2,
    "missing_id": 2,
    "negative_value": 2,
    "too_early": 2,
    "too_late": 2,
    "corrected": 3,
    "exact_duplicate": 4,
}


def _corrections(
    events: np.ndarray, delay: np.ndarray, day: date, calendar: Calendar, rng: np.random.Generator
) -> list[tuple[date, str, np.ndarray]]:
    """Purchases first delivered with ten times their value; the right row follows, half of them a day later.

    The right rows leave the ordinary rows: their `delay` becomes -1. On the last day all right rows follow at once.
    """
    able = np.flatnonzero((events["kind"] == PURCHASE) & (delay == 0))
    chosen = rng.choice(able, min(_wanted(len(events), "corrected"), len(able)), replace=False)
    delay[chosen] = -1
    wrong = events[chosen].copy()
    wrong["value"] *= 10
    tomorrow = calendar.delivered(day, late=1)
    same, next_day = (chosen, chosen[:0]) if tomorrow > calendar.last else (chosen[::2], chosen[1::2])
    return [
        (calendar.delivered(day), "superseded", wrong),
        (calendar.delivered(day), "corrected", events[same]),
        (tomorrow, "corrected", events[next_day]),
    ]


def _copies(
    events: np.ndarray, delay: np.ndarray, day: date, calendar: Calendar, rng: np.random.Generator
) -> list[tuple[date, str, np.ndarray]]:
    """Extra rows, made from copies of ordinary ones."""
    plain, purchases = events[delay == 0], events[events["kind"] == PURCHASE]
    out: list[tuple[date, str, np.ndarray]] = []
    fresh = int(events["id"][-1]) + 1
    for kind, pool in (
        ("bad_date", plain),
        ("missing_id", plain),
        ("negative_value", purchases),
        ("too_early", plain),
        ("too_late", plain),
        ("exact_duplicate", plain),
    ):
        rows = pool[rng.integers(0, max(len(pool), 1), _wanted(len(events), kind) if len(pool) else 0)].copy()
        when = calendar.delivered(day)
        if kind == "exact_duplicate":
            rows = pool[np.unique(rng.integers(0, max(len(pool), 1), len(rows)))].copy()
        else:
            rows["id"] = fresh + np.arange(len(rows))
            fresh += len(rows)
        if kind in FLAWS:
            rows["flaw"] = FLAWS.index(kind)
        if kind == "negative_value":
            rows["value"] *= -1
        if kind == "too_early":
            # A history delivery knows no too early or too late; only ordinary days have such rows.
            rows = rows[: 0 if day < calendar.start else None]
            rows["second"] += 2 * DAY_SECONDS
        if kind == "too_late":
            out += _too_late(rows, day, calendar, rng)
            continue
        out.append((when, kind, rows))
    return out


def _too_late(
    rows: np.ndarray, day: date, calendar: Calendar, rng: np.random.Generator
) -> list[tuple[date, str, np.ndarray]]:
    days = rng.integers(LATE_DAYS + 1, LATE_DAYS + 4, len(rows))
    return [
        (day + timedelta(days=late), "too_late", rows[days == late])
        for late in range(LATE_DAYS + 1, LATE_DAYS + 4)
        if day + timedelta(days=late) >= calendar.start
    ]


def _wanted(rows: int, kind: str) -> int:
    return max(1, round(RATES[kind] * rows))
