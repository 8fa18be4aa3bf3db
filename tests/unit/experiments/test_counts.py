"""Daily counts: constructed totals with the published answer, unknown days, errors; the real files locally."""

from __future__ import annotations

import csv
from datetime import date, timedelta
from pathlib import Path

import pytest

from crossdomain.errors import InputError
from crossdomain.experiments.analysis import analyze, read_daily_counts
from crossdomain.experiments.counts import DailyCount, analyze_daily_counts
from crossdomain.experiments.design import load_design
from crossdomain.experiments.results import NoResult
from tests.unit.experiments.conftest import INCLUDE

DAY = date(2026, 3, 2)
REAL = Path(__file__).resolve().parents[4] / "shared" / "data" / "ab_free_trial"


def _spread(total: int, days: int) -> list[int]:
    return [total * (day + 1) // days - total * day // days for day in range(days)]


def _arm(variant: str, days: int = 10, **totals: int) -> list[DailyCount]:
    return [
        DailyCount(variant, DAY + timedelta(days=day), name, value)
        for name, total in totals.items()
        for day, value in enumerate(_spread(total, days))
    ]


def _published() -> list[DailyCount]:
    return _arm("control", views=345543, clicks=17293, enrolments=3785, payments=2033) + _arm(
        "treatment", views=344660, clicks=17260, enrolments=3423, payments=1945
    )


def _unknown_tail() -> list[DailyCount]:
    """Four more days with views and clicks, of which enrolments are not known yet."""
    rows = []
    for variant in ("control", "treatment"):
        for day in range(10, 14):
            rows += [DailyCount(variant, DAY + timedelta(days=day), name, 500) for name in ("views", "clicks")]
            rows += [DailyCount(variant, DAY + timedelta(days=day), name, None) for name in ("enrolments", "payments")]
    return rows


def _metrics(analysis):
    return {result.metric: result for result in analysis.metrics}


def _checks(analysis):
    return {check.check_name: check for check in analysis.checks}


def test_known_answer(counts_design):
    analysis = analyze_daily_counts(counts_design, _published(), DAY + timedelta(days=30))
    gross, net = _metrics(analysis)["gross"], _metrics(analysis)["net"]
    assert gross.estimate == pytest.approx(-0.020554874580361565, rel=1e-9)
    assert (gross.low, gross.high) == pytest.approx((-0.02912320088750467, -0.011986548273218463), rel=1e-9)
    assert gross.p == pytest.approx(2.578401033720593e-06, rel=1e-9)
    assert (net.low, net.high) == pytest.approx((-0.011604186136268978, 0.0018567407871806435), rel=1e-9)
    assert gross.method == "z_pooled_interval_pooled"
    assert (net.n, net.n_control) == (17260, 17293)
    checks = _checks(analysis)
    assert checks["sample_ratio:views"].ok
    assert all(check.ok for check in analysis.checks)


def test_days_not_known_yet_stay_out_of_the_denominator(counts_design):
    known = analyze_daily_counts(counts_design, _published(), DAY + timedelta(days=30))
    longer = analyze_daily_counts(counts_design, _published() + _unknown_tail(), DAY + timedelta(days=30))
    assert [result.estimate for result in longer.metrics] == [result.estimate for result in known.metrics]
    missing = _checks(longer)["missing_days"]
    assert missing.ok
    assert "the last 4 not yet" in missing.detail
    assert "2000" not in _checks(known)["sample_ratio:views"].detail
    assert str(345543 + 2000) in _checks(longer)["sample_ratio:views"].detail


def test_a_day_lost_in_one_arm_is_left_out_of_both_and_said(counts_design):
    lost = DAY + timedelta(days=3)
    rows = [
        row for row in _published() if not (row.variant == "control" and row.metric == "payments" and row.day == lost)
    ]
    analysis = analyze_daily_counts(counts_design, rows, DAY + timedelta(days=30))
    missing = _checks(analysis)["missing_days"]
    assert (missing.ok, missing.value) == (False, 1)
    assert f"net: 9 days known in every arm, 1 lost ({lost})" in missing.detail
    assert _metrics(analysis)["net"].n == 17260 - _spread(17260, 10)[3]
    assert _metrics(analysis)["gross"].n == 17260


def test_order_of_rows_changes_nothing(counts_design):
    until = DAY + timedelta(days=30)
    assert analyze_daily_counts(counts_design, _published()[::-1], until) == analyze_daily_counts(
        counts_design, _published(), until
    )


def test_only_days_up_to_the_day_count(counts_design):
    analysis = analyze_daily_counts(counts_design, _published(), DAY + timedelta(days=4))
    assert _metrics(analysis)["gross"].n == sum(_spread(17260, 10)[:5])
    assert analyze_daily_counts(counts_design, _published(), DAY - timedelta(days=1)) == NoResult(
        "past", "no daily counts up to 2026-03-01"
    )


def test_sample_ratio_mismatch_is_seen(counts_design):
    rows = _arm("control", views=30000, clicks=900, enrolments=90, payments=50)
    rows += _arm("treatment", views=31000, clicks=900, enrolments=90, payments=50)
    check = _checks(analyze_daily_counts(counts_design, rows, DAY + timedelta(days=30)))["sample_ratio:views"]
    assert not check.ok


def test_a_count_that_never_came_has_a_verdict(counts_design):
    rows = [row for row in _published() if row.metric not in ("payments", "views")]
    analysis = analyze_daily_counts(counts_design, rows, DAY + timedelta(days=30))
    assert _metrics(analysis)["net"].verdict == "too_few_units"
    assert _metrics(analysis)["gross"].verdict == "measured"
    assert not _checks(analysis)["sample_ratio:views"].ok
    assert not _checks(analysis)["missing_days"].ok


def test_unknown_variants_are_counted(counts_design):
    rows = [*_published(), DailyCount("blue", DAY, "clicks", 5)]
    check = _checks(analyze_daily_counts(counts_design, rows, DAY + timedelta(days=30)))["unknown_variants"]
    assert (check.ok, check.value) == (False, 1)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([DailyCount("control", DAY, "clicks", 5)] * 2, "control, 2026-03-02: clicks is given twice"),
        ([DailyCount("control", DAY, "clicks", -5)], "a count cannot be negative"),
        (
            [DailyCount(arm, DAY, name, value) for arm in ("control", "treatment")
             for name, value in (("clicks", 5), ("enrolments", 6))],
            "gross has 6 enrolments of only 5 clicks",
        ),
    ],
)  # fmt: skip
def test_contradictions_are_named(counts_design, rows, message):
    with pytest.raises(InputError, match=message):
        analyze_daily_counts(counts_design, rows, DAY)


