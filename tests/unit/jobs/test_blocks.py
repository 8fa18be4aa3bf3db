"""A partition that is written a block at a time: killed in the middle, taken up, committed as one."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from crossdomain.jobs.model import Job, JobContext
from crossdomain.jobs.runner import open_lake, run_job
from crossdomain.settings import Settings
from crossdomain.storage.collection import collect, sweep
from crossdomain.storage.home import Home
from crossdomain.tables import registry
from tests.unit.jobs.test_runner import START, table

BLOCKS = 4


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    include = tmp_path / "include"
    table(include, "serving.lists", "lists", "independent", {"id": "VARCHAR", "rank": "BIGINT"})
    return Settings(home=tmp_path / "home", include=include, start=START)


def rows(number: int) -> pa.Table:
    return pa.table({"id": [f"{number}{letter}" for letter in "abc"], "rank": [1, 2, 3]})


def lists(made: list[int], before: Callable[[int], None] = lambda number: None, config: int = 0) -> Job:
    """Writes four blocks; calls ``before`` with the number of each that it makes."""

    def make(number: int) -> Callable[[], pa.Table]:
        def block() -> pa.Table:
            before(number)
            made.append(number)
            return rows(number)

        return block

    def build(ctx: JobContext) -> None:
        taken_up = ctx.write_blocks("serving.lists", [(f"{number}", make(number)) for number in range(BLOCKS)])
        ctx.look_at("serving.lists")
        ((found,),) = ctx.con.execute("SELECT count(*) FROM written.lists").fetchall()
        ctx.note(taken_up=taken_up, found=found)

    return Job(name="lists", version=1, outputs=("serving.lists",), run=build, config=lambda _: {"config": config})


def kill_at(number: int, settings: Settings) -> None:
    """Runs the job in a child that dies, without a chance to tidy up, when it comes to a block."""
    child = os.fork()
    if not child:
        run_job(lists([], lambda block: os._exit(9) if block == number else None), START, settings)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def committed(settings: Settings) -> tuple[list[tuple[str, int]], list[bytes]]:
    with open_lake(settings) as lake:
        spec = registry(settings.include).get("serving.lists")
        partitions = lake.partitions(spec)
        found = lake.con.sql(f"SELECT id, rank FROM ({lake.relation(spec, partitions)}) ORDER BY ALL").fetchall()
        return found, sorted(file.path.read_bytes() for one in partitions for file in one.files)


def files(settings: Settings) -> list[Path]:
    return sorted(settings.home.rglob("*.parquet"))


def test_a_killed_job_goes_on_at_the_block_where_it_was(settings: Settings, tmp_path: Path):
    kill_at(2, settings)
    assert committed(settings)[0] == [], "nothing is seen before all is there"
    made: list[int] = []
    result = run_job(lists(made), START, settings)
    assert made == [2, 3]
    assert result.notes == {"taken_up": 2, "found": 3 * BLOCKS}
    again = Settings(home=tmp_path / "other", include=settings.include, start=START)
    whole = run_job(lists([]), START, again)
    assert committed(settings) == committed(again), "the same bytes as without the kill"
    assert [(one.rows, one.checksum) for one in result.tables] == [(one.rows, one.checksum) for one in whole.tables]
    assert run_job(lists([]), START, settings).status == "up_to_date"


def test_a_failed_job_keeps_what_it_finished(settings: Settings):
    def fail(number: int) -> None:
        if number == 3:
            raise RuntimeError("a block fails")

    with pytest.raises(RuntimeError, match="a block fails"):
        run_job(lists([], fail), START, settings)
    made: list[int] = []
    run_job(lists(made), START, settings)
    assert made == [3]


def test_blocks_of_other_settings_are_made_again(settings: Settings):
    kill_at(2, settings)
    made: list[int] = []
    run_job(lists(made, config=1), START, settings)
    assert made == [0, 1, 2, 3]


def test_a_block_that_is_cut_short_or_gone_is_made_again(settings: Settings):
    kill_at(3, settings)
    first, second, _ = files(settings)
    first.unlink()
    second.write_bytes(second.read_bytes()[:-1])
    made: list[int] = []
    run_job(lists(made), START, settings)
    assert len(made) == 3
    assert len(committed(settings)[0]) == 3 * BLOCKS


def test_built_again_by_force_nothing_that_is_committed_is_taken_up(settings: Settings):
    run_job(lists([]), START, settings)
    made: list[int] = []
    assert run_job(lists(made), START, settings, force=True).status == "unchanged"
    assert made == [0, 1, 2, 3]
    assert len(committed(settings)[0]) == 3 * BLOCKS


def test_what_nobody_takes_up_is_collected(settings: Settings):
    kill_at(2, settings)
    spec = registry(settings.include).get("serving.lists")
    with open_lake(settings) as lake:
        assert collect(lake, spec, history=timedelta()) == []
        assert sweep(Home(settings.home)) == []
        collect(lake, spec, history=timedelta(), grace=timedelta(seconds=-5))
        swept = sweep(Home(settings.home), grace=timedelta(seconds=-5))
    assert any(one.path.name.startswith("blocks-") for one in swept)
    assert files(settings) == []
    made: list[int] = []
    run_job(lists(made), START, settings)
    assert made == [0, 1, 2, 3]


def test_another_day_does_not_meet_them(settings: Settings):
    kill_at(2, settings)
    made: list[int] = []
    run_job(lists(made), date(2026, 1, 6), settings)
    assert made == [0, 1, 2, 3]
