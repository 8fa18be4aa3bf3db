"""Text values to typed ones: the SQL that reads each canonical column as its feed writes it.

Every expression is total: a value that cannot be read becomes null, never an error, so that the row can be
quarantined with its reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from crossdomain.ingest.canonical import CanonicalColumn, ColumnKind
from crossdomain.ingest.feeds import Feed, SourceColumn
from crossdomain.ingest.repair import BLANK, half_width, html_unescaped, repairs_of, trimmed, without_affixes
from crossdomain.ingest.times import read_day, read_instant
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

_THOUSANDS = r"[-+]?\d{1,3}(,\d{3})+(\.\d+)?"
_TAG_SEPARATORS = r"[,，、;；|]"
_TRUE = ("true", "t", "1", "yes", "y", "是")
_FALSE = ("false", "f", "0", "no", "n", "否")
_Level = dict[str, str]


def read_columns(feed: Feed, columns: Sequence[CanonicalColumn], relation: str) -> str:
    """SQL that adds to each row of a relation, for every column ``c``, its ``text c`` and its ``value c``.

    The text is the raw value without white space, byte order marks and zero-width spaces at its ends and with
    what the feed declares to be mended, null if nothing is left. The value is typed, and null where the text is
    null or cannot be read. The steps are nested queries, so that each is computed once; a column for which the
    feed declares nothing has no more of them than its kind needs.

    Args:
        feed: Says how the source writes the columns.
        columns: Columns of the feed's table, or ``feed.judged_columns``.
        relation: SQL of rows with the raw columns, and ``extra`` where checked ones are read; the connection needs
            ``define_repairs`` for rich text and for the repairs ``html`` and ``mojibake``.
    """
    half = {f"half {column.name}": half_width(identifier(text_of(column))) for column in columns if _is_coded(column)}
    plain = {
        f"plain {column.name}": _plain_number(feed.source(column.name), identifier(f"half {column.name}"))
        for column in columns
        if column.kind in NUMBER_KINDS
    }
    typed, values = _typed(feed, columns)
    for level in (*_texts(feed, columns), half, plain, typed, values):
        if level:
            added = "".join(f", {expression} AS {identifier(name)}" for name, expression in level.items())
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
    return trimmed(identifier(column))


def text_as_read(feeds: Mapping[str, Feed], column: str) -> str:
    """SQL of a column's text as ``read_columns`` reads it, in one expression, for rows of any feed.

    Args:
        feeds: All feeds; rows of others are only trimmed.
        column: A raw text column, qualified if need be; the rows need ``feed``, qualified alike.
    """
    qualifier, _, name = column.rpartition(".")
    told_apart = []
    for feed in feeds.values():
        steps = _text_steps(feed, feed.table.column(name)) if name in feed.table.column_names else []
        if len(steps) > 1:
            text = identifier(column)
            for step in steps:
                text = step(text)
            told_apart.append(f"WHEN {literal(feed.name)} THEN {text}")
    if not told_apart:
        return cleaned_text(column)
    feed_column = identifier(f"{qualifier}.feed" if qualifier else "feed")
    return f"CASE {feed_column} {' '.join(told_apart)} ELSE {cleaned_text(column)} END"


def _raw_value(feed: Feed, column: CanonicalColumn) -> str:
    """A value as delivered: checked columns lie in ``extra``, under their name in the source."""
    for checked in feed.checked:
        if checked.column == column:
            path = f'$."{checked.source.path}"'
            return f"json_extract_string(extra, {literal(path)})"
    return identifier(column.name)


def _texts(feed: Feed, columns: Sequence[CanonicalColumn]) -> list[_Level]:
    """Levels that end with every column's text."""
    levels: list[_Level] = []
    for column in columns:
        current = _raw_value(feed, column)
        steps = _text_steps(feed, column)
        for depth, step in enumerate(steps):
            if depth == len(levels):
                levels.append({})
            name = text_of(column) if depth == len(steps) - 1 else f"step {depth} {column.name}"
            levels[depth][name] = step(current)
            current = identifier(name)
    return levels


def _text_steps(feed: Feed, column: CanonicalColumn) -> list[Callable[[str], str]]:
    source = feed.source(column.name)
    steps = [trimmed, *repairs_of(source, feed.nulls)]
    if source.strip and column.kind not in NUMBER_KINDS:  # of numbers when their characters are half width
        steps.append(lambda text: f"nullif({without_affixes(text, source.strip)}, '')")
    return steps


