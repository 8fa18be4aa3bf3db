"""Lays real public files out as deliveries: the catalogues of two shops, shared behaviour, a past experiment.

The files lie in a folder of the caller's and are never copied into the project. Their layout is cut into
delivery days here; their values stay as they are.
"""

from __future__ import annotations

import csv
import gzip
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TextIO

from crossdomain.errors import InputError, MissingInput
from crossdomain.storage.home import Home, make_folder

LISTINGS = {"shop_listings_utf8": ("utf8bom", "utf-8-sig"), "shop_listings_gb18030": ("gb18030", "gb18030")}
"""Feed of the daily listings: the file's suffix and its encoding."""
_COLUMNS_OBSERVED = date(2024, 12, 31)
_TEST_YEAR = 2014
_ARMS = ("control", "experiment")


@dataclass(frozen=True)
class Laid:
    """Deliveries that were laid out: the first day, the last, and rows by feed as the source has them."""

    first: date
    last: date
    rows: dict[str, int]


def lay_catalogues(data: Path, home: Home, *, listings: str, columns: bool = True, experiment: bool = True) -> Laid:
    """Daily listings, with the paid columns and the past experiment in the first delivery.

    Args:
        data: Folder with ``beauty_shop/``, ``knowledge_columns/`` and ``ab_free_trial/``.
        home: Where landing folders go.
        listings: One of ``LISTINGS``; both hold the same table.
        columns: Whether to lay the paid columns out as well.
        experiment: Whether to lay the experiment's counts out as well.

    Raises:
        MissingInput: A file is not there.
    """
    suffix, encoding = LISTINGS[listings]
    header, lines = _listing_lines(data / "beauty_shop" / f"double11_listings.{suffix}.csv.gz", encoding)
    days = sorted(lines)
    for day in days:
        folder = _folder(home, listings, day)
        (folder / "listings.csv").write_text(header + "".join(lines[day]), encoding=encoding, newline="")
    rows = {listings: sum(len(found) for found in lines.values())}
    if columns:
        rows["paid_columns"] = _lay_columns(data, home, days[0])
    if experiment:
        rows["experiment_counts"] = _lay_experiment(data, home, days[0])
    return Laid(days[0], days[-1], rows)


def lay_behaviour(data: Path, home: Home, *, daily: int = 10) -> Laid:
    """Behaviour of people known on both sides; electronics stands in for knowledge.

    Everything up to ``daily`` days before the end is one history delivery; each later day is its own.

    Raises:
        MissingInput: A file is not there.
    """
    folder = data / "behaviour_beauty_electronics"
    with _text(folder / "items.csv.gz") as file:
        domains = {row["item_id"]: row["domain"].replace("electronics", "knowledge") for row in csv.DictReader(file)}
    events = list(_sequences(folder / "sequences.txt.gz", domains))
    last = max(day for day, _ in events)
    first = last - timedelta(days=daily)
    for step in range(daily + 1):
        day = first + timedelta(days=step)
        chosen = [row for found, row in events if (found <= first if day == first else found == day)]
        target = _folder(home, "shared_behaviour", day)
        _write_csv(target / "events.csv", ["event", "user", "domain", "item", "unix_ts"], chosen)
    _declare_history(_folder(home, "shared_behaviour", first), first)
    people = sorted({row[1] for _, row in events}, key=int)
    target = _folder(home, "shared_accounts", first)
    _write_csv(target / "accounts.csv", ["user", "linked_at"], [[user, first.isoformat()] for user in people])
    return Laid(first, last, {"shared_behaviour": len(events), "shared_accounts": len(people)})


def _lay_columns(data: Path, home: Home, day: date) -> int:
    source = data / "knowledge_columns" / "columns.jsonl.gz"
    with _text(source) as file:
        rows = sum(1 for _ in file)
    folder = _folder(home, "paid_columns", day)
    shutil.copyfile(source, folder / source.name)
    # the columns are younger than the listings: filed under the first day, believed up to when they were seen
    _declare_history(folder, _COLUMNS_OBSERVED)
    return rows


def _lay_experiment(data: Path, home: Home, day: date) -> int:
    rows: list[list[str]] = []
    for arm in _ARMS:
        with (_existing(data / "ab_free_trial" / f"{arm}.csv")).open(encoding="utf-8", newline="") as file:
            for counts in csv.DictReader(file):
                when = datetime.strptime(f"{counts.pop('Date')} {_TEST_YEAR}", "%a, %b %d %Y").replace(tzinfo=UTC)
                for metric, count in counts.items():
                    if count:
                        rows.append(["free_trial_screener", arm, when.date().isoformat(), metric.lower(), count])
    folder = _folder(home, "experiment_counts", day)
    _write_csv(folder / "counts.csv", ["experiment", "variant", "day", "metric", "count"], rows)
    _declare_history(folder, day)
    return len(rows)


def _listing_lines(path: Path, encoding: str) -> tuple[str, dict[date, list[str]]]:
    lines: dict[date, list[str]] = {}
    with gzip.open(_existing(path), "rt", encoding=encoding, newline="") as file:
        header = next(file)
        for number, line in enumerate(file, start=2):
            year, month, day = line.split(",", 1)[0].split("/")
            if not line.endswith("\n"):
                line += "\n"
            try:
                lines.setdefault(date(int(year), int(month), int(day)), []).append(line)
            except ValueError as error:
                raise InputError(f"{path}, line {number}: no date at its beginning: {error}") from error
    return header, lines


def _sequences(path: Path, domains: dict[str, str]) -> Iterator[tuple[date, list[str]]]:
    with _text(path) as file:
        for line in file:
            user, *steps = line.split()
            for number, step in enumerate(steps):
                item, moment = step.split("|")
                day = datetime.fromtimestamp(int(moment), tz=UTC).date()
                yield day, [f"{user}-{number}", user, domains[item], item, moment]


def _folder(home: Home, feed: str, day: date) -> Path:
    folder = home.landing(feed, day)
    make_folder(folder)
    return folder


def _declare_history(folder: Path, observed: date) -> None:
    (folder / "_delivery.yaml").write_text(f"history: true\nobserved: {observed}\n", encoding="utf-8")


def _write_csv(path: Path, header: list[str], rows: list[list[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


@contextmanager
def _text(path: Path) -> Iterator[TextIO]:
    with gzip.open(_existing(path), "rt", encoding="utf-8") as file:
        yield file


def _existing(path: Path) -> Path:
    if not path.exists():
        raise MissingInput(f"{path} is missing: give the folder that holds the real data, make real DATA=<folder>")
    return path
