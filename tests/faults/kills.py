"""Trials: a job is killed, looked at, run again, and must end as if nothing had happened."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from random import Random
from signal import SIGALRM, SIGKILL

from crossdomain.jobs.runner import open_lake
from crossdomain.settings import Settings
from crossdomain.storage.collection import collect, left_over, sweep
from crossdomain.storage.home import Home
from crossdomain.storage.inspection import inspect
from crossdomain.storage.lake import JOINT, Lake, Partition
from crossdomain.storage.person_keys import PERSON_KEYS
from crossdomain.storage.serving import current
from crossdomain.tables import TableRegistry, TableSpec, registry
from tests.faults.jobs import work
from tests.faults.points import Kill, Point, read_points
from tests.faults.server import ForkServer

PHASES = ("before the first write", "between first write and commit", "at the commits", "after the last commit")
BETWEEN = PHASES[1]
_SHARES = {PHASES[0]: 0.05, PHASES[3]: 0.05, PHASES[2]: 0.3}
"""Of the kills at points; the others come between the first write and the commit."""
_ENOUGH = 8
"""With so many kills at points each phase has one at least."""
_ANYWHERE = 0.2
"""Share of kills that come at a random time instead of at a point."""
_INSIDE = 0.4
"""Share of the others that come inside native code, where there is some."""
_READ = 4
"""So many of a job's tables are read beside it."""

State = Mapping[tuple[str, ...], object]


@dataclass(frozen=True)
class Undisturbed:
    """A job of a day as it runs when nobody disturbs it, and the home that it starts from."""

    name: str
    job: str
    day: date
    base: Settings
    points: tuple[Point, ...]
    before: State
    after: State
    keys: tuple[date, ...]

    @property
    def changed(self) -> set[str]:
        """Tables that the job changes."""
        keys = self.before.keys() | self.after.keys()
        return {key[0] for key in keys if self.before.get(key) != self.after.get(key)}

    def phase(self, passed: int) -> str:
        """The phase in which a job is that has passed so many points."""
        first = next(point.number for point in self.points if point.writes)
        commits = [point.number for point in self.points if point.commits]
        bounds = (first, commits[0] if commits else len(self.points), commits[-1] if commits else len(self.points))
        return PHASES[sum(passed > bound for bound in bounds)]


@dataclass
class Tally:
    """Where the kills fell."""

    killed: Counter[tuple[str, str]] = field(default_factory=Counter)
    inside: Counter[str] = field(default_factory=Counter)
    outran: int = 0
    reads: int = 0
    left: int = 0

    @property
    def total(self) -> int:
        """Kills that came before the job's end."""
        return sum(self.killed.values())

    def of(self, phase: str) -> int:
        """Kills of a phase."""
        return sum(count for (_, where), count in self.killed.items() if where == phase)

    def lines(self) -> Iterator[str]:
        """The tally for people."""
        for phase in PHASES:
            jobs = ", ".join(f"{job} {count}" for (job, where), count in sorted(self.killed.items()) if where == phase)
            yield f"{self.of(phase):4d} {phase}: {jobs}"
        yield f"{sum(self.inside.values()):4d} of them inside native code: {dict(sorted(self.inside.items()))}"
        yield f"{self.total} kills; {self.outran} jobs were faster than theirs; {self.reads} reads beside the jobs"
        yield f"{self.left} files and folders were left behind, found and removed"