def _is_coded(column: CanonicalColumn) -> bool:
    """Whether full-width characters mean the same as half-width ones."""
    return column.kind in (*NUMBER_KINDS, "time", "day")


def _typed(feed: Feed, columns: Sequence[CanonicalColumn]) -> tuple[_Level, _Level]:
    """What values are computed from, and the values."""
    before: _Level = {}
    values: _Level = {}
    for column in columns:
        source, half = feed.source(column.name), identifier(f"half {column.name}")
        if column.kind == "time":
            steps, values[value_of(column)] = read_instant(source.formats, feed.timezone, half, column.name)
            before |= steps
        elif column.kind == "integer":
            cast = f"cast {column.name}"
            before[cast] = f"TRY_CAST({identifier(f'plain {column.name}')} AS BIGINT)"
            values[value_of(column)] = _integer(identifier(cast), identifier(f"plain {column.name}"))
        else:
            values[value_of(column)] = _value(feed, column)
    return before, values


def _value(feed: Feed, column: CanonicalColumn) -> str:
    source, text = feed.source(column.name), identifier(text_of(column))
    plain = identifier(f"plain {column.name}")
    match column.kind:
        case "rich_text":
            return _rich_text(text)
        case "word":
            return f"lower({text})"
        case "day":
            return read_day(source.formats, identifier(f"half {column.name}"))
        case "money":
            return _money(source, plain)
        case "number":
            written = "[-+]?\\d+(\\.\\d+)?([eE][-+]?\\d+)?"
            return f"CASE WHEN regexp_full_match({plain}, '{written}') THEN TRY_CAST({plain} AS DOUBLE) END"
        case "boolean":
            return f"CASE WHEN lower({text}) IN {_TRUE} THEN true WHEN lower({text}) IN {_FALSE} THEN false END"
        case "tags":
            return _tags(source, text)
        case _:
            return _joined(source, text)


def _joined(source: SourceColumn, text: str) -> str:
    """An id that is unique only together with other columns; a part that is missing leaves its place empty."""
    parts = "".join(f" || '/' || coalesce({identifier(f'text {name}')}, '')" for name in source.joined_with)
    return f"{text}{parts}"


def _rich_text(text: str) -> str:
    plain = f"CASE WHEN contains({text}, '<') THEN regexp_replace({text}, '<br\\s*/?>', chr(10), 'gi') ELSE {text} END"
    return html_unescaped(text, plain)


def _plain_number(source: SourceColumn, half: str) -> str:
    """A number's text without what the feed strips and without separators between thousands."""
    number = without_affixes(half, source.strip)
    grouped = f"contains({number}, ',') AND regexp_full_match({number}, '{_THOUSANDS}')"
    return f"CASE WHEN {grouped} THEN replace({number}, ',', '') ELSE {number} END"


def _integer(cast: str, number: str) -> str:
    # A cast also takes 1e3, 0x1F and 12.7: most texts are what the cast gives, the others are looked at.
    whole = f"TRY_CAST(split_part({number}, '.', 1) AS BIGINT)"
    return (
        f"CASE WHEN CAST({cast} AS VARCHAR) = {number} THEN {cast} "
        f"WHEN regexp_full_match({number}, '[-+]?\\d+(\\.0+)?') THEN {whole} END"
    )


def _money(source: SourceColumn, number: str) -> str:
    """An amount in yuan, rounded half away from zero; of fen up to a hundred million million."""
    exact = f"TRY_CAST({number} AS DECIMAL(18,2))"
    if source.unit == "fen":
        exact = f"CAST(TRY_CAST({number} AS DECIMAL(16,2)) * CAST(0.01 AS DECIMAL(2,2)) AS DECIMAL(18,2))"
    return f"CASE WHEN regexp_full_match({number}, '[-+]?\\d+(\\.\\d+)?') THEN {exact} END"


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
    trimmed = f"list_filter(list_transform({listed}, lambda tag: trim(tag, {literal(BLANK)})), lambda tag: tag <> '')"
    return f"list_filter({trimmed}, lambda tag, position: list_position({trimmed}, tag) = position)"
