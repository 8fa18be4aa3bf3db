"""Where the pictures of a day's content lie, and which days have some."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path

from crossdomain.storage.home import Home, write_whole

FOLDER = "content"
PLOTS = ("topic_map", "topic_shares", "similarity")
"""Names of the pictures, in the order in which they are shown."""
_DAY = re.compile(r"^\d{4}-\d{2}-\d{2}$")


def write_plots(home: Home, ds: date, plots: Mapping[str, bytes]) -> None:
    """Writes a day's pictures; each is replaced whole.

    Args:
        home: The home.
        ds: The business day.
        plots: SVG by name, of ``PLOTS``.

    Raises:
        CrossdomainError: A file cannot be written; the old one stays.
    """
    for name in PLOTS:
        write_whole(_path(home, ds.isoformat(), name), plots[name])


def read_plot(home: Home, day: str, name: str) -> bytes | None:
    """A picture; None if there is none of that day and name, whatever they are."""
    if not _DAY.match(day) or name not in PLOTS:
        return None
    path = _path(home, day, name)
    return path.read_bytes() if path.is_file() else None


def plot_days(home: Home) -> list[date]:
    """Days that have pictures, ascending."""
    folders = home.report(FOLDER).glob("????-??-??")
    return sorted(date.fromisoformat(path.name) for path in folders if _DAY.match(path.name))


def _path(home: Home, day: str, name: str) -> Path:
    return home.report(f"{FOLDER}/{day}/{name}.svg")
