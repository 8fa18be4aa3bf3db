"""Disks that are full, read-only or unreadable, clocks and paths from elsewhere: the command line under each.

Either the right result, or exit code 1 or 2 and a message that names the path and the remedy; never a traceback,
never half a file, and what was there stays.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from crossdomain.jobs.registry import NAMES
from crossdomain.jobs.runner import open_lake
from crossdomain.settings import Settings
from crossdomain.storage.collection import left_over, unnamed
from crossdomain.storage.home import Home
from crossdomain.storage.inspection import inspect
from crossdomain.tables import registry
from tests.e2e.conftest import World, lay_world, run
from tests.faults.jobs import NOBODY, Circumstances
from tests.faults.kills import State, state
from tests.faults.points import Refusal, read_points
from tests.faults.server import Ended, ForkServer, fork_server

REPOSITORY = Path(__file__).resolve().parents[2]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts disks and becomes another user")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkServer]:
    with fork_server(tmp_path_factory.mktemp("server")) as started:
        yield started


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A world of two deliveries, the first of them ingested."""
    world = lay_world(tmp_path_factory.mktemp("tiny"), users=24, items=60, days=1)
    run(world.settings, ["ingest"], world.days[:1])
    return world


@pytest.fixture(scope="module")
def second_day(tiny: World, tmp_path_factory: pytest.TempPathFactory) -> State:
    """What readers see when the second delivery came through undisturbed."""
    settings = copied(tiny, tmp_path_factory.mktemp("undisturbed") / "home")
    run(settings, ["ingest"], tiny.days[1:])
    return state(settings)


def copied(world: World, home: Path) -> Settings:
    shutil.copytree(world.settings.home, home, dirs_exist_ok=True)
    return replace(world.settings, home=home)


def cli(server: ForkServer, settings: Settings, *arguments: str, under: Circumstances | None = None) -> Ended:
    assert settings.start is not None
    given = (settings.home, settings.start, arguments, under or Circumstances())
    return server.start("tests.faults.jobs:command", *given).wait()


def ingest(server: ForkServer, settings: Settings, day: date, under: Circumstances | None = None) -> Ended:
    return cli(server, settings, "run", "ingest", "--date", day.isoformat(), under=under)


