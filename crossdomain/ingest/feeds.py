"""Feed files: what a source delivers and how its columns map onto a canonical table."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import jsonschema
import yaml

from crossdomain.errors import InputError
from crossdomain.ingest.canonical import CANONICAL, CanonicalTable
from crossdomain.settings import Settings

FeedKind = Literal["append", "upsert", "snapshot"]
EPOCHS = {"epoch_seconds": 1, "epoch_milliseconds": 1000}
"""Time formats that count from 1970, and their units in a second."""
_SCHEMA = "feed.schema.json"
_USES = {"format": ("time", "day"), "unit": ("money",), "separator": ("tags",), "strip": ("money", "integer", "number")}


@dataclass(frozen=True)
class SourceColumn:
    """Where a canonical column comes from and how it is written there.

    Attributes:
        column: The canonical column.
        path: Source column; for jsonl a dotted path.
        formats: Time formats that are tried in turn; empty for ISO 8601.
        unit: Unit of money.
        separator: Between tags; None for any of the usual ones.
        strip: Texts cut from either end of numbers.
        required: Files without the column are refused, rows without a value are quarantined.
    """

    column: str
    path: str
    formats: tuple[str, ...] = ()
    unit: Literal["yuan", "fen"] = "yuan"
    separator: str | None = None
    strip: tuple[str, ...] = ()
    required: bool = False


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

    def source(self, column: str) -> SourceColumn:
        """How a canonical column is written; a constant or an absent one is read with the defaults."""
        for source in self.columns:
            if source.column == column:
                return source
        return SourceColumn(column, column)

    def requires(self, column: str) -> bool:
        """Whether a row without this canonical column is quarantined."""
        return self.table.column(column).required or self.source(column).required


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
    columns = tuple(_source_column(name, entry) for name, entry in content["columns"].items())
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
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
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
        first = problems[0]
        where = ".".join(str(step) for step in first.path) or "top level"
        detail = "is neither a source column nor a mapping with 'from'" if first.validator == "oneOf" else first.message
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise InputError(f"{path}: {where}: {detail}{more}; see {_SCHEMA}")


def _source_column(name: str, entry: str | Mapping[str, Any]) -> SourceColumn:
    if isinstance(entry, str):
        return SourceColumn(name, entry)
    formats = entry.get("format", ())
    return SourceColumn(
        column=name,
        path=entry["from"],
        formats=(formats,) if isinstance(formats, str) else tuple(formats),
        unit=entry.get("unit", "yuan"),
        separator=entry.get("separator"),
        strip=tuple(entry.get("strip", ())),
        required=entry.get("required", False),
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
        kind = feed.table.column(source.column).kind
        given = {"format": source.formats, "unit": source.unit != "yuan", "separator": source.separator,
                 "strip": source.strip}  # fmt: skip
        for option, value in given.items():
            if value and kind not in _USES[option]:
                yield f"columns.{source.column}.{option}: is for columns of {' or '.join(_USES[option])}, not {kind}"
        for text in source.formats:
            if text not in EPOCHS and "%" not in text:
                yield f"columns.{source.column}.format: {text!r} is no strptime format and not {' or '.join(EPOCHS)}"
    if feed.kind == "snapshot" and feed.table.day is not None:
        yield f"kind: {feed.table.name} holds what happens, not a state: append or upsert"
    if feed.sheet is not None and feed.format != "xlsx":
        yield "sheet: only xlsx files have sheets"
