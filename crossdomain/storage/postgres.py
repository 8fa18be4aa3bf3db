"""Publishes serving tables to PostgreSQL: new tables by COPY, swapped in one transaction."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
from psycopg import sql

from crossdomain.errors import CrossdomainError
from crossdomain.storage.lake import Lake, Partition
from crossdomain.tables import TableSpec

_TYPES = {"BLOB": "bytea", "DOUBLE": "double precision", "TIMESTAMPTZ": "timestamptz", "VARCHAR": "text"}
_BATCH = 10_000


def publish(lake: Lake, tables: Sequence[tuple[TableSpec, Partition]], dsn: str) -> None:
    """Replaces the tables of these names in the target database; readers see all old or all new.

    Raises:
        CrossdomainError: The database refused; nothing changed there. The message holds no password.
    """
    try:
        with psycopg.connect(dsn) as target, target.cursor() as cursor:
            for spec, partition in tables:
                _copy(lake, spec, partition, cursor)
            for spec, _ in tables:
                names = {"table": sql.Identifier(spec.name), "aside": sql.Identifier(f"{spec.name}__new")}
                cursor.execute(sql.SQL("DROP TABLE IF EXISTS {table}").format(**names))
                cursor.execute(sql.SQL("ALTER TABLE {aside} RENAME TO {table}").format(**names))
    except psycopg.Error as error:
        reason = type(error).__name__ if error.diag.message_primary is None else error.diag.message_primary
        raise CrossdomainError(f"publishing to PostgreSQL failed ({reason}); nothing changed there") from None


def _copy(lake: Lake, spec: TableSpec, partition: Partition, cursor: psycopg.Cursor[tuple[object, ...]]) -> None:
    aside = sql.Identifier(f"{spec.name}__new")
    columns = [("ds", "DATE"), *((column.name, column.type) for column in spec.columns)]
    typed = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(_type(kind))) for name, kind in columns
    )
    cursor.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(aside))
    cursor.execute(sql.SQL("CREATE TABLE {} ({})").format(aside, typed))
    names = sql.SQL(", ").join(sql.Identifier(name) for name, _ in columns)
    rows = lake.con.execute(lake.relation(spec, [partition]))
    with cursor.copy(sql.SQL("COPY {} ({}) FROM STDIN").format(aside, names)) as copy:
        while batch := rows.fetchmany(_BATCH):
            for row in batch:
                copy.write_row(row)


def _type(kind: str) -> str:
    base = kind.removesuffix("[]")
    return _TYPES.get(base, base) + kind[len(base) :]
