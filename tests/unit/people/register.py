"""One day of the job ``people`` on rows given in memory, without a lake's files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pyarrow as pa

from crossdomain.jobs import people
from crossdomain.people.consent import PURPOSES
from crossdomain.settings import Settings
from crossdomain.storage.home import Home
from crossdomain.storage.lake import Lake
from crossdomain.tables import registry

DAY = date(2026, 6, 1)
CLEAN = ("users", "events", "consents", "identity_links", "erasure_requests")
Rows = Sequence[Mapping[str, Any]]


def key(name: str) -> bytes:
    """A 16-byte key that sorts like the name."""
    return name.encode().ljust(16, b".")


def name(account: bytes) -> str:
    return account.rstrip(b".").decode()


def account(called: str, domain: str, **more: Any) -> dict[str, Any]:
    """A row of clean.users; ``phone`` and ``email`` are given as names of contacts."""
    contacts = {f"{kind}_hash": key(more.pop(kind)) for kind in ("phone", "email") if more.get(kind)}
    registered = datetime(2025, 12, 1, tzinfo=UTC)
    row = {"account": key(called), "domain": domain, "registered_at": registered, "consent_assumed": False, "ds": DAY}
    return {**row, **contacts, **more}


def knows(called: str, **more: Any) -> dict[str, Any]:
    return account(called, "knowledge", **more)


def shops(called: str, **more: Any) -> dict[str, Any]:
    return account(called, "beauty", **more)


def word(
    called: str, purpose: str, granted: bool = True, *, hour: int = 0, domain: str = "knowledge"
) -> dict[str, Any]:
    when = datetime(DAY.year, DAY.month, DAY.day, hour, tzinfo=UTC)
    return {"account": key(called), "domain": domain, "purpose": purpose, "granted": granted, "ts": when}


def agree(*called: str, purposes: Sequence[str] = PURPOSES) -> list[dict[str, Any]]:
    return [word(one, purpose) for one in called for purpose in purposes]


def given(left: str, right: str) -> dict[str, Any]:
    return {"knowledge_account": key(left), "beauty_account": key(right), "linked_at": datetime(2026, 6, 1, tzinfo=UTC)}


def build(home: Path, previous: Mapping[str, pa.Table] | None = None, **clean: Rows) -> dict[str, pa.Table]:
    """Tables that the job writes for ``DAY``; ``previous`` are those of the day before."""
    tables = registry(Settings().include)
    con = duckdb.connect(config={"threads": 2})
    con.execute("SET TimeZone = 'UTC'")
    con.execute("SET VARIABLE ds = ?", [DAY])
    for schema in ("clean", "previous"):
        con.execute(f"CREATE SCHEMA {schema}")
    for table in CLEAN:
        _fill(con, tables.get(f"clean.{table}"), "clean", _arrow(con, tables, f"clean.{table}", clean.get(table, [])))
    for table in people.JOB.outputs:
        _fill(con, tables.get(table), "previous", (previous or {}).get(table))
    written: dict[str, pa.Table] = {}
    notes: dict[str, Any] = {}
    context = SimpleNamespace(
        con=con,
        ds=DAY,
        settings=Settings(home=home),
        lake=Lake(Home(home), con),
        tables=tables,
        write=lambda table, sql: written.__setitem__(table, con.sql(sql).to_arrow_table()),
        note=notes.update,
    )
    people.build(context)  # type: ignore[arg-type]
    return written


def links(written: Mapping[str, pa.Table]) -> dict[tuple[str, str], str]:
    """Status by pair of names."""
    rows = written["derived.account_links"].to_pylist()
    return {(name(row["knowledge_account"]), name(row["beauty_account"])): row["status"] for row in rows}


def conflicts(written: Mapping[str, pa.Table]) -> set[tuple[str, str, str, str, int]]:
    rows = written["derived.link_conflicts"].to_pylist()
    return {
        (row["kind"], row["evidence"], name(row["knowledge_account"]), name(row["beauty_account"]), row["accounts"])
        for row in rows
    }


def persons(written: Mapping[str, pa.Table]) -> dict[str, str]:
    """Person by account, as names."""
    return {name(row["account"]): name(row["person"]) for row in written["derived.people"].to_pylist()}


def counts(written: Mapping[str, pa.Table]) -> dict[tuple[str, str], int]:
    rows = written["derived.people_counts"].to_pylist()
    return {(row["domain"], row["measure"]): row["accounts"] for row in rows}


def _arrow(con: duckdb.DuckDBPyConnection, tables: Any, table: str, rows: Rows) -> pa.Table:
    columns = ["CAST(NULL AS DATE) AS ds"]
    columns += [f"CAST(NULL AS {column.type}) AS {column.name}" for column in tables.get(table).columns]
    schema = con.sql(f"SELECT {', '.join(columns)} WHERE false").to_arrow_table().schema
    return pa.Table.from_pylist([{field: row.get(field) for field in schema.names} for row in rows], schema=schema)


def _fill(con: duckdb.DuckDBPyConnection, spec: Any, schema: str, rows: pa.Table | None) -> None:
    if rows is None:
        columns = ", ".join(f"CAST(NULL AS {column.type}) AS {column.name}" for column in spec.columns)
        con.execute(f"CREATE TABLE {schema}.{spec.name} AS SELECT {columns} WHERE false")
        return
    con.register("given_rows", rows)
    con.execute(f"CREATE TABLE {schema}.{spec.name} AS FROM given_rows")
    con.unregister("given_rows")
