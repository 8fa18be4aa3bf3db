"""Feed files: what a source delivers and how its columns map onto a canonical table."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import jsonschema
import pyarrow as pa
import pyarrow.compute as pc
import yaml

from crossdomain.errors import InputError
from crossdomain.ingest.canonical import CANONICAL, CanonicalColumn, CanonicalTable, ColumnKind
from crossdomain.settings import Settings

FeedKind = Literal["append", "upsert", "snapshot"]
Repair = Literal["mojibake", "html", "invisible", "width", "spaces"]
EPOCHS = {"epoch_seconds": 1, "epoch_milliseconds": 1000}
"""Time formats that count from 1970, and their units in a second."""
ISO, EXCEL_SERIAL = "iso", "excel_serial"
"""Time formats with a name of their own: ISO 8601 with or without zone, and days since the end of 1899."""
_SCHEMA = "feed.schema.json"
_TEXTS: tuple[ColumnKind, ...] = ("text", "word", "rich_text", "tags")
_USES: Mapping[str, tuple[ColumnKind, ...]] = {
    "format": ("time", "day"),
    "unit": ("money",),
    "separator": ("tags",),
    "strip": ("money", "integer", "number", "text", "word", "time", "day"),
    "repair": _TEXTS,
    "pattern": ("text", "word"),
    "among": ("text", "word"),
    "joined_with": ("text",),
}


@dataclass(frozen=True)
class SourceColumn:
    """Where a canonical column comes from and how it is written there.

    Attributes:
        column: The canonical column.
        path: Source column; for jsonl a dotted path.
        formats: Time formats that are tried in turn; empty for ISO 8601.
        unit: Unit of money.
        separator: Between tags; None for any of the usual ones.
        strip: Texts cut from either end.
        required: Files without the column are refused, rows without a value are quarantined.
        repair: What is mended in its texts, whatever the order here in that of ``crossdomain.ingest.repair``.
        replace: Whole values that stand for another one, or for none.
        pattern: Regular expression (RE2) that a whole value must match.
        among: The only values that there are; empty for any.
        joined_with: Canonical columns whose values make this one unique, joined to it by ``/``.
    """

    column: str
    path: str
    formats: tuple[str, ...] = ()
    unit: Literal["yuan", "fen"] = "yuan"
    separator: str | None = None
    strip: tuple[str, ...] = ()
    required: bool = False
    repair: tuple[Repair, ...] = ()
    replace: Mapping[str, str | None] = field(default_factory=dict)
    pattern: str | None = None
    among: tuple[str, ...] = ()
    joined_with: tuple[str, ...] = ()


@dataclass(frozen=True)
class CheckedColumn:
    """A source column that no canonical column takes, and that is read and judged all the same.

    Attributes:
        column: How it is read; its name is not the source's, which may hold any character.
        source: How the source writes it.
    """

    column: CanonicalColumn
    source: SourceColumn


@dataclass(frozen=True)
class Feed:
    """One source feed; see ``include/feeds/feed.schema.json`` for what its file may say."""

    name: str
    table: CanonicalTable
    kind: FeedKind
    format: Literal["csv", "tsv", "jsonl", "parquet", "xlsx"]
    encoding: str
    sheet: str | None
    timezone: str
    expected: Literal["daily", "any"]
    late_days: int
    may_be_empty: bool
    consent_assumed: bool
    version: str | None
    constants: Mapping[str, str]
    ignore: frozenset[str]
    columns: tuple[SourceColumn, ...]
    digest: str
    nulls: tuple[str, ...] = ()
    checked: tuple[CheckedColumn, ...] = ()

    @property
    def judged_columns(self) -> tuple[CanonicalColumn, ...]:
        """The table's columns and the checked ones: everything that is read of a row, in order."""
        return (*self.table.columns, *(checked.column for checked in self.checked))

    def source(self, column: str) -> SourceColumn:
        """How a column is written; a constant or an absent one is read with the defaults."""
        for source in (*self.columns, *(checked.source for checked in self.checked)):
            if source.column == column:
                return source
        return SourceColumn(column, column)

    def label(self, column: str) -> str:
        """What people call a column: a checked one by its name in the source."""
        return next((checked.source.path for checked in self.checked if checked.column.name == column), column)

    def requires(self, column: str) -> bool:
        """Whether a row without this column is quarantined."""
        always = any(one.name == column and one.required for one in self.table.columns)
        return always or self.source(column).required


