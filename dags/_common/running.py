"""Runs a job of the library for a run's key and says in Airflow's terms how it went."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

if TYPE_CHECKING:
    from airflow.sdk import Asset

    from crossdomain.settings import Settings

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


def run_and_emit(name: str, *, emits: Asset, context: dict[str, Any]) -> list[str]:
    """Runs a job for the run's partition key and emits the days whose rows changed.

    Nothing changed, or an input's day is not built yet: the task is skipped and emits nothing; the missing
    input's own event starts it again. A task that runs for the second time (retried, cleared) emits its key even
    when the job finds everything up to date, since the first try may have died between commit and event.
    Bad input and a refused gate fail at once, without retries.

    Returns:
        The emitted days, ``YYYY-MM-DD``.
    """
    from crossdomain.errors import GateRefused, InputError, NotReady
    from crossdomain.jobs.registry import job
    from crossdomain.jobs.runner import run_job
    from crossdomain.settings import parse_day

    key = context["dag_run"].partition_key
    if key is None:
        raise AirflowFailException(f"{name} runs for a business day: trigger it with a partition key (YYYY-MM-DD)")
    try:
        result = run_job(job(name), parse_day(key), task_settings())
    except NotReady as error:
        raise AirflowSkipException(f"waiting: {error}") from error
    except (GateRefused, InputError) as error:
        raise AirflowFailException(str(error)) from error
    print(f"{name} {key}: {result.status} in {result.seconds:.1f} s; days {[str(day) for day in result.keys]}")
    for table in result.tables:
        print(f"  {table.table}: {table.rows} rows, checksum {table.checksum}, changed {table.changed}")
    days = [day.isoformat() for day in result.keys]
    if not days and context["ti"].try_number > 1:
        days = [key]
    if not days:
        raise AirflowSkipException(f"{name} {key}: {result.status}, nothing to tell")
    events = context["outlet_events"][emits]
    events.add_partitions(days)
    events.extra = {"job": name, "status": result.status, "notes": {k: str(v) for k, v in result.notes.items()}}
    return days
