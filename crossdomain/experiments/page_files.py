"""Where the pages of the experiments lie, one an experiment and day, and which there are."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

from crossdomain.storage.home import Home, write_whole

FOLDER = "experiments"
_NAME = re.compile(r"^[A-Za-z][A-Za-z0-9_.-]{0,63}$")
"""Ids that the designs' schema allows; none of them leads out of the folder."""
_DAY = re.compile(r"^\d{4}-\d{2}-\d{2}$")


def write_page(home: Home, experiment: str, ds: date, page: str) -> Path:
    """Writes the page of an experiment as seen on a day; it is replaced whole.

    Args:
        home: The home.
        experiment: Id of the experiment.
        ds: The business day.
        page: The HTML.

    Returns:
        The file.

    Raises:
        CrossdomainError: It cannot be written; the old page stays.
    """
    path = _path(home, experiment, ds.isoformat())
    write_whole(path, page.encode())
    return path


def read_page(home: Home, experiment: str, day: str) -> bytes | None:
    """A page; None if there is none of that experiment and day, whatever they are."""
    if not _NAME.fullmatch(experiment) or not _DAY.fullmatch(day):
        return None
    path = _path(home, experiment, day)
    return path.read_bytes() if path.is_file() else None


def page_days(home: Home) -> dict[str, list[date]]:
    """Experiments that have pages, by id, each with their days, ascending."""
    found: dict[str, list[date]] = {}
    for path in sorted(home.report(FOLDER).glob("*/????-??-??.html")):
        if _DAY.fullmatch(path.stem):
            found.setdefault(path.parent.name, []).append(date.fromisoformat(path.stem))
    return found


def _path(home: Home, experiment: str, day: str) -> Path:
    return home.report(f"{FOLDER}/{experiment}/{day}.html")
