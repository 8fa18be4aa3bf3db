"""The table registry: every table's schema and metadata, read from its home under ``include/sql``.

A table's home is ``include/sql/<layer>/<table>_v<N>/`` with ``schema.yaml`` (columns, types, units,
meaning), ``metadata.yaml`` (owner, grain, key, order, partition, job, kind, retention) and, where SQL
builds it, ``query.sql``. Code names a table without its version (``clean.events``); the registry gives
the newest one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml

from crossdomain.columns import DELIVERED_DS, DS, PARTITION_TYPES
from crossdomain.errors import InputError

LAYERS = ("raw", "clean", "derived", "serving", "vault")
Kind = Literal["delivery", "independent", "windowed", "sequential"]
IDENTIFIES = ("account", "person", "unit", "user_id", "first_user_id", "second_user_id", "unit_id", "record")
"""What a column can tell of a person: an account key, the account key that names a person, the key of an experiment's
unit; as delivered: a user id of the row's domain, one of the first or second domain, a unit's id, or a whole record."""
_HOME = re.compile(r"^(?P<name>[a-z][a-z0-9_]*)_v(?P<version>[1-9][0-9]*)$")
FOREVER = 36500
"""Tables with this term of retention, in days, are memory: they never expire, and no setting shortens it."""
_METADATA = {
    "description", "owner", "grain", "key", "order", "partition", "job", "kind", "restatement",
    "retention_days", "personal_data", "compact", "history_hours",
}  # fmt: skip
_MOST_HISTORY_HOURS = 7 * 24


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        name: Its name.
        type: Its DuckDB type.
        required: Whether null is refused.
        unit: Of what it counts.
        meaning: For people.
        otherwise: SQL for a stored null; may name ``file_row_number``, the row's place in its file from 0.
        identifies: How the column tells whose row it is, one of ``IDENTIFIES``; None where it does not.
    """

    name: str
    type: str
    required: bool = False
    unit: str | None = None
    meaning: str = ""
    otherwise: str | None = None
    identifies: str | None = None


@dataclass(frozen=True)
class Compact:
    """When the files of a partition are put together.

    Attributes:
        files: A partition may have this many.
        target_mb: Together they may be this large (megabytes, as stored).
    """

    files: int
    target_mb: int


@dataclass(frozen=True)
class TableSpec:
    """What a table promises.

    Attributes:
        layer: One of ``LAYERS``.
        name: Name without version.
        version: Grows with every breaking change of the schema.
        columns: Columns in file order, without those of the partition.
        partition: Partition columns; the last is ``ds``, but in raw, whose files hold whole deliveries.
        key: Columns unique within a partition; empty where rows have no key (raw).
        order: Full write order; ends with the key, so that it is total.
        job: Name of the job that writes the table.
        kind: How the job depends on other days.
        restatement: ``as_known`` (decisions) or ``restated`` (measurements).
        retention_days: Days that partitions are kept; ``governance/retention.yaml`` may set others.
        personal_data: Whether the table holds personal data in the clear.
        home: Folder with the table's files.
        compact: When small files of a partition are put together; None: never.
        history_hours: How long replaced files stay, for readers of older versions.
    """

    layer: str
    name: str
    version: int
    columns: tuple[Column, ...]
    description: str
    owner: str
    grain: str
    partition: tuple[str, ...]
    key: tuple[str, ...]
    order: tuple[str, ...]
    job: str
    kind: Kind
    restatement: Literal["as_known", "restated"]
    retention_days: int
    personal_data: bool
    home: Path
    compact: Compact | None = None
    history_hours: int = _MOST_HISTORY_HOURS

    @property
    def full_name(self) -> str:
        """Unversioned name with its layer, as code and SQL use it."""
        return f"{self.layer}.{self.name}"

    @property
    def folder(self) -> str:
        """Name of the table's folder, with its version."""
        return f"{self.name}_v{self.version}"

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names of the columns that are stored in the files."""
        return tuple(column.name for column in self.columns)

    @property
    def part(self) -> str | None:
        """The stored column by whose values a file's rows have checksums of their own, if there is one."""
        return next((name for name in (DS, DELIVERED_DS) if name in self.column_names), None)


class TableRegistry:
    """All tables of an ``include`` folder."""

    def __init__(self, include: Path) -> None:
        self._tables: dict[str, TableSpec] = {}
        for home in sorted(include.glob("sql/*/*_v*")):
            spec = _load(home)
            known = self._tables.get(spec.full_name)
            if known is None or known.version < spec.version:
                self._tables[spec.full_name] = spec
        for name, days in _own_terms(include / "governance" / "retention.yaml", self._tables).items():
            self._tables[name] = replace(self._tables[name], retention_days=days)

    def __iter__(self) -> Iterator[TableSpec]:
        return iter(self._tables[name] for name in sorted(self._tables))

    def get(self, full_name: str) -> TableSpec:
        """The newest version of a table.

        Raises:
            InputError: No such table; the message lists those of the layer.
        """
        try:
            return self._tables[full_name]
        except KeyError:
            layer = full_name.split(".")[0]
            known = ", ".join(name for name in sorted(self._tables) if name.startswith(layer + "."))
            raise InputError(f"there is no table {full_name!r}; layer {layer!r} has: {known or 'none'}") from None

    def written_by(self, job: str) -> list[TableSpec]:
        """Tables that a job writes, by name."""
        return [spec for spec in self if spec.job == job]


