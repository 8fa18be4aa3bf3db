"""Runs delivery days through Airflow: starts it, backfills the producer, waits for every consumer, ends it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from crossdomain.demo.airflow_progress import OnProgress, ProgressPrinter
from crossdomain.demo.airflow_session import AirflowSession
from crossdomain.settings import Settings, parse_day
from crossdomain.storage.home import Home

PRODUCER = "ingest_daily"
CONSUMERS = (
    "clean_daily",
    "quality_daily",
    "people_daily",
    "content_daily",
    "recs_train",
    "recs_score",
    "recs_drift",
    "experiments_daily",
    "serving_publish",
)
GOVERNANCE = "governance_daily"
"""Runs when the others are done with the days: its erasures remove files that their tasks may be reading."""
BY_HAND = ("gate_override", "experiment_promotion")
"""DAGs that people start."""
_NO_SCHEDULE = "2099-01-01"
_MINUTES_A_DAY = 10


@dataclass(frozen=True)
class ChainRun:
    """What ran.

    Attributes:
        days: Delivery days.
        command: The backfill command that was run.
        runs: Number of DAG runs.
    """

    days: tuple[date, ...]
    command: str
    runs: int


def session(
    settings: Settings, *, start: date | None, port: int | None = None, env: Mapping[str, str] | None = None
) -> AirflowSession:
    """A local Airflow whose tasks work on a home, with nothing scheduled by itself.

    Args:
        settings: Names the home and the include folder; dags/ and plugins/ lie beside the latter.
        start: Declared first business day; None where nothing has been delivered yet.
        port: Port on loopback; a free one if None.
        env: More variables for the tasks.
    """
    root = settings.include.parent
    variables = {
        "CROSSDOMAIN_HOME": str(settings.home.resolve()),
        "CROSSDOMAIN_INCLUDE": str(settings.include.resolve()),
        "CROSSDOMAIN_TZ": settings.tz,
        **({"CROSSDOMAIN_START": start.isoformat()} if start else {}),
        "CROSSDOMAIN_MEMORY_LIMIT": settings.memory_limit,
        "CROSSDOMAIN_THREADS": str(settings.threads),
        "CROSSDOMAIN_SCHEDULE_FROM": _NO_SCHEDULE,
        "OPENBLAS_NUM_THREADS": "1",
        "GX_ANALYTICS_ENABLED": "false",
        **(env or {}),
    }
    return AirflowSession(
        root / "dags",
        root / "plugins",
        settings.home / "airflow",
        variables,
        parallelism=3,
        port=port,
        dag_ids={PRODUCER, *CONSUMERS, GOVERNANCE, *BY_HAND},
    )


def run_days(
    settings: Settings,
    first: date,
    last: date,
    *,
    title: str,
    dags: Collection[str] = (PRODUCER, *CONSUMERS),
    env: Mapping[str, str] | None = None,
) -> ChainRun:
    """Runs deliveries of ``first`` to ``last`` through Airflow and waits until every DAG has done every day.

    Vault, erasures, retention and the daily account (``governance_daily``) follow when everything else is done.

    Args:
        settings: The home with its landing folder and keys.
        first: First delivery day, also the declared start of the data.
        last: Last delivery day, included.
        title: What the progress is headed with; it stands there while Airflow starts.
        dags: DAGs that must succeed for every day.
        env: More variables for the tasks.

    Raises:
        CrossdomainError: Airflow did not start, a run failed, or it took too long; the message has the log.
    """
    days = tuple(first + timedelta(days=step) for step in range((last - first).days + 1))
    timeout = 60.0 * _MINUTES_A_DAY * len(days)
    with ProgressPrinter(title) as progress, session(settings, start=first, env=env) as airflow:
        airflow.unpause([*CONSUMERS, PRODUCER])
        command = airflow.backfill(PRODUCER, first, last)
        expected = {(dag, day.isoformat()) for dag in dags for day in days}
        airflow.wait_until(expected, timeout=timeout, on_progress=progress)
        airflow.wait_quiet(timeout=timeout, on_progress=progress)
        govern(airflow, days, timeout=timeout, on_progress=progress)
        runs = len(airflow.runs())
    return ChainRun(days, " ".join(command), runs)


def govern(
    airflow: AirflowSession, days: Collection[date], *, timeout: float, on_progress: OnProgress | None = None
) -> None:
    """Runs ``governance_daily`` for days whose other work is done, and waits for what follows it.

    Raises:
        CrossdomainError: A run failed, or it took too long.
    """
    airflow.unpause([GOVERNANCE])
    for day in days:
        airflow.trigger_partition(GOVERNANCE, day.isoformat())
    expected = {(GOVERNANCE, day.isoformat()) for day in days}
    airflow.wait_until(expected, timeout=timeout, on_progress=on_progress)
    airflow.wait_quiet(timeout=timeout, on_progress=on_progress)


def first_delivery(settings: Settings) -> date | None:
    """The earliest delivery day that lies in the landing folder; None without one."""
    landing = Home(settings.home).landing()
    return min((parse_day(path.name) for path in landing.glob("*/????-??-??")), default=None)
