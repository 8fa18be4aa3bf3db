"""The real DAGs in a real Airflow on a small world: days flow by key, and a late delivery rebuilds its days."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from crossdomain.demo.chain import CONSUMERS, PRODUCER, govern, session
from crossdomain.jobs.registry import NAMES, job
from crossdomain.jobs.runner import run_job
from crossdomain.settings import Settings
from crossdomain.storage.home import Home
from crossdomain.storage.serving import current
from tests.e2e.conftest import CONSENTED, World, checksums, lay_world, live

DAGS = (PRODUCER, *CONSUMERS)


def runs_by_day(airflow: object, dag: str) -> Counter[str]:
    return Counter(run.partition_key for run in airflow.runs(dag))  # type: ignore[attr-defined]


@pytest.mark.long
@pytest.mark.timeout(3000)
def test_days_flow_through_airflow_and_a_late_delivery_rebuilds_its_days(tmp_path: Path) -> None:
    world = lay_world(tmp_path / "airflow", users=200, items=100, days=2, seed=5)
    settings, days = world.settings, world.days
    keys = [day.isoformat() for day in days]
    with session(settings, start=days[0]) as airflow:
        airflow.unpause(DAGS)
        airflow.backfill(PRODUCER, days[0], days[-1])
        airflow.wait_until({(dag, key) for dag in DAGS for key in keys}, timeout=1500)
        airflow.wait_quiet(timeout=600)
        assert_same_as_by_hand(world, settings, tmp_path / "by-hand")
        before = {dag: runs_by_day(airflow, dag) for dag in DAGS}
        following = (days[-1] + timedelta(days=1)).isoformat()
        deliver_late(settings, day=days[-1].isoformat(), to=following)
        airflow.trigger_partition(PRODUCER, following)
        expected = {("clean_daily", following), ("clean_daily", keys[-1]), ("people_daily", following)}
        airflow.wait_until({(PRODUCER, following), *expected}, timeout=600)
        airflow.wait_quiet(timeout=600)
        more = runs_by_day(airflow, "clean_daily") - before["clean_daily"]
        assert more == {keys[-1]: 1, following: 1}, "exactly the touched days, once"
        # a late purchase is told by `holdings`, and the day stays as it was known (below)
        for dag, told in (("content_daily", {following}), ("recs_train", {keys[-1], following})):
            more = runs_by_day(airflow, dag) - before[dag]
            assert set(more) == told, f"{dag}: not for a day that stays as it was known"
            assert more[following] <= 2, f"{dag}: once for the delivery, once more if the day before came after it"
        assert set(runs_by_day(airflow, "recs_score") - before["recs_score"]) == {following}
        assert runs_by_day(airflow, "experiments_daily")[keys[-1]] == before["experiments_daily"][keys[-1]] + 1
        for name in [name for name in NAMES[1:-1] if name != "vault"]:  # that comes with governance
            for day in days[-1:] if name in CONSENTED else days:  # a later withdrawal makes the days before it stale
                assert (name, str(day), run_job(job(name), day, settings).status) == (name, str(day), "up_to_date")
        govern(airflow, days, timeout=600)
    accounted = checksums(settings, ("serving", "vault"))
    assert all(("serving.compliance", key) in accounted for key in keys)
    assert all(("vault.personal_fields", key) in accounted for key in keys)
    published = current(Home(settings.home))
    assert published is not None
    assert published.ds.isoformat() == following, "what older days say is published with the newest day"


def assert_same_as_by_hand(world: World, settings: Settings, home: Path) -> None:
    by_hand = world.copy(home)
    live(by_hand, world.days)
    assert checksums(by_hand, ("clean",)) == checksums(settings, ("clean",))


def deliver_late(settings: Settings, *, day: str, to: str) -> None:
    """A delivery of the next day with one purchase of its own and one of the day before."""
    source = next((settings.home / "landing" / "knowledge_events" / day).glob("*.csv"))
    header, *rows = source.read_text(encoding="utf-8").splitlines()
    row = next(row for row in rows if day in row and ",purchase," in row)
    old_id = row.split(",")[0]
    folder = settings.home / "landing" / "knowledge_events" / to
    folder.mkdir(parents=True)
    late = row.replace(old_id, "late-1", 1)
    own = row.replace(old_id, "own-1", 1).replace(day, to)
    (folder / "events.csv").write_text("\n".join((header, late, own)) + "\n", encoding="utf-8")
