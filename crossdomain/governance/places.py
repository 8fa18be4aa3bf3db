"""Where people stand in the tables of the lake, read from the schemas (``identifies``), as SQL.

Two kinds of traces are told apart. A row is a person's own if a column that identifies names them; own rows are
removed. A text of another row may mention a person's id; the mention is struck out and the row stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import duckdb
import pyarrow as pa

from crossdomain.governance.subjects import ERASED, Subject, word_pattern
from crossdomain.storage.engine import identifier, literal
from crossdomain.storage.lake import Lake
from crossdomain.tables import Column, TableRegistry, TableSpec

Cleaned = Callable[[str], str]
"""From the name of a raw column to SQL of its text as ingest reads it (blanks at its ends away)."""

PEOPLE = "derived.people"
_FEW = 10
_IDS = ("user_id", "first_user_id", "second_user_id", "unit_id")
_SYSTEM = ("_file", "_reason", "_column", "_version", "file", "reason", "column_name", "table_name", "feed", "domain")
_RECORD_FIELDS = ("user_id", "domain", "knowledge_user_id", "beauty_user_id", "unit_id", "unit_type", "extra")
_SHARED_UNITS = "('device', 'session')"


@dataclass(frozen=True)
class Trace:
    """Rows of one person in one partition of a table.

    Attributes:
        name: The person (``Subject.name``).
        table: Unversioned name of the table.
        values: Values of the partition columns, in their order.
        rows: How many.
        own: Whether the rows are the person's; else they mention the id.
    """

    name: str
    table: str
    values: tuple[str, ...]
    rows: int
    own: bool


@dataclass(frozen=True)
class _Match:
    """A condition over a row ``r`` and a line ``s`` of a table of persons."""

    persons: str
    on: str


class Places:
    """Finds and removes some people's traces; holds temporary tables on the lake's connection."""

    def __init__(
        self, lake: Lake, tables: TableRegistry, subjects: Sequence[Subject], domains: Sequence[str], cleaned: Cleaned
    ) -> None:
        self._lake = lake
        self._tables = tables
        self._subjects = subjects
        self._domains = tuple(domains)
        self._cleaned = cleaned
        self._words = sorted({one.user_id for one in subjects if one.distinctive})
        _load(lake.con, subjects)
        self._load_persons()

    def holding(self, spec: TableSpec) -> bool:
        """Whether the table can hold people at all."""
        return bool(self._matches(spec)) or bool(self._words and self._texts(spec))

    def find(self, spec: TableSpec, *, since: datetime | None = None) -> list[Trace]:
        """All traces in the live files of a table; with ``since``, in partitions that were written since then."""
        partitions = [one for one in self._lake.partitions(spec) if since is None or one.written_at >= since]
        if not partitions or not self.holding(spec):
            return []
        rows = self._expanded(spec, self._lake.relation(spec, partitions))
        return [*self._find_own(spec, rows), *self._find_mentions(spec, rows)]

    def without(self, spec: TableSpec, rows: str) -> str:
        """SQL of rows without the people: their own rows away, mentions struck out, persons renamed.

        Args:
            spec: The table.
            rows: SQL of rows as ``Lake.relation`` gives them.
        """
        kept = self._expanded(spec, rows)
        for match in self._matches(spec):
            kept = f"SELECT r.* FROM ({kept}) AS r ANTI JOIN {match.persons} AS s ON {match.on}"  # noqa: S608
        changed = [*self._renamed(spec), *self._struck_out(spec)]
        replaced = f" REPLACE ({', '.join(changed)})" if changed else ""
        return f"SELECT *{replaced} FROM ({kept})"  # noqa: S608 - quoted

    def keeps_order(self, spec: TableSpec) -> bool:
        """Whether ``without`` gives the rows that it keeps in their order: filters do, renaming persons does not."""
        return not list(self._renamed(spec))

    # own rows ----------------------------------------------------------------------------------

    def _matches(self, spec: TableSpec) -> list[_Match]:
        found = [match for column in spec.columns for match in self._of_column(spec, column)]
        if spec.layer == "raw" and found and "extra" in spec.column_names:
            found.append(self._unreadable([c.name for c in spec.columns if c.identifies in _IDS]))
        return found

    def _of_column(self, spec: TableSpec, column: Column) -> list[_Match]:
        name = identifier(f"r.{column.name}")
        match column.identifies:
            case "account":
                return [_Match("erased_subjects", f"{name} = s.account")]
            case "unit":
                return [_Match("erased_subjects", f"{name} = s.{key}") for key in ("account", "unit")]
            case "person" if "account" not in [one.identifies for one in spec.columns]:
                return [
                    _Match("erased_subjects", f"{name} = s.account"),
                    _Match("erased_persons", f"{name} = s.person AND r.ds = s.ds AND s.person <> s.account"),
                ]
            case "record":
                return self._of_record()
            case kind if kind in _IDS:
                return [self._of_id(column.name, str(kind), "unit_type" in spec.column_names)]
        return []

    def _of_record(self) -> list[_Match]:
        ids = {"user_id": "user_id", "knowledge_user_id": "first_user_id", "beauty_user_id": "second_user_id"}
        found = [self._of_id(name, kind, False) for name, kind in ids.items()]
        return [*found, self._of_id("unit_id", "unit_id", True), self._unreadable([*ids, "unit_id"])]

    def _of_id(self, column: str, kind: str, typed: bool) -> _Match:
        """An id as delivered: of its domain, or of no domain that can be read."""
        on = f"{self._cleaned(f'r.{column}')} = s.user_id"
        if kind == "first_user_id":
            return _Match("erased_subjects", f"{on} AND s.domain = {literal(self._domains[0])}")
        if kind == "second_user_id":
            return _Match("erased_subjects", f"{on} AND s.domain = {literal(self._domains[1])}")
        domain = f"lower({self._cleaned('r.domain')})"
        known = ", ".join(literal(name) for name in self._domains)
        on += f" AND coalesce({domain} = s.domain OR {domain} NOT IN ({known}), true)"
        if kind == "unit_id" and typed:
            on += f" AND coalesce(lower({self._cleaned('r.unit_type')}) NOT IN {_SHARED_UNITS}, true)"
        return _Match("erased_subjects", on)

    def _unreadable(self, ids: Sequence[str]) -> _Match:
        """What is no record names its person only in its text."""
        empty = " AND ".join(f"{self._cleaned(f'r.{name}')} IS NULL" for name in ids)
        return _Match("erased_subjects", f"{empty} AND regexp_matches(r.extra, s.pattern)")

    def _find_own(self, spec: TableSpec, rows: str) -> list[Trace]:
        matches = self._matches(spec)
        if not matches:
            return []
        values = ", ".join(f"CAST({identifier(f'r.{name}')} AS VARCHAR)" for name in spec.partition)
        union = " UNION ALL ".join(
            f"SELECT s.name AS name, {_listed(values)} FROM ({rows}) AS r JOIN {match.persons} AS s ON {match.on}"  # noqa: S608
            + "".join(f" AND NOT coalesce({one.on}, false)" for one in matches[:place] if one.persons == match.persons)
            for place, match in enumerate(matches)
        )
        found = self._lake.con.execute(
            f"SELECT name, places, count(*) FROM ({union}) GROUP BY ALL ORDER BY ALL"  # noqa: S608
        ).fetchall()
        return [Trace(name, spec.full_name, tuple(places), count, own=True) for name, places, count in found]

    # mentions ----------------------------------------------------------------------------------

    def _texts(self, spec: TableSpec) -> list[Column]:
        return [
            column
            for column in spec.columns
            if column.type in ("VARCHAR", "VARCHAR[]")
            and column.identifies in (None, "record")
            and column.name not in (*_SYSTEM, *spec.key)
        ]

    def _find_mentions(self, spec: TableSpec, rows: str) -> list[Trace]:
        texts = self._texts(spec)
        if not self._words or not texts:
            return []
        whole = f"concat_ws(' ', {', '.join(_as_text(f'r.{c.name}', c.type) for c in texts)})"
        values = ", ".join(f"CAST({identifier(f'r.{name}')} AS VARCHAR)" for name in spec.partition)
        others = self._others(spec, rows)
        candidates = (
            f"SELECT {_listed(values)}, {whole} AS whole FROM ({others}) AS r "  # noqa: S608
            f"WHERE {self._may_mention(texts)} AND regexp_matches({whole}, {literal(word_pattern(self._words))})"
        )
        found = self._lake.con.execute(
            f"SELECT s.name, places, count(*) FROM ({candidates}) AS c JOIN erased_subjects AS s "  # noqa: S608
            "ON s.distinctive AND regexp_matches(c.whole, s.pattern) GROUP BY ALL ORDER BY ALL"
        ).fetchall()
        return [Trace(name, spec.full_name, tuple(places), count, own=False) for name, places, count in found]

    def _may_mention(self, texts: Sequence[Column]) -> str:
        """A condition that costs less than the regular expression; it lets through what that one decides."""
        if len(self._words) > _FEW:
            return "true"
        columns = [_as_text(f"r.{column.name}", column.type) for column in texts]
        held = (f"contains({column}, {literal(word)})" for column in columns for word in self._words)
        return f"({' OR '.join(held)})"

    def _others(self, spec: TableSpec, rows: str) -> str:
        for match in self._matches(spec):
            rows = f"SELECT r.* FROM ({rows}) AS r ANTI JOIN {match.persons} AS s ON {match.on}"  # noqa: S608
        return rows

    def _struck_out(self, spec: TableSpec) -> Iterable[str]:
        if not self._words:
            return
        pattern = literal(word_pattern(self._words))
        for column in self._texts(spec):
            name = identifier(column.name)
            if column.type == "VARCHAR":
                changed = f"regexp_replace({name}, {pattern}, {literal(ERASED)}, 'g')"
            else:
                inner = f"regexp_replace(word, {pattern}, {literal(ERASED)}, 'g')"
                changed = f"list_transform({name}, lambda word: {inner})"
            yield f"{changed} AS {name}"

    # persons -----------------------------------------------------------------------------------

    def _load_persons(self) -> None:
        """Remembers whom each account belonged to on each day: rows of that person rest on the account's data too."""
        spec = self._tables.get(PEOPLE)
        people = self._lake.relation(spec, self._lake.partitions(spec))
        self._lake.con.execute(
            "CREATE OR REPLACE TEMP TABLE erased_persons AS SELECT s.name, s.account, p.ds, p.person "  # noqa: S608
            f"FROM ({people}) AS p JOIN erased_subjects AS s ON p.account = s.account"
        )

    def _renamed(self, spec: TableSpec) -> Iterable[str]:
        """A person that an erased account named gets the smallest account that is left, as linking would name it."""
        kinds = {column.identifies: identifier(column.name) for column in spec.columns}
        if {"account", "person"} <= kinds.keys():
            person, account = kinds["person"], kinds["account"]
            yield (
                f"if({person} IN (SELECT account FROM erased_subjects), "  # noqa: S608 - quoted
                f"min({account}) OVER (PARTITION BY ds, {person}), {person}) AS {person}"
            )

    def _expanded(self, spec: TableSpec, rows: str) -> str:
        """Records that are kept as JSON get the columns that identify."""
        held = next((column.name for column in spec.columns if column.identifies == "record"), None)
        if held is None:
            return rows
        fields = ", ".join(
            f"json_extract_string({identifier(held)}, '$.{name}') AS {identifier(name)}" for name in _RECORD_FIELDS
        )
        return f"SELECT *, {fields} FROM ({rows})"  # noqa: S608 - quoted


def _listed(values: str) -> str:
    return f"[{values}] AS places"


def _as_text(name: str, kind: str) -> str:
    return identifier(name) if kind == "VARCHAR" else f"array_to_string({identifier(name)}, ' ')"


def _load(con: duckdb.DuckDBPyConnection, subjects: Sequence[Subject]) -> None:
    rows = pa.table(
        {
            "name": pa.array([one.name for one in subjects], pa.string()),
            "domain": pa.array([one.domain for one in subjects], pa.string()),
            "user_id": pa.array([one.user_id for one in subjects], pa.string()),
            "account": pa.array([one.account for one in subjects], pa.binary()),
            "unit": pa.array([one.unit for one in subjects], pa.binary()),
            "pattern": pa.array([one.pattern for one in subjects], pa.string()),
            "distinctive": pa.array([one.distinctive for one in subjects], pa.bool_()),
        }
    )
    con.register("given_subjects", rows)
    con.execute("CREATE OR REPLACE TEMP TABLE erased_subjects AS FROM given_subjects")
    con.unregister("given_subjects")
