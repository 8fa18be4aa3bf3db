"""Raw rows of one business day to clean ones: typed, judged, masked, deduplicated, pseudonymous; none is lost.

The steps are SQL over temporary tables of one connection: ``parsed`` (typed values and the first rule that a
row breaks), ``accounts`` (keys of the people in it), the table's ``query.sql`` (its final shape and its own
rules), ``exceptions`` (every row that is not clean, with its class).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import duckdb

from crossdomain.errors import CrossdomainError, InputError
from crossdomain.ingest.canonical import CanonicalColumn, CanonicalTable
from crossdomain.ingest.feeds import Feed
from crossdomain.ingest.judging import COLUMN_OF_REASON, broken_rule
from crossdomain.ingest.parsing import SQL_TYPES, read_columns, value_of
from crossdomain.ingest.pseudonyms import map_accounts, map_contacts, naming_columns
from crossdomain.ingest.repair import define_repairs
from crossdomain.settings import Settings
from crossdomain.sql import query
from crossdomain.storage.engine import identifier, literal
from crossdomain.storage.keys import Keyring
from crossdomain.tables import TableSpec
from crossdomain.text.contact_forms import define_contact_forms
from crossdomain.text.masking import mask_columns

CLASSES = ("clean", "quarantined", "duplicate", "superseded", "suppressed")
"""What can become of a row of raw; their numbers add up to the rows read."""

VOCABULARY: Mapping[str, tuple[str, ...]] = {
    "event_types": (
        "impression", "view", "click", "favorite", "cart", "purchase", "refund", "rating", "share", "comment",
        "attend", "dislike", "hide", "unsubscribe", "complaint",
    ),
    "purposes": (
        "personalisation", "cross_domain", "marketing_email", "marketing_sms", "marketing_push", "profiling",
    ),
    "unit_types": ("account", "person", "device", "session"),
    "statuses": ("on", "off"),
}  # fmt: skip
"""Words that a row may use; another one is quarantined as ``unknown_<column>``."""


@dataclass(frozen=True)
class RowCount:
    """How many rows of a delivery ended in a class."""

    table: str
    feed: str
    delivered_ds: date
    row_class: str
    rows: int


@dataclass(frozen=True)
class Cleaned:
    """Result of cleaning one table of one day; the SQL is valid until the next table is cleaned.

    Attributes:
        table: Name without layer.
        rows: SQL of the clean rows, with the columns of the table's schema, in its order and without any key
            twice.
        quarantined: SQL of the quarantined rows, with the columns of ``raw.quarantine``.
        counts: Rows by feed, delivery day and class; conserved.
    """

    table: str
    rows: str
    quarantined: str
    counts: tuple[RowCount, ...]

    def total(self, row_class: str) -> int:
        """Rows of a class over all deliveries."""
        return sum(count.rows for count in self.counts if count.row_class == row_class)


def clean_table(
    con: duckdb.DuckDBPyConnection,
    table: CanonicalTable,
    spec: TableSpec,
    *,
    feeds: Mapping[str, Feed],
    settings: Settings,
    keys: Keyring,
    erased: frozenset[bytes],
) -> Cleaned:
    """Cleans the rows of view ``raw.<table>``.

    Args:
        con: A connection with the view.
        table: The canonical table.
        spec: Its clean table.
        feeds: All feeds; the view names those that it holds rows of.
        settings: Domains and time zone.
        keys: For pseudonyms.
        erased: Everyone who was erased.

    Raises:
        InputError: Raw holds rows of a feed whose file is gone.
        CrossdomainError: Rows were lost or doubled; a fault of this program.
    """
    define_contact_forms(con)
    define_repairs(con)
    con.execute(f"CREATE OR REPLACE TEMP VIEW parsed AS {_parsed_rows(con, table, feeds, settings)}")
    named = _people_named(con, table, feeds)
    map_accounts(con, table, named, settings=settings, keys=keys, erased=erased)
    if table.name == "users":
        map_contacts(con, keys)
    _shape(con, spec, settings)
    mask_columns(con, "shaped", [column.name for column in table.columns if column.kind == "rich_text"])
    _classify(con, table)
    counts = _counts(con, table)
    _check_conservation(con, table, counts)
    columns = ", ".join(f"shaped.{identifier(name)}" for name in spec.column_names)
    order = ", ".join(f"shaped.{identifier(name)} NULLS FIRST" for name in spec.order)
    return Cleaned(
        table.name,
        rows=(
            f"SELECT {columns} FROM shaped ANTI JOIN exceptions ON shaped.rowid = exceptions.row_id "  # noqa: S608
            f"ORDER BY {order}"
        ),
        quarantined=_quarantined(table),
        counts=counts,
    )


def _parsed_rows(
    con: duckdb.DuckDBPyConnection, table: CanonicalTable, feeds: Mapping[str, Feed], settings: Settings
) -> str:
    """SQL of typed rows of all feeds, each read as its feed file says."""
    raw = f"raw.{identifier(table.name)}"
    present = [name for (name,) in con.execute(f"SELECT DISTINCT feed FROM {raw} ORDER BY feed").fetchall()]  # noqa: S608
    if gone := [name for name in present if name not in feeds]:
        raise InputError(f"raw.{table.name} holds rows of feed {gone[0]!r}, but include/feeds/{gone[0]}.yaml is gone")
    if other := [name for name in present if feeds[name].table.name != table.name]:
        raise InputError(f"raw.{table.name} holds rows of feed {other[0]!r}, which now fills another table")
    if present:
        files = [
            name
            for (name,) in con.execute(f"SELECT DISTINCT _file FROM {raw} ORDER BY _file").fetchall()  # noqa: S608
        ]
        con.execute(f"CREATE OR REPLACE TEMP TYPE feed_name AS ENUM ({_listed(present)})")
        con.execute(f"CREATE OR REPLACE TEMP TYPE file_name AS ENUM ({_listed(files)})")
        return " UNION ALL ".join(_parsed_feed(feeds[name], settings) for name in present)
    typed = ", ".join(
        f"CAST(NULL AS {SQL_TYPES[column.kind]}) AS {identifier(column.name)}" for column in table.columns
    )
    return (
        f"SELECT {typed}, CAST(NULL AS VARCHAR) AS reason, feed, delivered_ds, CAST(NULL AS BOOLEAN) AS snapshot, "  # noqa: S608
        "CAST(NULL AS BOOLEAN) AS consent_assumed, {'file': _file, 'line': _line, 'named': _column, "
        f"'version': _version, 'record': CAST(NULL AS UBIGINT)}} AS source FROM {raw}"
    )


def _people_named(con: duckdb.DuckDBPyConnection, table: CanonicalTable, feeds: Mapping[str, Feed]) -> str:
    """SQL of the columns that name people, read as ``parsed`` reads them, but each different text only once."""
    names = naming_columns(table)
    if not names:
        return "SELECT NULL WHERE false"
    columns = [table.column(name) for name in names]
    listed = ", ".join(identifier(name) for name in names)
    present = con.execute(f"SELECT DISTINCT feed FROM raw.{identifier(table.name)} ORDER BY feed").fetchall()  # noqa: S608
    selects = []
    for (name,) in present:
        texts = f"SELECT DISTINCT {listed} FROM raw.{identifier(table.name)} WHERE feed = {literal(name)}"  # noqa: S608
        values = ", ".join(f"{identifier(value_of(column))} AS {identifier(column.name)}" for column in columns)
        selects.append(f"SELECT {values} FROM ({read_columns(feeds[name], columns, texts)})")  # noqa: S608
    nothing = f"SELECT {', '.join(f'CAST(NULL AS VARCHAR) AS {identifier(name)}' for name in names)} WHERE false"
    return " UNION ALL ".join(selects) or nothing


def _parsed_feed(feed: Feed, settings: Settings) -> str:
    table = feed.table
    whole = ", ".join(identifier(name) for name in (*table.column_names, "_version"))
    rows = f"FROM raw.{identifier(table.name)} WHERE feed = {literal(feed.name)}"
    read = read_columns(feed, feed.judged_columns, f"SELECT *, hash({whole}) AS _record {rows}")
    values = ", ".join(f"{_value(table, column, settings)} AS {identifier(column.name)}" for column in table.columns)
    return f"""
        (SELECT {values},
            {broken_rule(feed)} AS reason,
            CAST(feed AS feed_name) AS feed, delivered_ds,
            {"true" if feed.kind == "snapshot" else "false"} AS snapshot,
            {"true" if feed.consent_assumed else "false"} AS consent_assumed,
            {{
                'file': CAST(_file AS file_name), 'line': _line, 'named': _column, 'version': _version,
                'record': _record
            }} AS source
        FROM ({read}))
    """  # noqa: S608 - identifiers and literals quoted


def _listed(names: list[str]) -> str:
    return ", ".join(literal(name) for name in names)


def _value(table: CanonicalTable, column: CanonicalColumn, settings: Settings) -> str:
    if column.name == table.day:  # was parsed when the row was placed in its day
        return "_at" if column.kind == "time" else f"CAST(timezone({literal(settings.tz)}, _at) AS DATE)"
    return identifier(value_of(column))


def _shape(con: duckdb.DuckDBPyConnection, spec: TableSpec, settings: Settings) -> None:
    """Leaves table ``shaped``: the table's own SQL over ``parsed``."""
    sql = query(spec)
    known = {**{name: list(words) for name, words in VOCABULARY.items()}, "domains": list(settings.domains)}
    used = {name: known[name] for name in set(re.findall(r"\$([a-z_]+)", sql))}
    con.execute("SET VARIABLE domains = ?", [list(settings.domains)])
    con.execute(f"CREATE OR REPLACE TEMP TABLE shaped AS {sql}", used)


