"""Text values to typed ones: the SQL that reads each canonical column as its feed writes it.

Every expression is total: a value that cannot be read becomes null, never an error, so that the row can be
quarantined with its reason.
"""

from __future__ import annotations

import string
from collections.abc import Sequence

from crossdomain.ingest.canonical import CanonicalColumn, ColumnKind
from crossdomain.ingest.feeds import EPOCHS, Feed, SourceColumn
from crossdomain.storage.engine import identifier, literal

SQL_TYPES: dict[ColumnKind, str] = {
    "text": "VARCHAR",
    "rich_text": "VARCHAR",
    "word": "VARCHAR",
    "time": "TIMESTAMPTZ",
    "day": "DATE",
    "money": "DECIMAL(18,2)",
    "integer": "BIGINT",
    "number": "DOUBLE",
    "boolean": "BOOLEAN",
    "tags": "VARCHAR[]",
}
"""DuckDB type of each kind of column."""

NUMBER_KINDS = ("money", "integer", "number")
TEXT_KINDS = ("text", "rich_text", "word")

_BLANK = " \t\r\n\v\f\u00a0\u3000\ufeff\u200b"
_FULL_WIDTH = "".join(chr(code + 0xFEE0) for code in range(0x21, 0x7F))
_HALF_WIDTH = "".join(chr(code) for code in range(0x21, 0x7F))
_THOUSANDS = r"[-+]?\d{1,3}(,\d{3})+(\.\d+)?"
_OFFSET = r":\d\d(\.\d+)?\s*(Z|z|[+-]\d\d(:?\d\d)?)$"
_ENTITIES = {"&nbsp;": " ", "&lt;": "<", "&gt;": ">", "&quot;": '"', "&#39;": "'", "&amp;": "&"}
_TAG_SEPARATORS = r"[,，、;；|]"
_YEAR_1, _YEAR_9999 = -62135596800, 253402300799  # what an instant can hold, in seconds from 1970
_TRUE = ("true", "t", "1", "yes", "y", "是")
_FALSE = ("false", "f", "0", "no", "n", "否")


def read_columns(feed: Feed, columns: Sequence[CanonicalColumn], relation: str) -> str:
    """SQL that adds to each row of a relation, for every column ``c``, its ``text c`` and its ``value c``.

    The text is the raw value without white space, byte order marks and zero-width spaces at its ends, null if
    nothing is left. The value is typed, and null where the text is null or cannot be read. The steps are
    nested queries, so that each is computed once.

    Args:
        feed: Says how the source writes the columns.
        columns: Columns of the feed's table.
        relation: SQL of rows with the raw columns.
    """
    steps = (
        {text_of(column): cleaned_text(column.name) for column in columns},
        {f"half {column.name}": _half_width(identifier(text_of(column))) for column in columns if _is_coded(column)},
        {
            f"plain {column.name}": _plain_number(feed.source(column.name), identifier(f"half {column.name}"))
            for column in columns
            if column.kind in NUMBER_KINDS
        },
        {value_of(column): _value(feed, column) for column in columns},
    )
    for step in steps:
        added = "".join(f", {expression} AS {identifier(name)}" for name, expression in step.items())
        relation = f"SELECT *{added} FROM ({relation})"  # noqa: S608 - identifiers and literals quoted
    return relation


def text_of(column: CanonicalColumn) -> str:
    """Name of a column's text in the rows of ``read_columns``."""
    return f"text {column.name}"


def value_of(column: CanonicalColumn) -> str:
    """Name of a column's typed value in the rows of ``read_columns``."""
    return f"value {column.name}"


def cleaned_text(column: str) -> str:
    """A raw value without white space, byte order marks and zero-width spaces at its ends; null if nothing is left."""
    value, blank = identifier(column), tuple(map(ord, _BLANK))
    # Trimming a set of characters is slow: it is left to the few values that need it.
    return (
        f"nullif(CASE WHEN unicode({value}) IN {blank} OR unicode({value}[-1]) IN {blank} "
        f"THEN trim({value}, {literal(_BLANK)}) ELSE {value} END, '')"
    )


def _is_coded(column: CanonicalColumn) -> bool:
    """Whether full-width characters mean the same as half-width ones."""
    return column.kind in (*NUMBER_KINDS, "time", "day")


