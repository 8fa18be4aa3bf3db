"""Kill -9 at any instant: readers see the old or the new, and a run again ends as if nothing had happened."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from random import Random

import pytest

from crossdomain.settings import Settings
from tests.e2e.conftest import World, lay_world
from tests.faults.jobs import MAINTAIN, work
from tests.faults.kills import BETWEEN, PHASES, Tally, Undisturbed, choose, run_undisturbed, trial
from tests.faults.server import ForkServer, fork_server

SEED = 5
PIECES = 10
"""Files of one delivery: more than raw's metadata allows, so that there is something to put together."""

KILLS = {
    "ingest": 34, "clean": 24, "vault": 10, "people": 18, "topics": 10, "together": 4, "similar": 6, "bundles": 6,
    "train": 12, "score": 10, "publish": 16, "ingest again": 28, "clean a late day": 12, "people again": 10,
    "publish again": 10, MAINTAIN: 22,
}  # fmt: skip
"""Kills by job; together more than 200, since some random times come after the job's end."""


def deliver_again(settings: Settings, day: date) -> None:
    """A delivery comes again: in pieces, without some rows, and with rows of the day before."""
    folder = settings.home / "landing" / "knowledge_events" / day.isoformat()
    (source,) = folder.glob("*.csv")
    with source.open(encoding="utf-8", newline="") as file:
        header, *rows = list(csv.reader(file))
    source.unlink()
    before = (day - timedelta(days=1)).isoformat()
    place = header.index("event_id")
    of_day = [row for row in rows if day.isoformat() in "".join(row) and before not in "".join(row)][:6]
    late = [[value.replace(day.isoformat(), before) for value in row] for row in of_day]
    for number, row in enumerate(late):
        row[place] = f"late-{number}"
    kept = rows[5:] + late
    for piece in range(PIECES):
        with (folder / f"part-{piece}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([header, *kept[piece::PIECES]])


@contextmanager
def trials(folder: Path) -> Iterator[tuple[World, ForkServer]]:
    world = lay_world(folder / "world", users=24, items=60, days=1)
    with fork_server(folder) as server:
        yield world, server


def long_chain(world: World, server: ForkServer, folder: Path) -> Iterator[Undisturbed]:
    """The jobs of two delivery days, of which the second comes twice; each as it is about to run."""
    settings, (first, second) = world.settings, world.days

    def about_to_run(name: str, job: str, day: date) -> Undisturbed:
        return run_undisturbed(server, settings, name, job, day, folder)

    for job in ("ingest", "clean", "vault", "people"):
        yield about_to_run(job, job, first)
    for job in ("catalogue", "holdings"):
        work(job, first, settings)
    for job in ("topics", "together", "similar", "bundles", "train", "score"):
        yield about_to_run(job, job, first)
    for job in ("experiment_state", "experiments"):
        work(job, first, settings)
    yield about_to_run("publish", "publish", first)
    for job in (
        "ingest", "clean", "vault", "people", "catalogue", "holdings", "topics", "together", "similar", "bundles",
        "train", "score", "experiment_state", "experiments",
    ):  # fmt: skip
        work(job, second, settings)
    yield about_to_run("publish again", "publish", second)
    deliver_again(settings, second)
    yield about_to_run("ingest again", "ingest", second)
    yield about_to_run("clean a late day", "clean", first)
    work("clean", second, settings)
    yield about_to_run("people again", "people", second)
    yield about_to_run(MAINTAIN, MAINTAIN, second)


@pytest.mark.parametrize(
    ("share", "least"), [pytest.param(3, 60, marks=pytest.mark.long), pytest.param(1, 200, marks=pytest.mark.soak)]
)
@pytest.mark.timeout(3600)
def test_kills_end_in_the_checksums_of_an_undisturbed_run(
    share: int, least: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    random, tally = Random(SEED), Tally()  # noqa: S311 - chooses the kills
    with trials(tmp_path) as (world, server):
        for run in long_chain(world, server, tmp_path):
            for kill in choose(run, KILLS[run.name] // share, random):
                trial(server, run, kill, tmp_path, tally)
            shutil.rmtree(run.base.home)
    with capsys.disabled():
        print("", *tally.lines(), sep="\n")
    assert tally.total >= least
    assert 2 * tally.of(BETWEEN) >= tally.total
    assert all(tally.of(phase) for phase in PHASES)
    assert sum(tally.inside.values()) >= least / 7
    assert {name for name, _ in tally.killed} == set(KILLS)


def test_a_few_kills_end_in_the_checksums_of_an_undisturbed_run(tmp_path: Path) -> None:
    random, tally = Random(SEED), Tally()  # noqa: S311 - chooses the kills
    with trials(tmp_path) as (world, server):
        settings, day = world.settings, world.days[0]
        ingest = run_undisturbed(server, settings, "ingest", "ingest", day, tmp_path)
        for kill in choose(ingest, 3, random):
            trial(server, ingest, kill, tmp_path, tally)
        deliver_again(replace(settings), day)
        again = run_undisturbed(server, settings, "ingest again", "ingest", day, tmp_path)
        for kill in choose(again, 2, random):
            trial(server, again, kill, tmp_path, tally)
        maintain = run_undisturbed(server, settings, MAINTAIN, MAINTAIN, day, tmp_path)
        for kill in choose(maintain, 2, random):
            trial(server, maintain, kill, tmp_path, tally)
    assert tally.total + tally.outran == 7
    assert tally.of(BETWEEN) >= 3
