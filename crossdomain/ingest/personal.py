"""The personal fields of the users that clean accepts: what goes into the vault instead of clean."""

from __future__ import annotations

import duckdb

from crossdomain.storage.engine import identifier
from crossdomain.storage.vault import FIELDS


def accepted_people(con: duckdb.DuckDBPyConnection) -> str:
    """SQL of account and personal fields of a day's clean users, after ``clean_table`` of users.

    The fields are those of the very record that became the account's clean row, trimmed. The rows are held to view
    ``clean.users``, so that whoever the gate or an erasure kept out of clean is kept out of the vault.
    """
    fields = ", ".join(f"parsed.{identifier(field)}" for field in FIELDS)
    return f"""
        SELECT CAST(shaped.account AS BLOB) AS account, {fields}
        FROM shaped
        ANTI JOIN exceptions ON exceptions.row_id = shaped.rowid
        SEMI JOIN clean.users AS known ON known.account = CAST(shaped.account AS BLOB)
            AND known.feed = CAST(shaped.feed AS VARCHAR) AND known.delivered_ds = shaped.delivered_ds
        JOIN parsed ON parsed.feed = shaped.feed AND parsed.delivered_ds = shaped.delivered_ds
            AND parsed.source.file = shaped.source.file AND parsed.source.line = shaped.source.line
    """  # noqa: S608 - quoted


def undelivered(con: duckdb.DuckDBPyConnection) -> list[tuple[str, str]]:
    """(feed, delivery day) of clean users whose raw rows are gone."""
    rows = con.execute(
        "SELECT DISTINCT feed, CAST(delivered_ds AS VARCHAR) FROM clean.users "
        "ANTI JOIN (SELECT feed, delivered_ds FROM raw.users) USING (feed, delivered_ds) ORDER BY ALL"
    ).fetchall()
    return [(feed, day) for feed, day in rows]
