from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest

from crossdomain.demo.behaviour import EVENT, PURCHASE, VIEW
from crossdomain.demo.clock import Calendar, midnight
from crossdomain.demo.dirt import BAD_DATE, MISSING_ID, NOT_CLEAN, DirtBook, spoil

CALENDAR = Calendar(date(2026, 1, 5), days=10, history_days=3)
DAY = date(2026, 1, 7)


def _events(count: int, day: date) -> np.ndarray:
    events = np.zeros(count, EVENT)
    events["id"] = 1 + np.arange(count)
    events["kind"] = np.where(np.arange(count) % 10 == 0, PURCHASE, VIEW)
    events["value"] = 500
    events["second"] = midnight(day) + np.arange(count) % 80_000
    return events


def _spoiled(count: int, day: date = DAY) -> tuple[list[tuple[date, np.ndarray]], DirtBook]:
    book = DirtBook()
    files = spoil(_events(count, day), day, feed="f", calendar=CALENDAR, book=book, rng=np.random.default_rng(5))
    return files, book


def _total(book: DirtBook, kinds: tuple[str, ...]) -> int:
    return sum(rows for (_, _, kind), rows in book.rows.items() if kind in kinds)


def test_every_row_is_accounted_for() -> None:
    files, book = _spoiled(20_000)
    assert sum(len(rows) for _, rows in files) == 20_000 + _total(book, NOT_CLEAN) - _total(book, ("undelivered",))
    assert {kind for _, _, kind in book.rows} == {*NOT_CLEAN, "late", "corrected"}


def test_good_rows_arrive_as_they_were() -> None:
    files, _ = _spoiled(20_000)
    newest: dict[int, np.void] = {}
    for when, rows in files:
        for row in rows:
            if row["flaw"] == 0 and row["value"] >= 0 and when - DAY <= timedelta(days=3) and row["id"] <= 20_000:
                newest[int(row["id"])] = row
    kept = np.array([newest[number] for number in sorted(newest)], EVENT)
    assert (kept == _events(20_000, DAY)).all()


def test_deliveries_ascend_and_late_ones_are_few() -> None:
    files, book = _spoiled(20_000)
    days = [when for when, _ in files]
    assert days == sorted(days)
    assert days[0] == DAY
    assert _total(book, ("late",)) == pytest.approx(200, abs=60)


def test_flaws_are_marked() -> None:
    (_, rows), *_ = _spoiled(20_000)[0]
    assert (rows["flaw"] == BAD_DATE).sum() == (rows["flaw"] == MISSING_ID).sum() == 8


def test_a_history_day_has_nothing_too_early_and_is_late_only_across_the_start() -> None:
    files, book = _spoiled(5_000, date(2026, 1, 2))
    assert _total(book, ("too_early",)) == 0
    assert files[0][0] == CALENDAR.history_delivery
    assert all(when in CALENDAR.delivery_days for when, _ in files)


def test_the_last_day_leaves_late_rows_undelivered() -> None:
    files, book = _spoiled(5_000, CALENDAR.last)
    assert [when for when, _ in files] == [CALENDAR.last]
    assert book.rows["f", CALENDAR.last, "undelivered"] > 0
    assert len(files[0][1]) == 5_000 + _total(book, NOT_CLEAN) - _total(book, ("undelivered",))


def test_no_events_no_files() -> None:
    assert _spoiled(0)[0] == []
