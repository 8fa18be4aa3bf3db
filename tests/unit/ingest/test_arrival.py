from __future__ import annotations

import gzip
from datetime import date, timedelta
from typing import Any

import pytest

from crossdomain.errors import InputError, MissingInput
from crossdomain.jobs.runner import open_lake
from crossdomain.storage.collection import unnamed
from crossdomain.tables import registry
from tests.unit.ingest.conftest import DAY, EVENTS_HEADER, World

NEXT = DAY + timedelta(days=1)


def event(name: str, time: str = "2026-01-05 10:00:00", action: str = "view") -> str:
    return f"{name},u1,i1,{action},{time},100\n"


def raw(world: World, columns: str = "event_id, ds::VARCHAR, _reason") -> list[tuple[Any, ...]]:
    return world.rows("raw.events", columns)


def checksums(world: World) -> dict[tuple[str, ...], str]:
    with open_lake(world.settings) as lake:
        return {
            tuple(partition.values.values()): partition.checksum
            for partition in lake.partitions(registry(world.settings.include).get("raw.events"))
        }


def test_rows_are_placed_in_their_business_day(world: World) -> None:
    world.deliver(
        world.feed(),
        "a.csv",
        EVENTS_HEADER + event("now") + event("late", "2026-01-02 00:00:00") + event("too_late", "2026-01-01 23:59:59"),
    )
    result = world.run("ingest")
    assert raw(world) == [
        ("late", "2026-01-02", None),
        ("now", "2026-01-05", None),
        ("too_late", "2026-01-05", "too_late"),
    ]
    assert result.keys == (date(2026, 1, 2), DAY)


def test_a_day_is_a_day_in_the_business_zone(world: World) -> None:
    columns = {**world_columns(), "ts": "time"}
    world.deliver(world.feed(columns=columns), "a.csv", EVENTS_HEADER + event("e", "2026-01-04T16:00:00Z"))
    world.run("ingest")
    assert raw(world) == [("e", "2026-01-05", None)]


def world_columns() -> dict[str, Any]:
    from tests.unit.ingest.conftest import EVENTS_FEED

    return dict(EVENTS_FEED["columns"])


def test_clocks_that_run_ahead_are_tolerated_and_their_day_waits_for_its_delivery(world: World) -> None:
    feed = world.feed()
    rows = event("now") + event("ahead", "2026-01-06 01:59:59") + event("too_early", "2026-01-06 02:00:00")
    world.deliver(feed, "a.csv", EVENTS_HEADER + rows)
    assert world.run("ingest").keys == (DAY,)
    assert ("ahead", "2026-01-06", None) in raw(world)
    assert ("too_early", "2026-01-05", "too_early") in raw(world)
    with pytest.raises(MissingInput, match="clean 2026-01-06: nothing was delivered"):
        world.run("clean", NEXT)
    world.deliver(feed, "a.csv", EVENTS_HEADER + event("next", "2026-01-06 10:00:00"), NEXT)
    assert world.run("ingest", NEXT).keys == (NEXT,)
    world.run("clean", NEXT)
    assert world.rows("clean.events", "event_id") == [("ahead",), ("next",)]
    assert world.run("ingest").keys == (DAY, NEXT)


def test_the_same_delivery_again_changes_nothing_and_says_so(world: World) -> None:
    world.deliver(world.feed(), "a.csv", EVENTS_HEADER + event("e1") + event("e2", "2026-01-04 10:00:00"))
    assert world.run("ingest").notes["changed"] is True
    before = checksums(world)
    again = world.run("ingest")
    assert again.notes["changed"] is False
    assert again.notes["feeds"]["shop_events"]["changed_days"] == []
    assert checksums(world) == before


def test_a_redelivered_file_replaces_the_first_and_touches_the_days_it_leaves(world: World) -> None:
    feed = world.feed()
    world.deliver(feed, "a.csv", EVENTS_HEADER + event("e1") + event("e2", "2026-01-04 10:00:00"))
    world.run("ingest")
    assert world.run("clean", date(2026, 1, 4)).notes["rows"]["clean"] == 1
    world.deliver(feed, "a.csv", EVENTS_HEADER + event("e1"))
    result = world.run("ingest")
    assert raw(world) == [("e1", "2026-01-05", None)]
    assert result.keys == (date(2026, 1, 4), DAY)
    assert result.notes["feeds"][feed]["changed_days"] == ["2026-01-04"]
    assert result.notes["feeds"][feed]["replaced"] == 2
    assert world.run("clean", date(2026, 1, 4)).notes["rows"]["clean"] == 0
    assert world.run("ingest").notes["changed"] is False


def test_feeds_of_one_table_do_not_replace_each_other(world: World) -> None:
    world.deliver(world.feed(), "a.csv", EVENTS_HEADER + event("e1"))
    world.run("ingest")
    (world.home.landing("shop_events", DAY) / "a.csv").unlink()
    world.home.landing("shop_events", DAY).rmdir()
    world.deliver(world.feed(feed="app_events"), "a.csv", EVENTS_HEADER + event("e2"))
    world.run("ingest")
    assert raw(world, "event_id, feed") == [("e1", "shop_events"), ("e2", "app_events")]