def load_feeds(settings: Settings) -> dict[str, Feed]:
    """All feeds of ``include/feeds``, by name.

    Raises:
        InputError: A file is not a feed; the message names file and key. Or there is no feed at all.
    """
    folder = settings.include / "feeds"
    paths = sorted(folder.glob("*.yaml"))
    if not paths:
        raise InputError(f"{folder} holds no feed: write a <feed>.yaml there (see {_SCHEMA})")
    return {path.stem: load_feed(path, settings) for path in paths}


def load_feed(path: Path, settings: Settings) -> Feed:
    """One feed file.

    Raises:
        InputError: The file is not YAML, does not fit the schema, or names a table or column that does not
            exist; the message names file and key.
    """
    content = read_yaml(path)
    _check_schema(path, content)
    if content["feed"] != path.stem:
        raise InputError(f"{path}: feed is {content['feed']!r}, the file must be named {content['feed']}.yaml")
    table = CANONICAL.get(content["table"])
    if table is None:
        raise InputError(f"{path}: table {content['table']!r} is not one of {', '.join(CANONICAL)}")
    timezone = content.get("timezone", settings.tz)
    try:
        ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError):
        raise InputError(f"{path}: timezone {timezone!r} is not an IANA zone such as Asia/Shanghai") from None
    mended = tuple(content.get("repair", ()))
    columns = tuple(_source_column(name, entry, table, mended) for name, entry in content["columns"].items())
    constants = {name: _constant(value) for name, value in content.get("constants", {}).items()}
    feed = Feed(
        name=content["feed"],
        table=table,
        kind=content["kind"],
        format=content["format"],
        encoding=content.get("encoding", "utf-8"),
        sheet=content.get("sheet"),
        timezone=timezone,
        expected=content.get("expected", "any"),
        late_days=content.get("late_days", settings.late_days),
        may_be_empty=content.get("may_be_empty", False),
        consent_assumed=content.get("consent") == "assumed",
        version=content.get("version"),
        constants=constants,
        ignore=frozenset(content.get("ignore", ())),
        columns=columns,
        nulls=tuple(content.get("nulls", ())),
        checked=tuple(
            _checked_column(position, name, entry)
            for position, (name, entry) in enumerate(content.get("checked", {}).items(), 1)
        ),
        digest=blake2b(json.dumps([content, timezone], sort_keys=True).encode(), digest_size=10).hexdigest(),
    )
    _check_mapping(path, feed)
    return feed


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping.

    Raises:
        InputError: The file is not UTF-8, not YAML or not a mapping.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: not a text file in UTF-8 (byte {error.start}); is it another kind of file?"
        ) from None
    except (yaml.YAMLError, ValueError) as error:  # a date that does not exist is a ValueError
        raise InputError(f"{path}: not YAML: {error}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: must be a mapping of keys to values, not {type(content).__name__}")
    return content


@cache
def _validator(path: Path) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads(path.read_text(encoding="utf-8")))


def _check_schema(path: Path, content: Mapping[str, Any]) -> None:
    problems = sorted(_validator(path.parent / _SCHEMA).iter_errors(content), key=lambda e: list(map(str, e.path)))
    if problems:
        where, detail = _described(problems[0])
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise InputError(f"{path}: {where or 'top level'}: {detail}{more}; see {_SCHEMA}")


def _described(problem: jsonschema.ValidationError) -> tuple[str, str]:
    """Where a schema is broken and how; of a column's mapping, what is wrong inside it."""
    if problem.validator == "oneOf":
        inside = [inner for inner in problem.context or () if isinstance(problem.instance, dict) and inner.path]
        inside += [inner for inner in problem.context or () if inner.validator == "additionalProperties"]
        if inside:
            return _described(inside[0])
        return _place(problem), "is neither a source column nor a mapping with 'from'"
    return _place(problem), problem.message


def _place(problem: jsonschema.ValidationError) -> str:
    return ".".join(str(step) for step in problem.absolute_path)


def _source_column(
    name: str, entry: str | Mapping[str, Any], table: CanonicalTable, mended: tuple[Repair, ...]
) -> SourceColumn:
    """A mapping; what the feed mends in all of its texts is mended in this one, unless it says so itself."""
    kinds = {column.name: column.kind for column in table.columns}
    default = mended if kinds.get(name) in _USES["repair"] else ()
    if isinstance(entry, str):
        return SourceColumn(name, entry, repair=default)
    return _reading(name, entry["from"], entry, default)


