"""Raw ids become account keys: the one step between raw and clean at which a person's name is known."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
import pyarrow as pa

from crossdomain.ingest.canonical import CanonicalTable
from crossdomain.settings import Settings
from crossdomain.storage.engine import identifier, literal
from crossdomain.storage.keys import KEY_BYTES, SEPARATOR, Keyring
from crossdomain.storage.lake import Lake
from crossdomain.tables import TableSpec

_UNIT_NAMESPACE = "CASE WHEN unit_type = 'account' THEN domain ELSE 'unit:' || unit_type END"
_BLOCK = 64  # bytes that SHA-256 works on at a time


def erased_accounts(lake: Lake, spec: TableSpec) -> frozenset[bytes]:
    """Everyone who was ever erased, whatever the day: they do not come back with a backfill.

    Args:
        lake: The lake.
        spec: The table of erasures.

    Returns:
        HMACs under the erasure key.
    """
    rows = lake.con.execute(f"SELECT erased FROM ({lake.relation(spec, lake.partitions(spec))})").fetchall()  # noqa: S608
    return frozenset(erased for (erased,) in rows)


def map_accounts(
    con: duckdb.DuckDBPyConnection,
    table: CanonicalTable,
    named: str,
    *,
    settings: Settings,
    keys: Keyring,
    erased: frozenset[bytes],
) -> None:
    """Leaves table ``accounts`` (namespace, user_id, account, erased) for everyone whom rows name.

    The account key is of type UUID here, which is 16 bytes of fixed length and orders as the bytes do: rows are
    joined and sorted by it faster than by a BLOB. Tables of the lake take it as the BLOB that it is.

    Args:
        con: A connection.
        table: The canonical table of the rows.
        named: SQL of the columns that name people, as ``naming_columns`` lists them.
        settings: The domains.
        keys: For pseudonyms.
        erased: Everyone who was erased.
    """
    pairs = " UNION ALL ".join(
        f"SELECT {_namespace(source, settings)} AS namespace, {identifier(column)} AS user_id FROM ({named})"  # noqa: S608
        for source, column in table.accounts
    )
    if not pairs:
        pairs = "SELECT CAST(NULL AS VARCHAR) AS namespace, CAST(NULL AS VARCHAR) AS user_id"
    message = f"namespace || {literal(SEPARATOR)} || user_id"
    con.register("erased_people", pa.table({"erased": pa.array(sorted(erased), pa.binary())}))
    gone = f"{_hmac('erasure', message)} IN (FROM erased_people)" if erased else "false"
    with _pads(con, pseudonym=keys.pseudonym, erasure=keys.erasure):
        con.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE accounts AS
            SELECT namespace, user_id, CAST({_hmac("pseudonym", message)} AS UUID) AS account, {gone} AS erased
            FROM (SELECT DISTINCT namespace, user_id FROM ({pairs}))
            WHERE namespace IS NOT NULL AND user_id IS NOT NULL
            """  # noqa: S608 - identifiers and literals quoted
        )
    con.unregister("erased_people")


def naming_columns(table: CanonicalTable) -> tuple[str, ...]:
    """Columns of a table that name people, and those that say in which namespace."""
    kinds = {"unit": ("unit_type", "domain"), "domain": ("domain",)}
    spaces = [name for source, _ in table.accounts for name in kinds.get(str(source), ())]
    return tuple(dict.fromkeys([*spaces, *(column for _, column in table.accounts)]))


@contextmanager
def _pads(con: duckdb.DuckDBPyConnection, **keys: bytes) -> Iterator[None]:
    """Keys as the padded blocks of HMAC, bound as variables of the connection for the time of a query."""
    names = []
    for name, key in keys.items():
        for side, mask in (("inner", 0x36), ("outer", 0x5C)):
            names.append(f"{name}_{side}")
            con.execute(f"SET VARIABLE {names[-1]} = ?", [bytes(byte ^ mask for byte in key.ljust(_BLOCK, b"\0"))])
    try:
        yield
    finally:
        for name in names:
            con.execute(f"RESET VARIABLE {name}")


def _hmac(key: str, message: str) -> str:
    """SQL of HMAC-SHA-256 (RFC 2104) of a text under a key of ``_pads``, its first 16 bytes."""
    inner = f"unhex(sha256(getvariable('{key}_inner') || encode({message})))"
    return f"unhex(sha256(getvariable('{key}_outer') || {inner}))[1:{KEY_BYTES}]"


def map_contacts(con: duckdb.DuckDBPyConnection, keys: Keyring) -> None:
    """Leaves table ``contacts`` (kind, value, hash) for every phone number and mail address in view ``parsed``."""
    rows = con.execute(
        "SELECT 'phone' AS kind, normal_phone(phone) AS value FROM parsed UNION "
        "SELECT 'email', normal_email(email) FROM parsed"
    ).fetchall()
    known = [(kind, value) for kind, value in rows if value is not None]
    found = pa.table(
        {
            "kind": pa.array([kind for kind, _ in known], pa.string()),
            "value": pa.array([value for _, value in known], pa.string()),
            "hash": pa.array([keys.contact(kind, value) for kind, value in known], pa.binary()),
        }
    )
    _keep(con, "contacts", found)


def _namespace(source: str | int, settings: Settings) -> str:
    if isinstance(source, int):
        return literal(settings.domains[source])
    return _UNIT_NAMESPACE if source == "unit" else identifier(source)


def _keep(con: duckdb.DuckDBPyConnection, name: str, rows: pa.Table) -> None:
    con.register("found_rows", rows)
    con.execute(f"CREATE OR REPLACE TEMP TABLE {identifier(name)} AS SELECT * FROM found_rows")  # noqa: S608 - quoted
    con.unregister("found_rows")
