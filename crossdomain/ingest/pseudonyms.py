"""Raw ids become account keys: the one step between raw and clean at which a person's name is known."""

from __future__ import annotations

import duckdb
import pyarrow as pa

from crossdomain.ingest.canonical import CanonicalTable
from crossdomain.settings import Settings
from crossdomain.storage.engine import identifier, literal
from crossdomain.storage.keys import Keyring
from crossdomain.storage.lake import Lake
from crossdomain.tables import TableSpec

_UNIT_NAMESPACE = "CASE WHEN unit_type = 'account' THEN domain ELSE 'unit:' || unit_type END"
_COUNTRY_CODE = r"^(0086|86)(1\d{10})$"


def define_contact_forms(con: duckdb.DuckDBPyConnection) -> None:
    """Defines ``normal_phone`` and ``normal_email``: the forms under which contacts are compared across domains.

    A phone number is its digits, without China's country code before a mobile number; a mail address is in
    lower case. What is too short to be either is null.
    """
    digits = "regexp_replace(given, '\\D', '', 'g')"
    con.execute(
        f"CREATE OR REPLACE TEMP MACRO normal_phone(given) AS CASE WHEN length({digits}) >= 5 "
        f"THEN regexp_replace({digits}, '{_COUNTRY_CODE}', '\\2') END"
    )
    con.execute(
        "CREATE OR REPLACE TEMP MACRO normal_email(given) AS CASE WHEN contains(given, '@') THEN lower(given) END"
    )


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
    *,
    settings: Settings,
    keys: Keyring,
    erased: frozenset[bytes],
) -> None:
    """Leaves table ``accounts`` (namespace, user_id, account, erased) for everyone named in view ``parsed``."""
    union = " UNION ALL ".join(
        f"SELECT {_namespace(source, settings)} AS namespace, {identifier(column)} AS user_id FROM parsed"  # noqa: S608
        for source, column in table.accounts
    )
    pairs: list[tuple[str, str]] = []
    if union:
        pairs = con.execute(
            f"SELECT DISTINCT namespace, user_id FROM ({union}) WHERE namespace IS NOT NULL AND user_id IS NOT NULL"  # noqa: S608
        ).fetchall()
    flags = [keys.erased(*pair) in erased for pair in pairs] if erased else [False] * len(pairs)
    found = pa.table(
        {
            "namespace": pa.array([namespace for namespace, _ in pairs], pa.string()),
            "user_id": pa.array([user for _, user in pairs], pa.string()),
            "account": pa.array(keys.accounts(pairs), pa.binary()),
            "erased": pa.array(flags, pa.bool_()),
        }
    )
    _keep(con, "accounts", found)


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