def _value(feed: Feed, column: CanonicalColumn) -> str:
    source, text = feed.source(column.name), identifier(text_of(column))
    half, plain = identifier(f"half {column.name}"), identifier(f"plain {column.name}")
    match column.kind:
        case "text":
            return text
        case "rich_text":
            return _rich_text(text)
        case "word":
            return f"lower({text})"
        case "time":
            return _instant(source, feed.timezone, half)
        case "day":
            return _day(source, half)
        case "money":
            return _money(source, plain)
        case "integer":
            whole = f"TRY_CAST(split_part({plain}, '.', 1) AS BIGINT)"
            return f"CASE WHEN regexp_full_match({plain}, '[-+]?\\d+(\\.0+)?') THEN {whole} END"
        case "number":
            written = "[-+]?\\d+(\\.\\d+)?([eE][-+]?\\d+)?"
            return f"CASE WHEN regexp_full_match({plain}, '{written}') THEN TRY_CAST({plain} AS DOUBLE) END"
        case "boolean":
            return f"CASE WHEN lower({text}) IN {_TRUE} THEN true WHEN lower({text}) IN {_FALSE} THEN false END"
        case "tags":
            return _tags(source, text)


def _half_width(text: str) -> str:
    # strlen counts bytes: where it equals the length all characters are ASCII already.
    translated = f"translate({text}, {literal(_FULL_WIDTH)}, {literal(_HALF_WIDTH)})"
    return f"CASE WHEN strlen({text}) = length({text}) THEN {text} ELSE {translated} END"


def _rich_text(text: str) -> str:
    plain = f"CASE WHEN contains({text}, '<') THEN regexp_replace({text}, '<br\\s*/?>', chr(10), 'gi') ELSE {text} END"
    replaced = plain
    for entity, character in _ENTITIES.items():
        replaced = f"replace({replaced}, {literal(entity)}, {literal(character)})"
    return f"CASE WHEN contains({text}, '&') THEN {replaced} ELSE {plain} END"


def _instant(source: SourceColumn, timezone: str, text: str) -> str:
    """A time as an instant: without zone it is local to the feed's zone."""
    if not source.formats:
        with_offset = f"TRY_CAST({text} AS TIMESTAMPTZ)"
        local = f"timezone({literal(timezone)}, TRY_CAST({text} AS TIMESTAMP))"
        return _finite(f"CASE WHEN regexp_matches({text}, '{_OFFSET}') THEN {with_offset} ELSE {local} END")
    tried = []
    for written in source.formats:
        if written in EPOCHS:
            seconds = f"(TRY_CAST({text} AS DOUBLE) / {EPOCHS[written]})"
            tried.append(f"CASE WHEN {seconds} BETWEEN {_YEAR_1} AND {_YEAR_9999} THEN to_timestamp({seconds}) END")
        elif "%z" in written:
            tried.append(f"TRY_CAST(try_strptime({text}, {literal(written)}) AS TIMESTAMPTZ)")
        else:
            tried.append(f"timezone({literal(timezone)}, try_strptime({text}, {literal(written)}))")
    return f"coalesce({', '.join(tried)})"


def _day(source: SourceColumn, text: str) -> str:
    if not source.formats:
        return _finite(f"TRY_CAST({text} AS DATE)")
    tried = ", ".join(f"CAST(try_strptime({text}, {literal(written)}) AS DATE)" for written in source.formats)
    return f"coalesce({tried})"


def _finite(value: str) -> str:
    """``infinity`` and its like are valid to DuckDB and nobody's time."""
    return f"CASE WHEN isfinite({value}) THEN {value} END"


def _plain_number(source: SourceColumn, half: str) -> str:
    """A number's text without what the feed strips and without separators between thousands."""
    number = half
    for part in source.strip:
        number = f"trim(regexp_replace({number}, {literal(f'^({_escaped(part)})|({_escaped(part)})$')}, '', 'g'))"
    grouped = f"contains({number}, ',') AND regexp_full_match({number}, '{_THOUSANDS}')"
    return f"CASE WHEN {grouped} THEN replace({number}, ',', '') ELSE {number} END"


def _escaped(text: str) -> str:
    return "".join(f"\\{character}" if character in string.punctuation else character for character in text)


def _money(source: SourceColumn, number: str) -> str:
    factor = "0.01" if source.unit == "fen" else "1.00"
    exact = f"TRY_CAST({number} AS DECIMAL(20,4)) * CAST({factor} AS DECIMAL(3,2))"
    return f"CASE WHEN regexp_full_match({number}, '[-+]?\\d+(\\.\\d+)?') THEN TRY_CAST({exact} AS DECIMAL(18,2)) END"


def _tags(source: SourceColumn, text: str) -> str:
    if source.separator is not None:
        parts = f"string_split({text}, {literal(source.separator)})"
    else:
        parts = f"string_split_regex({text}, '{_TAG_SEPARATORS}')"
    listed = (
        f"CASE WHEN starts_with({text}, '[') AND json_valid({text}) "
        f"THEN CAST(json_extract_string({text}, '$[*]') AS VARCHAR[]) "
        f"ELSE {parts} END"
    )
    trimmed = f"list_filter(list_transform({listed}, lambda tag: trim(tag, {literal(_BLANK)})), lambda tag: tag <> '')"
    return f"list_filter({trimmed}, lambda tag, position: list_position({trimmed}, tag) = position)"
