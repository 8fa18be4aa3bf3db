"""The overview over a small lake with complete, refused and missing days."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from crossdomain.quality.data_docs import write_data_docs
from crossdomain.quality.overrides import Override, overridden
from crossdomain.quality.overview import Overview, as_json, overview
from crossdomain.quality.results import QUALITY_ROWS, GateResult, RuleResult, to_quality_rows
from crossdomain.settings import Settings
from crossdomain.storage.engine import connection
from crossdomain.storage.home import Home
from crossdomain.storage.lake import Lake
from crossdomain.tables import TableRegistry

NOW = datetime(2026, 1, 9, 3, 0, tzinfo=UTC)
REPOSITORY_INCLUDE = Settings().include

TABLES = {
    "clean/events_v1": ("clean", "independent", ["event_id"], "event_id: VARCHAR"),
    "derived/people_v1": ("people", "sequential", ["account"], "account: BLOB"),
    "serving/champions_v1": ("train", "sequential", ["domain"], "domain: VARCHAR, model: VARCHAR, recall: DOUBLE"),
}

OWN = (
    "serving/quality_results_v1", "serving/drift_results_v1", "serving/consistency_results_v1",
    "derived/deliveries_v1", "derived/row_counts_v1", "derived/gate_overrides_v1",
)  # fmt: skip
"""Tables of the repository that the overview reads by name."""


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    scratch = tmp_path / "scratch"
    with connection(Settings(home=tmp_path), scratch) as con:
        yield Lake(Home(tmp_path), con)


@pytest.fixture
def tables(tmp_path: Path) -> TableRegistry:
    root = tmp_path / "include" / "sql"
    for folder, (job, kind, key, columns) in TABLES.items():
        home = root / folder
        home.mkdir(parents=True)
        listed = [dict(zip(("name", "type"), pair.split(": "), strict=True)) for pair in columns.split(", ")]
        (home / "schema.yaml").write_text(json.dumps({"columns": listed}))
        metadata = {
            "description": "For a test.", "owner": "tests", "grain": "one row", "key": key, "job": job, "kind": kind,
            "restatement": "restated", "retention_days": 30,
        }  # fmt: skip
        (home / "metadata.yaml").write_text(json.dumps(metadata))
    for table in OWN:
        shutil.copytree(REPOSITORY_INCLUDE / "sql" / table, root / table)
    return TableRegistry(tmp_path / "include")


@pytest.fixture
def write(lake: Lake, tables: TableRegistry) -> Callable[[str, int, str | pa.Table], None]:
    def put(table: str, day: int, rows: str | pa.Table) -> None:
        spec = tables.get(table)
        staged = lake.stage(spec, rows, {"ds": f"2026-01-{day:02}"}, made_by={})
        lake.commit(spec, [staged], replace={"ds": [f"2026-01-{day:02}"]})

    return put


DRIFT = (
    "SELECT 'clean.events' AS table_name, 'rows' AS measure, '' AS column_name, '' AS category, 5.0 AS observed, "
    "10.0 AS expected, 8.0 AS low, 12.0 AS high, 5 AS rows, 40 AS quiet_days, '{status}' AS status, 'below' AS reason "
    "UNION ALL SELECT 'clean.events', 'null_share', 'x', '', 0, NULL, NULL, NULL, 5, 3, 'learning', 'few'"
)
RULES = (
    "SELECT 'clean.events' AS table_name, 'events.item_id.exists_in.items' AS rule_id, 'warn' AS severity, "
    "false AS success, '5 of 9 rows' AS observed, 5 AS unexpected_rows, 9 AS rows, 'No item.' AS reason "
    "UNION ALL SELECT 'clean.events', 'events.account.exists_in.users', 'warn', true, '0 of 9 rows', 0, 9, 'No user.'"
)
COUNTS = (
    "SELECT 'events' AS table_name, 'shop' AS feed, DATE '{delivered}' AS delivered_ds, 'clean' AS class, "
    "{rows} AS rows UNION ALL SELECT 'events', 'shop', DATE '{delivered}', '{other}', 1"
)


def verdict_on(day: int, *, holds: bool) -> pa.Table:
    rule = RuleResult("events.value.at_least", "fail", holds, "3 of 9 rows", 3, 9, "No negative sales.")
    return to_quality_rows([GateResult("clean.events", date(2026, 1, day), 9, (rule,))])


@pytest.fixture
def seen(lake: Lake, tables: TableRegistry, write: Callable[[str, int, str | pa.Table], None]) -> Overview:
    """Days 5 and 7 are complete, 6 is refused, 8 never came though its quality results say so of the next day."""
    for day in (5, 7):
        write("clean.events", day, f"SELECT 'e' || i AS event_id FROM range({day}) AS numbers(i)")
        write("serving.quality_results", day, verdict_on(day, holds=True))
    write("serving.quality_results", 6, verdict_on(6, holds=False))
    write("derived.people", 5, "SELECT unhex('0a') AS account")
    write("serving.champions", 5, "SELECT 'beauty' AS domain, 'als-1' AS model, 0.25 AS recall")
    return overview(lake, tables, Settings(start=date(2026, 1, 5)), now=NOW)


def cells_of(seen: Overview, table: str) -> list[tuple[int, str, int | None]]:
    status = next(status for status in seen.tables if status.table == table)
    return [(cell.ds.day, cell.state, cell.rows) for cell in status.days]


def test_grid_tells_complete_refused_and_missing_days(seen: Overview) -> None:
    assert [day.day for day in seen.days] == [5, 6, 7]
    assert cells_of(seen, "clean.events") == [(5, "complete", 5), (6, "refused", None), (7, "complete", 7)]
    assert cells_of(seen, "derived.people") == [(5, "complete", 1), (6, "missing", None), (7, "missing", None)]


def test_freshness_counts_days_behind_the_newest(seen: Overview) -> None:
    behind = {status.table: (status.newest, status.days_behind) for status in seen.tables}
    assert behind["clean.events"] == (date(2026, 1, 7), 0)
    assert behind["derived.people"] == (date(2026, 1, 5), 2)
    written = [status for status in seen.tables if status.newest]
    assert len(written) == 4
    assert all(status.built_at and status.built_at.tzinfo for status in written)


def test_refused_day_names_its_rules(seen: Overview) -> None:
    assert [(day.ds.day, day.refused) for day in seen.gate] == [(6, True)]
    (rule,) = seen.gate[0].rules
    assert (rule.rule, rule.severity, rule.unexpected_rows) == ("events.value.at_least", "fail", 3)


def test_refused_day_keeps_the_rows_of_its_last_good_version(
    lake: Lake, tables: TableRegistry, write: Callable[[str, int, str | pa.Table], None]
) -> None:
    write("clean.events", 5, "SELECT 'e' AS event_id")
    write("serving.quality_results", 5, verdict_on(5, holds=False))
    seen = overview(lake, tables, Settings(), now=NOW)
    assert cells_of(seen, "clean.events") == [(5, "refused", 1)]
    assert cells_of(seen, "derived.people") == [(5, "not_due", None)]


def test_a_day_that_a_person_let_through_is_complete_and_says_so(
    lake: Lake, tables: TableRegistry, write: Callable[[str, int, str | pa.Table], None]
) -> None:
    rule = RuleResult("events.x", "fail", False, "3 of 9 rows", 3, 9, "Why.")
    through = overridden(
        [GateResult("clean.events", date(2026, 1, 5), 9, (rule,))], [Override("events.x", "a", "b", 3)]
    )
    write("clean.events", 5, "SELECT 'e' AS event_id")
    write("serving.quality_results", 5, to_quality_rows(through))
    write_data_docs(lake.home, date(2026, 1, 5), through)
    seen = overview(lake, tables, Settings(), now=NOW)
    assert [(day.refused, day.overridden) for day in seen.gate] == [(False, True)]
    assert cells_of(seen, "clean.events") == [(5, "complete", 1)]
    assert seen.data_docs == (date(2026, 1, 5),)


def test_watched_days_give_alarms_and_broken_rules(
    lake: Lake, tables: TableRegistry, write: Callable[[str, int, str | pa.Table], None]
) -> None:
    for day in (5, 6):
        write("clean.events", day, "SELECT 'e' AS event_id")
        write("serving.drift_results", day, DRIFT.format(status="alarm" if day == 6 else "ok"))
        write("serving.consistency_results", day, RULES)
    seen = overview(lake, tables, Settings(), now=NOW)
    assert [(day.ds.day, day.measures, day.learning, len(day.alarms)) for day in seen.watch] == [
        (6, 2, 1, 1),
        (5, 2, 1, 0),
    ]
    (alarm,) = seen.watch[0].alarms
    assert (alarm.table, alarm.measure, alarm.observed, alarm.low) == ("clean.events", "rows", 5, 8)
    assert [rule.rule for rule in seen.watch[0].rules] == ["events.item_id.exists_in.items"]


def test_every_row_of_a_delivery_is_in_one_class_or_waits(
    lake: Lake, tables: TableRegistry, write: Callable[[str, int, str | pa.Table], None]
) -> None:
    for day in (5, 6):
        write("clean.events", day, "SELECT 'e' AS event_id")
        spec, values = tables.get("derived.deliveries"), {"feed": "shop", "ds": f"2026-01-0{day}"}
        said = "SELECT 'events' AS table_name, 'v' AS version, 1 AS files, 10 AS rows_read, 4 AS rows_replaced"
        lake.commit(spec, [lake.stage(spec, said, values, made_by={})], replace={"ds": [values["ds"]]})
    write("derived.row_counts", 5, COUNTS.format(delivered="2026-01-06", rows=3, other="duplicate"))
    write("derived.row_counts", 6, COUNTS.format(delivered="2026-01-06", rows=5, other="quarantined"))
    newer, older = overview(lake, tables, Settings(), now=NOW).deliveries
    assert (newer.delivered_ds.day, newer.feed, newer.read, newer.replaced, newer.waiting) == (6, "shop", 14, 4, 0)
    assert newer.rows == {"clean": 8, "quarantined": 1, "duplicate": 1, "superseded": 0, "suppressed": 0}
    assert (older.read, older.waiting) == (14, 10), "its days are not cleaned yet"


def test_tables_of_deliveries_and_decisions_are_never_missing(seen: Overview) -> None:
    assert {state for _, state, _ in cells_of(seen, "derived.gate_overrides")} == {"not_due"}


def test_last_decision_is_that_of_the_newest_day(seen: Overview) -> None:
    assert seen.champions is not None
    assert seen.champions.ds == date(2026, 1, 5)
    assert seen.champions.rows == ({"domain": "beauty", "model": "als-1", "recall": 0.25},)
    assert seen.experiments is None


def test_empty_lake_and_many_days(
    lake: Lake, tables: TableRegistry, write: Callable[[str, int, str | pa.Table], None]
) -> None:
    empty = overview(lake, tables, Settings(), now=NOW)
    assert (empty.days, empty.gate, empty.champions) == ((), (), None)
    for day in (1, 9):
        write("clean.events", day, "SELECT 'e' AS event_id")
    assert [day.day for day in overview(lake, tables, Settings(), now=NOW, days=3).days] == [7, 8, 9]


def test_json_holds_only_json_values(seen: Overview) -> None:
    text = json.dumps(as_json(seen), allow_nan=False)
    assert json.loads(text)["tables"][0]["days"][0] == {"ds": "2026-01-05", "state": "complete", "rows": 5}
    assert as_json({"x": float("nan"), "key": b"\x0a"}) == {"x": None, "key": "0a"}


def test_quality_rows_fit_their_table(tables: TableRegistry) -> None:
    spec = tables.get("serving.quality_results")
    assert spec.column_names == tuple(QUALITY_ROWS.names)
