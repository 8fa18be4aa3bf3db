"""The overview over a small lake with complete, refused and missing days."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pytest

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
    quality = root / "serving" / "quality_results_v1"
    quality.mkdir(parents=True)
    for name in ("schema.yaml", "metadata.yaml"):
        text = (REPOSITORY_INCLUDE / "sql/serving/quality_results_v1" / name).read_text(encoding="utf-8")
        (quality / name).write_text(text, encoding="utf-8")
    return TableRegistry(tmp_path / "include")


@pytest.fixture
def write(lake: Lake, tables: TableRegistry) -> Callable[[str, int, str | pa.Table], None]:
    def put(table: str, day: int, rows: str | pa.Table) -> None:
        spec = tables.get(table)
        staged = lake.stage(spec, rows, {"ds": f"2026-01-{day:02}"}, made_by={})
        lake.commit(spec, [staged], replace={"ds": [f"2026-01-{day:02}"]})

    return put


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
    assert all(status.built_at and status.built_at.tzinfo for status in seen.tables)


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
