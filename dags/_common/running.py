"""Runs jobs of the library for a run's key and says in Airflow's terms how it went."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

if TYPE_CHECKING:
    from airflow.sdk import Asset

    from crossdomain.settings import Settings

TOLD = "told"
"""Entry of the task's state, which its retries see: the days that each finished job has to tell."""
KEYS = "crossdomain_keys"
"""Connection whose password holds the keys, written as for ``CROSSDOMAIN_KEYS``; docs/vault.md shows how."""


def task_settings() -> Settings:
    """Settings of the task's environment, with the keys of connection ``crossdomain_keys`` where there is one.

    Without it the keys are those of ``CROSSDOMAIN_KEYS`` or the home's key files.

    Raises:
        InputError: A variable does not parse, or the connection has no password.
    """
    from airflow.sdk import Connection
    from airflow.sdk.exceptions import AirflowNotFoundException

    from crossdomain.errors import InputError
    from crossdomain.settings import Settings

    settings = Settings.from_env()
    try:
        keys = Connection.get(KEYS).password
    except AirflowNotFoundException:
        return settings
    if not keys:
        raise InputError(f"connection {KEYS} has no password: it holds the keys, as JSON (docs/vault.md)")
    return replace(settings, keys=keys)


def run_and_emit(jobs: Mapping[str, Asset], *, context: dict[str, Any]) -> dict[str, list[str]]:
    """Runs jobs for the run's partition key, one after the other, and emits for each the days whose rows changed.

    A job that finds nothing changed, or that an input's day is not built yet, emits nothing, and the next one runs; the
    missing input's own event starts the task again. A task whose jobs have nothing to tell is skipped. Bad input and a
    refused gate fail at once, anything else is retried; jobs after the failed one do not run.

    A task that runs for the second time (retried, cleared) goes on where it failed, since the jobs before are up to
    date. It emits what they had to tell the first time, and its key for each job that finds everything up to date: the
    first try may have died between commit and event.

    Args:
        jobs: The asset that each job emits, by the job's name, in the order in which they run; together the outlets of
            the task.
        context: Of the task.

    Returns:
        The emitted days, ``YYYY-MM-DD``, by job.
    """
    key = context["dag_run"].partition_key
    if key is None:
        raise AirflowFailException(f"{', '.join(jobs)}: trigger it with a business day as partition key (YYYY-MM-DD)")
    again = context["ti"].try_number > 1
    told: dict[str, list[str]] = context["task_state_store"].get(TOLD, {}) if again else {}
    silent = []
    *_, last = jobs
    with _failing_at_once():
        settings = task_settings()
        for name in jobs:
            days, extra = _run(name, key, settings)
            if days == [] and again:
                days = [key]
            if not days:
                silent.append(f"{name} {extra['status']}")
                continue
            told[name] = sorted({*told.get(name, ()), *days})
            context["outlet_events"][jobs[name]].extra = extra
            if name != last:  # a job after it may fail, and the task then emits nothing
                context["task_state_store"].set(TOLD, told)
    if not told:
        raise AirflowSkipException(f"{key}: nothing to tell: {'; '.join(silent)}")
    for name, days in told.items():
        context["outlet_events"][jobs[name]].add_partitions(days)
    # Airflow emits the run's key for every outlet that was given none.
    context["ti"].task.outlets = [jobs[name] for name in told]
    return told


def _run(name: str, key: str, settings: Settings) -> tuple[list[str] | None, dict[str, Any]]:
    """Runs a job and prints what it did.

    Returns:
        The days of which consumers must hear, None where an input's day is not built yet; what the event says of them.
    """
    from crossdomain.errors import NotReady
    from crossdomain.jobs.registry import job
    from crossdomain.jobs.runner import run_job
    from crossdomain.settings import parse_day

    print(f"{name} {key}: begins")
    try:
        result = run_job(job(name), parse_day(key), settings)
    except NotReady as error:
        print(f"{name} {key}: waiting: {error}")
        return None, {"job": name, "status": f"waiting: {error}"}
    days = [day.isoformat() for day in result.keys]
    print(f"{name} {key}: {result.status} in {result.seconds:.1f} s; days {days}")
    for table in result.tables:
        print(f"  {table.table}: {table.rows} rows, checksum {table.checksum}, changed {table.changed}")
    return days, {"job": name, "status": result.status, "notes": {k: str(v) for k, v in result.notes.items()}}


@contextmanager
def _failing_at_once() -> Iterator[None]:
    """Fails the task without retries for what a retry cannot mend."""
    from crossdomain.errors import GateRefused, InputError

    try:
        yield
    except (GateRefused, InputError) as error:
        raise AirflowFailException(str(error)) from error
