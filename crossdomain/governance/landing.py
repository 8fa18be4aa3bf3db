"""People in delivered files: found by what the feed says of the file, taken out without moving other records."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Literal

import duckdb

from crossdomain.errors import CrossdomainError
from crossdomain.governance.subjects import ERASED, Subject, word_pattern
from crossdomain.storage import delivered_files as files

BLANKS = " \t\r\n\v\f\u00a0\u3000\ufeff\u200b"
"""What ingest takes off the ends of a text."""

_FEW = 10
_LONGEST_CELL = 1 << 30
_SHARED_UNITS = ("device", "session")
Verdict = Literal["own", "mention"]
"""What a record is to a person: their own, or another's that holds their id."""


@dataclass(frozen=True)
class FileForm:
    """How a feed writes the columns that identify people.

    Attributes:
        format: csv, tsv, jsonl, parquet or xlsx.
        encoding: Of text.
        sheet: Of a workbook; None for its first.
        sources: Source column (of jsonl a dotted path) by canonical column, for ids, domain and unit type.
        constants: Values that the feed gives for all records, by canonical column.
        ids: Canonical columns of the feed's table that hold ids of people.
    """

    format: str
    encoding: str
    sheet: str | None
    sources: Mapping[str, str]
    constants: Mapping[str, str]
    ids: Sequence[str]


@dataclass(frozen=True)
class Found:
    """Records of a file by person and verdict."""

    path: Path
    counts: Mapping[tuple[str, Verdict], int]

    def of(self, verdict: Verdict) -> dict[str, int]:
        """Records by person (``Subject.name``)."""
        return {name: count for (name, kind), count in self.counts.items() if kind == verdict}


