"""Forecasts: the obvious answer, a textbook's prediction interval as oracle, and days that must not bend the line."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from crossdomain.quality.forecast import forecast

MONDAY = date(2026, 1, 5)
WEEK = np.array([0.0, 0.1, 0.2, 0.3, 0.8, 1.5, 1.2])


def days(number: int) -> np.ndarray:
    return np.array([(MONDAY + timedelta(days=step)).toordinal() for step in range(number)])


def test_a_line_with_weekdays_is_continued_exactly() -> None:
    past = days(42)
    values = (5 + 0.01 * np.arange(42) + WEEK[np.arange(42) % 7])[None, :]
    for step in range(7):
        seen = forecast(values, np.zeros((1, 42)), np.zeros(1), past, int(past[-1]) + 1 + step)
        assert seen.mean[0] == pytest.approx(5 + 0.01 * (42 + step) + WEEK[(42 + step) % 7])
        assert seen.error[0] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("number", [14, 40])
@pytest.mark.parametrize("sundays", [True, False])
def test_error_and_freedom_are_those_of_least_squares(number: int, sundays: bool) -> None:
    past, today = days(number), int(days(number + 1)[-1])
    if not sundays:  # a day of the week that was never seen: the line alone
        past = days(number + number // 6 + 1)
        past = past[past % 7 != 0][:number]
        today = int(past[-1]) + 1
    values = np.random.default_rng(number).normal(7, 0.1, (1, number))
    seen = forecast(values, np.zeros((1, number)), np.zeros(1), past, today)
    design = pd.DataFrame({"level": np.ones(number + 1), "slope": np.append(past, today) - float(past[0])})
    for weekday in range(1, 7) if sundays else ():
        design[f"day{weekday}"] = (np.append(past, today) % 7 == weekday).astype(float)
    fitted = sm.OLS(values[0], design.iloc[:-1].to_numpy()).fit()
    predicted = fitted.get_prediction(design.iloc[-1:].to_numpy())
    assert seen.mean[0] == pytest.approx(predicted.predicted_mean[0])
    assert seen.error[0] == pytest.approx(predicted.se_obs[0])
    assert seen.freedom[0] == fitted.df_resid


def test_one_wild_day_does_not_bend_the_line() -> None:
    past = days(42)
    values = np.random.default_rng(3).normal(9, 0.05, (2, 42))
    values[1] = values[0]
    values[1, 30] += 5
    seen = forecast(values, np.zeros((2, 42)), np.zeros(2), past, int(past[-1]) + 1)
    assert seen.mean[1] == pytest.approx(seen.mean[0], abs=0.03)
    assert seen.error[1] == pytest.approx(seen.error[0], rel=0.1)


def test_known_noise_is_not_taken_for_straying() -> None:
    past = days(56)
    values = np.random.default_rng(5).normal(0, 0.1, (200, 56))
    noise = np.full((200, 56), 0.01)
    smaller = forecast(values, noise, np.full(200, 0.01 / 100), past, int(past[-1]) + 1)
    alike = forecast(values, noise, np.full(200, 0.01), past, int(past[-1]) + 1)
    assert np.median(smaller.error) < 0.07 < 0.1 < np.median(alike.error)


def test_too_few_days_give_nothing_and_gaps_count() -> None:
    past = days(20)
    values = np.ones((2, 20))
    values[1, :7] = np.nan
    seen = forecast(values, np.zeros((2, 20)), np.zeros(2), past, int(past[-1]) + 1)
    assert seen.days.tolist() == [20, 13]
    assert seen.mean[0] == pytest.approx(1)
    assert np.isnan(seen.mean[1])
    empty = forecast(np.ones((1, 0)), np.ones((1, 0)), np.zeros(1), days(0), int(past[0]))
    assert np.isnan(empty.mean[0])


def test_weekdays_count_once_each_was_seen_twice() -> None:
    for number, knows in ((25, False), (26, True)):
        past = days(number + 7)
        past = past[(past % 7 != 0) | (past >= past[14])][:number]  # no Sunday in the first two weeks
        values = WEEK[past % 7 - 1][None, :]
        seen = forecast(values, np.zeros((1, number)), np.zeros(1), past, int(past[-1]) + 1)
        assert bool(seen.error[0] < 1e-6) is knows, number


def test_a_series_may_wait_longer_for_its_weekdays() -> None:
    past = days(20)
    values = np.repeat(WEEK[past % 7 - 1][None, :], 2, axis=0)
    seen = forecast(values, np.zeros((2, 20)), np.zeros(2), past, int(past[-1]) + 1, weeks=np.array([2, 4]))
    assert seen.error[0] == pytest.approx(0, abs=1e-9)
    assert seen.freedom.tolist() == [20 - 8, 20 - 2], "of the second the weekdays are straying"
    assert seen.error[1] > 0.3
