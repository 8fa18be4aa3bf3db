"""Days, local time and random streams of the world."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

# China has kept one offset without daylight saving since 1991, so local time is a constant shift of the epoch.
LOCAL_OFFSET = 8 * 3600
DAY_SECONDS = 86_400

_EPOCH = date(1970, 1, 1)
_TIME_OF_DAY = pa.array(
    [f"{hour:02d}:{minute:02d}:{second:02d}" for hour in range(24) for minute in range(60) for second in range(60)]
)


@dataclass(frozen=True)
class Calendar:
    """The days of a world.

    Attributes:
        start: first ordinary delivery day.
        days: number of ordinary delivery days.
        history_days: days of behaviour before `start`, delivered together on `start - 1`.
    """

    start: date
    days: int
    history_days: int

    @property
    def history_delivery(self) -> date:
        """The delivery day of the history load."""
        return self.start - timedelta(days=1)

    @property
    def first(self) -> date:
        """The first day with behaviour."""
        return self.start - timedelta(days=self.history_days)

    @property
    def last(self) -> date:
        """The last day, with behaviour and delivery."""
        return self.start + timedelta(days=self.days - 1)

    @property
    def business_days(self) -> list[date]:
        """Every day with behaviour, ascending."""
        return [self.first + timedelta(days=n) for n in range(self.history_days + self.days)]

    @property
    def delivery_days(self) -> list[date]:
        """Every delivery day, ascending, the history delivery first."""
        return [self.history_delivery + timedelta(days=n) for n in range(self.days + 1)]

    def delivered(self, day: date, *, late: int = 0) -> date:
        """The delivery day of something of a business day: history is delivered at once, late rows later."""
        return max(day + timedelta(days=late), self.history_delivery)


def midnight(day: date) -> int:
    """Epoch seconds of a local day's first moment."""
    return (day - _EPOCH).days * DAY_SECONDS - LOCAL_OFFSET


def local_days(seconds: np.ndarray) -> np.ndarray:
    """Local day numbers (days since 1970-01-01) of epoch seconds."""
    return (seconds + LOCAL_OFFSET) // DAY_SECONDS


def local_text(seconds: np.ndarray) -> pa.Array:
    """Epoch seconds as local `YYYY-MM-DD HH:MM:SS` text."""
    time = _TIME_OF_DAY.take(pa.array((seconds + LOCAL_OFFSET) % DAY_SECONDS))
    return pc.binary_join_element_wise(local_date_text(seconds), time, " ")


def local_date_text(seconds: np.ndarray, *, pattern: str = "%Y-%m-%d") -> pa.Array:
    """Epoch seconds as local date text in a strftime pattern."""
    days, places = np.unique(local_days(seconds), return_inverse=True)
    texts = [(_EPOCH + timedelta(days=int(day))).strftime(pattern) for day in days]
    return pa.array(texts, pa.string()).take(pa.array(places))


def stream(seed: int, name: str, day: date | None = None) -> np.random.Generator:
    """An independent random stream of a seed, a purpose and a day: no stream depends on how much another drew."""
    ordinal = day.toordinal() if day else 0
    return np.random.default_rng(np.random.SeedSequence([seed, zlib.crc32(name.encode()), ordinal]))