def test_history_is_never_too_late_and_folds_into_the_start(world: World) -> None:
    settled = world.with_settings(start=DAY)
    path = settled.deliver(settled.feed(), "a.csv", EVENTS_HEADER + event("old", "2014-03-01 10:00:00") + event("new"))
    (path.parent / "_delivery.yaml").write_text("history: true\n")
    assert settled.run("ingest").keys == (DAY,)
    assert raw(settled, "event_id, ds::VARCHAR, _at::DATE::VARCHAR") == [
        ("new", "2026-01-05", "2026-01-05"), ("old", "2026-01-05", "2014-03-01")
    ]  # fmt: skip
    assert settled.run("clean").notes["rows"]["clean"] == 2


def test_history_before_a_start_that_is_not_declared_keeps_its_days(world: World) -> None:
    path = world.deliver(world.feed(), "a.csv", EVENTS_HEADER + event("old", "2025-03-01 10:00:00") + event("new"))
    (path.parent / "_delivery.yaml").write_text("history: true\n")
    assert world.run("ingest").keys == (date(2025, 3, 1), DAY)


def test_observed_day_decides_what_is_believed(world: World) -> None:
    feed = {
        "feed": "catalogue", "table": "items", "kind": "snapshot", "format": "csv", "constants": {"domain": "beauty"},
        "columns": {"item_id": "id", "listed_at": "listed"},
    }  # fmt: skip
    path = world.deliver(world.feed(base=feed), "a.csv", "id,listed\na,2026-06-01\nb,2034-04-08\n")
    world.run("ingest")
    assert world.run("clean").notes["quarantined"] == {"items.future_listed_at": 2}
    (path.parent / "_delivery.yaml").write_text("history: true\nobserved: 2026-12-31\n")
    world.run("ingest")
    assert world.run("clean").notes["quarantined"] == {"items.future_listed_at": 1}


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("observed: 2026-02-30\n", "not YAML: day is out of range"),
        ("observed: soon\n", "observed must be a day"),
        ("history: 1\n", "history must be true or false"),
        ("as_of: 2026-01-01\n", "unknown key as_of"),
    ],
)
def test_wrong_declaration_is_refused(world: World, content: str, named: str) -> None:
    path = world.deliver(world.feed(), "a.csv", EVENTS_HEADER + event("e1"))
    (path.parent / "_delivery.yaml").write_text(content)
    with pytest.raises(InputError, match=named):
        world.run("ingest")


def test_missing_deliveries_are_named(world: World) -> None:
    world.feed(expected="daily")
    world.deliver(world.feed(feed="other"), "a.csv", EVENTS_HEADER + event("e1"))
    with pytest.raises(MissingInput, match=r"expected daily are missing: .*landing/shop_events/2026-01-05") as missing:
        world.run("ingest")
    assert missing.value.exit_code == 2
    world.feed()
    with pytest.raises(MissingInput, match=r"no feed has a folder .*landing/<feed>/2026-01-06"):
        world.run("ingest", NEXT)


def test_an_empty_day_is_refused_unless_the_feed_says_that_it_is_normal(world: World) -> None:
    world.deliver(world.feed(), "a.csv", EVENTS_HEADER)
    with pytest.raises(InputError, match="holds no row; if that is normal, say may_be_empty: true"):
        world.run("ingest")
    world.feed(may_be_empty=True)
    assert world.run("ingest").keys == (DAY,)
    assert world.run("clean").notes["rows"]["clean"] == 0


def test_file_of_another_format_is_refused(world: World) -> None:
    feed = world.feed()
    world.deliver(feed, "a.csv", EVENTS_HEADER + event("e1"))
    world.deliver(feed, "b.csv.part", "half")
    with pytest.raises(InputError, match=r"b\.csv\.part: feed shop_events delivers \.csv or \.csv\.gz"):
        world.run("ingest")


@pytest.mark.parametrize(
    ("name", "content", "named"),
    [
        ("b.csv.gz", gzip.compress(b"x" * 9999, mtime=0)[:-9], "truncated or not gzip"),
        ("b.csv", EVENTS_HEADER.encode() + "e,u,面霜,view,t,1".encode("gb18030"), "line 2, byte 33: not utf-8"),
        ("b.csv", b"id,user\n1,2\n", "column 'action'"),
    ],
)
def test_bad_file_refuses_the_whole_delivery_and_nothing_is_lost(
    world: World, name: str, content: bytes, named: str
) -> None:
    feed = world.feed()
    world.deliver(feed, "a.csv", EVENTS_HEADER + event("e1"))
    world.run("ingest")
    before = checksums(world)
    path = world.deliver(feed, "a.csv", EVENTS_HEADER + event("e2")).with_name(name)
    path.write_bytes(content)
    with pytest.raises(InputError, match=named) as refused:
        world.run("ingest")
    assert refused.value.exit_code == 2
    assert checksums(world) == before
    with open_lake(world.settings) as lake:
        assert unnamed(lake, registry(world.settings.include).get("raw.events")) == []


def test_erasure_requests_are_remembered_as_hashes_only(world: World) -> None:
    feed = {
        "feed": "erasure", "table": "erasure_requests", "kind": "append", "format": "csv",
        "constants": {"domain": "beauty"}, "columns": {"user_id": "user", "requested_at": "time"},
    }  # fmt: skip
    world.deliver(world.feed(base=feed), "a.csv", "user,time\nu1,2026-01-05 10:00:00\nu1,2026-01-05 11:00:00\n,\n")
    world.run("ingest")
    ((erased, requested),) = world.rows("derived.erasures", "erased, requested_at::VARCHAR")
    assert len(erased) == 16
    assert requested == "2026-01-05 02:00:00+00"
