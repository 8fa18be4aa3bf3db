"""Raw rows of one business day to clean ones: typed, judged, masked, deduplicated, pseudonymous; none is lost.

The steps are SQL over temporary tables of one connection: ``parsed`` (typed values and the first rule that a
row breaks), ``accounts`` (keys of the people in it), the table's ``query.sql`` (its final shape and its own
rules), ``exceptions`` (every row that is not clean, with its class). What only exceptions need, such as the record as
it was delivered, is looked up in raw for them alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import duckdb
import numpy as np
import pyarrow as pa

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

_FEW = 255
"""A text column with so many different values at most is held as an enumeration: one byte a row."""
_SAMPLE = 20_000
"""Rows in which a column with many different values is told."""
_SAME_ROW = (
    "row._line = {0}.line AND row._file = CAST({0}.file AS VARCHAR) AND row.feed = CAST({0}.feed AS VARCHAR) "
    "AND row.delivered_ds = {0}.delivered_ds"
)
"""Where the row of raw stands that a row comes from."""


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
    present = _feeds_present(con, table)
    if gone := [name for name in present if name not in feeds]:
        raise InputError(f"raw.{table.name} holds rows of feed {gone[0]!r}, but include/feeds/{gone[0]}.yaml is gone")
    if other := [name for name in present if feeds[name].table.name != table.name]:
        raise InputError(f"raw.{table.name} holds rows of feed {other[0]!r}, which now fills another table")
    if present:
        files = con.execute(f"SELECT DISTINCT _file FROM {raw}").fetchall()  # noqa: S608
        _define_enum(con, "feed_name", present)
        _define_enum(con, "file_name", [name for (name,) in files])
        words = _define_words(con, table, feeds)
        return " UNION ALL ".join(_parsed_feed(feeds[name], settings, words) for name in present)
    typed = ", ".join(
        f"CAST(NULL AS {SQL_TYPES[column.kind]}) AS {identifier(column.name)}" for column in table.columns
    )
    return (
        f"SELECT {typed}, CAST(NULL AS VARCHAR) AS reason, feed, delivered_ds, CAST(NULL AS BOOLEAN) AS snapshot, "  # noqa: S608
        f"CAST(NULL AS BOOLEAN) AS consent_assumed, {{'file': _file, 'line': _line}} AS source FROM {raw}"
    )


def _different_values(
    con: duckdb.DuckDBPyConnection, table: CanonicalTable, feeds: Mapping[str, Feed], columns: Sequence[CanonicalColumn]
) -> str:
    """SQL of columns read as ``parsed`` reads them, but each different combination of texts only once."""
    listed = ", ".join(identifier(column.name) for column in columns)
    selects = []
    for name in _feeds_present(con, table):
        texts = f"SELECT DISTINCT {listed} FROM raw.{identifier(table.name)} WHERE feed = {literal(name)}"  # noqa: S608
        values = ", ".join(f"{identifier(value_of(column))} AS {identifier(column.name)}" for column in columns)
        selects.append(f"SELECT {values} FROM ({read_columns(feeds[name], columns, texts)})")  # noqa: S608
    nothing = (
        f"SELECT {', '.join(f'CAST(NULL AS VARCHAR) AS {identifier(column.name)}' for column in columns)} WHERE false"
    )
    return " UNION ALL ".join(selects) or nothing


def _people_named(con: duckdb.DuckDBPyConnection, table: CanonicalTable, feeds: Mapping[str, Feed]) -> str:
    """SQL of the columns that name people."""
    columns = [table.column(name) for name in naming_columns(table)]
    return _different_values(con, table, feeds, columns) if columns else "SELECT NULL WHERE false"


def _feeds_present(con: duckdb.DuckDBPyConnection, table: CanonicalTable) -> list[str]:
    rows = con.execute(f"SELECT DISTINCT feed FROM raw.{identifier(table.name)} ORDER BY feed").fetchall()  # noqa: S608
    return [name for (name,) in rows]


def _define_words(con: duckdb.DuckDBPyConnection, table: CanonicalTable, feeds: Mapping[str, Feed]) -> dict[str, str]:
    """Types of the text columns that say one of a few words, by name; rows of such a type are moved and sorted fast.

    Their values are in the order of texts, so that sorting by them changes nothing.
    """
    texts = [column for column in table.columns if column.kind in ("text", "word")]
    asked = ", ".join(f"approx_count_distinct({identifier(column.name)})" for column in texts)
    listed = ", ".join(identifier(column.name) for column in texts)
    (seen,) = con.execute(
        f"SELECT {asked} FROM (SELECT {listed} FROM raw.{identifier(table.name)} LIMIT {_SAMPLE})"  # noqa: S608 - quoted
    ).fetchall()
    joined = {one.column for feed in feeds.values() if feed.table == table for one in feed.columns if one.joined_with}
    types = {}
    for column, different in zip(texts, seen, strict=True):
        if different > _FEW or column.name in joined:
            continue
        found = con.execute(
            f"SELECT DISTINCT {identifier(column.name)} FROM ({_different_values(con, table, feeds, [column])}) "  # noqa: S608
            f"WHERE {identifier(column.name)} IS NOT NULL LIMIT {_FEW + 1}"
        ).fetchall()
        if len(found) <= _FEW:
            types[column.name] = f"{column.name}_word"
            _define_enum(con, types[column.name], [word for (word,) in found])
    return types


def _define_enum(con: duckdb.DuckDBPyConnection, name: str, words: Iterable[str]) -> None:
    listed = ", ".join(literal(word) for word in sorted(words)) or "''"
    con.execute(f"CREATE OR REPLACE TEMP TYPE {identifier(name)} AS ENUM ({listed})")


def _parsed_feed(feed: Feed, settings: Settings, words: Mapping[str, str]) -> str:
    table = feed.table
    rows = f"SELECT * FROM raw.{identifier(table.name)} WHERE feed = {literal(feed.name)}"  # noqa: S608 - quoted
    read = read_columns(feed, feed.judged_columns, rows)
    values = ", ".join(
        f"{_value(table, column, settings, words)} AS {identifier(column.name)}" for column in table.columns
    )
    return f"""
        (SELECT {values},
            {broken_rule(feed)} AS reason,
            CAST(feed AS feed_name) AS feed, delivered_ds,
            {"true" if feed.kind == "snapshot" else "false"} AS snapshot,
            {"true" if feed.consent_assumed else "false"} AS consent_assumed,
            {{'file': CAST(_file AS file_name), 'line': _line}} AS source
        FROM ({read}))
    """  # noqa: S608 - identifiers and literals quoted


def _value(table: CanonicalTable, column: CanonicalColumn, settings: Settings, words: Mapping[str, str]) -> str:
    if column.name == table.day:  # was parsed when the row was placed in its day
        return "_at" if column.kind == "time" else f"CAST(timezone({literal(settings.tz)}, _at) AS DATE)"
    value = identifier(value_of(column))
    return f"CAST({value} AS {identifier(words[column.name])})" if column.name in words else value


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
    whole = ", ".join(f"row.{identifier(name)}" for name in (*table.column_names, "_version"))
    newest = (
        "TRY_CAST(version AS DECIMAL(38,6)) {0} NULLS {1}, version {0} NULLS {1}, delivered_ds {0}, "
        "CAST(feed AS VARCHAR) {0}, CAST(file AS VARCHAR) {0}, line {0}"
    )
    _keep_repeated_hashes(con, f"hash({listed})")
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE exceptions AS
        WITH alike AS MATERIALIZED (  -- rows that only share a hash fall apart again below
            SELECT shaped.rowid AS row_id, {listed}, feed, delivered_ds, source.file AS file, source.line AS line
            FROM shaped SEMI JOIN repeated_hashes ON hash({listed}) = key_hash
            WHERE reason IS NULL AND NOT erased
        ),
        delivered AS (
            SELECT shaped.*, row._version AS version, hash({whole}) AS record
            FROM alike AS shaped JOIN raw.{identifier(table.name)} AS row ON {_SAME_ROW.format("shaped")}
        ),
        repeated AS (
            SELECT row_id, record,
                first_value(record) OVER (PARTITION BY {listed} ORDER BY {newest.format("DESC", "LAST")}) AS newest,
                row_number() OVER (PARTITION BY {listed}, record ORDER BY {newest.format("ASC", "FIRST")}) AS copy
            FROM delivered AS shaped
        )
        SELECT rowid AS row_id, 'quarantined' AS class FROM shaped WHERE reason IS NOT NULL
        UNION ALL SELECT rowid, 'suppressed' FROM shaped WHERE reason IS NULL AND erased
        UNION ALL SELECT row_id, if(copy > 1, 'duplicate', 'superseded') FROM repeated
            WHERE copy > 1 OR record <> newest
        """  # noqa: S608 - quoted
    )


