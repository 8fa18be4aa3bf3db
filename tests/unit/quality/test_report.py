"""Rows, report and message of the gate."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date

import duckdb
import pytest

from crossdomain.errors import GateRefused
from crossdomain.quality.gate import check_partition
from crossdomain.quality.report import refuse_unless_passed, report_json, report_name
from crossdomain.quality.results import QUALITY_ROWS, GateResult, RuleResult, to_quality_rows
from crossdomain.settings import Settings

MakeDay = Callable[..., duckdb.DuckDBPyRelation]


def result_with(*broken: tuple[str, int], table: str = "clean.events") -> GateResult:
    rules = tuple(
        RuleResult(name, "fail", False, f"{rows} of 100 rows", rows, 100, "Because.") for name, rows in broken
    )
    return GateResult(table, date(2026, 1, 5), 100, rules)


def test_quality_rows_hold_every_rule_once_under_one_verdict(make_day: MakeDay, day: date, settings: Settings) -> None:
    good = check_partition("clean.users", day, make_day("clean.users"), may_be_empty=False, settings=settings)
    bad = check_partition("clean.items", day, make_day("clean.items", 0), may_be_empty=False, settings=settings)
    rows = to_quality_rows([good, bad])
    assert rows.schema == QUALITY_ROWS
    assert rows.num_rows == len(good.rules) + len(bad.rules)
    assert set(rows["run_verdict"].to_pylist()) == {"refused"}
    assert set(to_quality_rows([good])["run_verdict"].to_pylist()) == {"passed"}
    assert rows.equals(to_quality_rows([bad, good]))


def test_report_keeps_what_great_expectations_wrote(make_day: MakeDay, day: date, settings: Settings) -> None:
    spoilt = make_day("clean.users", replace="'W' AS gender")
    result = check_partition("clean.users", day, spoilt, may_be_empty=False, settings=settings)
    report = json.loads(report_json(day, [result]))
    assert report["verdict"] == "passed"
    table = report["tables"]["clean.users"]
    assert table["warnings"] == ["users.gender.known"]
    assert table["validation"]["statistics"]["unsuccessful_expectations"] == 1
    assert report_name(day) == "quality/2026-01-05.json"


def test_refusal_names_rules_rows_and_report() -> None:
    day = date(2026, 1, 5)
    refuse_unless_passed(day, [result_with()], "report.json")
    with pytest.raises(GateRefused) as refusal:
        refuse_unless_passed(day, [result_with(("events.a", 3), ("events.b", 9))], "/reports/quality/2026-01-05.json")
    message = str(refusal.value)
    assert message.index("events.b: 9 of 100 rows") < message.index("events.a: 3 of 100 rows")
    assert "2026-01-05" in message
    assert "Full report: /reports/quality/2026-01-05.json" in message
    assert refusal.value.exit_code == 3


def test_refusal_names_at_most_ten_rules() -> None:
    many = result_with(*[(f"events.r{number:02}", number) for number in range(14)])
    with pytest.raises(GateRefused, match="and 4 more") as refusal:
        refuse_unless_passed(date(2026, 1, 5), [many], "report.json")
    assert str(refusal.value).count("events.r") == 10
