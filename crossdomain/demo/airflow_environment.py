"""The environment of a local Airflow: SQLite, LocalExecutor, loopback, secrets of its own."""

from __future__ import annotations

import base64
import json
import os
import secrets
import socket
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

HOST = "127.0.0.1"
USER = "admin"

_PACKAGE_ROOT = Path(__file__).resolve().parents[2]
_AUTH_MANAGER = "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager"


@dataclass(frozen=True)
class LocalSecrets:
    """Secrets of one Airflow home; they live in a file that only its owner can read.

    Attributes:
        password: Password of the one user, ``admin``.
        jwt: Key that signs the tokens with which tasks and people talk to the API.
        session: Key of the web sessions.
        fernet: Key that encrypts connections and variables in the database (44 characters, URL-safe base64).
    """

    password: str
    jwt: str
    session: str
    fernet: str


def local_secrets(airflow_home: Path) -> LocalSecrets:
    """The secrets of an Airflow home, made at random when it has none yet."""
    path = airflow_home / "secrets.json"
    if path.exists():
        return LocalSecrets(**json.loads(path.read_text(encoding="utf-8")))
    made = LocalSecrets(
        password=secrets.token_urlsafe(12),
        jwt=secrets.token_urlsafe(64),
        session=secrets.token_urlsafe(32),
        fernet=base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
    )
    write_private(path, json.dumps(asdict(made)))
    return made


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def airflow_environment(
    *,
    dags_folder: Path,
    plugins_folder: Path,
    airflow_home: Path,
    port: int,
    parallelism: int,
    keys: LocalSecrets,
    inherited: Mapping[str, str],
    extra: Mapping[str, str],
) -> dict[str, str]:
    """Environment variables for every process of a local Airflow.

    ``AIRFLOW__*`` variables of the caller are not inherited: a session must not depend on the shell it was
    started from. ``extra`` comes last and may override everything.
    """
    base = {name: value for name, value in inherited.items() if not name.startswith("AIRFLOW")}
    address = f"http://{HOST}:{port}"
    python_path = [str(_PACKAGE_ROOT), *filter(None, [base.get("PYTHONPATH")])]
    return {
        **base,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), base.get("PATH", os.defpath)]),
        "PYTHONPATH": os.pathsep.join(python_path),
        "PYTHONUNBUFFERED": "1",
        "NO_COLOR": "1",
        "DO_NOT_TRACK": "1",
        "SCARF_ANALYTICS": "false",
        "AIRFLOW_HOME": str(airflow_home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags_folder),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(plugins_folder),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": str(parallelism),
        "AIRFLOW__CORE__FERNET_KEY": keys.fernet,
        "AIRFLOW__CORE__AUTH_MANAGER": _AUTH_MANAGER,
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(airflow_home / "passwords.json"),
        # The API's address must be told twice: tasks find the execution API through base_url.
        "AIRFLOW__API__HOST": HOST,
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": address,
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API__SECRET_KEY": keys.session,
        "AIRFLOW__API_AUTH__JWT_SECRET": keys.jwt,
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{airflow_home / 'airflow.db'}",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "10",
        # A file is parsed anew when it changes; the default parses every file every 30 s beside that.
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "3600",
        # A chain of days waits for the next look after every step; each look costs processor time.
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
        # Airflow misses the end of many short tasks until it looks again, by default after 5 s.
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
        # The default of 5 s kills tasks while a busy small machine answers its first requests.
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
        **extra,
    }