def state(settings: Settings) -> State:
    """What readers see: a checksum for each partition of each table, the current publication, the models.

    Raw's checksums are those by business day, which putting files together does not change; of the vault, whose
    ciphertexts are new each time, the number of rows, and of persons' keys, which lie in the day that happened to need
    them first, the number of accounts.
    """
    tables = registry(settings.include)
    with open_lake(settings) as lake:
        seen: dict[tuple[str, ...], object] = {
            (spec.full_name, *partition.values.values()): _content(lake, spec, partition)
            for spec in tables
            if spec.full_name != PERSON_KEYS
            for partition in lake.partitions(spec)
        }
        keys = lake.relation(tables.get(PERSON_KEYS), lake.partitions(tables.get(PERSON_KEYS)))
        seen[PERSON_KEYS,] = lake.con.sql(f"SELECT count(DISTINCT account) FROM ({keys})").fetchall()
    publication = current(Home(settings.home))
    if publication is not None:
        seen["serving/CURRENT",] = (publication.path.name, publication.path.exists(), tuple(publication.rows.items()))
    for folder in sorted((settings.home / "models").glob("*/[!.]*")):
        seen["models", folder.parent.name, folder.name] = tuple(sorted(path.name for path in folder.iterdir()))
    return seen


def _content(lake: Lake, spec: TableSpec, partition: Partition) -> object:
    if spec.layer == "vault":
        return partition.rows
    if spec.layer != "raw" or spec.part is None:
        return partition.checksum
    footers = lake.footers(partition.files)
    parts = [
        (day, one) for footer in footers.values() for day, found in footer.parts.items() for one in found.split(JOINT)
    ]
    return tuple(sorted(parts)) or partition.rows


def run_undisturbed(
    server: ForkServer, settings: Settings, name: str, job: str, day: date, folder: Path
) -> Undisturbed:
    """Keeps the home as it is as the base of trials, and runs the job in it, counted."""
    base = replace(settings, home=folder / f"base-{name}")
    shutil.copytree(settings.home, base.home)
    before, log = state(settings), folder / f"points-{name}"
    ended = server.start("tests.faults.jobs:disturbed", settings, job, day, log, None).wait()
    assert (ended.code, ended.signal) == (0, 0), ended.said
    again = replace(settings, home=folder / "again")
    shutil.copytree(base.home, again.home)
    keys, after = work(job, day, again), state(settings)
    assert state(again) == after, "the same from the same, without counting"
    shutil.rmtree(again.home)
    points = tuple(read_points(log))
    return Undisturbed(name, job, day, base, points, before, after, keys)