@contextmanager
def disk(folder: Path, size: str) -> Iterator[Path]:
    """A disk of its own, mounted on a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"this machine mounts no disks: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def leave_free(folder: Path, free: int) -> None:
    """Fills a disk up to so many free bytes."""
    ballast = folder / "ballast"
    ballast.unlink(missing_ok=True)
    status = os.statvfs(folder)
    ballast.write_bytes(bytes(max(0, status.f_bavail * status.f_frsize - free)))


def assert_refused(ended: Ended, *said: str, code: int = 1) -> None:
    assert "Traceback" not in ended.said, ended.said
    assert ended.code == code, ended
    assert ended.said.startswith("crossdomain: "), ended.said
    for part in said:
        assert part in ended.said


def assert_as_it_was(settings: Settings, before: State) -> None:
    assert state(settings) == before
    assert left_over(Home(settings.home)) == []
    with open_lake(settings) as lake:
        for spec in registry(settings.include):
            found = inspect(lake, spec)
            assert found.damage == ()
            assert [one.path for one in unnamed(lake, spec) if not one.replaced] == []


# full ----------------------------------------------------------------------------------------------


@needs_root
def test_a_full_disk_is_told_and_leaves_everything_as_it_was(
    tiny: World, second_day: State, server: ForkServer, tmp_path: Path
) -> None:
    with disk(tmp_path / "disk", "24m") as folder:
        settings, day = copied(tiny, folder / "home"), tiny.days[1]
        before = state(settings)
        for free in (0, 60_000, 250_000):
            leave_free(folder, free)
            ended = ingest(server, settings, day)
            leave_free(folder, 20_000_000)
            assert_refused(ended, str(settings.home), "No space left on device", "free space, or move CROSSDOMAIN_HOME")
            assert_as_it_was(settings, before)
        assert ingest(server, settings, day).code == 0
        assert state(settings) == second_day


@needs_root
def test_a_full_disk_of_temporary_files_is_told(tiny: World, server: ForkServer, tmp_path: Path) -> None:
    settings = copied(tiny, tmp_path / "home")
    before = state(settings)
    with disk(settings.home / "tmp", "16k"):
        ended = ingest(server, settings, tiny.days[1])
    assert_refused(ended, str(settings.home / "tmp"), "No space left on device")
    assert_as_it_was(settings, before)


def test_a_limit_on_the_size_of_files_is_told(
    tiny: World, second_day: State, server: ForkServer, tmp_path: Path
) -> None:
    settings, day = copied(tiny, tmp_path / "home"), tiny.days[1]
    before = state(settings)
    ended = ingest(server, settings, day, Circumstances(largest=8_000))
    assert_refused(ended, "File too large", "ulimit -f")
    assert_as_it_was(settings, before)
    assert ingest(server, settings, day).code == 0
    assert state(settings) == second_day


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_whichever_call_of_a_delivery_is_refused(
    tiny: World, second_day: State, server: ForkServer, tmp_path: Path, number: int
) -> None:
    """The first and the last call of each kind, and every kind of call for one table."""
    settings, day, log = copied(tiny, tmp_path / "counted"), tiny.days[1], tmp_path / "points"
    assert ingest(server, settings, day, Circumstances(log=log)).code == 0
    counted = [point for point in read_points(log) if point.can_be_refused]
    kinds = [
        {point.name if "events" in point.name else point.kind: point for point in order}
        for order in (counted, counted[::-1])
    ]
    points = sorted(
        {point.number: point for kind in kinds for point in kind.values()}.values(), key=lambda one: one.number
    )
    assert len(points) > 20
    before = state(tiny.settings)
    for point in points:
        again = copied(tiny, tmp_path / "refused")
        ended = ingest(server, again, day, Circumstances(log=log, refusal=Refusal(point.number, number)))
        if ended.code or not (point.tidies or point.call == "mkdir"):
            assert_refused(ended, os.strerror(number))
            seen = state(again)
            assert all(seen.get(key) in (before.get(key), second_day.get(key)) for key in seen | second_day), point
        if not point.tidies:
            assert_as_it_was(again, state(again))
        assert ingest(server, again, day).code == 0
        assert state(again) == second_day, point
        shutil.rmtree(again.home)


# not allowed ---------------------------------------------------------------------------------------


@needs_root
def test_a_read_only_disk_is_told(tiny: World, server: ForkServer, tmp_path: Path) -> None:
    with disk(tmp_path / "disk", "24m") as folder:
        settings = copied(tiny, folder / "home")
        before = state(settings)
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        for arguments in (("run", "ingest", "--date", tiny.days[1].isoformat()), ("lake", "maintain")):
            ended = cli(server, settings, *arguments)
            assert_refused(ended, str(settings.home), "Read-only file system", "set CROSSDOMAIN_HOME elsewhere")
        subprocess.run(["mount", "-o", "remount,rw", str(folder)], check=True)
        assert_as_it_was(settings, before)


@needs_root
@pytest.mark.parametrize(
    "what", ["lake", "tmp", "landing/knowledge_events", "landing/knowledge_events/{day}", "a file"]
)
def test_what_another_user_may_not_touch_is_told(tiny: World, server: ForkServer, what: str) -> None:
    if not _readable_by_all(REPOSITORY):
        pytest.skip(f"{REPOSITORY} is closed to other users, so that no command runs as one")
    folder, day = Path(tempfile.mkdtemp(prefix="home-of-nobody-")), tiny.days[1]
    try:
        settings = copied(tiny, folder / "home")
        folder.chmod(0o755)
        before = state(settings)
        for path in (settings.home, *settings.home.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
        deliveries = settings.home / "landing" / "knowledge_events" / day.isoformat()
        closed = next(deliveries.glob("*.csv")) if what == "a file" else settings.home / what.format(day=day)
        for path in (closed, *closed.rglob("*")):
            os.chown(path, 0, 0)
            path.chmod(0o755 if what in ("lake", "tmp") and path.is_dir() else 0o000)
        if what == "lake":
            for path in closed.rglob("*.*"):
                path.chmod(0o755 if path.is_dir() else 0o644)
        ended = ingest(server, settings, day, Circumstances(user=NOBODY))
        assert_refused(
            ended, str(closed), "Permission denied", "give this user the right", code=2 if what == "a file" else 1
        )
        assert_as_it_was(settings, before)
    finally:
        shutil.rmtree(folder)


def _readable_by_all(path: Path) -> bool:
    return all(one.stat().st_mode & 0o005 == 0o005 for one in (path, *path.parents))


# from elsewhere ------------------------------------------------------------------------------------


def _elsewhere(world: World, server: ForkServer, folder: Path, jobs: tuple[str, ...], zones: tuple[str, ...]) -> None:
    here = copied(world, folder / "here")
    run(here, jobs, world.days[:1])
    odd = folder / "家 目录 100% 'x' [1]*"
    (folder / "家 目录 100% 'x' 1a").mkdir(parents=True)  # what DuckDB would take the pattern for
    for zone in zones:
        there = replace(here, home=odd / zone)
        shutil.copytree(world.settings.home, there.home)
        for job in jobs:
            ended = cli(server, there, "run", job, "--date", world.days[0].isoformat(), under=Circumstances(zone=zone))
            assert ended.code == 0, ended.said
        assert state(there) == state(here), zone
        assert cli(server, there, "lake", "verify", "--deep").code == 0


def test_another_time_zone_and_an_odd_path_change_nothing(tiny: World, server: ForkServer, tmp_path: Path) -> None:
    _elsewhere(tiny, server, tmp_path, ("ingest", "clean", "people"), ("Pacific/Kiritimati",))


@pytest.mark.long
def test_other_time_zones_and_an_odd_path_change_nothing_in_any_job(
    tiny: World, server: ForkServer, tmp_path: Path
) -> None:
    _elsewhere(tiny, server, tmp_path, NAMES, ("America/Los_Angeles", "Pacific/Kiritimati"))


def test_a_home_that_cannot_be_named_is_told(tiny: World, server: ForkServer, tmp_path: Path) -> None:
    settings = replace(tiny.settings, home=tmp_path / "100%25")
    assert_refused(ingest(server, settings, tiny.days[0]), "CROSSDOMAIN_HOME", "'%25'", "percent signs", code=2)
    assert not settings.home.exists()


def test_the_lake_is_looked_after_by_command(tiny: World, server: ForkServer, tmp_path: Path) -> None:
    settings = copied(tiny, tmp_path / "home")
    torn = settings.home / "lake" / "raw" / "events_v1" / "staging-0.parquet"
    torn.write_bytes(b"PAR1")
    whole = cli(server, settings, "lake", "verify", "--deep", "--json")
    assert whole.code == 0
    assert str(torn) in whole.said
    assert '"removed": {}' in cli(server, settings, "lake", "gc", "--json").said, "a running task may be writing it"
    assert '"raw.events": 1' in cli(server, settings, "lake", "gc", "--grace-hours", "0", "--json").said
    assert not torn.exists()
    assert "there was nothing to do" in cli(server, settings, "lake", "maintain").said
    with open_lake(settings) as lake:
        victim = lake.partitions(registry(settings.include).get("raw.events"))[0].files[0].path
    victim.write_bytes(victim.read_bytes()[:-1])
    damaged = cli(server, settings, "lake", "verify")
    assert damaged.code == 1
    assert victim.name in "".join(damaged.said.split())
    assert "build the partitions of damaged files again" in damaged.said