def _checked_column(position: int, name: str, entry: Mapping[str, Any]) -> CheckedColumn:
    own = f"checked {position}"
    return CheckedColumn(CanonicalColumn(own, entry["kind"]), _reading(own, name, entry, ()))


def _reading(name: str, path: str, entry: Mapping[str, Any], mended: tuple[Repair, ...]) -> SourceColumn:
    formats = entry.get("format", ())
    return SourceColumn(
        column=name,
        path=path,
        formats=(formats,) if isinstance(formats, str) else tuple(formats),
        unit=entry.get("unit", "yuan"),
        separator=entry.get("separator"),
        strip=tuple(entry.get("strip", ())),
        required=entry.get("required", False),
        repair=tuple(entry.get("repair", mended)),
        replace=dict(entry.get("replace", {})),
        pattern=entry.get("pattern"),
        among=tuple(entry.get("among", ())),
        joined_with=tuple(entry.get("joined_with", ())),
    )


def _constant(value: str | float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _check_mapping(path: Path, feed: Feed) -> None:
    known = feed.table.column_names
    named = [source.column for source in feed.columns]
    if unknown := [name for name in [*named, *feed.constants] if name not in known]:
        raise InputError(
            f"{path}: columns.{unknown[0]}: table {feed.table.name} has no such column; it has {', '.join(known)}"
        )
    if both := set(named) & set(feed.constants):
        raise InputError(f"{path}: {sorted(both)[0]} is both mapped and constant")
    required = [column.name for column in feed.table.columns if column.required]
    if missing := [name for name in required if name not in named and name not in feed.constants]:
        raise InputError(
            f"{path}: columns.{missing[0]}: table {feed.table.name} requires it; map it or give a constant"
        )
    for problem in _misused_options(feed):
        raise InputError(f"{path}: {problem}")


def _misused_options(feed: Feed) -> Iterator[str]:
    for source in feed.columns:
        where = f"columns.{source.column}"
        yield from _misused(where, source, feed.table.column(source.column).kind)
        yield from _misjoined(where, feed, source)
    for checked in feed.checked:
        where = f"checked.{checked.source.path}"
        yield from _misused(where, checked.source, checked.column.kind)
        if checked.source.path in {source.path for source in feed.columns}:
            yield f"{where}: is mapped already; give its rules there"
        if checked.source.path in feed.ignore or "*" in feed.ignore:
            yield f"{where}: is ignored, so that there is nothing to check"
    if feed.kind == "snapshot" and feed.table.day is not None:
        yield f"kind: {feed.table.name} holds what happens, not a state: append or upsert"
    if feed.sheet is not None and feed.format != "xlsx":
        yield "sheet: only xlsx files have sheets"


def _misused(where: str, source: SourceColumn, kind: ColumnKind) -> Iterator[str]:
    given = {
        "format": source.formats, "unit": source.unit != "yuan", "separator": source.separator, "strip": source.strip,
        "repair": source.repair, "pattern": source.pattern, "among": source.among, "joined_with": source.joined_with,
    }  # fmt: skip
    for option, value in given.items():
        if value and kind not in _USES[option]:
            yield f"{where}.{option}: is for columns of {' or '.join(_USES[option])}, not {kind}"
    named = (ISO, EXCEL_SERIAL, *EPOCHS)
    for text in source.formats:
        if text not in named and "%" not in text:
            yield f"{where}.format: {text!r} is no strptime format and not {' or '.join(named)}"
    if source.pattern is not None:
        try:
            pc.match_substring_regex(pa.array([""]), source.pattern)
        except pa.ArrowInvalid as error:
            yield f"{where}.pattern: {source.pattern!r} is no regular expression: {error}"


def _misjoined(where: str, feed: Feed, source: SourceColumn) -> Iterator[str]:
    given = {*feed.constants, *(other.column for other in feed.columns)} - {source.column}
    if unknown := [name for name in source.joined_with if name not in given]:
        yield f"{where}.joined_with: {unknown[0]!r} is no other column of this feed"
    if source.joined_with and source.column in {column for _, column in feed.table.accounts}:
        yield f"{where}.joined_with: names people; an id that is made up would be known nowhere else"
