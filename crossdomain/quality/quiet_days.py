"""The quiet days of each measure: what a day is compared with, folded from day to day.

Days on which a measure alarmed are left out of its own history, days that were let through by an override are left out
of all. A level that alarms for ``RELEARN_AFTER`` days in a row is no accident: its history starts again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

from crossdomain.quality.measures import FEED_ROWS, ROWS, SHARE, Key, Measure

WINDOW_DAYS = 56
"""Days that the history reaches back: eight weeks, so that a slow change of level is nearly straight."""
RELEARN_AFTER = 7
"""Alarms in a row after which the new level is taken for what it is, and learned anew."""


@dataclass(frozen=True)
class History:
    """The quiet days of one measure.

    Attributes:
        days: Days, ascending, none older than ``WINDOW_DAYS``.
        values: What was measured: a count of rows for counts and shares, else the number.
        rows: Rows that it was measured on.
        alarms: Alarms in a row up to the newest day.
    """

    days: tuple[date, ...] = ()
    values: tuple[float, ...] = ()
    rows: tuple[int, ...] = ()
    alarms: int = 0

    def since(self, first: date) -> History:
        """Without the days before ``first``."""
        kept = [place for place, day in enumerate(self.days) if day >= first]
        return replace(
            self,
            days=tuple(self.days[place] for place in kept),
            values=tuple(self.values[place] for place in kept),
            rows=tuple(self.rows[place] for place in kept),
        )

    def with_day(self, day: date, measure: Measure) -> History:
        """With one more quiet day."""
        return History((*self.days, day), (*self.values, measure.value), (*self.rows, measure.rows))


Histories = Mapping[Key, History]


def complete(measures: Sequence[Measure], histories: Histories) -> dict[Key, Measure]:
    """A table's measures of a day by key, with zeros for known categories and feeds of which nothing came."""
    found = {measure.key: measure for measure in measures}
    total = next((measure.rows for measure in measures if measure.key.measure == ROWS), None)
    if total is not None:
        for key in histories:
            if key not in found and key.measure in (FEED_ROWS, SHARE):
                found[key] = Measure(key, 0.0, total)
    return found


def history_of(key: Key, histories: Histories) -> History:
    """A measure's quiet days; a category that was never seen has the table's, each without a row of it."""
    if key in histories or key.measure != SHARE:
        return histories.get(key, History())
    table = histories.get(Key(ROWS), History())
    return replace(table, values=(0.0,) * len(table.days), alarms=0)


def remember(
    ds: date, measures: Sequence[Measure], alarmed: Collection[Key], histories: Histories, *, quiet: bool
) -> dict[Key, History]:
    """A table's histories after a day.

    Args:
        ds: The business day.
        measures: What was measured on it.
        alarmed: Measures that alarmed.
        histories: The histories before it.
        quiet: Whether the day may be learned from at all; not if it was let through by an override.
    """
    first = ds - timedelta(days=WINDOW_DAYS - 1)
    before = {key: history.since(first) for key, history in histories.items()}
    after = dict(before)
    for key, measure in complete(measures, histories).items() if quiet else ():
        known = history_of(key, before)
        if key not in alarmed:
            after[key] = known.with_day(ds, measure)
        elif known.alarms + 1 >= RELEARN_AFTER:
            after[key] = History((ds,), (measure.value,), (measure.rows,))
        else:
            after[key] = replace(known, alarms=known.alarms + 1)
    return {key: history for key, history in after.items() if _is_known(key, history)}


def _is_known(key: Key, history: History) -> bool:
    """A category or feed without a row in all the window is forgotten."""
    if key.measure in (FEED_ROWS, SHARE):
        return history.alarms > 0 or any(history.values)
    return history.alarms > 0 or bool(history.days)