def _keep_repeated_hashes(con: duckdb.DuckDBPyConnection, key_hash: str) -> None:
    """Leaves table ``repeated_hashes`` (key_hash): equal keys have equal hashes, and most keys stand once.

    Sorting the hashes alone takes a tenth of the time that grouping by them takes.
    """
    usable = con.execute(f"SELECT {key_hash} AS key_hash FROM shaped WHERE reason IS NULL AND NOT erased")  # noqa: S608
    hashes = np.sort(np.ma.getdata(usable.fetchnumpy()["key_hash"]))
    repeated = np.unique(hashes[1:][hashes[1:] == hashes[:-1]])
    con.register("found_hashes", pa.table({"key_hash": pa.array(repeated, pa.uint64())}))
    con.execute("CREATE OR REPLACE TEMP TABLE repeated_hashes AS FROM found_hashes")
    con.unregister("found_hashes")


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
            SELECT shaped.reason AS reason, shaped.delivered_ds AS delivered_ds, shaped.feed AS feed,
                shaped.source.file AS file, shaped.source.line AS line
            FROM shaped JOIN exceptions ON shaped.rowid = exceptions.row_id AND exceptions.class = 'quarantined'
        )
        SELECT {literal(table.name)} AS table_name, row.feed AS feed, row.delivered_ds AS delivered_ds,
            wanted.reason AS reason,
            coalesce(row._column, nullif(regexp_extract(wanted.reason, {literal(COLUMN_OF_REASON)}, 1), ''))
                AS column_name,
            row._file AS file, row._line AS line, CAST(to_json(struct_pack({record})) AS VARCHAR) AS record
        FROM raw.{identifier(table.name)} AS row JOIN wanted ON {_SAME_ROW.format("wanted")}
    """  # noqa: S608 - quoted
