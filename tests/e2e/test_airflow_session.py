"""A local Airflow, driven by day: the days follow by key, failures are told, and nothing stays behind."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from datetime import date
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from crossdomain.demo.airflow_guard import session_members
from crossdomain.demo.airflow_session import AirflowNotReady, AirflowSession, PartitionFailed, WaitTimedOut

pytestmark = pytest.mark.airflow

SHARED = """
from __future__ import annotations
import time
from pathlib import Path
from airflow.sdk import Asset, StartOfDayMapper
RAW = Asset(name="trial_raw", uri="trial://raw")
CLEAN = Asset(name="trial_clean", uri="trial://clean")
BY_DAY = StartOfDayMapper(input_format="%Y-%m-%d", timezone="Asia/Shanghai")
ROOT = Path(__file__).parents[2]

def note(name, key):
    with (ROOT / "ran.txt").open("a") as file:
        file.write(f"{name} {key}\\n")
"""
PRODUCER = """
from __future__ import annotations
import pendulum
from airflow.sdk import CronPartitionTimetable, dag, task
from trial_common.shared import RAW, note

@dag(schedule=CronPartitionTimetable("0 0 * * *", timezone="Asia/Shanghai", run_offset=-1, key_format="%Y-%m-%d"),
     start_date=pendulum.datetime(2099, 1, 1, tz="Asia/Shanghai"), catchup=False, max_active_runs=1)
def trial_ingest():
    @task(outlets=[RAW])
    def land(*, dag_run=None, outlet_events=None):
        key = dag_run.partition_key
        note("ingest", key)
        outlet_events[RAW].add_partitions([key, "2026-01-02"] if key == "2026-01-04" else [key])
    land()
trial_ingest()
"""
CONSUMER = """
from __future__ import annotations
from airflow.sdk import PartitionedAssetTimetable, dag, task
from airflow.sdk.exceptions import AirflowFailException
from trial_common.shared import BY_DAY, CLEAN, RAW, ROOT, note

@dag(schedule=PartitionedAssetTimetable(assets=RAW, default_partition_mapper=BY_DAY), catchup=False, max_active_runs=1)
def trial_clean():
    @task(outlets=[CLEAN])
    def build(*, dag_run=None):
        note("clean", dag_run.partition_key)
        if dag_run.partition_key == "2026-01-09" and not (ROOT / "repaired").exists():
            raise AirflowFailException("the gate refused 2026-01-09: 3 rows")
    build()
trial_clean()
"""
LAST = """
from __future__ import annotations
import time
from airflow.sdk import PartitionedAssetTimetable, dag, task
from trial_common.shared import BY_DAY, CLEAN, note

@dag(schedule=PartitionedAssetTimetable(assets=CLEAN, default_partition_mapper=BY_DAY), catchup=False,
     max_active_runs=1)
def trial_score():
    @task
    def score(*, dag_run=None):
        note("score", dag_run.partition_key)
        if dag_run.partition_key == "2026-01-20":
            time.sleep(600)
    score()
trial_score()
"""
JOBS = """
from __future__ import annotations
import sys
from datetime import date, timedelta
from airflow.sdk import Asset, PartitionedAtRuntime, dag, get_current_context, task
from trial_common.shared import ROOT, note
sys.path.append("REPOSITORY/dags")
ASSETS = {name: Asset(name=f"trial_{name}", uri=f"trial://{name}") for name in ("catalogue", "topics", "pages")}

def run_job(job, ds, settings):
    from crossdomain.jobs.model import JobResult
    note(job.name, ds)
    done = ROOT / f"done {job.name} {ds}"
    if job.name == "pages" or done.exists():
        return JobResult(job.name, ds, "up_to_date")
    if job.name == "topics" and ds.day == 9 and not (ROOT / "stumbled").exists():
        (ROOT / "stumbled").touch()
        raise OSError("a disk that comes back")
    done.touch()
    return JobResult(job.name, ds, "done", (ds, ds + timedelta(days=1)) if job.name == "catalogue" else (ds,))

