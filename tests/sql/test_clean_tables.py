"""Golden folders: rows as delivered, and what clean makes of them.

``clean/<table>/input.yaml`` has the feed's own choices and rows as delivered (line 1 first);
``expect.yaml`` has the clean rows (only the columns that matter, as text; keys as ``domain/id``), the reason of
each quarantined line, and optionally the number of rows in each class.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from crossdomain.ingest.canonical import CANONICAL, canonical_table
from crossdomain.ingest.cleaning import CLASSES, clean_table
from crossdomain.ingest.feeds import load_feeds
from crossdomain.jobs.runner import open_lake
from crossdomain.storage.keys import Keyring, load_keys
from crossdomain.tables import registry
from tests.unit.ingest.conftest import World, world

__all__ = ["world"]

FOLDER = Path(__file__).parent / "clean"
KEYS = ("account", "knowledge_account", "beauty_account", "unit")


def deliver(home: World, table: str, content: dict[str, Any]) -> None:
    """Lands the rows under a feed that maps every column onto itself, but for the file's own choices."""
    own = content["feed"].get("columns", {})
    columns = {name: own.get(name, name) for name in canonical_table(table).column_names}
    feed = {"feed": "source", "table": table, "format": "jsonl", **content["feed"], "columns": columns}
    lines = "\n".join(json.dumps(row, ensure_ascii=False) for row in content["rows"])
    home.deliver(home.feed(base=feed), "rows.jsonl", lines)


def shown(column: str, expected: Any, keys: Keyring) -> Any:
    """An expected value as the query gives it: keys in hexadecimal."""
    if expected is None:
        return None
    first, _, rest = str(expected).partition("/")
    if column in KEYS:
        return keys.account(first, rest).hex()
    if column.endswith("_hash"):
        return keys.contact(first, rest).hex()
    return str(expected)


def test_every_clean_table_has_its_golden_folder() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(CANONICAL)


@pytest.mark.parametrize("table", CANONICAL)
def test_golden_folder(world: World, table: str) -> None:
    content = yaml.safe_load((FOLDER / table / "input.yaml").read_text(encoding="utf-8"))
    expected = yaml.safe_load((FOLDER / table / "expect.yaml").read_text(encoding="utf-8"))
    deliver(world, table, content)
    world.run("ingest")
    tables, keys = registry(world.settings.include), load_keys(world.home)
    spec, raw = tables.get(f"clean.{table}"), tables.get(f"raw.{table}")
    with open_lake(world.settings) as lake:
        lake.view(raw, lake.partitions(raw), schema="raw")
        cleaned = clean_table(
            lake.con, canonical_table(table), spec, feeds=load_feeds(world.settings), settings=world.settings,
            keys=keys, erased=frozenset(),
        )  # fmt: skip
        texts = ", ".join(
            f"{'hex' if column.type == 'BLOB' else ''}({column.name}::{column.type})::VARCHAR AS {column.name}"
            for column in spec.columns
        )
        clean = (
            f"SELECT {texts} FROM shaped ANTI JOIN exceptions ON shaped.rowid = exceptions.row_id ORDER BY source.line"
        )
        rows = lake.con.sql(clean).to_arrow_table().to_pylist()
        reasons = dict(lake.con.execute(f"SELECT line, reason FROM ({cleaned.quarantined})").fetchall())
    found = [{name: _lower(name, value) for name, value in row.items()} for row in rows]
    assert [{name: row[name] for name in wanted} for row, wanted in zip(found, expected["clean"], strict=True)] == [
        {name: shown(name, value, keys) for name, value in wanted.items()} for wanted in expected["clean"]
    ]
    assert reasons == expected["quarantined"]
    if "classes" in expected:
        assert {name: cleaned.total(name) for name in CLASSES if cleaned.total(name)} == expected["classes"]


def _lower(column: str, value: Any) -> Any:
    return value.lower() if value is not None and (column in KEYS or column.endswith("_hash")) else value