@cache
def registry(include: Path) -> TableRegistry:
    """The registry of a folder, loaded once a process."""
    return TableRegistry(include)


def _load(home: Path) -> TableSpec:
    match = _HOME.match(home.name)
    if match is None or home.parent.name not in LAYERS:
        raise InputError(f"{home}: a table's home is sql/<{'|'.join(LAYERS)}>/<name>_v<N>")
    metadata, schema = _yaml(home / "metadata.yaml"), _yaml(home / "schema.yaml")
    if unknown := set(metadata) - _METADATA:
        raise InputError(f"{home / 'metadata.yaml'}: unknown keys {sorted(unknown)}")
    try:
        columns = tuple(Column(**column) for column in schema["columns"])
        key = tuple(metadata.get("key", ()))
        spec = TableSpec(
            layer=home.parent.name,
            name=match["name"],
            version=int(match["version"]),
            columns=columns,
            description=metadata["description"],
            owner=metadata["owner"],
            grain=metadata["grain"],
            partition=tuple(metadata.get("partition", (DS,))),
            key=key,
            order=_full_order(tuple(metadata.get("order", key)), key),
            job=metadata["job"],
            kind=metadata["kind"],
            restatement=metadata["restatement"],
            retention_days=metadata["retention_days"],
            personal_data=metadata.get("personal_data", False),
            home=home,
            compact=Compact(**metadata["compact"]) if "compact" in metadata else None,
            history_hours=metadata.get("history_hours", _MOST_HISTORY_HOURS),
        )
    except (KeyError, TypeError) as error:
        raise InputError(f"{home}: schema.yaml or metadata.yaml is not complete: {error}") from error
    _check(spec)
    return spec


def _own_terms(path: Path, tables: Mapping[str, TableSpec]) -> dict[str, int]:
    """Terms of retention that a deployment sets in place of those of ``metadata.yaml``."""
    given = (_yaml(path).get("tables") or {}) if path.exists() else {}
    if unknown := sorted(set(given) - set(tables)):
        raise InputError(f"{path}: there is no table {unknown[0]!r}")
    for name, days in given.items():
        if not isinstance(days, int) or days < 1:
            raise InputError(f"{path}: {name}: {days!r} is not a number of days")
        if days < FOREVER <= tables[name].retention_days:
            raise InputError(
                f"{path}: {name} is memory and must not be shortened: what it remembers would be forgotten"
            )
    return dict(given)


def _full_order(order: tuple[str, ...], key: tuple[str, ...]) -> tuple[str, ...]:
    return order + tuple(column for column in key if column not in order)


def _check(spec: TableSpec) -> None:
    names = spec.column_names
    if len(set(names)) != len(names):
        raise InputError(f"{spec.home}/schema.yaml: a column is listed twice")
    if strange := [one.name for one in spec.columns if one.identifies not in (None, *IDENTIFIES)]:
        raise InputError(f"{spec.home}/schema.yaml: {strange[0]} identifies must be one of {', '.join(IDENTIFIES)}")
    if missing := [name for name in spec.order if name not in names]:
        raise InputError(f"{spec.home}/metadata.yaml: key or order names {missing}, which schema.yaml lacks")
    if not 0 <= spec.history_hours <= _MOST_HISTORY_HOURS:
        raise InputError(f"{spec.home}/metadata.yaml: history_hours must be 0 to {_MOST_HISTORY_HOURS}")
    if spec.compact and (spec.compact.files < 1 or spec.compact.target_mb < 1):
        raise InputError(f"{spec.home}/metadata.yaml: compact: give files and target_mb, both at least 1")
    if not spec.order:
        raise InputError(f"{spec.home}/metadata.yaml: give a key, or an order that no two rows share")
    by_day = spec.partition[-1] == DS or (spec.partition[-1] == DELIVERED_DS and spec.part == DS)
    if not by_day or set(spec.partition) - set(PARTITION_TYPES):
        raise InputError(
            f"{spec.home}/metadata.yaml: partition must end with ds, or with delivered_ds where ds is a column; "
            f"of {list(PARTITION_TYPES)}"
        )


def _yaml(path: Path) -> dict[str, Any]:
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    except FileNotFoundError:
        raise InputError(f"{path} is missing: every table has schema.yaml and metadata.yaml") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not YAML: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: must be a mapping")
    return content
