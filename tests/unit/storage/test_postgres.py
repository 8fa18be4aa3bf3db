"""Publishing to a real PostgreSQL, started for the test where its server is installed."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from crossdomain.errors import CrossdomainError
from crossdomain.storage import postgres
from crossdomain.storage.lake import Lake
from crossdomain.tables import Column, TableSpec

_FOUND = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
INITDB = shutil.which("initdb") or (str(_FOUND[-1]) if _FOUND else None)
ROWS = "SELECT 'a' AS order_id, 1.5 AS amount, NULL AS delivered_ds, 'k'::BLOB AS person, ['x', '\"y\"'] AS tags"


@pytest.fixture(scope="module")
def dsn() -> Iterator[str]:
    if INITDB is None:
        pytest.skip("PostgreSQL's server (initdb) is not installed")
    folder = Path(tempfile.mkdtemp(prefix="crossdomain-postgres-"))
    as_user: list[str] = []
    if os.geteuid() == 0:  # PostgreSQL does not start as root
        shutil.chown(folder, "postgres", "postgres")
        as_user = ["runuser", "-u", "postgres", "--"]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data = folder / "data"
    control = [*as_user, str(Path(INITDB).with_name("pg_ctl")), "--pgdata", str(data)]
    subprocess.run(
        [*as_user, INITDB, "--pgdata", str(data), "--username", "tests", "--auth", "trust"],
        check=True, capture_output=True, cwd=folder,
    )  # fmt: skip
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder}"
    subprocess.run(
        [*control, "--wait", "--log", str(folder / "log"), "-o", options, "start"],
        check=True, cwd=folder, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    time.sleep(0.1)
    try:
        yield f"postgresql://tests@127.0.0.1:{port}/postgres"
    finally:
        subprocess.run([*control, "--mode", "immediate", "stop"], check=False, capture_output=True, cwd=folder)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def table(spec: TableSpec) -> TableSpec:
    more = (Column("person", "BLOB"), Column("tags", "VARCHAR[]"))
    return replace(spec, layer="serving", columns=(*spec.columns, *more))


def publish(lake: Lake, table: TableSpec, rows: str, dsn: str) -> None:
    staged = lake.stage(table, rows, {"ds": "2026-01-05"}, made_by={})
    lake.commit(table, [staged], replace={"ds": ["2026-01-05"]})
    postgres.publish(lake, [(table, lake.partitions(table)[0])], dsn)


def test_tables_arrive_typed_and_are_replaced_whole(lake: Lake, table: TableSpec, dsn: str) -> None:
    publish(lake, table, ROWS, dsn)
    with psycopg.connect(dsn) as con:
        (row,) = con.execute("SELECT ds::text, order_id, amount, person, tags FROM orders").fetchall()
    assert [str(row[0]), row[1], float(row[2]), bytes(row[3]), row[4]] == ["2026-01-05", "a", 1.5, b"k", ["x", '"y"']]
    publish(lake, table, ROWS.replace("'a'", "'b'"), dsn)
    with psycopg.connect(dsn) as con:
        assert con.execute("SELECT order_id FROM orders").fetchall() == [("b",)]


def test_a_reader_sees_the_old_table_until_the_swap_and_a_failure_changes_nothing(
    lake: Lake, table: TableSpec, dsn: str
) -> None:
    publish(lake, table, ROWS, dsn)
    with psycopg.connect(dsn, autocommit=True) as con:
        con.execute("CREATE OR REPLACE VIEW depends AS SELECT order_id FROM orders")  # forbids the swap
        try:
            with pytest.raises(CrossdomainError, match="nothing changed there") as caught:
                publish(lake, table, ROWS.replace("'a'", "'c'"), dsn)
            assert "postgresql://" not in str(caught.value)
            assert con.execute("SELECT order_id FROM orders").fetchall() == [("a",)]
            assert con.execute("SELECT count(*) FROM pg_tables WHERE tablename = 'orders__new'").fetchone() == (0,)
        finally:
            con.execute("DROP VIEW depends")
