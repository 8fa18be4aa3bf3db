from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crossdomain.errors import GateRefused, InputError, MissingInput
from crossdomain.ingest.canonical import canonical_table
from crossdomain.ingest.cleaning import clean_table
from crossdomain.ingest.feeds import load_feeds
from crossdomain.jobs.runner import open_lake
from crossdomain.storage.keys import load_keys
from crossdomain.tables import registry
from tests.unit.ingest.conftest import DAY, EVENTS_FEED, EVENTS_HEADER, World

ITEMS: dict[str, Any] = {
    "feed": "items", "table": "items", "kind": "upsert", "format": "csv", "constants": {"domain": "beauty"},
    "columns": {"item_id": "id", "title": "title", "price": "price"},
}  # fmt: skip
USERS: dict[str, Any] = {
    "feed": "users", "table": "users", "kind": "upsert", "format": "csv", "constants": {"domain": "beauty"},
    "columns": {"user_id": "id", "registered_at": "since", "phone": "phone", "email": "mail", "name": "name"},
}  # fmt: skip
TITLES = "item_id, title, delivered_ds::VARCHAR"


def clean_items(world: World, rows: str, **feed: Any) -> dict[str, int]:
    world.deliver(world.feed(base=ITEMS, **feed), "a.csv", "id,title,price,v\n" + rows)
    world.run("ingest")
    world.run("clean")
    return world.classes()


def test_the_last_line_wins_without_a_version(world: World) -> None:
    assert clean_items(world, "a,old,1,\na,new,1,\nb,b,1,\n", ignore=["v"]) == {"clean": 2, "superseded": 1}
    assert world.rows("clean.items", "item_id, title") == [("a", "new"), ("b", "b")]


def test_the_larger_version_wins_whatever_the_order(world: World) -> None:
    assert clean_items(world, "a,nine,1,9\na,ten,1,10\na,eight,1,8\n", version="v") == {"clean": 1, "superseded": 2}
    assert world.rows("clean.items", "title") == [("ten",)]


def test_exact_copies_are_duplicates_and_older_records_superseded(world: World) -> None:
    assert clean_items(world, "a,x,1,\na,y,1,\na,x,1,\na,x,1,\n", ignore=["v"]) == {
        "clean": 1, "duplicate": 2, "superseded": 1
    }  # fmt: skip
    assert world.rows("clean.items", "title") == [("x",)]


def test_a_copy_in_a_later_delivery_does_not_make_the_row_younger(world: World) -> None:
    feed = world.feed()
    for step in range(2):
        day = DAY + timedelta(days=step)
        world.deliver(feed, "a.csv", EVENTS_HEADER + "e1,u1,i1,view,2026-01-05 10:00:00,\n", day)
        world.run("ingest", day)
    world.run("clean")
    assert world.rows("clean.events", "event_id, delivered_ds") == [("e1", DAY)]
    assert world.classes() == {"clean": 1, "duplicate": 1}


def test_a_correction_in_a_later_delivery_wins(world: World) -> None:
    feed = world.feed()
    for step, value in enumerate((100, 250)):
        day = DAY + timedelta(days=step)
        world.deliver(feed, "a.csv", EVENTS_HEADER + f"e1,u1,i1,purchase,2026-01-05 10:00:00,{value}\n", day)
        world.run("ingest", day)
    world.run("clean")
    assert world.rows("clean.events", "value::VARCHAR, delivered_ds") == [("2.50", DAY + timedelta(days=1))]
    assert world.classes() == {"clean": 1, "superseded": 1}


def test_people_are_pseudonymous_and_contacts_are_keyed_hashes(world: World) -> None:
    header = "id,since,phone,mail,name\n"
    rows = "u1,2025-01-01,+86 138-1234-5678,A@Example.com,王小明\nu2,2025-01-01,13812345678,,李\n"
    world.deliver(world.feed(base=USERS), "a.csv", header + rows)
    world.run("ingest")
    world.run("clean")
    keys = load_keys(world.home)
    found = world.rows("clean.users", "account, phone_hash, email_hash", order="email_hash NULLS LAST")
    assert found == [
        (keys.account("beauty", "u1"), keys.contact("phone", "13812345678"), keys.contact("email", "a@example.com")),
        (keys.account("beauty", "u2"), keys.contact("phone", "13812345678"), None),
    ]
    with duckdb.connect() as con:
        files = f"{world.settings.home}/lake/clean/**/*.parquet"
        for path, *_ in con.execute(f"SELECT file FROM glob('{files}')").fetchall():
            for row in con.execute(f"SELECT COLUMNS(*)::VARCHAR FROM read_parquet('{path}')").fetchall():
                assert not {"u1", "u2", "王小明", "李", "13812345678", "A@Example.com"} & set(row)


def test_erased_people_do_not_come_back_with_a_rebuild(world: World) -> None:
    rows = "e1,u1,i,view,2026-01-05 10:00:00,\ne2,u2,i,view,2026-01-05 10:00:00,\n"
    world.deliver(world.feed(), "a.csv", EVENTS_HEADER + rows)
    world.run("ingest")
    world.run("clean")
    assert world.classes() == {"clean": 2}
    requests = {
        "feed": "erasure", "table": "erasure_requests", "kind": "append", "format": "csv",
        "constants": {"domain": "beauty"}, "columns": {"user_id": "user", "requested_at": "time"},
    }  # fmt: skip
    later = DAY + timedelta(days=1)
    world.deliver(world.feed(base=requests), "a.csv", "user,time\nu1,2026-01-06 10:00:00\n", later)
    world.run("ingest", later)
    assert world.run("clean").status == "done"
    assert world.rows("clean.events", "event_id") == [("e2",)]
    assert world.classes() == {"clean": 1, "suppressed": 1}


