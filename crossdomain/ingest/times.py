"""Times and days as sources write them: the SQL that makes instants and days of texts.

Every expression is total: what cannot be read is null, and so are the words that DuckDB takes for times.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from crossdomain.ingest.feeds import EPOCHS, EXCEL_SERIAL, ISO
from crossdomain.storage.engine import identifier, literal

_YEAR_1, _YEAR_9999 = -62135596800, 253402300799  # what an instant can hold, in seconds from 1970
_DAY = "\\d{4}[-/]\\d{1,2}[-/]\\d{1,2}"
_CLOCK = "[ T]\\d{1,2}:\\d{2}(:\\d{2}(\\.\\d+)?)?"
_ZONE = "(Z|z| ?(UTC|GMT)| [A-Z][A-Za-z]+/[A-Za-z_]+| ?[+-]\\d\\d(:?\\d\\d)?)"
_SERIAL, _MIXED_SERIAL = "\\d{1,7}(\\.\\d+)?", "\\d{5}(\\.\\d+)?"
_FIRST_SERIAL, _END_OF_SERIALS = 61, 2958466  # 1900-03-01, since Excel counts a 1900-02-29, to 9999-12-31
_MIXED_EPOCHS = {"epoch_seconds": "\\d{9,10}(\\.\\d+)?", "epoch_milliseconds": "\\d{12,13}"}
"""Among other formats a number is a time only if it can hardly be anything else: from 1970 one from 1973 to 2286,
in a spreadsheet one from 1927 to 2173."""
_SETTLED_BY, _SURE_UNTIL = 2010, 2100
_WORDS = ("infinity", "-infinity", "epoch")
_MEANT_BY_WORDS = "1900-01-01"
"""What DuckDB's strptime makes of its words for times, whatever the format."""


def read_instant(formats: Sequence[str], timezone: str, text: str, name: str) -> tuple[dict[str, str], str]:
    """A time as an instant, in two steps.

    Args:
        formats: Tried in turn: strptime formats, ``iso``, ``epoch_seconds``, ``epoch_milliseconds``,
            ``excel_serial``; none for ``iso``.
        timezone: Zone of times that name none.
        text: SQL of a half-width text.
        name: Of the column; the steps' names begin with ``local`` and end with it.

    Returns:
        SQL of local times by name, and SQL of the instant over them.
    """
    locals_: dict[str, str] = {}
    tried: list[str] = []
    run: list[str] = []
    for is_local, expression in [*_expressions(formats or (ISO,), text), (False, "")]:
        if is_local:
            run.append(expression)
            continue
        if run:
            step = f"local {len(locals_)} {name}"
            locals_[step], run = _first(run), []
            tried.append(_in_zone(identifier(step), timezone, text))
        if expression:
            tried.append(expression)
    return locals_, _first(tried)


def read_day(formats: Sequence[str], text: str) -> str:
    """A calendar day, whatever the zone; times lose their clock.

    Args:
        formats: As for ``read_instant``.
        text: SQL of a half-width text.
    """
    tried = [expression for is_local, expression in _expressions(formats or (ISO,), text) if is_local]
    tried += [f"timezone('UTC', {_epoch(name, text, formats)})" for name in formats if name in EPOCHS]
    days = f"CAST({_first(tried)} AS DATE)"
    return f"CASE WHEN {_is_written(days, text)} THEN {days} END"


def _expressions(formats: Sequence[str], text: str) -> Iterator[tuple[bool, str]]:
    """Whether it is a local time, and the SQL of it, for each format in turn."""
    for name in formats:
        if name == ISO:
            yield (
                True,
                f"CASE WHEN regexp_full_match({text}, '{_DAY}({_CLOCK})?') THEN TRY_CAST({text} AS TIMESTAMP) END",
            )
            yield False, _iso_with_zone(text)
        elif name == EXCEL_SERIAL:
            yield True, _serial(text, _SERIAL if len(formats) == 1 else _MIXED_SERIAL)
        elif name in EPOCHS:
            yield False, _epoch(name, text, formats)
        elif "%z" in name:
            zoned = f"TRY_CAST(try_strptime({_clock_of(text, name)}, {literal(name)}) AS TIMESTAMPTZ)"
            yield False, f"CASE WHEN {_is_written(zoned, text)} THEN {zoned} END"
        else:
            yield True, f"try_strptime({_clock_of(text, name)}, {literal(name)})"


