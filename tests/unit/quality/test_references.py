"""References between tables and keys across days, on tables of a few rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, timedelta

import duckdb
import pytest

from crossdomain.quality.references import (
    EXPERIMENTS,
    KEYS,
    REFERENCES,
    KeyAcrossDays,
    Reference,
    check_key,
    check_reference,
)
from crossdomain.settings import Settings
from crossdomain.tables import registry

DAY = date(2026, 3, 10)
ITEMS = next(rule for rule in REFERENCES if rule.id == "events.item_id.exists_in.items")
REFUNDS = next(rule for rule in REFERENCES if rule.id == "events.ref_event_id.exists_in.events")
UNITS = next(rule for rule in REFERENCES if rule.id == "exposures.unit.exists_in.users")
EVENT_IDS = next(rule for rule in KEYS if rule.id == "events.event_id.unique_across_days")
Rows = Callable[..., None]


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as con:
        con.execute("CREATE SCHEMA clean; CREATE SCHEMA known")
        con.execute("CREATE TABLE clean.events (ds DATE, domain VARCHAR, event_id VARCHAR, item_id VARCHAR, "
                    "ref_event_id VARCHAR, account BLOB)")  # fmt: skip
        con.execute("CREATE TABLE clean.items (ds DATE, domain VARCHAR, item_id VARCHAR)")
        con.execute("CREATE TABLE clean.users (ds DATE, domain VARCHAR, account BLOB)")
        con.execute("CREATE TABLE clean.exposures (ds DATE, experiment_id VARCHAR, unit_type VARCHAR, unit BLOB)")
        con.execute("CREATE TABLE known.experiments AS SELECT 'exp_a' AS experiment_id")
        yield con


@pytest.fixture
def add(con: duckdb.DuckDBPyConnection) -> Rows:
    """Adds rows: `add("items", days_ago, domain, item, …)`."""

    def insert(table: str, days_ago: int, *values: object) -> None:
        places = ", ".join("?" * (len(values) + 1))
        names = [row[0] for row in con.execute(f"DESCRIBE clean.{table}").fetchall()][: len(values) + 1]
        con.execute(
            f"INSERT INTO clean.{table} ({', '.join(names)}) VALUES ({places})",
            [DAY - timedelta(days=days_ago), *values],
        )

    return insert


def check(con: duckdb.DuckDBPyConnection, rule: Reference) -> tuple[bool, int, int]:
    days = [row[0] for row in con.execute(f"SELECT DISTINCT ds FROM {rule.parent}").fetchall()]
    found = check_reference(con, rule, DAY, [day for day in days if day <= DAY])
    assert (found.rule_id, found.severity, found.reason) == (rule.id, "warn", rule.reason)
    return found.success, found.unexpected_rows, found.rows


def test_items_of_any_earlier_day_are_known(con: duckdb.DuckDBPyConnection, add: Rows) -> None:
    for days_ago, item in ((0, "today"), (1, "yesterday"), (40, "old"), (-1, "tomorrow")):
        add("items", days_ago, "beauty", item)
    for number, item in enumerate(("today", "yesterday", "old", "old")):
        add("events", 0, "beauty", str(number), item)
    add("events", 0, "beauty", "none", None)
    assert check(con, ITEMS) == (True, 0, 4)
    add("events", 0, "beauty", "5", "tomorrow")
    add("events", 0, "beauty", "6", "never")
    add("events", 1, "beauty", "7", "never")
    assert check(con, ITEMS) == (False, 2, 6)


def test_the_same_item_of_the_other_domain_is_another(con: duckdb.DuckDBPyConnection, add: Rows) -> None:
    add("items", 0, "beauty", "1")
    add("items", 0, "knowledge", "2")
    add("events", 0, "knowledge", "e", "1")
    assert check(con, ITEMS) == (False, 1, 1)


def test_a_domain_that_the_parent_never_had_is_not_compared(con: duckdb.DuckDBPyConnection, add: Rows) -> None:
    add("items", 3, "beauty", "1")
    add("events", 0, "beauty", "a", "1")
    add("events", 0, "knowledge", "b", "1")
    found = check_reference(con, ITEMS, DAY, [DAY - timedelta(days=3)])
    assert (found.success, found.unexpected_rows, found.rows) == (True, 0, 1)
    assert found.observed == "0 of 1 rows; not compared, as clean.items has nothing of them: knowledge: 1"


def test_a_share_is_tolerated(con: duckdb.DuckDBPyConnection, add: Rows) -> None:
    add("items", 0, "beauty", "1")
    for number in range(99):
        add("events", 0, "beauty", str(number), "1")
    add("events", 0, "beauty", "odd", "never")
    assert check(con, ITEMS) == (True, 1, 100)
    assert check(con, replace(ITEMS, share_off=0.0)) == (False, 1, 100)


def test_a_refund_looks_back_as_far_as_it_says(con: duckdb.DuckDBPyConnection, add: Rows) -> None:
    for days_ago in (0, 15, 16):
        add("events", days_ago, "beauty", f"bought{days_ago}")
    for days_ago in (0, 15, 16):
        add("events", 0, "beauty", f"refund{days_ago}", None, f"bought{days_ago}")
    assert check(con, replace(REFUNDS, share_off=0.0)) == (False, 1, 3)


def test_only_rows_that_refer_are_looked_at(con: duckdb.DuckDBPyConnection, add: Rows) -> None:
    add("users", 0, "beauty", b"known")
    add("exposures", 0, "exp_a", "account", b"known")
    add("exposures", 0, "exp_a", "session", b"unknown")
    assert check(con, UNITS) == (True, 0, 1)
    con.execute("DELETE FROM clean.users")
    found = check_reference(con, UNITS, DAY, [])
    assert (found.success, found.rows) == (True, 0)
    assert found.observed.endswith("clean.users has nothing of them: all: 1")


def test_experiments_are_those_that_have_a_design(con: duckdb.DuckDBPyConnection, add: Rows) -> None:
    rule = next(rule for rule in REFERENCES if rule.id == "exposures.experiment_id.exists_in.experiments")
    assert rule.parent == EXPERIMENTS
    add("exposures", 0, "exp_a", "account", b"a")
    assert check_reference(con, rule, DAY, []).success
    add("exposures", 0, "exp_b", "account", b"a")
    found = check_reference(con, rule, DAY, [])
    assert (found.success, found.unexpected_rows, found.rows) == (False, 1, 2)


def test_a_key_may_not_come_back_within_the_window(con: duckdb.DuckDBPyConnection, add: Rows) -> None:
    for days_ago, domain, event in ((0, "beauty", "1"), (1, "knowledge", "1"), (8, "beauty", "1"), (-1, "beauty", "1")):
        add("events", days_ago, domain, event)
    assert check_key(con, EVENT_IDS, DAY, 7).success
    add("events", 7, "beauty", "1")
    found = check_key(con, EVENT_IDS, DAY, 7)
    assert (found.success, found.unexpected_rows, found.rows) == (False, 1, 1)
    assert found.observed == "1 of 1 rows stand in one of the 7 days before, too"


def test_a_day_without_rows_breaks_nothing(con: duckdb.DuckDBPyConnection) -> None:
    assert check(con, ITEMS) == (True, 0, 0)
    assert check_key(con, EVENT_IDS, DAY, 7).success


def test_rules_are_about_columns_that_exist_and_have_ids_of_their_own() -> None:
    tables = registry(Settings().include)
    rules: list[Reference | KeyAcrossDays] = [*REFERENCES, *KEYS]
    assert len({rule.id for rule in rules}) == len(rules)
    for rule in rules:
        assert set(rule.columns) <= set(tables.get(rule.table).column_names)
    for rule in REFERENCES:
        if rule.parent != EXPERIMENTS:
            assert set(rule.parent_columns) <= set(tables.get(rule.parent).column_names)
            assert not rule.has_domain or "domain" in tables.get(rule.table).column_names