class Searcher:
    """Looks for some people in delivered files, and takes them out."""

    def __init__(self, con: duckdb.DuckDBPyConnection, subjects: Sequence[Subject], domains: Sequence[str]) -> None:
        self._con = con
        self._subjects = subjects
        self._domains = tuple(domains)
        self._words = sorted({one.user_id for one in subjects})
        distinctive = sorted({one.user_id for one in subjects if one.distinctive})
        self._pattern = word_pattern(distinctive) if distinctive else None

    def find(self, path: Path, form: FileForm) -> Found:
        """How many records of a file are whose.

        Raises:
            CrossdomainError: The file cannot be read, so that nobody can say who is in it.
        """
        counts: Counter[tuple[str, Verdict]] = Counter()
        try:
            for verdicts in self._verdicts(path, form):
                counts.update(verdicts)
        except (OSError, EOFError, zlib.error, zipfile.BadZipFile, duckdb.Error, KeyError) as error:
            reason = str(error).strip().splitlines()[0]
            raise CrossdomainError(
                f"{path}: cannot be searched for people ({reason}); have it delivered again, or remove it"
            ) from error
        return Found(path, dict(counts))

    def take_out(self, path: Path, form: FileForm) -> Found:
        """Takes people out of a file and says how many records that were; a file without them is not touched."""
        found = self.find(path, form)
        if found.counts:
            if form.format == "parquet":
                self._change_parquet(path, form)
            elif form.format == "xlsx":
                self._change_sheet(path, form)
            else:
                change = self._changing(form)
                files.change_records(path, self._wanted(form), change, quoted=form.format != "jsonl")
        return found

    # reading -----------------------------------------------------------------------------------

    def _verdicts(self, path: Path, form: FileForm) -> Iterator[list[tuple[str, Verdict]]]:
        if form.format == "parquet":
            names, rows = files.read_rows(self._con, path, self._words)
            yield from (self._judge(form, dict(zip(names, cells, strict=True))) for _, cells in rows)
        elif form.format == "xlsx":
            yield from self._of_sheet(path, form)
        elif files.holds(path, self._wanted(form)):
            read = self._reading(form)
            for lines in files.read_records(path, self._wanted(form), quoted=form.format != "jsonl"):
                for _, verdicts in read(lines):
                    yield verdicts

    def _of_sheet(self, path: Path, form: FileForm) -> Iterator[list[tuple[str, Verdict]]]:
        header: list[str] | None = None
        for cells in files.read_sheet(path, form.sheet):
            if header is None:
                header = _header(cells) if any(cells) else None
            elif self._touches(cells):
                yield self._judge(form, _named(header, cells))

    def _wanted(self, form: FileForm) -> files.Wanted:
        """What bytes of a record must hold to be looked at. In UTF-8 no letter is a part of another character."""
        words = [word.encode(_codec(form)) for word in self._words]
        pattern = word_pattern(self._words).encode() if _codec(form) == "utf-8" else b"|".join(map(re.escape, words))
        searched = re.compile(pattern)

        def wanted(content: bytes) -> bool:
            # looking for one word is much faster than the regular expression, for many it is not
            likely = len(words) > _FEW or any(word in content for word in words)
            return likely and searched.search(content) is not None

        return wanted

    def _reading(self, form: FileForm) -> Callable[[list[bytes]], list[tuple[list[bytes], list[tuple[str, Verdict]]]]]:
        """From the lines of a record to parts with their verdicts: one part, or where quotes are broken one a line."""
        wanted, header = self._wanted(form), None
        text_of = _codec(form)

        def read(lines: list[bytes]) -> list[tuple[list[bytes], list[tuple[str, Verdict]]]]:
            nonlocal header
            whole = b"".join(lines)
            if form.format != "jsonl" and header is None:
                if whole.strip():
                    header = _header(next(_cells(whole.decode(text_of, "surrogateescape"), form), []))
                return [(lines, [])]
            if not wanted(whole):
                return [(lines, [])]
            values = _values(whole.decode(text_of, "surrogateescape"), form, header)
            if values is None and len(lines) > 1:
                return [part for line in lines for part in read([line])]
            return [(lines, self._judge(form, values, whole.decode(text_of, "surrogateescape")))]

        return read

    def _touches(self, cells: Sequence[str | None]) -> bool:
        return any(word in cell for cell in cells if cell for word in self._words)

    # judging -----------------------------------------------------------------------------------

    def _judge(
        self, form: FileForm, values: Mapping[str, str | None] | None, text: str | None = None
    ) -> list[tuple[str, Verdict]]:
        """What a record is to each person; ``values`` by source column, None for what is no record."""
        whole = text if text is not None else "\x1f".join(value or "" for value in (values or {}).values())
        canonical = {name: _get(values, source) for name, source in form.sources.items()} if values is not None else {}
        canonical |= form.constants
        read = {name: (value or "").strip(BLANKS) for name, value in canonical.items()}
        nameless = bool(form.ids) and not any(read.get(name) for name in form.ids)
        verdicts: list[tuple[str, Verdict]] = []
        for subject in self._subjects:
            word = re.search(subject.pattern, whole, re.ASCII) is not None
            if any(self._is_of(subject, name, read) for name in form.ids) or (nameless and word):
                verdicts.append((subject.name, "own"))
            elif word and subject.distinctive:
                verdicts.append((subject.name, "mention"))
        return verdicts

    def _is_of(self, subject: Subject, column: str, read: Mapping[str, str]) -> bool:
        if read.get(column) != subject.user_id:
            return False
        if column in ("knowledge_user_id", "beauty_user_id"):
            return subject.domain == self._domains[column == "beauty_user_id"]
        if column == "unit_id" and read.get("unit_type", "").lower() in _SHARED_UNITS:
            return False
        domain = read.get("domain", "").lower()
        return domain == subject.domain or domain not in self._domains

    # changing ----------------------------------------------------------------------------------

    def _changing(self, form: FileForm) -> Callable[[list[bytes]], list[bytes]]:
        read = self._reading(form)

        def change(lines: list[bytes]) -> list[bytes]:
            return [line for part, verdicts in read(lines) for line in self._changed(part, verdicts, form)]

        return change

    def _changed(self, lines: list[bytes], verdicts: Sequence[tuple[str, Verdict]], form: FileForm) -> list[bytes]:
        kinds = {verdict for _, verdict in verdicts}
        if "own" in kinds:
            return files.blank(lines)
        if "mention" not in kinds or self._pattern is None:
            return lines
        codec = _codec(form)
        text = b"".join(lines).decode(codec, "surrogateescape")
        struck = re.sub(self._pattern, ERASED, text, flags=re.ASCII)
        return struck.encode(codec, "surrogateescape").splitlines(keepends=True)

    def _change_parquet(self, path: Path, form: FileForm) -> None:
        names, rows = files.read_rows(self._con, path, self._words)
        kinds = {row: {v for _, v in self._judge(form, dict(zip(names, cells, strict=True)))} for row, cells in rows}
        drop = [row for row, found in kinds.items() if "own" in found]
        strike = [row for row, found in kinds.items() if "mention" in found and "own" not in found]
        files.change_rows(self._con, path, drop, strike, self._pattern or "", ERASED)

    def _change_sheet(self, path: Path, form: FileForm) -> None:
        header: list[str] | None = None

        def change(number: int, cells: list[str | None]) -> list[str | None] | None:
            nonlocal header
            if header is None:
                header = _header(cells) if any(cells) else None
                return None
            if not self._touches(cells):
                return None
            kinds = {verdict for _, verdict in self._judge(form, _named(header, cells))}
            if "own" in kinds:
                return [None] * len(cells)
            if "mention" in kinds and self._pattern is not None:
                pattern = self._pattern
                return [cell and re.sub(pattern, ERASED, cell, flags=re.ASCII) for cell in cells]
            return None

        files.change_sheet(path, form.sheet, change)


def _codec(form: FileForm) -> str:
    return "utf-8" if form.encoding.startswith("utf-8") else form.encoding


def _header(cells: Sequence[str | None]) -> list[str]:
    return [(cell or "").strip().lstrip("\ufeff") for cell in cells]


def _named(header: Sequence[str], cells: Sequence[str | None]) -> dict[str, str | None]:
    return dict(zip(header, cells, strict=False))


def _cells(text: str, form: FileForm) -> Iterator[list[str]]:
    csv.field_size_limit(_LONGEST_CELL)
    yield from csv.reader(io.StringIO(text, newline=""), delimiter="\t" if form.format == "tsv" else ",")


def _values(text: str, form: FileForm, header: Sequence[str] | None) -> dict[str, str | None] | None:
    """Source columns of a record; None if it is none."""
    if form.format == "jsonl":
        try:
            content = json.loads(text)
        except ValueError:
            return None
        return content if isinstance(content, dict) else None
    found = [cells for cells in _cells(text, form) if cells]
    if header is None or len(found) != 1 or len(found[0]) != len(header):
        return None
    return _named(header, found[0])


def _get(values: Mapping[str, object] | None, path: str) -> str | None:
    """A value by its source column; of nested objects by a dotted path."""
    if values is None:
        return None
    if path in values:
        found: object = values[path]
    else:
        found = reduce(
            lambda at, step: at.get(step) if isinstance(at, Mapping) else None, path.split("."), _as_object(values)
        )
    return None if found is None else str(found)


def _as_object(values: Mapping[str, object]) -> object:
    return values
