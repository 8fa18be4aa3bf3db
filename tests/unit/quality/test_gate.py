"""The gate on clean, spoilt, empty and malformed days."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import date

import duckdb
import pytest

from crossdomain.errors import InputError
from crossdomain.quality.gate import check_partition, rules_for
from crossdomain.quality.results import GateResult
from crossdomain.quality.rules import SuiteContext
from crossdomain.quality.suites import SUITES
from crossdomain.settings import Settings

MakeDay = Callable[..., duckdb.DuckDBPyRelation]
LOADED, COUNTED = 1_000_000, -1
KINDS = {"ts": "TIMESTAMPTZ", "day": "DATE"}

# table, what to spoil (i = 0..9 numbers the rows), the rule meant for it, rows that break it
SPOILT = [
    ("events", "CASE WHEN i < 3 THEN NULL ELSE account END AS account", "account.filled", 3),
    ("events", "CASE WHEN i = 1 THEN unhex('00ff') ELSE account END AS account", "account.key_length", 1),
    ("events", "CASE WHEN i = 1 THEN 'finance' ELSE domain END AS domain", "domain.known", 1),
    ("events", "CASE WHEN i < 4 THEN 'e0' ELSE event_id END AS event_id", "domain+event_id.unique", 4),
    ("events", "CASE WHEN i = 4 THEN 'buy' ELSE event_type END AS event_type", "event_type.known", 1),
    ("events", "ts + INTERVAL 1 DAY AS ts", "ts.on_the_day", 10),
    ("events", "CASE WHEN i = 0 THEN ts - INTERVAL 1 SECOND ELSE ts END AS ts", "ts.on_the_day", 1),
    ("events", "CAST(CASE WHEN i = 7 THEN -0.01 ELSE 1 END AS DECIMAL(18,2)) AS value", "value.at_least", 1),
    ("events", "CASE WHEN i = 7 THEN -1 ELSE quantity END AS quantity", "quantity.at_least", 1),
    ("events", "DATE '2026-01-03' AS delivered_ds", "delivered_ds.not_before", 10),
    ("events", "CAST(NULL AS VARCHAR) AS feed", "feed.filled", 10),
    ("users", "unhex(md5('one')) AS account", "account.unique", 10),
    ("items", "'hidden' AS status", "status.known", 10),
    ("items", "CAST(-5 AS DECIMAL(18,2)) AS price", "price.at_least", 10),
    ("reviews", "CAST(11 AS DOUBLE) AS rating", "rating.within", 10),
    ("consents", "CAST(NULL AS BOOLEAN) AS granted", "granted.filled", 10),
    ("consents", "'everything' AS purpose", "purpose.known", 10),
    ("identity_links", "unhex(left(hex(beauty_account), 30)) AS beauty_account", "beauty_account.key_length", 10),
    ("exposures", "'household' AS unit_type", "unit_type.known", 10),
    ("experiment_counts", "DATE '2026-01-06' AS day", "day.on_the_day", 10),
    ("campaign_costs", "CAST(-1 AS DECIMAL(18,2)) AS cost", "cost.at_least", 10),
    ("coupons", "CASE WHEN i < 3 THEN 'k0' ELSE coupon_id END AS coupon_id", "domain+coupon_id.unique", 2),
    ("sends", "CAST(NULL AS VARCHAR) AS channel", "channel.filled", 10),
    ("support_entries", "CAST(NULL AS VARCHAR) AS answer", "answer.filled", 10),
    ("erasure_requests", "CAST(NULL AS TIMESTAMPTZ) AS requested_at", "requested_at.filled", 10),
]

WARNED = [
    ("users", "'W' AS gender", "gender.known"),
    ("users", "2031 AS birth_year", "birth_year.within"),
    ("items", "CASE WHEN i = 0 THEN NULL ELSE title END AS title", "title.filled"),
    ("items", "CAST(2000000 AS DECIMAL(18,2)) AS price", "price.at_most"),
    ("items", "listed_at + INTERVAL 1 YEAR AS listed_at", "listed_at.not_after_the_day"),
    ("reviews", "'' AS text", "text.length"),
    ("identity_links", "unhex(md5('one')) AS knowledge_account", "knowledge_account.unique"),
]


def broken_in(result: GateResult) -> dict[str, int]:
    return {rule.rule_id: rule.unexpected_rows for rule in result.rules if not rule.success}


@pytest.mark.parametrize("table", SUITES)
def test_clean_day_passes_every_rule(table: str, make_day: MakeDay, day: date, settings: Settings) -> None:
    result = check_partition(table, day, make_day(table), may_be_empty=False, settings=settings)
    assert broken_in(result) == {}
    assert result.passed
    assert (result.table, result.ds, result.rows) == (table, day, 10)


@pytest.mark.parametrize("frame_rows", [LOADED, COUNTED], ids=["loaded", "counted"])
@pytest.mark.parametrize(("name", "spoil", "rule", "rows"), SPOILT)
def test_spoilt_day_is_refused_by_the_rule_meant_for_it(
    name: str, spoil: str, rule: str, rows: int, frame_rows: int, make_day: MakeDay, day: date, settings: Settings
) -> None:
    table = f"clean.{name}"
    spoilt = make_day(table, replace=spoil)
    result = check_partition(table, day, spoilt, may_be_empty=False, settings=settings, frame_rows=frame_rows)
    assert broken_in(result) == {f"{name}.{rule}": rows}
    assert not result.passed


@pytest.mark.parametrize("frame_rows", [LOADED, COUNTED], ids=["loaded", "counted"])
@pytest.mark.parametrize(("name", "spoil", "rule"), WARNED)
def test_doubtful_day_passes_with_a_warning(
    name: str, spoil: str, rule: str, frame_rows: int, make_day: MakeDay, day: date, settings: Settings
) -> None:
    table = f"clean.{name}"
    doubtful = make_day(table, replace=spoil)
    result = check_partition(table, day, doubtful, may_be_empty=False, settings=settings, frame_rows=frame_rows)
    assert [warning.rule_id for warning in result.warnings] == [f"{name}.{rule}"]
    assert result.passed


@pytest.mark.parametrize("frame_rows", [LOADED, COUNTED], ids=["loaded", "counted"])
def test_declared_start_holds_history_and_no_future(
    frame_rows: int, make_day: MakeDay, day: date, settings: Settings
) -> None:
    opening = replace(settings, start=day)
    for table, column, rule in (
        ("clean.events", "ts", "events.ts.on_the_day"),
        ("clean.experiment_counts", "day", "experiment_counts.day.on_the_day"),
    ):
        for sign, expected in (("-", {}), ("+", {rule: 10})):
            moved = make_day(table, replace=f"({column} {sign} INTERVAL 40 DAY)::{KINDS[column]} AS {column}")
            result = check_partition(table, day, moved, may_be_empty=False, settings=opening, frame_rows=frame_rows)
            assert broken_in(result) == expected


@pytest.mark.parametrize("frame_rows", [LOADED, COUNTED], ids=["loaded", "counted"])
@pytest.mark.parametrize(
    ("quarantined", "broken"),
    [
        (0, []),
        (19, []),
        (20, ["sends.rows.mostly_kept"]),
        (100, ["sends.rows.mostly_kept"]),
        (101, ["sends.rows.kept", "sends.rows.mostly_kept"]),
    ],
)
def test_share_of_quarantined_rows(
    quarantined: int, broken: list[str], frame_rows: int, make_day: MakeDay, day: date, settings: Settings
) -> None:
    result = check_partition(
        "clean.sends", day, make_day("clean.sends", 100), may_be_empty=False, settings=settings,
        quarantined=quarantined, frame_rows=frame_rows,
    )  # fmt: skip
    assert list(broken_in(result)) == broken
    assert result.passed is ("sends.rows.kept" not in broken)


def test_share_that_may_be_off_is_tolerated_up_to_its_limit(make_day: MakeDay, day: date, settings: Settings) -> None:
    for untitled, holds in ((5, True), (6, False)):
        rows = make_day("clean.items", 100, f"CASE WHEN i < {untitled} THEN NULL ELSE title END AS title")
        for frame_rows in (LOADED, COUNTED):
            result = check_partition(
                "clean.items", day, rows, may_be_empty=False, settings=settings, frame_rows=frame_rows
            )
            assert (broken_in(result) == {}) is holds


@pytest.mark.parametrize("table", SUITES)
def test_counting_agrees_with_great_expectations(table: str, make_day: MakeDay, day: date, settings: Settings) -> None:
    rows = make_day(table, 50, "CASE WHEN i % 5 = 0 THEN NULL ELSE feed END AS feed")
    loaded, counted = (
        check_partition(table, day, rows, may_be_empty=False, settings=settings, frame_rows=limit)
        for limit in (LOADED, COUNTED)
    )
    assert loaded == counted
    assert loaded.record["statistics"]["evaluated_expectations"] == len(loaded.rules)
    assert counted.record["meta"] == {"counted_by": "duckdb"}


@pytest.mark.parametrize("table", SUITES)
def test_arrow_rows_give_what_a_relation_gives(table: str, make_day: MakeDay, day: date, settings: Settings) -> None:
    rows = make_day(table)
    from_relation = check_partition(table, day, rows, may_be_empty=False, settings=settings)
    assert check_partition(table, day, rows.to_arrow_table(), may_be_empty=False, settings=settings) == from_relation


@pytest.mark.parametrize("as_arrow", [False, True])
def test_day_without_rows(as_arrow: bool, make_day: MakeDay, day: date, settings: Settings) -> None:
    for table in SUITES:
        empty = make_day(table, 0).to_arrow_table() if as_arrow else make_day(table, 0)
        assert check_partition(table, day, empty, may_be_empty=True, settings=settings).passed
        refused = check_partition(table, day, empty, may_be_empty=False, settings=settings)
        assert [rule.rule_id for rule in refused.broken] == [f"{table.removeprefix('clean.')}.rows.present"]


def test_same_rows_give_the_same_result(make_day: MakeDay, day: date, settings: Settings) -> None:
    spoilt = make_day("clean.events", replace="CAST(2 - i AS DECIMAL(18,2)) AS value")
    first, second = (
        check_partition("clean.events", day, spoilt, may_be_empty=False, settings=settings) for _ in range(2)
    )
    assert first == second
    assert first.broken[0].observed == "7 of 10 rows, such as -1.0, -2.0, -3.0"


def test_rule_ids_are_stable_and_unique(day: date) -> None:
    context = SuiteContext(day, False, ("knowledge", "beauty"), "Asia/Shanghai")
    for table in SUITES:
        ids = [rule.id for rule in rules_for(table, context)]
        assert len(set(ids)) == len(ids)
        assert all(name.startswith(table.removeprefix("clean.") + ".") for name in ids)
        assert all(len(rule.reason) > 10 for rule in rules_for(table, context))


def test_unknown_table_and_missing_column_are_named(make_day: MakeDay, day: date, settings: Settings) -> None:
    with pytest.raises(InputError, match=r"'clean\.orders' has no suite"):
        check_partition("clean.orders", day, make_day("clean.users"), may_be_empty=True, settings=settings)
    lacking = make_day("clean.users").project("account, domain")
    for limit in (LOADED, COUNTED):
        with pytest.raises(InputError, match=r"clean\.users has no column .*registered_at"):
            check_partition("clean.users", day, lacking, may_be_empty=True, settings=settings, frame_rows=limit)


def test_importing_the_gate_does_not_import_great_expectations() -> None:
    code = "import crossdomain.quality.gate, sys; sys.exit('great_expectations' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
