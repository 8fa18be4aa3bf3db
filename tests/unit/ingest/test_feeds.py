from __future__ import annotations

from typing import Any

import pytest

from crossdomain.errors import InputError
from crossdomain.ingest.canonical import CANONICAL
from crossdomain.ingest.feeds import load_feed, load_feeds
from crossdomain.tables import registry
from tests.unit.ingest.conftest import EVENTS_FEED, World

COLUMNS = EVENTS_FEED["columns"]


def test_feed_file_becomes_a_feed_with_the_deployments_defaults(world: World) -> None:
    name = world.feed()
    feed = load_feeds(world.settings)[name]
    assert feed.table.name == "events"
    assert (feed.timezone, feed.late_days, feed.expected, feed.may_be_empty) == ("Asia/Shanghai", 3, "any", False)
    assert feed.source("ts").formats == ("%Y-%m-%d %H:%M:%S",)
    assert feed.source("value").unit == "fen"
    assert feed.constants == {"domain": "beauty"}
    assert feed.requires("event_id")
    assert not feed.requires("item_id")


def test_digest_changes_with_the_mapping_and_not_with_the_day(world: World) -> None:
    world.feed()
    first = load_feeds(world.settings)["shop_events"].digest
    assert load_feeds(world.settings)["shop_events"].digest == first
    world.feed(constants={"domain": "knowledge"})
    assert load_feeds(world.settings)["shop_events"].digest != first


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"kind": "sometimes"}, "kind: 'sometimes' is not one of"),
        ({"colour": "red"}, "'colour' was unexpected"),
        ({"table": "orders"}, "table 'orders' is not one of users"),
        ({"columns": "all"}, "columns: 'all' is not of type 'object'"),
        ({"columns": {**COLUMNS, "event_id": 7}}, "columns.event_id: is neither a source column"),
        ({"columns": {**COLUMNS, "shoe_size": "size"}}, "columns.shoe_size: table events has no such column"),
        ({"columns": {"event_id": "id"}}, "columns.user_id: table events requires it"),
        ({"columns": {**COLUMNS, "domain": "d"}}, "domain is both mapped and constant"),
        ({"columns": {**COLUMNS, "item_id": {"from": "i", "unit": "fen"}}}, "columns.item_id.unit: is for columns of"),
        ({"columns": {**COLUMNS, "ts": {"from": "t", "format": "any"}}}, "columns.ts.format: 'any' is no strptime"),
        ({"columns": {**COLUMNS, "ts": {"from": "t", "format": []}}}, "columns.ts.format: is neither"),
        ({"columns": {**COLUMNS, "ts": {"from": "t", "fromat": "iso"}}}, "columns.ts: Additional properties"),
        (
            {"columns": {**COLUMNS, "ts": {"from": "t", "repair": ["html"]}}},
            "columns.ts.repair: is for columns of text",
        ),
        (
            {"columns": {**COLUMNS, "item_id": {"from": "i", "repair": ["magic"]}}},
            "columns.item_id.repair.0: 'magic' is",
        ),
        (
            {"columns": {**COLUMNS, "item_id": {"from": "i", "pattern": "(?=x)"}}},
            "columns.item_id.pattern: '(?=x)' is no",
        ),
        (
            {"columns": {**COLUMNS, "value": {"from": "v", "among": ["1"]}}},
            "columns.value.among: is for columns of text",
        ),
        (
            {"columns": {**COLUMNS, "item_id": {"from": "i", "replace": {1: "one"}}}},
            "columns.item_id.replace: 1 is not",
        ),
        (
            {"columns": {**COLUMNS, "event_id": {"from": "i", "joined_with": ["rec_id"]}}},
            "event_id.joined_with: 'rec_id'",
        ),
        (
            {"columns": {**COLUMNS, "user_id": {"from": "i", "joined_with": ["item_id"]}}},
            "user_id.joined_with: names people",
        ),
        ({"checked": {"id": {"kind": "text"}}}, "checked.id: is mapped already"),
        ({"checked": {"size": {"kind": "money"}}, "ignore": ["*"]}, "checked.size: is ignored"),
        ({"checked": {"size": {"kind": "shoe"}}}, "checked.size.kind: 'shoe' is not one of"),
        ({"checked": {"size": {"kind": "text", "unit": "fen"}}}, "checked.size.unit: is for columns of money"),
        ({"timezone": "Beijing"}, "timezone 'Beijing' is not an IANA zone"),
        ({"encoding": "big5"}, "encoding: 'big5' is not one of"),
        ({"kind": "snapshot"}, "kind: events holds what happens"),
        ({"late_days": -1}, "late_days: -1 is less than"),
        ({"sheet": "one"}, "sheet: only xlsx files have sheets"),
    ],
)
def test_wrong_feed_file_is_refused_naming_file_and_key(world: World, changes: dict[str, Any], named: str) -> None:
    path = world.settings.include / "feeds" / f"{world.feed(**changes)}.yaml"
    with pytest.raises(InputError) as refused:
        load_feed(path, world.settings)
    assert str(path) in str(refused.value)
    assert named in str(refused.value)
    assert refused.value.exit_code == 2


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"PK\x03\x04\x14\x00\xff\xfe", "not a text file in UTF-8"),
        (b"- a\n- b\n", "must be a mapping"),
        (b"feed: [", "not YAML"),
        (b"", "must be a mapping"),
        (b"feed: other\ntable: sends\nkind: append\nformat: csv\ncolumns: {}\n", "must be named other.yaml"),
    ],
)
def test_file_of_another_type_is_refused(world: World, content: bytes, named: str) -> None:
    path = world.settings.include / "feeds" / "shop_events.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=named):
        load_feed(path, world.settings)


def test_no_feed_at_all_is_refused(world: World) -> None:
    with pytest.raises(InputError, match="holds no feed"):
        load_feeds(world.settings)


@pytest.mark.parametrize("table", CANONICAL.values(), ids=lambda table: table.name)
def test_raw_and_clean_homes_agree_with_the_canonical_table(world: World, table: Any) -> None:
    raw = registry(world.settings.include).get(f"raw.{table.name}")
    assert raw.column_names[: len(table.columns)] == table.column_names
    assert {column.type for column in raw.columns[: len(table.columns)]} == {"VARCHAR"}
    assert raw.partition == ("feed", "delivered_ds")
    assert raw.part == "ds"
    clean = registry(world.settings.include).get(f"clean.{table.name}")
    assert clean.key == table.key
    assert {"delivered_ds", "feed"} <= set(clean.column_names)
    assert not {"user_id", "phone", "email", "name"} & set(clean.column_names)
