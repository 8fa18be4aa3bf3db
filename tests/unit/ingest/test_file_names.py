"""Names of delivered files that other programs take for patterns, escapes or options."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from crossdomain.errors import InputError
from tests.unit.ingest.conftest import DAY, EVENTS_HEADER, World

ROW = {"id": "e1", "user": "u", "item": "i", "action": "view", "time": "2026-01-05 10:00:01", "fen": "100"}


def lines(*ids: str) -> str:
    return EVENTS_HEADER + "".join(f"{one},u,i,view,2026-01-05 10:00:01,100\n" for one in ids)


@pytest.mark.parametrize(
    "name",
    [
        "a[1].csv", "a*.csv", "a?.csv", "{a1,b}.csv", "订单 '1月' 100%.csv", "a%20b.csv", 'q"x.csv', "semi;#.csv",
        "back\\slash.csv", "new\nline.csv", "a[1].csv.gz",
    ],
)  # fmt: skip
def test_only_the_file_of_that_name_is_read(world: World, name: str) -> None:
    feed = world.feed()
    world.deliver(feed, name, lines("e1"))
    world.deliver(feed, "a1.csv", lines("e2", "e3"))
    world.run("ingest")
    assert world.rows("raw.events", "event_id, _file, _line") == [
        ("e1", name, 2),
        ("e2", "a1.csv", 2),
        ("e3", "a1.csv", 3),
    ]


def test_other_formats_too(world: World) -> None:
    parquet = world.home.landing(world.feed(feed="of_parquet", format="parquet"), DAY) / "b[1].parquet"
    parquet.parent.mkdir(parents=True)
    row = ", ".join(f"'{value}' AS \"{name}\"" for name, value in ROW.items())
    duckdb.sql(f"COPY (SELECT {row}) TO '{parquet}'")
    values = ",".join(f'"{name}": "{value}"' for name, value in ROW.items())
    world.deliver(world.feed(feed="of_json", format="jsonl"), "c[1].jsonl", f"{{{values}}}\n")
    world.deliver(world.feed(feed="of_tabs", format="tsv"), "d*.tsv", lines("e1").replace(",", "\t"))
    world.run("ingest")
    assert world.rows("raw.events", "_file") == [("b[1].parquet",), ("c[1].jsonl",), ("d*.tsv",)]


@pytest.mark.parametrize("kind", ["a folder", "a broken link"])
def test_what_is_no_file_is_not_passed_over(world: World, kind: str) -> None:
    feed = world.feed()
    odd = world.deliver(feed, "orders.csv", lines("e1")).with_name("more.csv")
    if kind == "a folder":
        odd.mkdir()
    else:
        odd.symlink_to(Path("nowhere.csv"))
    with pytest.raises(InputError, match=r"more\.csv: is a folder or a broken link"):
        world.run("ingest")
    assert world.rows("raw.events") == []
