"""The fold of quiet days: what is learned, what is left out, what is forgotten."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta

from crossdomain.quality.measures import FEED_ROWS, ROWS, SHARE, Key, Measure
from crossdomain.quality.quiet_days import RELEARN_AFTER, WINDOW_DAYS, History, complete, history_of, remember

FIRST = date(2026, 1, 5)
VIEW, BUY = Key(SHARE, "event_type", "view"), Key(SHARE, "event_type", "purchase")


def on(step: int) -> date:
    return FIRST + timedelta(days=step)


def day(rows: int, **categories: int) -> list[Measure]:
    shares = [Measure(Key(SHARE, "event_type", name), count, rows) for name, count in categories.items()]
    return [Measure(Key(ROWS), rows, rows), *shares]


def test_days_are_added_and_old_ones_leave_the_window() -> None:
    known: Mapping[Key, History] = {}
    for step in range(WINDOW_DAYS + 10):
        known = remember(on(step), day(100 + step), (), known, quiet=True)
    kept = known[Key(ROWS)]
    assert len(kept.days) == WINDOW_DAYS
    assert (kept.days[0], kept.days[-1]) == (on(10), on(WINDOW_DAYS + 9))
    assert kept.values[-1] == kept.rows[-1] == 100 + WINDOW_DAYS + 9


def test_an_alarm_is_left_out_and_counted_until_the_level_is_learned_anew() -> None:
    known: Mapping[Key, History] = {}
    for step in range(20):
        known = remember(on(step), day(100), (), known, quiet=True)
    for step in range(20, 20 + RELEARN_AFTER - 1):
        known = remember(on(step), day(200), {Key(ROWS)}, known, quiet=True)
        assert known[Key(ROWS)].values == (100,) * 20
    assert known[Key(ROWS)].alarms == RELEARN_AFTER - 1
    last = on(20 + RELEARN_AFTER - 1)
    known = remember(last, day(200), {Key(ROWS)}, known, quiet=True)
    assert known[Key(ROWS)] == History((last,), (200,), (200,), alarms=0)


def test_a_quiet_day_ends_the_row_of_alarms() -> None:
    known = remember(on(0), day(100), (), {}, quiet=True)
    known = remember(on(1), day(300), {Key(ROWS)}, known, quiet=True)
    known = remember(on(2), day(101), (), known, quiet=True)
    assert known[Key(ROWS)] == History((on(0), on(2)), (100, 101), (100, 101), alarms=0)


def test_a_day_that_was_let_through_teaches_nothing() -> None:
    known = remember(on(0), day(100, view=100), (), {}, quiet=True)
    assert remember(on(1), day(3, share=3), (), known, quiet=False) == known


def test_a_category_that_stays_away_counts_as_none_and_is_forgotten_in_time() -> None:
    known = remember(on(0), day(100, view=90, purchase=10), (), {}, quiet=True)
    for step in range(1, WINDOW_DAYS):
        known = remember(on(step), day(100, view=100), (), known, quiet=True)
    assert known[BUY].values == (10, *(0,) * (WINDOW_DAYS - 1))
    known = remember(on(WINDOW_DAYS), day(100, view=100), (), known, quiet=True)
    assert set(known) == {Key(ROWS), VIEW}


def test_a_new_category_was_none_of_the_tables_rows_before() -> None:
    known = remember(on(0), day(100, view=100), (), {}, quiet=True)
    assert history_of(BUY, known) == History((on(0),), (0.0,), (100,))
    assert history_of(Key(FEED_ROWS, "feed", "new"), known) == History()
    later = remember(on(1), day(50, view=40, purchase=10), (), known, quiet=True)
    assert later[BUY] == History((on(0), on(1)), (0, 10), (100, 50))


def test_known_categories_and_feeds_without_rows_are_measured_as_none() -> None:
    shop = Key(FEED_ROWS, "feed", "shop")
    known = remember(on(0), [*day(100, view=100), Measure(shop, 100, 100)], (), {}, quiet=True)
    found = complete(day(70), known)
    assert found[VIEW] == Measure(VIEW, 0, 70)
    assert found[shop] == Measure(shop, 0, 70)
    assert complete([], known) == {}