def test_quarantine_names_reason_column_file_and_line_and_keeps_the_record(world: World) -> None:
    world.deliver(world.feed(), "a.csv", EVENTS_HEADER + "e1,u1,i1,explode,2026-01-05 10:00:00,\n")
    world.run("ingest")
    world.run("clean")
    ((reason, column, file, line, record),) = world.rows("raw.quarantine", "reason, column_name, file, line, record")
    assert (reason, column, file, line) == ("unknown_event_type", "event_type", "a.csv", 2)
    assert json.loads(record)["event_type"] == "explode"


def test_clean_again_is_up_to_date_and_a_changed_feed_file_is_not(world: World) -> None:
    world.deliver(world.feed(), "a.csv", EVENTS_HEADER + "e1,u1,i1,purchase,2026-01-05 10:00:00,100\n")
    world.run("ingest")
    first = world.run("clean")
    assert world.run("clean").status == "up_to_date"
    forced = world.run("clean", force=True)
    assert [table.checksum for table in forced.tables] == [table.checksum for table in first.tables]
    columns = {**EVENTS_FEED["columns"], "value": {"from": "fen", "unit": "yuan"}}
    world.feed(columns=columns)
    assert world.run("clean").status == "done"
    assert world.rows("clean.events", "value::VARCHAR") == [("100.00",)]


def test_order_of_days_does_not_matter(world: World) -> None:
    feed = world.feed()
    days = [DAY + timedelta(days=step) for step in range(3)]
    for day in days:
        rows = f"e{day.day},u1,i1,view,{day} 10:00:00,\ne{day.day}late,u1,i1,view,{day - timedelta(days=1)} 10:00:00,\n"
        world.deliver(feed, "a.csv", EVENTS_HEADER + rows, day)
        world.run("ingest", day)
    forward = [world.run("clean", day).tables for day in days]
    backward = [world.run("clean", day, force=True).tables for day in reversed(days)]
    assert [[t.checksum for t in tables] for tables in forward] == [
        [t.checksum for t in tables] for tables in reversed(backward)
    ]


def test_day_without_delivery_is_missing(world: World) -> None:
    world.feed()
    with pytest.raises(MissingInput, match="run `crossdomain run ingest --date 2026-01-05` first") as missing:
        world.run("clean")
    assert missing.value.exit_code == 2


def test_rows_of_a_feed_that_is_gone_are_refused(world: World) -> None:
    world.deliver(world.feed(), "a.csv", EVENTS_HEADER + "e1,u1,i1,view,2026-01-05 10:00:00,\n")
    world.run("ingest")
    (world.settings.include / "feeds" / "shop_events.yaml").unlink()
    world.feed(feed="other")
    with pytest.raises(InputError, match=r"feed 'shop_events', but .*shop_events\.yaml is gone"):
        world.run("clean")


def test_refused_day_commits_only_the_quality_results(world: World) -> None:
    world.deliver(world.feed(expected="daily"), "a.csv", EVENTS_HEADER + "e1,u1,i1,explode,2026-01-05 10:00:00,\n")
    world.run("ingest")
    with pytest.raises(GateRefused, match=r"events\.rows\.present") as refused:
        world.run("clean")
    assert refused.value.exit_code == 3
    assert world.rows("clean.events", "event_id") == []
    assert world.rows("derived.row_counts") == []
    assert world.rows("serving.quality_results", "count(*) > 0") == [(True,)]


ROWS = st.lists(
    st.tuples(
        st.sampled_from(["e1", "e2", "e3", ""]),
        st.sampled_from(["u1", "u2", ""]),
        st.sampled_from(["view", "purchase", "explode"]),
        st.sampled_from(["2026-01-05 10:00:00", "2026-01-03 10:00:00", "2025-01-01 10:00:00", "2026-13-01", ""]),
        st.sampled_from(["1", "-1", "x", "", "1,2"]),
    ),
    min_size=1,
    max_size=25,
)


@settings(deadline=None, max_examples=8, database=None, suppress_health_check=list(HealthCheck))
@given(rows=ROWS)
def test_rows_read_are_rows_accounted_for(world: World, rows: list[tuple[str, ...]]) -> None:
    lines = [f"{name},{user},i1,{action},{time},{value}\n" for name, user, action, time, value in rows]
    world.deliver(world.feed(), "a.csv", EVENTS_HEADER + "".join(lines))
    world.run("ingest")
    tables, keys, feeds = registry(world.settings.include), load_keys(world.home), load_feeds(world.settings)
    raw, clean = tables.get("raw.events"), tables.get("clean.events")
    total = 0
    with open_lake(world.settings) as lake:
        for partition in lake.partitions(raw):
            lake.view(raw, [partition], schema="raw")
            cleaned = clean_table(
                lake.con, canonical_table("events"), clean, feeds=feeds, settings=world.settings, keys=keys,
                erased=frozenset(),
            )  # fmt: skip
            ids = lake.con.execute(f"SELECT event_id FROM ({cleaned.rows})").fetchall()
            assert len(ids) == len(set(ids)) == cleaned.total("clean")
            total += sum(count.rows for count in cleaned.counts)
    assert total == len(rows)