def test_the_last_delivery_of_a_count_holds(con, counts_design):
    for ds, delivered, value in (
        (DAY, DAY, 100),
        (DAY, DAY + timedelta(days=2), 120),
        (DAY, DAY + timedelta(days=1), 110),
    ):
        con.execute(
            "INSERT INTO clean.experiment_counts VALUES (?, ?, 'past', 'control', ?, 'clicks', ?)",
            [ds, delivered, DAY, value],
        )
    assert read_daily_counts(con, counts_design) == [DailyCount("control", DAY, "clicks", 120)]


def test_counts_through_the_tables(con, counts_design):
    con.executemany(
        "INSERT INTO clean.experiment_counts VALUES (?, ?, 'past', ?, ?, ?, ?)",
        [(row.day, DAY, row.variant, row.day, row.metric, row.value) for row in _published() + _unknown_tail()],
    )
    until = DAY + timedelta(days=30)
    assert analyze(con, counts_design, until) == analyze_daily_counts(
        counts_design, _published() + _unknown_tail(), until
    )


def test_real_free_trial_files():
    """The published result of a real test; the year does not matter to it."""
    if not REAL.exists():
        pytest.skip("the real files ../shared/data/ab_free_trial are not at hand")
    rows = []
    for variant in ("control", "experiment"):
        with (REAL / f"{variant}.csv").open(encoding="utf-8", newline="") as file:
            for position, record in enumerate(csv.DictReader(file)):
                for name in ("Pageviews", "Clicks", "Enrollments", "Payments"):
                    value = int(float(record[name])) if record[name] else None
                    rows.append(DailyCount(variant, DAY + timedelta(days=position), name.lower(), value))
    design = load_design(INCLUDE / "free_trial_screener.yaml", schema=INCLUDE / "design.schema.json")
    analysis = analyze_daily_counts(design, rows, DAY + timedelta(days=60))
    gross, net = _metrics(analysis)["gross_conversion"], _metrics(analysis)["net_conversion"]
    rounded = [
        tuple(round(value, 4) for value in (result.estimate, result.low, result.high)) for result in (gross, net)
    ]
    assert rounded == [(-0.0206, -0.0291, -0.0120), (-0.0049, -0.0116, 0.0019)]
    views = _checks(analysis)["sample_ratio:pageviews"]
    assert views.ok
    assert "control 345543" in views.detail
    assert "experiment 344660" in views.detail
    assert all(check.ok for check in analysis.checks)