def _classify(con: duckdb.DuckDBPyConnection, table: CanonicalTable) -> None:
    """Leaves table ``exceptions`` (row_id, class): every row that is not clean.

    Of rows with one key the newest record is clean: the largest version, then the latest delivery, then the
    last line. Of several copies of one record the first is kept, so that it counts as known since then.
    """
    listed = ", ".join(f"shaped.{identifier(name)}" for name in table.key)
    newest = (
        "TRY_CAST(source.version AS DECIMAL(38,6)) {0} NULLS {1}, source.version {0} NULLS {1}, delivered_ds {0}, "
        "CAST(feed AS VARCHAR) {0}, CAST(source.file AS VARCHAR) {0}, source.line {0}"
    )
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE exceptions AS
        WITH alike AS (  -- equal keys have equal hashes; rows that only share a hash fall apart again below
            SELECT hash({listed}) AS key_hash FROM shaped WHERE reason IS NULL AND NOT erased
            GROUP BY key_hash HAVING count(*) > 1
        ),
        repeated AS (
            SELECT row_id, source.record AS record,
                first_value(source.record) OVER (
                    PARTITION BY {listed} ORDER BY {newest.format("DESC", "LAST")}
                ) AS newest,
                row_number() OVER (
                    PARTITION BY {listed}, source.record ORDER BY {newest.format("ASC", "FIRST")}
                ) AS copy
            FROM (
                SELECT shaped.rowid AS row_id, shaped.* FROM shaped SEMI JOIN alike ON hash({listed}) = key_hash
                WHERE reason IS NULL AND NOT erased
            ) AS shaped
        )
        SELECT rowid AS row_id, 'quarantined' AS class FROM shaped WHERE reason IS NOT NULL
        UNION ALL SELECT rowid, 'suppressed' FROM shaped WHERE reason IS NULL AND erased
        UNION ALL SELECT row_id, if(copy > 1, 'duplicate', 'superseded') FROM repeated
            WHERE copy > 1 OR record <> newest
        """  # noqa: S608 - quoted
    )


def _counts(con: duckdb.DuckDBPyConnection, table: CanonicalTable) -> tuple[RowCount, ...]:
    rows = con.execute(
        """
        WITH excepted AS (
            SELECT feed, delivered_ds, class, count(*) AS rows
            FROM shaped JOIN exceptions ON shaped.rowid = exceptions.row_id GROUP BY ALL
        ),
        whole AS (SELECT feed, delivered_ds, count(*) AS rows FROM shaped GROUP BY ALL)
        SELECT CAST(feed AS VARCHAR) AS feed, delivered_ds, class, CAST(sum(rows) AS BIGINT) AS rows
        FROM (
            SELECT feed, delivered_ds, class, rows FROM excepted
            UNION ALL SELECT feed, delivered_ds, 'clean', rows FROM whole
            UNION ALL SELECT feed, delivered_ds, 'clean', -rows FROM excepted
        )
        GROUP BY ALL HAVING sum(rows) > 0 ORDER BY ALL
        """
    ).fetchall()
    return tuple(RowCount(table.name, *row) for row in rows)


def _check_conservation(con: duckdb.DuckDBPyConnection, table: CanonicalTable, counts: tuple[RowCount, ...]) -> None:
    """Rows of raw = the sum of all classes, for each feed and delivery."""
    rows = con.execute(
        f"SELECT feed, delivered_ds, count(*) FROM raw.{identifier(table.name)} GROUP BY ALL"  # noqa: S608
    ).fetchall()
    read = {(feed, delivered): total for feed, delivered, total in rows}
    found: dict[tuple[str, date], int] = {}
    for count in counts:
        found[count.feed, count.delivered_ds] = found.get((count.feed, count.delivered_ds), 0) + count.rows
    if read != found:
        wrong = sorted(key for key in read.keys() | found.keys() if read.get(key) != found.get(key))
        raise CrossdomainError(
            f"clean.{table.name}: rows are not conserved for feed and delivery {wrong[0]}: "
            f"{read.get(wrong[0], 0)} read, {found.get(wrong[0], 0)} accounted for"
        )


def _quarantined(table: CanonicalTable) -> str:
    """SQL of the quarantined rows with the record as it was delivered."""
    record = ", ".join(f"{identifier(name)} := row.{identifier(name)}" for name in (*table.column_names, "extra"))
    return f"""
        WITH wanted AS MATERIALIZED (
            SELECT shaped.reason AS reason, shaped.source.named AS named, shaped.delivered_ds AS delivered_ds,
                CAST(shaped.feed AS VARCHAR) AS feed, CAST(shaped.source.file AS VARCHAR) AS file,
                shaped.source.line AS line
            FROM shaped JOIN exceptions ON shaped.rowid = exceptions.row_id AND exceptions.class = 'quarantined'
        )
        SELECT {literal(table.name)} AS table_name, wanted.feed AS feed, wanted.delivered_ds AS delivered_ds,
            wanted.reason AS reason,
            coalesce(wanted.named, nullif(regexp_extract(wanted.reason, {literal(COLUMN_OF_REASON)}, 1), ''))
                AS column_name,
            wanted.file AS file, wanted.line AS line, CAST(to_json(struct_pack({record})) AS VARCHAR) AS record
        FROM raw.{identifier(table.name)} AS row
        JOIN wanted ON row._line = wanted.line AND row._file = wanted.file AND row.feed = wanted.feed
            AND row.delivered_ds = wanted.delivered_ds
    """  # noqa: S608 - quoted
