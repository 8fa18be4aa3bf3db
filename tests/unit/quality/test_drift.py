"""Drift on tables whose noise is known: what must alarm, what must not, and what nobody can say yet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest

from crossdomain.quality.drift import judge
from crossdomain.quality.drift_results import ALARM, LEARNING, OK, Drift, in_words
from crossdomain.quality.measures import (
    FEED_ROWS,
    LATE_SHARE,
    LEVEL,
    NULL_SHARE,
    ROWS,
    SHARE,
    SILENT_MINUTES,
    SPREAD,
    Key,
    Measure,
)
from crossdomain.quality.quiet_days import History, remember

FIRST = date(2026, 1, 5)
WEEK = (0.95, 0.93, 0.94, 0.97, 1.04, 1.11, 1.06)
NULLS = Key(NULL_SHARE, "value")
VIEW, BUY = Key(SHARE, "event_type", "view"), Key(SHARE, "event_type", "purchase")
LEVEL_KEY, SPREAD_KEY, SILENT, LATE = (
    Key(LEVEL, "value"),
    Key(SPREAD, "value"),
    Key(SILENT_MINUTES, "ts"),
    Key(LATE_SHARE),
)

Today = dict[Key, Measure]


def ordinary_day(day: date, rng: np.random.Generator, *, rows: int = 10_000, straying: float = 0.03) -> Today:
    """A day of a table with weekdays and over-dispersed rows (negative binomial)."""
    mean = rows * WEEK[day.weekday()] * rng.gamma(1 / straying**2, straying**2)
    total = int(rng.poisson(mean))
    bought = int(rng.binomial(total, 0.02))
    counts = {
        Key(ROWS): total, Key(FEED_ROWS, "feed", "shop"): total, NULLS: rng.binomial(total, 0.1),
        Key(NULL_SHARE, "channel"): 0, VIEW: total - bought, BUY: bought, LATE: rng.binomial(total, 0.01),
    }  # fmt: skip
    found = {key: Measure(key, float(count), total) for key, count in counts.items()}
    found[LEVEL_KEY] = Measure(LEVEL_KEY, 3.5 + rng.normal(0, 0.02), total)
    found[SPREAD_KEY] = Measure(SPREAD_KEY, 1.2 * np.exp(rng.normal(0, 0.02)), total)
    found[SILENT] = Measure(SILENT, rng.exponential(3.0), total)
    return found


@pytest.fixture(scope="module")
def lived() -> tuple[date, Mapping[Key, History]]:
    """Fifty quiet days, and the day after them."""
    rng, known = np.random.default_rng(1), dict[Key, History]()
    for step in range(50):
        day = FIRST + timedelta(days=step)
        known = remember(day, list(ordinary_day(day, rng).values()), (), known, quiet=True)
    return FIRST + timedelta(days=50), known


@pytest.fixture
def say(lived: tuple[date, Mapping[Key, History]]) -> Callable[..., dict[Key, Drift]]:
    """Judges an ordinary next day with changes made to it."""
    day, known = lived

    def judged(change: Callable[[Today], object] = lambda today: None, seed: int = 9) -> dict[Key, Drift]:
        today = ordinary_day(day, np.random.default_rng(seed))
        change(today)
        return {drift.key: drift for drift in judge(day, list(today.values()), known)}

    return judged


def times(today: Today, factor: float) -> None:
    """All rows of the day that many times."""
    for key, measure in today.items():
        counts = key.measure not in (LEVEL, SPREAD, SILENT_MINUTES)
        value = round(measure.value * factor) if counts else measure.value
        today[key] = Measure(key, value, round(measure.rows * factor))


def alarms(found: Mapping[Key, Drift]) -> set[Key]:
    return {key for key, drift in found.items() if drift.status == ALARM}


def test_ordinary_days_are_quiet(say: Callable[..., dict[Key, Drift]]) -> None:
    for seed in range(30):
        found = say(seed=seed)
        assert alarms(found) == set()
        assert {drift.status for drift in found.values()} == {OK}
        assert all(drift.low <= drift.expected <= drift.high for drift in found.values())  # type: ignore[operator]


@pytest.mark.parametrize("factor", [0.7, 1.3])
def test_volume_thirty_percent_off_alarms(say: Callable[..., dict[Key, Drift]], factor: float) -> None:
    found = say(lambda today: times(today, factor))
    assert found[Key(ROWS)].status == ALARM
    assert (found[Key(ROWS)].observed > found[Key(ROWS)].high) is (factor > 1)  # type: ignore[operator]
    assert {key.measure for key in alarms(found)} <= {ROWS, FEED_ROWS}, "shares are the same"


def test_a_sunday_is_compared_with_sundays(lived: tuple[date, Mapping[Key, History]]) -> None:
    after, known = lived
    for step in range(7):
        day = after + timedelta(days=step)
        expected = {d.key: d for d in judge(day, list(ordinary_day(day, np.random.default_rng(0)).values()), known)}
        assert expected[Key(ROWS)].expected == pytest.approx(10_000 * WEEK[day.weekday()], rel=0.05)


@pytest.mark.parametrize(("column", "empty"), [("value", 1500), ("channel", 500)])
def test_five_points_more_nulls_alarm(say: Callable[..., dict[Key, Drift]], column: str, empty: int) -> None:
    key = Key(NULL_SHARE, column)

    def lose(today: Today) -> None:
        today[key] = Measure(key, empty * today[key].rows / 10_000, today[key].rows)

    assert alarms(say(lose)) == {key}


def test_a_renamed_category_is_gone_and_new(say: Callable[..., dict[Key, Drift]]) -> None:
    buys = Key(SHARE, "event_type", "bought")

    def rename(today: Today) -> None:
        today[buys] = replace(today.pop(BUY), key=buys)

    found = say(rename)
    assert alarms(found) == {BUY, buys}
    assert found[BUY].reason == "seen on every one of 50 quiet days, and gone"
    assert found[buys].reason == "never seen in 50 quiet days"


def test_a_new_but_rare_category_is_no_alarm(say: Callable[..., dict[Key, Drift]]) -> None:
    odd = Key(SHARE, "event_type", "share")
    found = say(lambda today: today.__setitem__(odd, Measure(odd, 3, 10_000)))
    assert found[odd].status == OK


def test_a_feed_that_did_not_come_alarms(say: Callable[..., dict[Key, Drift]]) -> None:
    feed = Key(FEED_ROWS, "feed", "shop")
    found = say(lambda today: today.pop(feed))
    assert (found[feed].status, found[feed].observed) == (ALARM, 0)


def test_fen_for_yuan_moves_the_level(say: Callable[..., dict[Key, Drift]]) -> None:
    found = say(lambda today: today.__setitem__(LEVEL_KEY, Measure(LEVEL_KEY, 3.5 + np.log(100), 10_000)))
    assert alarms(found) == {LEVEL_KEY}
    assert found[LEVEL_KEY].observed == pytest.approx(100 * np.exp(3.5), rel=0.001)


def test_silence_alarms_when_longer_and_lateness_when_more(say: Callable[..., dict[Key, Drift]]) -> None:
    found = say(lambda today: today.update({SILENT: Measure(SILENT, 600, 10_000), LATE: Measure(LATE, 900, 10_000)}))
    assert alarms(found) == {SILENT, LATE}
    less = say(lambda today: today.update({SILENT: Measure(SILENT, 0.0, 10_000), LATE: Measure(LATE, 0, 10_000)}))
    assert alarms(less) == set()


def test_a_day_without_rows_alarms_by_its_rows_only(lived: tuple[date, Mapping[Key, History]]) -> None:
    day, known = lived
    found = {drift.key: drift for drift in judge(day, [Measure(Key(ROWS), 0, 0)], known)}
    assert alarms(found) == {Key(ROWS), Key(FEED_ROWS, "feed", "shop")}
    assert found[VIEW].status == LEARNING


def test_two_weeks_are_learned_first() -> None:
    rng, known = np.random.default_rng(2), dict[Key, History]()
    for step in range(15):
        day = FIRST + timedelta(days=step)
        today = list(ordinary_day(day, rng).values())
        found = judge(day, today, known)
        assert {drift.status for drift in found} == ({LEARNING} if step < 14 else {OK})
        known = remember(day, today, (), known, quiet=True)
    assert all(drift.expected is None for drift in judge(FIRST, today, {}))


def test_rows_that_come_on_some_days_only_are_not_judged_by_their_number() -> None:
    known: Mapping[Key, History] = {}
    for step in range(40):
        rows = 800 if step % 5 == 0 else 0
        known = remember(FIRST + timedelta(days=step), [Measure(Key(ROWS), rows, rows)], (), known, quiet=True)
    (drift,) = judge(FIRST + timedelta(days=41), [Measure(Key(ROWS), 800, 800)], known)
    assert (drift.status, drift.reason) == (LEARNING, "rows come on too few days to be judged by their number")


def test_a_large_table_does_not_alarm_on_what_does_not_matter(lived: tuple[date, Mapping[Key, History]]) -> None:
    """Ten million rows a day know a share to a hundredth of a point; half a point more is still no alarm."""
    rng, known = np.random.default_rng(4), dict[Key, History]()
    for step in range(40):
        day = FIRST + timedelta(days=step)
        today = ordinary_day(day, rng, rows=10_000_000, straying=0.001)
        known = remember(day, list(today.values()), (), known, quiet=True)
    day = FIRST + timedelta(days=40)
    today = ordinary_day(day, rng, rows=10_000_000, straying=0.001)
    today[NULLS] = replace(today[NULLS], value=today[NULLS].value + 0.005 * today[NULLS].rows)
    times(today, 1.08)
    assert [drift.key for drift in judge(day, list(today.values()), known) if drift.status == ALARM] == []


def test_the_same_day_is_judged_alike(say: Callable[..., dict[Key, Drift]]) -> None:
    assert say() == say()


def test_words_name_numbers_and_limits(say: Callable[..., dict[Key, Drift]]) -> None:
    found = say(lambda today: times(today, 0.5))
    words = in_words("clean.events", found[Key(ROWS)])
    assert words.startswith("clean.events rows: 4,")
    assert ", expected 9," in words
    assert words.endswith("below what 50 quiet days let expect")
    assert "%" in in_words("clean.events", found[NULLS])


@pytest.mark.parametrize("points", [0.05, -0.05])
def test_five_points_of_a_half_empty_column_alarm_after_two_weeks(points: float) -> None:
    key, rng, caught = Key(NULL_SHARE, "value"), np.random.default_rng(11), 0

    def half(rows: int) -> Measure:
        return Measure(key, float(rng.binomial(rows, 0.5 + rng.normal(0, 0.005))), rows)

    for _ in range(40):
        known: dict[Key, History] = {}
        for step in range(16):
            known = remember(FIRST + timedelta(days=step), [half(10_000)], (), known, quiet=True)
        today = half(10_000)
        moved = Measure(key, today.value + points * 10_000, 10_000)
        caught += judge(FIRST + timedelta(days=16), [moved], known)[0].status == ALARM
    assert caught >= 38