def choose(run: Undisturbed, number: int, random: Random) -> list[Kill]:
    """Kills spread over the phases, over points and the time inside native calls, and over the whole time."""
    total = run.points[-1].seconds
    kills = [Kill(seconds=random.uniform(0.001, total), anywhere=True) for _ in range(round(number * _ANYWHERE))]
    by_phase: dict[str, list[Point]] = {phase: [] for phase in PHASES}
    for point in run.points:
        by_phase[run.phase(point.number + 1)].append(point)
    left, least = number - len(kills), int(number - len(kills) >= _ENOUGH)
    wanted = {phase: max(least, round(left * share)) for phase, share in _SHARES.items()}
    for phase, count in {**wanted, BETWEEN: left - sum(wanted.values())}.items():
        points = by_phase[phase] or by_phase[BETWEEN] or list(run.points)
        for place in range(count):
            part = points[len(points) * place // count : len(points) * (place + 1) // count] or points
            native = [point for point in part if point.enters_native_code]
            kills.append(_at(run, random.choice(native if native and random.random() < _INSIDE else part), random))
    return kills


def _at(run: Undisturbed, point: Point, random: Random) -> Kill:
    if not point.enters_native_code:
        return Kill(point.number)
    lasted = run.points[point.number + 1].seconds - point.seconds
    return Kill(point.number, seconds=max(1e-6, random.uniform(0, lasted)))


def trial(server: ForkServer, run: Undisturbed, kill: Kill, folder: Path, tally: Tally) -> None:
    """One kill and everything that must hold after it."""
    settings = replace(run.base, home=folder / "trial")
    shutil.copytree(run.base.home, settings.home)
    try:
        passed = _killed(server, run, kill, settings, folder / "points-trial", tally)
        said = f"{run.name}, {kill}: killed after {passed[-1:]}"
        tables = registry(settings.include)
        _refuse_parts(run, state(settings), said)
        _refuse_damage(settings, tables, run.changed, said)
        keys = work(run.job, run.day, settings)
        assert run.job != "ingest" or keys == run.keys, f"{said}: consumers hear of {keys}"
        assert state(settings) == run.after, f"{said}: run again, it ends otherwise"
        tally.left += _remove_what_was_left(settings, tables, said)
        assert state(settings) == run.after, f"{said}: the collection took more than what was left"
        _refuse_damage(settings, tables, run.changed, said)
    finally:
        shutil.rmtree(settings.home)


def _killed(
    server: ForkServer, run: Undisturbed, kill: Kill, settings: Settings, log: Path, tally: Tally
) -> list[Point]:
    """Runs the job until it is killed, reading beside it, and notes where it was."""
    with ThreadPoolExecutor(1) as waiting:
        ended = waiting.submit(server.start("tests.faults.jobs:disturbed", settings, run.job, run.day, log, kill).wait)
        tally.reads += _read_beside(run, settings, ended.done)
        result = ended.result()
    passed = read_points(log)
    if result.signal in (SIGKILL, SIGALRM):
        tally.killed[run.name, run.phase(len(passed))] += 1
        if passed and passed[-1].enters_native_code and result.signal == SIGALRM:
            tally.inside[passed[-1].name.removeprefix("before ")] += 1
    else:
        assert kill.anywhere, f"{run.name}, {kill}: never came there; {result.said}"
        assert result.code == 0, result.said
        tally.outran += 1
    return passed


def _read_beside(run: Undisturbed, settings: Settings, ended: object) -> int:
    """Reads the tables that the job changes, whole, until it has ended: each partition is the old or the new one."""
    tables, reads = [registry(settings.include).get(name) for name in _read(run)], 0
    with open_lake(settings) as lake:
        while True:
            over = ended()  # type: ignore[operator]
            for spec in tables:
                for partition in lake.partitions(spec):
                    key = (spec.full_name, *partition.values.values())
                    assert _content(lake, spec, partition) in (run.before.get(key), run.after.get(key)), key
                    ((rows,),) = lake.con.sql(f"SELECT count(*) FROM ({lake.relation(spec, [partition])})").fetchall()
                    assert rows == partition.rows, key
                    reads += 1
            if over:
                return reads


def _read(run: Undisturbed) -> list[str]:
    return [name for name in sorted(run.changed) if "." in name and name != PERSON_KEYS][:_READ]


def _refuse_parts(run: Undisturbed, seen: State, said: str) -> None:
    """Each partition is the old or the new one; tables of one job may be of different ages until it is run again."""
    for key in run.before.keys() | run.after.keys() | seen.keys():
        assert seen.get(key) in (run.before.get(key), run.after.get(key)), f"{said}: {key} is {seen.get(key)}"


def _refuse_damage(settings: Settings, tables: TableRegistry, changed: set[str], said: str) -> None:
    with open_lake(settings) as lake:
        for spec in tables:
            found = inspect(lake, spec, deep=spec.full_name in changed)
            assert found.damage == (), f"{said}: {found.damage}"


def _remove_what_was_left(settings: Settings, tables: TableRegistry, said: str) -> int:
    home, removed, none = Home(settings.home), 0, timedelta()
    with open_lake(settings) as lake:
        for spec in tables:
            removed += sum(not one.replaced for one in collect(lake, spec, history=none, grace=none))
            assert inspect(lake, spec).unnamed == (), f"{said}: {spec.full_name}"
    removed += len(sweep(home, grace=none))
    assert left_over(home) == [], said
    hidden = [path for path in settings.home.rglob("*") if path.name.startswith((".", "staging-")) and path.is_file()]
    assert [path for path in hidden if path.name != ".lock"] == [], f"{said}: nothing half written stays"
    return removed
