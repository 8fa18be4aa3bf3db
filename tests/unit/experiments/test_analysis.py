"""Analysis of exposures: obvious answers, brute force per unit as oracle, what is left out and counted."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import duckdb
import numpy as np
import pytest
from scipy import stats

from crossdomain.experiments.analysis import analyze
from crossdomain.experiments.daily import Measured, count_units
from crossdomain.experiments.moments import carried, day_difference
from crossdomain.experiments.results import Analysis, NoResult
from crossdomain.experiments.state import Fold, build_totals, fold_state
from crossdomain.experiments.tallies import day_tallies
from tests.unit.experiments.conftest import DESIGN, FIRST, act, expose, fill, world

LAST = FIRST + timedelta(days=5)


def _metrics(analysis):
    return {result.metric: result for result in analysis.metrics}


def _checks(analysis):
    return {check.check_name: check for check in analysis.checks}


def _totals(con):
    return {
        unit: tuple(values)
        for unit, *values in con.execute(
            "SELECT unit, variant, x0, x1, x2, x3, x4, y4 FROM experiment_totals"
        ).fetchall()
    }


def _build(con, design, until=LAST):
    fold = Fold(date.min, until, held=False)
    fold_state(con, design, fold)
    build_totals(con, design)
    return count_units(design, Measured(carried({}, day_difference(con, design)), day_tallies(con, design, fold)))


def test_obvious_totals(con, design):
    a, b, c = b"a" * 16, b"b" * 16, b"c" * 16
    expose(con, a, "control", 10)
    expose(con, a, "control", 2)
    expose(con, b, "treatment", 5)
    expose(con, c, "treatment", 5)
    act(con, a, "purchase", 1, value=Decimal("99.00"), quantity=1)  # before its first exposure
    act(con, a, "purchase", 3, value=Decimal("10.10"), quantity=2)
    act(con, a, "purchase", 30, value=Decimal("0.20"), quantity=1)
    act(con, a, "refund", 31, value=Decimal("3.00"))
    act(con, b, "purchase", 5, value=Decimal("7.00"))  # in the very second
    act(con, b, "refund", 6, value=Decimal("-9.00"))  # a refund is taken off whatever its sign
    act(con, b, "click", 7, placement="home")
    act(con, c, "click", 7, placement="item")
    act(con, c, "purchase", 8)  # without a value
    act(con, b"z" * 16, "purchase", 8, value=Decimal("5.00"))  # never exposed
    assert _build(con, design()).by_variant == {"control": 1, "treatment": 2}
    assert _totals(con) == {
        a: ("control", 0, 1, Decimal("7.30"), 3, Decimal("7.30"), 2),
        b: ("treatment", 1, 1, Decimal("-2.00"), 0, Decimal("-2.00"), 1),
        c: ("treatment", 0, 1, Decimal("0.00"), 0, Decimal("0.00"), 1),
    }


def _brute_force(exposures, events, until):
    """Totals of every unit by plain loops over data frames."""
    day = {"ts": lambda frame: frame.ts.dt.date <= until}["ts"]
    exposures, events = exposures[day(exposures)], events[day(events)]
    rows = {}
    for unit, seen in exposures.groupby("unit"):
        if seen.variant.nunique() > 1:
            continue
        own = events[(events.account == unit) & (events.ts >= seen.ts.min())]
        bought, refunded = own[own.event_type == "purchase"], own[own.event_type == "refund"]
        revenue = sum(bought.value, Decimal(0)) - sum(refunded.value, Decimal(0))
        clicked = ((own.event_type == "click") & (own.placement == "home")).any()
        quantity = int(bought.quantity.sum())
        rows[unit] = (seen.variant.iloc[0], int(clicked), int(len(bought) > 0), revenue, quantity, revenue, len(bought))
    return rows


def test_sql_equals_brute_force(con, design):
    exposures, events = world()
    fill(con, list(exposures.itertuples(index=False)), list(events.itertuples(index=False)))
    for until in (FIRST, FIRST + timedelta(days=2), LAST):
        want = _brute_force(exposures, events, until)
        units = _build(con, design(), until)
        assert _totals(con) == want
        assert sum(units.by_variant.values()) == len(want)
        assert units.several_variants == exposures[exposures.ts.dt.date <= until].unit.nunique() - len(want)


def test_results_equal_scipy_on_units(con, design):
    exposures, events = world()
    fill(con, list(exposures.itertuples(index=False)), list(events.itertuples(index=False)))
    totals = _brute_force(exposures, events, LAST)
    arms = {
        arm: np.array([row[1:] for row in totals.values() if row[0] == arm], float) for arm in ("control", "treatment")
    }
    got = _metrics(analyze(con, design(), LAST))
    for name, column in (("revenue", 2), ("units_bought", 3)):
        want = stats.ttest_ind(arms["treatment"][:, column], arms["control"][:, column], equal_var=False)
        ends = want.confidence_interval(0.95)
        assert got[name].p == pytest.approx(want.pvalue, rel=1e-9)
        assert (got[name].low, got[name].high) == pytest.approx((ends.low, ends.high), rel=1e-9)
    assert got["click_rate"].mean == pytest.approx(arms["treatment"][:, 0].mean())
    assert got["purchase_rate"].mean_control == pytest.approx(arms["control"][:, 1].mean())
    assert got["purchase_rate"].is_primary
    assert not got["revenue"].is_primary
    ratio = arms["treatment"][:, 4].sum() / arms["treatment"][:, 5].sum()
    assert got["value_per_order"].mean == pytest.approx(ratio)
    assert (got["revenue"].relative_method, got["units_bought"].relative_method) == ("delta", "log")
    assert {result.n for result in got.values()} == {len(arms["treatment"])}
    assert {(result.first_ds, result.last_ds) for result in got.values()} == {(FIRST, LAST)}


def test_order_of_rows_and_threads_change_nothing(con, design):
    exposures, events = world(people=150)
    rows = list(exposures.itertuples(index=False)), list(events.itertuples(index=False))
    fill(con, *rows)
    want = analyze(con, design(), LAST)
    assert analyze(con, design(), LAST) == want
    con.execute("DELETE FROM clean.exposures; DELETE FROM clean.events; SET threads = 1")
    fill(con, rows[0][::-1], rows[1][::-1])
    assert analyze(con, design(), LAST) == want


def test_later_days_do_not_show_earlier(con, design):
    exposures, events = world(people=150)
    fill(con, list(exposures.itertuples(index=False)), list(events.itertuples(index=False)))
    until = FIRST + timedelta(days=2)
    early = analyze(con, design(), until)
    con.execute("DELETE FROM clean.exposures WHERE ds > ?", [until])
    con.execute("DELETE FROM clean.events WHERE ds > ?", [until])
    assert analyze(con, design(), until) == early
    closed = analyze(con, design(DESIGN + f"end: {until}\n"), LAST)
    assert closed.metrics == early.metrics


def test_what_is_left_out_is_counted(con, design):
    for number in range(40):
        expose(con, number.to_bytes(16, "big"), ("control", "treatment")[number % 2], 30)
    expose(con, b"s" * 16, "control", 30)
    expose(con, b"s" * 16, "treatment", 31)
    expose(con, b"u" * 16, "blue", 30)
    expose(con, b"p" * 16, "control", 30, unit_type="person")
    expose(con, b"e" * 16, "control", 1)
    expose(con, b"o" * 16, "control", 30, experiment="other")
    analysis = analyze(con, design(DESIGN + "start: 2026-01-06\n"), LAST)
    checks = _checks(analysis)
    assert {(result.n, result.n_control) for result in analysis.metrics} == {(20, 20)}
    assert (checks["multiple_exposures"].value, checks["multiple_exposures"].ok) == (1, False)
    assert (checks["unknown_variants"].value, checks["unknown_variants"].ok) == (1, False)
    assert (checks["other_exposures"].value, checks["other_exposures"].ok) == (2, False)
    assert (checks["sample_ratio"].p, checks["sample_ratio"].ok) == (1.0, True)


def test_one_crossing_in_a_thousand_is_harmless(con, design):
    con.execute(
        "INSERT INTO clean.exposures SELECT DATE '2026-01-05', 'exp', 'account', encode(lpad(i::VARCHAR, 16, '0')),"
        " CASE WHEN i % 2 = 0 THEN 'control' ELSE 'treatment' END, TIMESTAMPTZ '2026-01-05 01:00:00+00', NULL"
        " FROM range(1000) r(i)"
    )
    expose(con, b"0" * 15 + b"7", "control", 3)
    check = _checks(analyze(con, design(), FIRST))["multiple_exposures"]
    assert (check.value, check.ok) == (1, True)


def test_sample_ratio_mismatch_is_seen(con, design):
    for number in range(120):
        expose(con, number.to_bytes(16, "big"), "control" if number < 90 else "treatment", 1)
    check = _checks(analyze(con, design(), FIRST))["sample_ratio"]
    assert not check.ok
    assert check.p == pytest.approx(stats.chisquare([90, 30]).pvalue)


def test_missing_days_are_named(con, design):
    for hour in (1, 49):
        expose(con, int(hour).to_bytes(16, "big"), "control", hour)
        act(con, int(hour).to_bytes(16, "big"), "view", hour + 1)
    check = _checks(analyze(con, design(), FIRST + timedelta(days=2)))["missing_days"]
    assert (check.ok, check.value) == (False, 1)
    assert "no events on 2026-01-06" in check.detail
    assert "no exposures on 2026-01-06" in check.detail
    assert _checks(analyze(con, design(), FIRST))["missing_days"].ok


def test_exposures_may_come_to_an_end(con, design):
    expose(con, b"a" * 16, "control", 1)
    for hour in (2, 26):
        act(con, b"a" * 16, "view", hour)
    check = _checks(analyze(con, design(), FIRST + timedelta(days=1)))["missing_days"]
    assert check.ok
    assert "the last exposure was on 2026-01-05" in check.detail


def test_an_empty_arm_has_a_verdict_and_no_number(con, design):
    for number in range(3):
        expose(con, number.to_bytes(16, "big"), "control", 1)
    analysis = analyze(con, design(), FIRST)
    assert {result.verdict for result in analysis.metrics} == {"too_few_units"}
    assert {(result.estimate, result.p, result.mean, result.n) for result in analysis.metrics} == {
        (None, None, None, 0)
    }
    assert _metrics(analysis)["revenue"].mean_control == 0.0


def test_no_variance_has_a_verdict(con, design):
    for number in range(4):
        expose(con, number.to_bytes(16, "big"), ("control", "treatment")[number % 2], 1)
    verdicts = {name: result.verdict for name, result in _metrics(analyze(con, design(), FIRST)).items()}
    assert verdicts == {
        "click_rate": "zero_variance",
        "purchase_rate": "zero_variance",
        "revenue": "zero_variance",
        "units_bought": "zero_variance",
        "value_per_order": "zero_denominator",
    }


def test_nothing_to_say_yet(con, design):
    assert analyze(con, design(), LAST) == NoResult("exp", "no exposures of unit account up to 2026-01-10")
    later = design(DESIGN + "start: 2026-02-01\n")
    expose(con, b"a" * 16, "control", 1)
    assert analyze(con, later, LAST) == NoResult("exp", "starts on 2026-02-01")
    assert isinstance(analyze(con, later, date(2026, 2, 3)), NoResult)


def test_persons_gather_the_events_of_their_accounts(con, design):
    first, second, other = b"a" * 16, b"b" * 16, b"c" * 16
    con.execute(
        "INSERT INTO derived.people (account, person) VALUES (?, ?), (?, ?), (?, ?)",
        [first, first, second, first, other, other],
    )
    persons = design(DESIGN.replace("unit: account", "unit: person"))
    expose(con, first, "control", 1, unit_type="person")
    expose(con, other, "treatment", 1, unit_type="person")
    act(con, first, "purchase", 2, value=Decimal("1.50"))
    act(con, second, "purchase", 3, value=Decimal("2.25"))
    _build(con, persons)
    totals = _totals(con)
    assert totals[first][3] == Decimal("3.75")
    assert totals[other][3] == 0


def test_three_arms(con, design):
    text = DESIGN.replace("{control: 0.5, treatment: 0.5}", "{control: 0.5, blue: 0.3, green: 0.2}")
    for number in range(100):
        arm = "control" if number < 50 else "blue" if number < 80 else "green"
        expose(con, number.to_bytes(16, "big"), arm, 1)
        if number % 3 == 0:
            act(con, number.to_bytes(16, "big"), "purchase", 2, value=Decimal(number))
    analysis = analyze(con, design(text), FIRST)
    assert [(result.metric, result.variant) for result in analysis.metrics][:2] == [
        ("click_rate", "blue"),
        ("click_rate", "green"),
    ]
    assert _checks(analysis)["sample_ratio"].p == 1.0


def test_null_effect_is_covered(design):
    """Days of skewed purchases per person: the interval of revenue covers no effect in about 95 %."""
    inside, runs = 0, 80
    read = design()
    with duckdb.connect() as con:
        con.execute("CREATE SCHEMA clean; CREATE SCHEMA derived")
        for seed in range(runs):
            con.execute(f"SELECT setseed({seed / runs})").fetchall()
            con.execute("""
                CREATE OR REPLACE TABLE clean.exposures AS
                SELECT DATE '2026-01-05' AS ds, 'exp' AS experiment_id, 'account' AS unit_type,
                  encode(lpad(i::VARCHAR, 16, '0')) AS unit,
                  CASE WHEN random() < 0.5 THEN 'control' ELSE 'treatment' END AS variant,
                  TIMESTAMPTZ '2026-01-05 00:00:00+00' AS ts, random() AS taste
                FROM range(300) r(i)
            """)
            con.execute("""
                CREATE OR REPLACE TABLE clean.events AS
                SELECT DATE '2026-01-05' + d::INTEGER AS ds, unit AS account, 'purchase' AS event_type,
                  TIMESTAMPTZ '2026-01-05 12:00:00+00' + to_days(d::INTEGER) AS ts,
                  (-100 * ln(1 - random()))::DECIMAL(18,2) AS value, 1 AS quantity, 'home' AS placement
                FROM clean.exposures, range(6) r(d) WHERE random() < taste * taste
            """)
            analysis = analyze(con, read, LAST)
            assert isinstance(analysis, Analysis)
            revenue = _metrics(analysis)["revenue"]
            inside += revenue.low <= 0 <= revenue.high
    assert 0.88 <= inside / runs <= 1
