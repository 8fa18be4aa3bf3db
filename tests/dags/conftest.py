"""An Airflow of the tests' own: its settings must stand before the first import of airflow."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree

import pytest

ROOT = Path(__file__).parents[2]
DAGS = ROOT / "dags"
_HOME = Path(tempfile.mkdtemp(prefix="crossdomain-airflow-"))

os.environ.update(
    AIRFLOW_HOME=str(_HOME),
    AIRFLOW__CORE__DAGS_FOLDER=str(DAGS),
    AIRFLOW__CORE__PLUGINS_FOLDER=str(ROOT / "plugins"),
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__LOGGING__LOGGING_LEVEL="WARNING",
    CROSSDOMAIN_SCHEDULE_FROM="2099-01-01",
)
sys.path.insert(0, str(DAGS))


@pytest.fixture(scope="session", autouse=True)
def airflow_home() -> Iterator[Path]:
    yield _HOME
    rmtree(_HOME, ignore_errors=True)


@pytest.fixture(scope="session")
def database(airflow_home: Path) -> Path:
    """A migrated SQLite database."""
    airflow = Path(sys.executable).with_name("airflow")
    subprocess.run([str(airflow), "db", "migrate"], check=True, capture_output=True, timeout=180)
    return airflow_home / "airflow.db"
