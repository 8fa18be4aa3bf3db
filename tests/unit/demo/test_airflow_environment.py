"""A local Airflow's environment: loopback, own secrets, nothing of the caller's Airflow."""

from __future__ import annotations

import base64
import stat
from pathlib import Path

from crossdomain.demo.airflow_environment import airflow_environment, free_port, local_secrets


def environment(home: Path, *, inherited=None, extra=None) -> dict[str, str]:
    return airflow_environment(
        dags_folder=Path("/d"),
        plugins_folder=Path("/p"),
        airflow_home=home,
        port=8123,
        parallelism=4,
        keys=local_secrets(home),
        inherited=inherited or {},
        extra=extra or {},
    )


def test_secrets_are_random_kept_and_private(tmp_path):
    one, again, other = local_secrets(tmp_path / "a"), local_secrets(tmp_path / "a"), local_secrets(tmp_path / "b")
    assert one == again
    assert not {one.password, one.jwt, one.session, one.fernet} & {other.password, other.jwt, other.fernet}
    assert len(base64.urlsafe_b64decode(one.fernet)) == 32
    assert stat.S_IMODE((tmp_path / "a" / "secrets.json").stat().st_mode) == 0o600


def test_the_api_listens_on_loopback_and_tasks_are_told_its_port(tmp_path):
    env = environment(tmp_path)
    assert env["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert env["AIRFLOW__API__BASE_URL"] == f"http://127.0.0.1:{env['AIRFLOW__API__PORT']}"


def test_the_callers_airflow_is_not_inherited_and_extra_wins(tmp_path):
    env = environment(
        tmp_path,
        inherited={"AIRFLOW__CORE__EXECUTOR": "CeleryExecutor", "AIRFLOW_CONN_X": "y", "LANG": "C", "PATH": "/bin"},
        extra={"AIRFLOW__CORE__PARALLELISM": "2", "CROSSDOMAIN_HOME": "/h"},
    )
    assert env["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"
    assert "AIRFLOW_CONN_X" not in env
    assert (env["AIRFLOW__CORE__PARALLELISM"], env["CROSSDOMAIN_HOME"], env["LANG"]) == ("2", "/h", "C")
    assert env["PATH"].endswith(":/bin")


def test_a_free_port_is_one_that_can_be_bound():
    assert 1024 < free_port() < 65536
