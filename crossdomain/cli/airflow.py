"""Calls the ``airflow`` command that is installed beside this one; nothing is imported from it."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from pathlib import Path

from crossdomain.errors import MissingInput


def backfill(first: date, last: date, *, reprocess: str, dry_run: bool) -> int:
    """Creates a backfill of ``ingest_daily`` and returns the command's exit code.

    One run at a time: a backfill's own limit overrides the DAG's.

    Raises:
        MissingInput: There is no ``airflow`` command beside this Python.
    """
    command = Path(sys.executable).with_name("airflow")
    if not command.exists():
        raise MissingInput(f"{command} is not installed: run this in the environment of Airflow")
    arguments = ["backfill", "create", "--dag-id", "ingest_daily"]
    arguments += ["--from-date", first.isoformat(), "--to-date", last.isoformat()]
    arguments += ["--max-active-runs", "1", "--reprocess-behavior", reprocess]
    if dry_run:
        arguments.append("--dry-run")
    return subprocess.run([str(command), *arguments], check=False).returncode  # noqa: S603 - our own arguments
