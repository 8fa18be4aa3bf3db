from __future__ import annotations

from datetime import date, datetime
from zoneinfo import ZoneInfo

import numpy as np

from crossdomain.demo.clock import Calendar, local_date_text, local_text, midnight, stream

SHANGHAI = ZoneInfo("Asia/Shanghai")


def test_local_text_agrees_with_the_time_zone_database() -> None:
    seconds = np.random.default_rng(0).integers(1_577_836_800, 1_900_000_000, 500)
    expected = [datetime.fromtimestamp(second, SHANGHAI).strftime("%Y-%m-%d %H:%M:%S") for second in seconds.tolist()]
    assert local_text(seconds).to_pylist() == expected
    assert local_date_text(seconds, pattern="%Y/%m/%d")[0].as_py() == expected[0][:10].replace("-", "/")


def test_midnight_is_the_first_local_second() -> None:
    assert midnight(date(2026, 1, 5)) == datetime(2026, 1, 5, tzinfo=SHANGHAI).timestamp()


def test_history_is_delivered_on_the_day_before_the_start() -> None:
    calendar = Calendar(date(2026, 1, 5), days=2, history_days=3)
    assert [day.day for day in calendar.business_days] == [2, 3, 4, 5, 6]
    assert [day.day for day in calendar.delivery_days] == [4, 5, 6]
    assert calendar.delivered(date(2026, 1, 2)) == date(2026, 1, 4)
    assert calendar.delivered(date(2026, 1, 4), late=2) == date(2026, 1, 6)


def test_streams_differ_by_name_and_day_and_repeat() -> None:
    draws = [stream(1, name, day).random() for name in ("a", "b") for day in (None, date(2026, 1, 5))]
    assert len(set(draws)) == 4
    assert stream(1, "a").random() == draws[0]