@dag(schedule=PartitionedAtRuntime(), catchup=False)
def trial_jobs():
    @task(outlets=[*ASSETS.values()], retries=1, retry_delay=timedelta(seconds=1))
    def run_all():
        from _common.running import run_and_emit
        from crossdomain.jobs import runner
        runner.run_job = run_job
        return run_and_emit(ASSETS, context=get_current_context())
    run_all()
trial_jobs()
"""
DAGS = ("trial_ingest", "trial_clean", "trial_score")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("airflow")
    for name, text in {
        "plugins/.keep": "",
        "dags/.airflowignore": "trial_common/\n",
        "dags/trial_common/__init__.py": "",
        "dags/trial_common/shared.py": SHARED,
        "dags/trial_ingest.py": PRODUCER,
        "dags/trial_clean.py": CONSUMER,
        "dags/trial_score.py": LAST,
        "dags/trial_jobs.py": JOBS.replace("REPOSITORY", str(Path(__file__).parents[2])),
    }.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    return root


@pytest.fixture(scope="module")
def airflow(folder: Path):
    session = AirflowSession(folder / "dags", folder / "plugins", folder / "home", dag_ids=[*DAGS, "trial_jobs"])
    with session:
        session.unpause(DAGS)
        yield session
    assert session_members(session.guard_pid) == []


def ran(folder: Path, name: str) -> list[str]:
    lines = (folder / "ran.txt").read_text().splitlines()
    return [line.split()[1] for line in lines if line.startswith(name + " ")]


def wait_for(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.2)


def test_a_backfill_runs_its_days_in_order_and_the_consumers_follow_by_key(airflow, folder):
    seen = []
    airflow.backfill("trial_ingest", date(2026, 1, 2), date(2026, 1, 4))
    airflow.wait_until(
        [(dag_id, f"2026-01-0{day}") for dag_id in DAGS for day in (2, 3, 4)],
        timeout=200,
        on_progress=lambda run, done, total: seen.append((run.dag_id, run.partition_key, run.state)),
    )
    airflow.wait_quiet(
        timeout=120, on_progress=lambda run, done, total: seen.append((run.dag_id, run.partition_key, run.state))
    )
    assert ran(folder, "ingest") == ["2026-01-02", "2026-01-03", "2026-01-04"]
    assert sorted(ran(folder, "clean")) == ["2026-01-02", "2026-01-02", "2026-01-03", "2026-01-04"]
    assert ran(folder, "score") == ran(folder, "clean")
    assert len(seen) == 11
    assert {state for *_, state in seen} == {"success"}
    runs = airflow.runs("trial_clean")
    assert all(one.ended_at <= two.started_at for one, two in pairwise(runs))


def test_a_failed_day_is_told_at_once_with_its_log_and_runs_again_after_repair(airflow, folder):
    airflow.trigger_partition("trial_ingest", "2026-01-09")
    with pytest.raises(PartitionFailed) as told:
        airflow.wait_until([("trial_score", "2026-01-09")], timeout=120)
    assert "trial_clean failed for 2026-01-09, task build, try 1" in str(told.value)
    assert "AirflowFailException: the gate refused 2026-01-09: 3 rows" in str(told.value)
    airflow.wait_quiet(timeout=120)
    assert "2026-01-09" not in ran(folder, "score")

    (folder / "repaired").touch()
    airflow.rerun("trial_clean", "2026-01-09")
    airflow.wait_until([("trial_clean", "2026-01-09"), ("trial_score", "2026-01-09")], timeout=120)


def test_a_failure_that_is_expected_counts_as_an_end(airflow, folder):
    (folder / "repaired").unlink()
    refused = ("trial_clean", "2026-01-09")
    airflow.rerun("trial_clean", "2026-01-09")
    airflow.wait_quiet(timeout=120, may_fail=[refused])
    assert [run.state for run in airflow.runs("trial_clean") if run.partition_key == "2026-01-09"] == ["failed"]


def emitted(airflow: AirflowSession, run_id: str) -> list[tuple[str, str]]:
    events = airflow.api.get("/api/v2/assets/events", source_dag_id="trial_jobs", source_run_id=run_id)
    return sorted((event["name"].removeprefix("trial_"), event["partition_key"]) for event in events["asset_events"])


def test_a_task_of_several_jobs_emits_what_each_of_them_did(airflow, folder):
    airflow.unpause(["trial_jobs"])
    run_id = airflow.trigger_partition("trial_jobs", "2026-01-07")
    airflow.wait_until([("trial_jobs", "2026-01-07")], timeout=120)
    assert "2026-01-07" in ran(folder, "pages")
    told = [("catalogue", "2026-01-07"), ("catalogue", "2026-01-08"), ("topics", "2026-01-07")]
    assert emitted(airflow, run_id) == told, "a job that did nothing emits nothing"


def test_the_retry_of_a_task_of_several_jobs_tells_what_the_first_try_could_not(airflow, folder):
    airflow.unpause(["trial_jobs"])
    run_id = airflow.trigger_partition("trial_jobs", "2026-01-09")
    airflow.wait_until([("trial_jobs", "2026-01-09")], timeout=120)
    assert [ran(folder, name).count("2026-01-09") for name in ("catalogue", "topics", "pages")] == [2, 2, 1]
    assert emitted(airflow, run_id) == [
        ("catalogue", "2026-01-09"),
        ("catalogue", "2026-01-10"),
        ("pages", "2026-01-09"),
        ("topics", "2026-01-09"),
    ]


def test_waiting_for_what_does_not_come_says_what_is_missing(airflow):
    with pytest.raises(WaitTimedOut, match="missing: trial_score 2031-05-05; still active: nothing"):
        airflow.wait_until([("trial_score", "2031-05-05")], timeout=1)


def test_everything_listens_on_loopback_only(airflow):
    addresses = {
        connection.laddr.ip
        for process in session_members(airflow.guard_pid)
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }
    assert addresses == {"127.0.0.1"}


def test_the_password_is_in_no_log(airflow):
    _, password = airflow.login
    logs = list((airflow.home / "logs").rglob("*.log"))
    assert logs
    assert not [path for path in logs if password in path.read_text(errors="replace")]


def test_a_killed_owner_leaves_no_airflow_behind_not_even_a_running_task(airflow, folder):
    """The last test of this session: it ends it, and starts one that is killed while a task runs."""
    airflow.stop()
    code = textwrap.dedent(
        """
        import sys, time
        from pathlib import Path
        from crossdomain.demo.airflow_session import AirflowSession
        root = Path(sys.argv[1])
        with AirflowSession(root / "dags", root / "plugins", root / "home", dag_ids=["trial_score"]) as airflow:
            airflow.trigger_partition("trial_score", "2026-01-20")
            while not [run for run in airflow.runs("trial_score") if run.state == "running"]:
                time.sleep(0.2)
            print(airflow.guard_pid, flush=True)
            time.sleep(600)
        """
    )
    owner = subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True)
    try:
        session = int(owner.stdout.readline())
        wait_for(lambda: "2026-01-20" in ran(folder, "score"))
    finally:
        owner.kill()
        owner.wait()
    wait_for(lambda: not session_members(session))


def test_a_dag_that_cannot_be_imported_is_told_with_its_file(tmp_path, folder):
    (tmp_path / "dags").mkdir()
    (tmp_path / "plugins").mkdir()
    (tmp_path / "dags" / "broken.py").write_text("from airflow.sdk import dag\nimport no_such_module\n")
    session = AirflowSession(tmp_path / "dags", tmp_path / "plugins", folder / "home", dag_ids=["broken"])
    with pytest.raises(AirflowNotReady, match=r"(?s)1 DAG file.*broken\.py.*no_such_module"), session:
        pass
    assert session_members(session.guard_pid) == []


def test_a_process_that_dies_is_named_with_the_end_of_its_log(tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "airflow.db").write_text("this is no database, and long enough to be seen as none" * 50)
    session = AirflowSession(tmp_path, tmp_path, tmp_path / "home")
    with pytest.raises(AirflowNotReady, match=r"(?s)Airflow's database ended with code 1.*not a database"), session:
        pass
