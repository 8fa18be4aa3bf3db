"""Any number of days at once, and two runs of one day at once: always the checksums of one day after the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from random import Random

import pytest

from crossdomain.errors import NotReady
from crossdomain.jobs.registry import NAMES, job
from crossdomain.jobs.runner import open_lake, run_job
from crossdomain.settings import Settings
from crossdomain.storage.collection import collect, unnamed
from crossdomain.storage.inspection import inspect
from crossdomain.storage.maintenance import maintain
from crossdomain.tables import registry
from tests.e2e.conftest import World, lay_world, run
from tests.faults.kills import State, state
from tests.faults.server import fork_server
from tests.wiring import followers

FOLLOWERS = {name: sorted(jobs & set(NAMES)) for name, jobs in followers().items()}
WORKERS = 4


@dataclass
class Backfill:
    """Deliveries on several workers at once in any order, each key starting what follows it, as Airflow does.

    A job that is not ready is skipped: the event of what it misses starts it again. One key may run twice at once.
    """

    settings: Settings
    pool: ProcessPoolExecutor
    random: Random
    waiting: list[tuple[str, date]] = field(default_factory=list)
    running: dict[Future[tuple[date, ...] | None], tuple[str, date]] = field(default_factory=dict)
    ran: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    twice: int = 0

    def run(self, days: Iterable[date]) -> None:
        """Runs until nothing is left to do."""
        self.waiting += [("ingest", day) for day in days]
        while self.waiting or self.running:
            while self.waiting and len(self.running) < WORKERS:
                task = self.waiting.pop(self.random.randrange(len(self.waiting)))
                self.twice += task in self.running.values()
                self.running[self.pool.submit(attempt, *task, self.settings)] = task
            for ended in wait(self.running, return_when=FIRST_COMPLETED).done:
                self._follow(*self.running.pop(ended), ended.result())

    def _follow(self, name: str, day: date, keys: tuple[date, ...] | None) -> None:
        if keys is None:
            self.skipped[name] += 1
            return
        self.ran[name] += 1
        for follower in FOLLOWERS[name]:
            self.waiting += [(follower, key) for key in keys if (follower, key) not in self.waiting]


def attempt(name: str, day: date, settings: Settings) -> tuple[date, ...] | None:
    try:
        return run_job(job(name), day, settings).keys
    except NotReady:
        return None


def one_after_the_other(settings: Settings, days: list[date]) -> None:
    for day in days:
        for touched in run_job(job("ingest"), day, settings).keys:
            run(settings, NAMES[1:], [touched])


def assert_sound(settings: Settings) -> None:
    with open_lake(settings) as lake:
        for spec in registry(settings.include):
            assert inspect(lake, spec, deep=True).damage == ()
            assert all(one.replaced for one in unnamed(lake, spec)), spec.full_name


def in_force(settings: Settings) -> State:
    """The state without the models that no table names.

    A day that was trained before a late delivery came is trained again, and leaves one, which retention removes.
    """
    seen = state(settings)
    with open_lake(settings) as lake:
        named = {
            version
            for spec in registry(settings.include)
            if "model_version" in spec.column_names
            for (version,) in lake.con.sql(
                f"SELECT DISTINCT model_version FROM ({lake.relation(spec, lake.partitions(spec))})"
            ).fetchall()
        }
    assert named, "models are in force"
    return {key: found for key, found in seen.items() if key[0] != "models" or key[-1] in named}


def nobody_changes_their_mind(settings: Settings, days: list[date]) -> None:
    """Takes out later answers about consent and erasures: what they change depends on when a job runs, as it must."""
    for day in days[1:]:
        for feed in ("consents", "erasure_requests"):
            for path in (settings.home / "landing" / feed / day.isoformat()).glob("*.csv"):
                path.write_text(path.read_text(encoding="utf-8").splitlines(keepends=True)[0], encoding="utf-8")


def correct_and_repeat(settings: Settings, days: list[date]) -> None:
    """Some deliveries bring records of the day before again, corrected."""
    for before, day in list(pairwise(days))[3::7]:
        for feed in ("knowledge_events", "reviews"):
            source = settings.home / "landing" / feed / before.isoformat()
            for path in sorted(source.glob("*.csv")):
                lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
                target = settings.home / "landing" / feed / day.isoformat() / f"again-{path.name}"
                target.write_text(
                    "".join([lines[0], *lines[1:6], *(line.replace("1", "2") for line in lines[6:9])]), encoding="utf-8"
                )


@pytest.mark.parametrize("days", [pytest.param(10, marks=pytest.mark.long), pytest.param(30, marks=pytest.mark.soak)])
@pytest.mark.timeout(3600)
def test_days_on_four_workers_are_those_of_one_after_the_other(
    days: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = lay_world(tmp_path / "world", users=24, items=60, days=days - 1)
    assert len(world.days) == days
    nobody_changes_their_mind(world.settings, world.days)
    correct_and_repeat(world.settings, world.days)
    serial, parallel = world.copy(tmp_path / "serial"), world.copy(tmp_path / "parallel")
    one_after_the_other(serial, world.days)
    with ProcessPoolExecutor(WORKERS, mp_context=get_context("spawn")) as pool:
        backfill = Backfill(replace(parallel, threads=1), pool, Random(3))  # noqa: S311 - an order
        backfill.run(world.days)
    with capsys.disabled():
        print(f"\nran {dict(backfill.ran)}; not ready {dict(backfill.skipped)}; one key twice at once {backfill.twice}")
    assert in_force(parallel) == in_force(serial)
    assert_sound(parallel)
    assert backfill.skipped, "some keys came before what they need"


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> World:
    return lay_world(tmp_path_factory.mktemp("delivered"), users=24, items=60, days=2)


def test_two_runs_of_each_delivery_at_once_beside_maintenance_lose_nothing(delivered: World, tmp_path: Path) -> None:
    serial = delivered.copy(tmp_path / "serial")
    run(serial, ["ingest"], delivered.days)
    beside = delivered.copy(tmp_path / "beside")
    with fork_server(tmp_path) as server:
        children = [
            server.start("tests.faults.jobs:work", "ingest", day, beside)
            for day in [*delivered.days, *reversed(delivered.days)]
        ]
        _maintain_meanwhile(beside)
        ended = [child.wait() for child in children]
    assert [(one.code, one.said) for one in ended] == [(0, "")] * len(children)
    assert state(beside) == state(serial)
    assert_sound(beside)


def _maintain_meanwhile(settings: Settings) -> None:
    """Compacts, checkpoints and collects while others write; what they have staged is younger than the grace."""
    with open_lake(settings) as lake:
        for _ in range(3):
            maintain(lake, registry(settings.include))
            for spec in registry(settings.include):
                collect(lake, spec, history=timedelta())
