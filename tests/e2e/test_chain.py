"""The whole chain by its jobs: what must hold whatever the order, the repetition and the accidents."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from datetime import date, timedelta
from multiprocessing import get_context
from pathlib import Path

import pytest

from crossdomain.jobs.registry import NAMES, job
from crossdomain.jobs.runner import open_lake, run_job
from crossdomain.settings import Settings
from crossdomain.storage.collection import collect, unnamed
from crossdomain.storage.home import Home
from crossdomain.storage.inspection import inspect
from crossdomain.storage.serving import current, open_current
from crossdomain.tables import registry
from tests.e2e.conftest import World, checksums, live, run, settle

BY_TABLES = NAMES[:-1]


def rows_of(settings: Settings, query: str, *tables: str) -> list[tuple[object, ...]]:
    with open_lake(settings) as lake:
        for name in tables:
            spec = registry(settings.include).get(name)
            lake.view(spec, lake.partitions(spec), schema=spec.layer)
        return lake.con.sql(query).fetchall()


def test_every_delivered_row_is_accounted_for(world: World, built: Settings) -> None:
    truth = world.truth.delivered_rows.groupby("feed")["rows"].sum().to_dict()
    counted = dict(
        rows_of(built, "SELECT feed, sum(rows)::BIGINT FROM derived.row_counts GROUP BY 1", "derived.row_counts")
    )
    raw = {}
    with open_lake(built) as lake:
        for spec in registry(built.include):
            if spec.layer == "raw" and spec.name != "quarantine":
                for partition in lake.partitions(spec):
                    raw[partition.values["feed"]] = raw.get(partition.values["feed"], 0) + partition.rows
    assert raw == truth, "raw holds what was delivered"
    # rows of clocks that run ahead wait in raw for the delivery of their day
    ahead = "SELECT feed, count(*) FROM raw.events WHERE ds > (SELECT max(delivered_ds) FROM raw.events) GROUP BY 1"
    waiting = dict(rows_of(built, ahead, "raw.events"))
    for feed, rows in truth.items():
        assert counted.get(feed, 0) + int(waiting.get(feed, 0)) == rows, feed


def test_no_dirty_row_is_clean_and_every_good_one_is(world: World, built: Settings) -> None:
    ((clean,),) = rows_of(built, "SELECT count(*) FROM clean.events", "clean.events")
    ((suppressed,),) = rows_of(
        built,
        "SELECT coalesce(sum(rows), 0)::BIGINT FROM derived.row_counts "
        "WHERE class = 'suppressed' AND table_name = 'events'",
        "derived.row_counts",
    )
    assert int(str(clean)) + int(str(suppressed)) == int(world.truth.business_rows["rows"].sum())


def test_no_raw_id_or_contact_leaves_raw(world: World, built: Settings) -> None:
    people = world.truth.people
    ids = [value for column in ("knowledge_user_id", "beauty_user_id") for value in people[column].dropna()]
    assert len(ids) > 100
    with open_lake(built) as lake:
        for spec in registry(built.include):
            if spec.layer in ("clean", "derived", "serving"):
                texts = [column.name for column in spec.columns if column.type == "VARCHAR"]
                partitions = lake.partitions(spec)
                for name in texts:
                    found = lake.con.execute(
                        f"SELECT count(*) FROM ({lake.relation(spec, partitions)}) WHERE {name} IN (SELECT unnest(?))",
                        [ids],
                    ).fetchall()
                    assert found == [(0,)], f"{spec.full_name}.{name}"


def test_everything_is_up_to_date_after_a_run(world: World, built: Settings) -> None:
    before = checksums(built)
    for result in run(built, BY_TABLES[1:], world.days):
        assert result.status == "up_to_date", f"{result.job} {result.ds}: {result.status}"
    assert checksums(built) == before


def test_another_home_gives_the_same_checksums_and_bytes(world: World, built: Settings, tmp_path: Path) -> None:
    again = world.copy(tmp_path / "again")
    live(again, world.days)
    settle(again, world.days)
    assert checksums(again) == checksums(built)
    digests = []
    for home in (built.home, again.home):
        vault = home / "lake" / "vault"  # encrypted with fresh nonces, other bytes each time
        files = sorted(path for path in (home / "lake").rglob("ds=*/*.parquet") if vault not in path.parents)
        digests.append(
            sorted((path.name.split("-")[0], path.stat().st_size, hash(path.read_bytes())) for path in files)
        )
    assert digests[0] == digests[1]


def _clean(settings: Settings, days: list[date]) -> None:
    for day in days:
        run_job(job("clean"), day, settings)


def test_clean_days_in_reverse_order_and_side_by_side_are_the_same(
    world: World, built: Settings, tmp_path: Path
) -> None:
    ingested = world.copy(tmp_path / "ingested")
    run(ingested, ["ingest"], world.days)
    homes = [replace(ingested, home=tmp_path / name) for name in ("backwards", "beside")]
    for settings in homes:
        shutil.copytree(ingested.home, settings.home)
    backwards, beside = homes
    _clean(backwards, world.days[::-1])
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        # every day twice at once: two runs of one key leave one right partition
        tasks = [pool.submit(_clean, replace(beside, threads=1), [day]) for day in world.days for _ in range(2)]
        for task in tasks:
            task.result()
    # forwards means as the deliveries came: one after the other, each with the days that it touched
    assert checksums(backwards, ("clean",)) == checksums(built, ("clean",))
    assert checksums(beside, ("clean",)) == checksums(built, ("clean",))


def test_a_late_delivery_rebuilds_exactly_its_days(world: World, built: Settings, tmp_path: Path) -> None:
    shutil.copytree(built.home, tmp_path / "home")
    settings = replace(built, home=tmp_path / "home")
    last = world.days[-1]
    following, late_day = last + timedelta(days=1), last - timedelta(days=1)
    source = next((settings.home / "landing" / "knowledge_events" / last.isoformat()).glob("*.csv"))
    target = settings.home / "landing" / "knowledge_events" / following.isoformat()
    target.mkdir(parents=True)
    with source.open(encoding="utf-8", newline="") as file:
        header, *rows = list(csv.reader(file))
    row = next(row for row in rows if late_day.isoformat() not in "".join(row) and last.isoformat() in "".join(row))
    late = [value.replace(last.isoformat(), late_day.isoformat()) for value in row]
    late[header.index("event_id")] = "late-1"
    today = [value.replace(last.isoformat(), following.isoformat()) for value in row]
    today[header.index("event_id")] = "today-1"
    with (target / "events.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, late, today])
    arrived = run_job(job("ingest"), following, settings)
    assert arrived.keys == (late_day, following)
    assert run_job(job("clean"), late_day, settings).keys == (late_day,)
    assert run_job(job("clean"), following, settings).keys == (following,)
    for name in ("people", "catalogue"):
        result = run_job(job(name), late_day, settings)
        assert result.status == "up_to_date", f"{name} is as known on its day"
        assert result.keys == ()
        assert run_job(job(name), following, settings).keys == (following,)
    assert run_job(job("holdings"), late_day, settings).status in ("done", "unchanged"), "what people own is restated"
    assert run_job(job("experiment_state"), late_day, settings).keys == (late_day, last, following)
    measured = run_job(job("experiments"), late_day, settings)
    assert measured.status in ("done", "unchanged"), "measurements are restated"
    for day in (late_day, following):
        assert run_job(job("clean"), day, settings).status == "up_to_date", "consumers run once for the new version"


def test_a_redelivered_file_replaces_the_first(world: World, tmp_path: Path) -> None:
    settings = world.copy(tmp_path)
    day = world.days[0]
    run(settings, ["ingest"], [day])
    folder = settings.home / "landing" / "consents" / day.isoformat()
    path = next(folder.glob("*.csv"))
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[:-5]), encoding="utf-8")
    result = run_job(job("ingest"), day, settings)
    assert result.notes["feeds"]["consents"]["replaced"] == len(lines) - 1
    ((rows,),) = rows_of(settings, "SELECT count(*) FROM raw.consents", "raw.consents")
    assert rows == len(lines) - 6


def test_serving_is_published_and_never_moves_back(world: World, built: Settings) -> None:
    newest = current(Home(built.home))
    assert newest is not None
    assert newest.ds == world.days[-1]
    result = run_job(job("publish"), world.days[0], built)
    assert result.keys == ()
    assert current(Home(built.home)) == newest
    with open_current(Home(built.home)) as con:
        tables = {name for (name,) in con.execute("SELECT table_name FROM information_schema.tables").fetchall()}
        assert {
            "recommendations",
            "bundles",
            "similar_items",
            "page_recommendations",
            "experiment_metrics",
            "champions",
        } <= tables


def test_recommendations_keep_their_promises(world: World, built: Settings) -> None:
    tables = ("serving.recommendations", "derived.people", "clean.events", "derived.catalogue", "serving.champions")
    tables += ("serving.popular_items",)
    newest = f"DATE '{world.days[-1]}'"
    assert rows_of(built, f"SELECT count(*) FROM serving.recommendations WHERE ds = {newest}", *tables) != [(0,)]
    violations = {
        "ranks run from 1 without gaps": """
            SELECT person, target_domain FROM serving.recommendations GROUP BY ds, person, target_domain
            HAVING min(rank) <> 1 OR max(rank) <> count(*) OR count(DISTINCT item_id) <> count(*)""",
        "nothing owned or rejected": f"""
            SELECT * FROM serving.recommendations r
            JOIN derived.people p ON p.ds = r.ds AND p.person = r.person AND p.domain = r.target_domain
            JOIN clean.events e ON e.account = p.account AND e.item_id = r.item_id AND e.domain = r.target_domain
            WHERE r.ds = {newest} AND e.event_type IN ('purchase', 'refund', 'hide', 'dislike', 'complaint')
              AND e.delivered_ds <= r.ds AND r.source <> 'unpersonalised'""",
        "nothing off sale": f"""
            SELECT * FROM serving.recommendations r
            LEFT JOIN derived.catalogue c ON c.ds = r.ds AND c.domain = r.target_domain AND c.item_id = r.item_id
            WHERE r.ds = {newest} AND (c.item_id IS NULL OR c.status = 'off')""",
        "without personalisation the list of everybody": """
            SELECT * FROM serving.recommendations r JOIN derived.people p ON p.ds = r.ds AND p.person = r.person
            LEFT JOIN serving.popular_items i
                ON i.ds = r.ds AND i.target_domain = r.target_domain AND i.rank = r.rank AND i.item_id = r.item_id
            WHERE NOT p.personalisation AND (r.source <> 'unpersonalised' OR i.item_id IS NULL)""",
        "without cross_domain nothing": """
            SELECT * FROM serving.recommendations r JOIN derived.people p ON p.ds = r.ds AND p.person = r.person
            WHERE NOT p.cross_domain""",
        "nobody who is not known": """
            SELECT * FROM serving.recommendations r
            ANTI JOIN derived.people p ON p.ds = r.ds AND p.person = r.person""",
    }
    for promise, query in violations.items():
        assert rows_of(built, f"SELECT count(*) FROM ({query})", *tables) == [(0,)], promise


KILLED = """
import sys
from datetime import date
from pathlib import Path
from crossdomain.jobs.registry import job
from crossdomain.jobs.runner import run_job
from crossdomain.settings import Settings
settings = Settings(home=Path(sys.argv[1]), start=date.fromisoformat(sys.argv[3]))
found = job(sys.argv[2])
import crossdomain.ingest.arrival, crossdomain.quality.gate
print("ready", flush=True)
run_job(found, date.fromisoformat(sys.argv[3]), settings)
print("done", flush=True)
"""


@pytest.fixture(scope="module")
def undisturbed(world: World, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, ...], str]:
    """Checksums of the first day, ingested and cleaned."""
    settings = world.copy(tmp_path_factory.mktemp("undisturbed"))
    run(settings, ["ingest", "clean"], world.days[:1])
    return checksums(settings, ("raw", "clean", "derived"))


@pytest.mark.parametrize(("name", "after"), [("ingest", 0.05), ("ingest", 0.6), ("clean", 0.5), ("clean", 3.0)])
def test_a_job_killed_midway_and_run_again_gives_the_same(
    world: World, undisturbed: dict[tuple[str, ...], str], tmp_path: Path, name: str, after: float
) -> None:
    day = world.days[0]
    settings = world.copy(tmp_path / "killed")
    if name == "clean":
        run(settings, ["ingest"], [day])
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(settings.home), name, day.isoformat()],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    time.sleep(after)
    child.send_signal(signal.SIGKILL)
    child.wait()
    run(settings, ["ingest", "clean"], [day])
    assert checksums(settings, ("raw", "clean", "derived")) == undisturbed
    with open_lake(settings) as lake:
        for spec in registry(settings.include):
            assert inspect(lake, spec).damage == ()
            collect(lake, spec, history=timedelta(), grace=timedelta())
            assert unnamed(lake, spec) == []
