"""Job ``score`` through the lake: killed between blocks, it goes on where it was."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from signal import SIGKILL

import pyarrow as pa
import pytest

from crossdomain.jobs.model import JobResult
from crossdomain.jobs.registry import job
from crossdomain.jobs.runner import open_lake, run_job
from crossdomain.recommend import score
from crossdomain.settings import Settings
from crossdomain.tables import registry
from tests.unit.jobs.lake_tables import read
from tests.unit.jobs.test_consent_chain import CHAIN, D1, PEOPLE, lay, run, world

BLOCK = 5
BLOCKS = -(-PEOPLE // BLOCK)
OUTPUTS = job("score").outputs


@pytest.fixture(autouse=True)
def _small_models(monkeypatch: pytest.MonkeyPatch) -> None:
    small = {"FACTORS": "4", "ITERATIONS": "5", "POPULARITY_POWER": "0", "TOP_K": "3", "MIN_TEST_PEOPLE": "1000"}
    for name, value in small.items():
        monkeypatch.setenv(f"CROSSDOMAIN_RECOMMEND_{name}", value)


def in_blocks(settings: Settings, before: Callable[[int], None]) -> JobResult:
    """Scores people in small blocks; ``before`` is told where each block that is made begins."""
    whole = score.Scorer.rows

    def rows(scorer: score.Scorer, persons: slice) -> pa.Table:
        before(persons.start)
        return whole(scorer, persons)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(score, "PEOPLE_BLOCK", BLOCK)
        patch.setattr(score.Scorer, "rows", rows)
        return run_job(job("score"), D1, settings)


def killed_at(settings: Settings, start: int) -> None:
    in_blocks(settings, lambda place: os.kill(os.getpid(), SIGKILL) if place == start else None)


def files(settings: Settings) -> dict[str, list[bytes]]:
    """Bytes of the day's live files by table."""
    with open_lake(settings) as lake:
        specs = [registry(settings.include).get(name) for name in OUTPUTS]
        return {
            spec.full_name: sorted(file.path.read_bytes() for one in lake.partitions(spec) for file in one.files)
            for spec in specs
        }


def test_killed_between_blocks_it_takes_up_what_is_finished_and_ends_in_the_same_bytes(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", start=D1)
    lay(settings, world(), [])
    run(settings, D1, jobs=CHAIN[:-1])
    undisturbed = replace(settings, home=tmp_path / "other")
    shutil.copytree(settings.home, undisturbed.home)

    child = get_context("spawn").Process(target=killed_at, args=(settings, 3 * BLOCK))
    child.start()
    child.join(120)
    assert child.exitcode == -SIGKILL
    assert files(settings) == {name: [] for name in OUTPUTS}, "nothing is seen before all is there"

    made: list[int] = []
    result = in_blocks(settings, made.append)
    assert made == [3 * BLOCK, 4 * BLOCK]
    assert result.notes["blocks_taken_up"] == 3

    every: list[int] = []
    whole = in_blocks(undisturbed, every.append)
    assert every == [number * BLOCK for number in range(BLOCKS)]
    assert whole.notes["blocks_taken_up"] == 0
    assert files(settings) == files(undisturbed)
    assert len(files(settings)["serving.recommendations"]) == BLOCKS
    assert [(one.table, one.rows, one.checksum) for one in result.tables] == [
        (one.table, one.rows, one.checksum) for one in whole.tables
    ]
    assert {row["person"] for row in read(settings, "serving.recommendations", D1)} == {
        row["person"] for row in read(settings, "derived.people", D1)
    }
    assert in_blocks(settings, made.append).status == "up_to_date"
