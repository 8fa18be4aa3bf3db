"""Calls the ``airflow`` command that is installed beside this one; nothing is imported from it."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import date
from pathlib import Path

from crossdomain.errors import MissingInput


def backfill(first: date, last: date, *, reprocess: str, dry_run: bool) -> int:
    """Creates a backfill of ``ingest_daily`` and returns the command's exit code.

    One run at a time: a backfill's own limit overrides the DAG's.

    Raises:
        MissingInput: There is no ``airflow`` command beside this Python, or nothing says where Airflow's database is.
    """
    command = Path(sys.executable).with_name("airflow")
    if not command.exists():
        raise MissingInput(f"{command} is not installed: run this in the environment of Airflow")
    if not _configured():
        raise MissingInput(
            "no Airflow is configured in this shell: run this where Airflow's own processes run, with their "
            "AIRFLOW_HOME or AIRFLOW__DATABASE__SQL_ALCHEMY_CONN (docs/deployment.md). Under `make up` choose Backfill "
            "at the Trigger button of ingest_daily; without Airflow run the jobs of each day by `crossdomain run`"
        )
    arguments = ["backfill", "create", "--dag-id", "ingest_daily"]
    arguments += ["--from-date", first.isoformat(), "--to-date", last.isoformat()]
    arguments += ["--max-active-runs", "1", "--reprocess-behavior", reprocess]
    if dry_run:
        arguments.append("--dry-run")
    return subprocess.run([str(command), *arguments], check=False).returncode  # noqa: S603 - our own arguments


def _configured() -> bool:
    """Whether the ``airflow`` command would find an installation; if not, it makes an empty one in the user's home."""
    named = ("AIRFLOW_HOME", "AIRFLOW_CONFIG", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN")
    return any(os.environ.get(name) for name in named) or (Path.home() / "airflow" / "airflow.cfg").exists()
