"""Raw whose small files were put together is the raw that was delivered."""

from __future__ import annotations

from crossdomain.jobs.runner import open_lake
from crossdomain.storage.compaction import compact
from crossdomain.tables import registry
from tests.unit.ingest.conftest import EVENTS_HEADER, World

FILES = 10


def piece(number: int) -> str:
    """Three records: a new one, one that other files bring too, and one that breaks over two lines and is no event."""
    rows = [f"e{number},u{number},i,view,2026-01-05 10:00:0{number},100", "same,u,i,view,2026-01-05 09:00:00,100"]
    return EVENTS_HEADER + "\n".join([*rows, '"two\nlines",,i,view,2026-01-05 11:00:00,1']) + "\n"


def seen(world: World) -> list[list[tuple[object, ...]]]:
    return [world.rows("raw.events"), world.rows("clean.events"), world.rows("raw.quarantine")]


def test_nobody_notices_that_files_were_put_together(world: World) -> None:
    feed = world.feed()
    for number in range(FILES):
        world.deliver(feed, f"part-{number}.csv", piece(number))
    world.run("ingest")
    assert world.run("clean").status == "done"
    before = seen(world)
    assert len(before[1]) == FILES + 1
    assert len(before[2]) == FILES
    spec = registry(world.settings.include).get("raw.events")
    with open_lake(world.settings) as lake:
        assert compact(lake, spec) == (FILES, 1)
        assert [len(partition.files) for partition in lake.partitions(spec)] == [1]
    assert seen(world) == before
    assert world.run("clean").status == "up_to_date", "the versions of its rows are the same"
    assert world.run("clean", force=True).status == "unchanged"
    assert seen(world) == before
    assert world.run("ingest").notes["changed"] is False, "the same files again change nothing"
    world.deliver(feed, "part-3.csv", EVENTS_HEADER + "new,u,i,view,2026-01-05 10:00:00,100\n")
    assert world.run("ingest").notes["changed"] is True, "and another one in place of one of them does"
    assert len(world.rows("raw.events")) == 3 * FILES - 2
