"""How the columns of a delivery are written, so that a type that widens is seen before it breaks something.

Of every value its lexical class is found: a whole number that fits 32 bits, a longer one, a decimal one, a day, a
time, a time with its zone, or any other text. The classes of a column are the union over all of its values, not
over a sample: one pass of aggregates over the raw rows, in which numbers and times are tried by casts and most
texts are told by their first character.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import duckdb

from crossdomain.ingest.feeds import Feed
from crossdomain.ingest.mojibake import SCRAMBLED
from crossdomain.storage.engine import identifier, literal

Form = Literal["integer", "long", "decimal", "day", "time", "zoned", "text"]
"""How a value is written; what a form covers comes before it, save that no number covers a day."""

_FORMS: tuple[Form, ...] = get_args(Form)
_COVERED: Mapping[Form, frozenset[Form]] = {
    "integer": frozenset({"long", "decimal", "text"}),
    "long": frozenset({"decimal", "text"}),
    "decimal": frozenset({"text"}),
    "day": frozenset({"time", "text"}),
    "time": frozenset({"text"}),
    "zoned": frozenset({"text"}),
    "text": frozenset(),
}
"""By which other forms each form is covered: a column that had those before loses nothing by it."""
_LAST_DIGIT = ord("9")


@dataclass(frozen=True)
class ColumnForms:
    """How one column of a delivery was written.

    Attributes:
        source_column: Its name in the source.
        column_name: The canonical column that it is mapped to; None if nothing maps it.
        present: Whether the delivery had it; a mapped one that was missing was read as null.
        rows: Records of the delivery, unreadable ones included.
        filled: Those with a value, not counting empty text; None for a column that is neither mapped nor checked.
        forms: Forms that occurred, in the order of ``Form``.
        longest: Bytes of the longest value; None without any.
        scrambled: Values that were decoded with a wrong encoding, at the source or before; what the feed mends is
            counted too.
    """

    source_column: str
    column_name: str | None
    present: bool
    rows: int
    filled: int | None = None
    forms: tuple[Form, ...] = ()
    longest: int | None = None
    scrambled: int | None = None


@dataclass(frozen=True)
class Widening:
    """A column that is written in a way in which it was not before.

    Attributes:
        source_column: Its name in the source.
        column_name: The canonical column; None if it is only checked.
        before: Forms of all earlier deliveries.
        new: Forms of this one that none of those covers.
    """

    source_column: str
    column_name: str | None
    before: tuple[Form, ...]
    new: tuple[Form, ...]

    def __str__(self) -> str:
        into = "checked" if self.column_name is None else self.column_name
        return f"{self.source_column} ({into}): was {', '.join(self.before)}, now also {', '.join(self.new)}"


def observe_columns(
    con: duckdb.DuckDBPyConnection, feed: Feed, raw: str, *, source_columns: Iterable[str], unmapped: Iterable[str] = ()
) -> tuple[ColumnForms, ...]:
    """How the columns of a delivery were written, mapped ones first, then checked ones, then those nobody reads.

    One scan of the raw rows; ten million events with 13 mapped columns cost about five seconds of processor time.

    Args:
        con: A connection.
        feed: The feed.
        raw: SQL of the delivery's rows with the raw columns of the feed's table, ``_at`` and, for checked columns,
            ``extra``.
        source_columns: Columns that any of its files had.
        unmapped: Those of them that nothing maps; kept in ``extra``.
    """
    present = set(source_columns)
    watched: list[tuple[str, str | None, str]] = [
        (source.path, source.column, identifier(source.column)) for source in feed.columns
    ]
    for checked in feed.checked:
        path = f'$."{checked.source.path}"'
        watched.append((checked.source.path, None, f"json_extract_string(extra, {literal(path)})"))
    kinds = {column.name: column.kind for column in feed.table.columns}
    measured = [
        measure
        for _, column, value in watched
        for measure in _measures(
            value,
            times=column is not None and kinds[column] in ("time", "day"),
            read_as="_at" if column == feed.table.day else "NULL",
        )
    ]
    (found,) = con.execute(f"SELECT {', '.join(['count(*)', *measured])} FROM ({raw})").fetchall()  # noqa: S608 - quoted
    rows, each = int(found[0]), len(measured) // max(len(watched), 1)
    columns = []
    for place, (path, column, _) in enumerate(watched):
        filled, forms, longest, scrambled = found[1 + place * each :][:each]
        columns.append(ColumnForms(path, column, path in present, rows, filled, _named(forms or 0), longest, scrambled))
    known = {checked.source.path for checked in feed.checked}
    columns += [ColumnForms(path, None, True, rows) for path in unmapped if path not in known]
    return tuple(columns)


def find_widenings(
    before: Mapping[tuple[str, str | None], Iterable[Form]], now: Iterable[ColumnForms]
) -> tuple[Widening, ...]:
    """Columns that are written in a form that no form of earlier deliveries covers.

    Args:
        before: Forms of all earlier deliveries by (source column, canonical column), as ``known_forms`` gives
            them; a column without any is not judged.
        now: The delivery's columns.

    Returns:
        In the order of ``now``.
    """
    widenings = []
    for column in now:
        known = frozenset(before.get((column.source_column, column.column_name), ()))
        new = [form for form in column.forms if form not in known and not _COVERED[form] & known]
        if known and new:
            in_order = tuple(form for form in _FORMS if form in known)
            widenings.append(Widening(column.source_column, column.column_name, in_order, tuple(new)))
    return tuple(widenings)


def known_forms(con: duckdb.DuckDBPyConnection, earlier: str) -> dict[tuple[str, str | None], frozenset[Form]]:
    """Forms by (source column, canonical column) over earlier deliveries of one feed.

    Args:
        con: A connection.
        earlier: SQL of rows of ``derived.feed_columns``.
    """
    rows = con.execute(
        "SELECT source_column, column_name, list_distinct(flatten(list(forms))) "  # noqa: S608 - the caller's own
        f"FROM ({earlier}) GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    return {(source, column): frozenset(forms) for source, column, forms in rows}


def _measures(value: str, *, times: bool, read_as: str) -> Sequence[str]:
    """Aggregates of one column: values, forms as bits, longest value, scrambled values."""
    # CASE, unlike AND and FILTER, leaves the regular expression to the values that need it.
    scrambled = f"CASE WHEN regexp_matches({value}, {literal(SCRAMBLED)}) THEN 1 END"
    return (
        f"count(nullif({value}, ''))",
        f"bit_or({_form(value, times=times, read_as=read_as)})",
        f"max(strlen({value}))",
        f"count(CASE WHEN strlen({value}) <> length({value}) THEN {scrambled} END)",
    )


def _form(value: str, *, times: bool, read_as: str) -> str:
    """One bit, by position in ``Form``; null for no value.

    Args:
        value: SQL of the text.
        times: Whether the column is one of times or days.
        read_as: SQL of the instant that the feed's formats read in it, where that is known: it need not be tried again.
    """
    bit = {form: str(1 << place) for place, form in enumerate(_FORMS)}
    # A cast to a whole number also takes 12.7, so that points are looked for first; anything but ASCII lies
    # behind the digits, as letters do. A cast that fails is slow: times are told from numbers before.
    return (
        f"CASE WHEN {value} IS NULL OR {value} = '' THEN NULL "
        f"WHEN unicode({value}) > {_LAST_DIGIT} THEN {bit['text']} "
        f"{_moment(value, bit, read_as) if times else ''}"
        f"WHEN contains({value}, '.') THEN "
        f"CASE WHEN TRY_CAST({value} AS DOUBLE) IS NOT NULL THEN {bit['decimal']} ELSE {bit['text']} END "
        f"WHEN TRY_CAST({value} AS INTEGER) IS NOT NULL THEN {bit['integer']} "
        f"WHEN TRY_CAST({value} AS BIGINT) IS NOT NULL THEN {bit['long']} "
        f"WHEN TRY_CAST({value} AS DOUBLE) IS NOT NULL THEN {bit['decimal']} "
        f"ELSE {bit['text']} END"
    )


def _moment(value: str, bit: Mapping[Form, str], read_as: str) -> str:
    clock = f"substring({value}, 12)"
    zoned = f"contains({clock}, '+') OR contains({clock}, '-') OR unicode({value}[-1]) > {_LAST_DIGIT}"
    return (
        f"WHEN contains({value}, '-') OR contains({value}, '/') THEN "
        f"CASE WHEN {read_as} IS NULL AND TRY_CAST({value} AS TIMESTAMP) IS NULL THEN {bit['text']} "
        f"WHEN strlen({value}) <= 10 THEN {bit['day']} WHEN {zoned} THEN {bit['zoned']} ELSE {bit['time']} END "
    )


def _named(bits: int) -> tuple[Form, ...]:
    return tuple(form for place, form in enumerate(_FORMS) if bits >> place & 1)
