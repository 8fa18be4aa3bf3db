"""A refused day in a real Airflow: a person declines, a person approves, and what hangs on the day follows."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from crossdomain.demo.airflow_api import AirflowApiError
from crossdomain.demo.airflow_session import AirflowSession
from crossdomain.demo.chain import PRODUCER, session
from crossdomain.jobs.runner import open_lake
from crossdomain.settings import Settings
from crossdomain.storage import audit
from crossdomain.storage.home import Home
from crossdomain.tables import registry
from tests.e2e.conftest import lay_world

DAG = "gate_override"
WHY = "the export is known to be half empty today"
PATIENCE = 240.0
A_PERSON_READS = 3.0


def spoil(settings: Settings, day: str) -> None:
    """Three unusable rows for each good one in the day's behaviour of the knowledge side."""
    path = next((settings.home / "landing" / "knowledge_events" / day).glob("*.csv"))
    header, *rows = path.read_text(encoding="utf-8").splitlines()
    place = header.split(",").index("event")
    bad = []
    for copy in range(3):
        for row in rows:
            cells = row.split(",")
            cells[0], cells[place] = f"bad{copy}-{cells[0]}", "teleport"
            bad.append(",".join(cells))
    path.write_text("\n".join([header, *rows, *bad]) + "\n", encoding="utf-8")


def question(airflow: AirflowSession, run_id: str) -> str:
    """Waits until the run asks, and as long as a person needs at least to answer; gives the address of its question.

    An answer within the scheduler's same look (half a second) meets a task that is still ending: Airflow then takes it
    for failed, and its retry asks again.
    """
    path = f"/api/v2/dags/{DAG}/dagRuns/{quote(run_id)}/taskInstances/decide/-1/hitlDetails"
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            airflow.api.get(path)
            time.sleep(A_PERSON_READS)
            return path
        except AirflowApiError as error:
            if "404" not in str(error) or time.monotonic() > deadline:
                raise
        time.sleep(0.5)


def rows_of(settings: Settings, table: str, day: str) -> list[dict[str, Any]]:
    spec = registry(settings.include).get(table)
    with open_lake(settings) as lake:
        found = [partition for partition in lake.partitions(spec) if partition.ds.isoformat() == day]
        rows: list[dict[str, Any]] = lake.con.sql(lake.relation(spec, found)).to_arrow_table().to_pylist()
        return rows


def decisions(settings: Settings) -> list[tuple[str, str, str]]:
    lines = [line for line in audit.read(Home(settings.home)) if line["action"].startswith("gate.")]
    return [(line["action"], line["by"], line["reason"]) for line in lines]


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_refused_day_passes_when_a_person_approves_and_not_before(tmp_path: Path) -> None:
    world = lay_world(tmp_path / "airflow", users=60, items=60, days=1, seed=5)
    settings, (first, last) = world.settings, [day.isoformat() for day in world.days]
    spoil(settings, last)
    refused = ("clean_daily", last)
    with session(settings, start=world.days[0]) as airflow:
        airflow.unpause(("clean_daily", "quality_daily", DAG, PRODUCER))
        airflow.backfill(PRODUCER, world.days[0], world.days[-1])
        expected = {(PRODUCER, last), refused, ("quality_daily", first)}
        airflow.wait_until(expected, timeout=PATIENCE, may_fail={refused})
        airflow.wait_quiet(timeout=PATIENCE, may_fail={refused})
        assert rows_of(settings, "clean.events", last) == []

        declined = airflow.trigger_partition(DAG, last)
        path = question(airflow, declined)
        asked = airflow.api.get(path)
        assert last in asked["subject"]
        assert "events.rows.kept" in asked["body"]
        airflow.api.patch(path, {"chosen_options": ["Reject"], "params_input": {"reason": "mend the export first"}})
        airflow.wait_until({(DAG, last)}, timeout=PATIENCE)
        assert decisions(settings) == [("gate.override_declined", "admin", "mend the export first")]
        assert rows_of(settings, "clean.events", last) == []
        assert ("quality_daily", last) not in {(run.dag_id, run.partition_key) for run in airflow.runs()}

        approved = airflow.trigger_partition(DAG, last)
        path = question(airflow, approved)
        airflow.api.patch(path, {"chosen_options": ["Approve"], "params_input": {"reason": WHY}})
        airflow.wait_until({("quality_daily", last)}, timeout=PATIENCE)
        airflow.wait_quiet(timeout=PATIENCE)
        states = {run.run_id: run.state for run in airflow.runs(DAG)}
        assert states == {declined: "success", approved: "success"}
        assert rows_of(settings, "clean.events", last)

        pointless = airflow.trigger_partition(DAG, last)
        airflow.wait_quiet(timeout=PATIENCE, may_fail={(DAG, last)})
        assert {run.run_id: run.state for run in airflow.runs(DAG)}[pointless] == "failed", (
            "nothing is refused any more"
        )
    assert decisions(settings)[1:] == [("gate.override", "admin", WHY)]
    (given,) = rows_of(settings, "derived.gate_overrides", last)
    assert (given["rule_id"], given["decided_by"], given["why"]) == ("events.rows.kept", "admin", WHY)
    assert {row["run_verdict"] for row in rows_of(settings, "serving.quality_results", last)} == {"overridden"}