def _first(tried: Sequence[str]) -> str:
    return tried[0] if len(tried) == 1 else f"coalesce({', '.join(tried)})"


def _iso_with_zone(text: str) -> str:
    """Only zones that mean the same everywhere: CST is a zone of China, of Cuba and of the United States."""
    joined = f"replace(replace({text}, ' +', '+'), ' -', '-')"
    return f"CASE WHEN regexp_full_match({text}, '{_DAY}{_CLOCK}{_ZONE}') THEN TRY_CAST({joined} AS TIMESTAMPTZ) END"


def _serial(text: str, written: str) -> str:
    """Days since the end of 1899, as spreadsheets store times; to the second."""
    days = f"TRY_CAST({text} AS DOUBLE)"
    known = f"regexp_full_match({text}, '{written}') AND {days} >= {_FIRST_SERIAL} AND {days} < {_END_OF_SERIALS}"
    return f"CASE WHEN {known} THEN TIMESTAMP '1899-12-30' + to_seconds(CAST(round({days} * 86400) AS BIGINT)) END"


def _epoch(name: str, text: str, formats: Sequence[str]) -> str:
    seconds = f"(TRY_CAST({text} AS DOUBLE) / {EPOCHS[name]})"
    known = f"{seconds} BETWEEN {_YEAR_1} AND {_YEAR_9999}"
    if len(formats) > 1:
        known = f"regexp_full_match({text}, '{_MIXED_EPOCHS[name]}') AND {known}"
    return f"CASE WHEN {known} THEN to_timestamp({seconds}) END"


def _clock_of(text: str, written: str) -> str:
    """The text with Chinese halves of the day in the form that strptime knows."""
    return f"replace(replace({text}, '上午', 'AM'), '下午', 'PM')" if "%p" in written else text


def _is_written(value: str, text: str) -> str:
    return f"isfinite({value}) AND ({value} <> '{_MEANT_BY_WORDS}' OR lower({text}) NOT IN {_WORDS})"


def _in_zone(local: str, timezone: str, text: str) -> str:
    """The instant of a local time."""
    settled = _settled_offset(timezone)
    by_rules = f"timezone({literal(timezone)}, {local})"
    if settled is None:
        return f"CASE WHEN {_is_written(local, text)} THEN {by_rules} END"
    # A zone's rules cost more than reading the time: they are asked only where they may say something else.
    year, offset = settled
    sure = f"{local} BETWEEN TIMESTAMP '{year}-01-01' AND TIMESTAMP '{_SURE_UNTIL}-01-01'"
    fixed = f"make_timestamptz(epoch_us({local}) - {offset // timedelta(microseconds=1)})"
    return f"CASE WHEN {sure} THEN {fixed} WHEN {_is_written(local, text)} THEN {by_rules} END"


@cache
def _settled_offset(timezone: str) -> tuple[int, timedelta] | None:
    """(year, offset) of a zone that keeps one offset since a year that is long past; None for others."""
    zone = ZoneInfo(timezone)
    weeks = (datetime(_SURE_UNTIL, 1, 1, tzinfo=UTC) - timedelta(weeks=week) for week in range(52 * 200))
    offset = datetime(_SURE_UNTIL, 1, 1, tzinfo=UTC).astimezone(zone).utcoffset()
    changed = next((moment for moment in weeks if moment.astimezone(zone).utcoffset() != offset), None)
    year = 1901 if changed is None else changed.year + 2
    return (year, offset) if offset is not None and year <= _SETTLED_BY else None
