"""The table registry: every table's schema and metadata, read from its home under ``include/sql``.

A table's home is ``include/sql/<layer>/<table>_v<N>/`` with ``schema.yaml`` (columns, types, units,
meaning), ``metadata.yaml`` (owner, grain, key, order, partition, job, kind, retention) and, where SQL
builds it, ``query.sql``. Code names a table without its version (``clean.events``); the registry gives
the newest one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml

from crossdomain.columns import DS, PARTITION_TYPES
from crossdomain.errors import InputError

LAYERS = ("raw", "clean", "derived", "serving")
Kind = Literal["delivery", "independent", "windowed", "sequential"]
_HOME = re.compile(r"^(?P<name>[a-z][a-z0-9_]*)_v(?P<version>[1-9][0-9]*)$")
_METADATA = {
    "description", "owner", "grain", "key", "order", "partition", "job", "kind", "restatement",
    "retention_days", "personal_data",
}  # fmt: skip


@dataclass(frozen=True)
class Column:
    """One column: its DuckDB type, whether null is refused, its unit and meaning."""

    name: str
    type: str
    required: bool = False
    unit: str | None = None
    meaning: str = ""


@dataclass(frozen=True)
class TableSpec:
    """What a table promises.

    Attributes:
        layer: One of ``LAYERS``.
        name: Name without version.
        version: Grows with every breaking change of the schema.
        columns: Columns in file order, without those of the partition.
        partition: Partition columns; ``ds`` is always the last.
        key: Columns unique within a partition; empty where rows have no key (raw).
        order: Full write order; ends with the key, so that it is total.
        job: Name of the job that writes the table.
        kind: How the job depends on other days.
        restatement: ``as_known`` (decisions) or ``restated`` (measurements).
        retention_days: Days that partitions are kept.
        personal_data: Whether the table holds personal data in the clear.
        home: Folder with the table's files.
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


class TableRegistry:
    """All tables of an ``include`` folder."""

    def __init__(self, include: Path) -> None:
        self._tables: dict[str, TableSpec] = {}
        for home in sorted(include.glob("sql/*/*_v*")):
            spec = _load(home)
            known = self._tables.get(spec.full_name)
            if known is None or known.version < spec.version:
                self._tables[spec.full_name] = spec

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
        )
    except (KeyError, TypeError) as error:
        raise InputError(f"{home}: schema.yaml or metadata.yaml is not complete: {error}") from error
    _check(spec)
    return spec


def _full_order(order: tuple[str, ...], key: tuple[str, ...]) -> tuple[str, ...]:
    return order + tuple(column for column in key if column not in order)


def _check(spec: TableSpec) -> None:
    names = spec.column_names
    if len(set(names)) != len(names):
        raise InputError(f"{spec.home}/schema.yaml: a column is listed twice")
    if missing := [name for name in spec.order if name not in names]:
        raise InputError(f"{spec.home}/metadata.yaml: key or order names {missing}, which schema.yaml lacks")
    if not spec.order:
        raise InputError(f"{spec.home}/metadata.yaml: give a key, or an order that no two rows share")
    if spec.partition[-1] != DS or set(spec.partition) - set(PARTITION_TYPES):
        raise InputError(f"{spec.home}/metadata.yaml: partition must end with ds, of {list(PARTITION_TYPES)}")


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
