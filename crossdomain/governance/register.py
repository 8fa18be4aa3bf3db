"""The register of processing activities: what is done with people's data, on what basis, and where it goes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from crossdomain.errors import InputError
from crossdomain.tables import TableRegistry, TableSpec

_FILE, _SCHEMA = "processing.yaml", "processing.schema.json"


@dataclass(frozen=True)
class Activity:
    """One processing activity; ``processing.schema.json`` says what its entries mean."""

    id: str
    purpose: str
    purpose_zh: str
    basis: str
    data: tuple[str, ...]
    tables: tuple[str, ...]
    recipients: tuple[str, ...]
    cross_border: bool
    consent: str | None = None
    transfer_basis: str | None = None
    impact_assessment: str | None = None

    def covers(self, spec: TableSpec) -> bool:
        """Whether the activity works on a table."""
        return spec.full_name in self.tables or f"{spec.layer}.*" in self.tables


@dataclass(frozen=True)
class Register:
    """All activities, and whom people can ask."""

    controller: str
    contact: str
    activities: tuple[Activity, ...]

    def uncovered(self, tables: TableRegistry) -> list[str]:
        """Tables that name people and belong to no activity."""
        return [
            spec.full_name
            for spec in tables
            if any(column.identifies for column in spec.columns)
            and not any(activity.covers(spec) for activity in self.activities)
        ]


def load_register(include: Path, tables: TableRegistry) -> Register:
    """The register of ``include/governance``.

    Raises:
        InputError: It is missing, does not fit its schema, or names a table that does not exist.
    """
    path = include / "governance" / _FILE
    try:
        content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} is missing: the register of processing activities; see {_SCHEMA}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not YAML in UTF-8: {error}") from None
    schema = json.loads((path.parent / _SCHEMA).read_text(encoding="utf-8"))
    problems = sorted(
        jsonschema.Draft202012Validator(schema).iter_errors(content), key=lambda e: list(map(str, e.path))
    )
    if problems:
        where = ".".join(str(step) for step in problems[0].path) or "top level"
        raise InputError(f"{path}: {where}: {problems[0].message}; see {_SCHEMA}")
    activities = tuple(_activity(entry) for entry in content["activities"])
    _check(path, activities, tables)
    return Register(content["controller"]["name"], content["controller"]["contact"], activities)


def _activity(entry: dict[str, Any]) -> Activity:
    listed = {name: tuple(entry[name]) for name in ("data", "tables", "recipients")}
    return Activity(**{**entry, **listed})


def _check(path: Path, activities: tuple[Activity, ...], tables: TableRegistry) -> None:
    ids = [activity.id for activity in activities]
    if twice := sorted({one for one in ids if ids.count(one) > 1}):
        raise InputError(f"{path}: activity {twice[0]!r} stands twice")
    known = {spec.full_name for spec in tables} | {f"{spec.layer}.*" for spec in tables}
    for activity in activities:
        if unknown := [name for name in activity.tables if name not in known]:
            raise InputError(f"{path}: activity {activity.id}: there is no table {unknown[0]}")
