"""A canonical table's contract in the Open Data Contract Standard (Bitol, v3), from what the platform knows of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crossdomain.columns import DS
from crossdomain.contracts.classes import ColumnClass, clean_class, delivered_class
from crossdomain.contracts.rules import quality_check, rules_of
from crossdomain.ingest.canonical import CANONICAL, CanonicalColumn, CanonicalTable, ColumnKind
from crossdomain.ingest.feeds import Feed, load_feeds
from crossdomain.quality.rules import Rule
from crossdomain.settings import Settings
from crossdomain.tables import Column, TableSpec, registry

API_VERSION = "v3.1.0"
"""Version of the standard that the contracts are written in."""

_KINDS: dict[ColumnKind, dict[str, Any]] = {
    "text": {"logicalType": "string"},
    "rich_text": {"logicalType": "string"},
    "word": {"logicalType": "string"},
    "time": {"logicalType": "timestamp"},
    "day": {"logicalType": "date"},
    "money": {"logicalType": "number"},
    "integer": {"logicalType": "integer"},
    "number": {"logicalType": "number"},
    "boolean": {"logicalType": "boolean"},
    "tags": {"logicalType": "array", "items": {"logicalType": "string"}},
}
_TYPES: dict[str, dict[str, Any]] = {
    "VARCHAR": {"logicalType": "string"},
    "BLOB": {"logicalType": "string", "logicalTypeOptions": {"format": "byte"}},
    "BOOLEAN": {"logicalType": "boolean"},
    "INTEGER": {"logicalType": "integer"},
    "BIGINT": {"logicalType": "integer"},
    "UBIGINT": {"logicalType": "integer"},
    "DOUBLE": {"logicalType": "number"},
    "DECIMAL": {"logicalType": "number"},
    "DATE": {"logicalType": "date"},
    "TIMESTAMPTZ": {"logicalType": "timestamp", "logicalTypeOptions": {"timezone": True}},
}


@dataclass(frozen=True)
class Agreement:
    """All that a contract is made of.

    Attributes:
        table: The canonical table, as it is delivered.
        clean: The table that it becomes.
        raw: Where deliveries are kept as they came.
        feeds: Feeds that fill it, by name.
        rules: The gate's rules for the clean table.
        settings: Domains and time zone.
    """

    table: CanonicalTable
    clean: TableSpec
    raw: TableSpec
    feeds: Sequence[Feed]
    rules: Sequence[Rule]
    settings: Settings

    def meaning(self, column: str) -> str:
        """What a delivered column means, in words."""
        for spec in (self.clean, self.raw):
            for known in spec.columns:
                if known.name == column:
                    return known.meaning.removesuffix(", as delivered")
        return ""


def agreements(settings: Settings) -> list[Agreement]:
    """One agreement a canonical table, in the order in which the clean job builds them."""
    tables, feeds = registry(settings.include), load_feeds(settings)
    found = []
    for table in CANONICAL.values():
        clean = tables.get(f"clean.{table.name}")
        own = [feed for feed in feeds.values() if feed.table.name == table.name]
        daily = any(feed.expected == "daily" and not feed.may_be_empty for feed in own)
        rules = rules_of(clean.full_name, clean.key, may_be_empty=not daily, settings=settings)
        found.append(Agreement(table, clean, tables.get(f"raw.{table.name}"), own, rules, settings))
    return found


def contract(agreement: Agreement) -> dict[str, Any]:
    """The contract of a table: what is delivered, what it becomes, which rules hold, how late and how long."""
    clean = agreement.clean
    return {
        "apiVersion": API_VERSION,
        "kind": "DataContract",
        "id": f"crossdomain-{clean.name}",
        "name": clean.name,
        "version": f"{clean.version}.0.0",
        "status": "active",
        "domain": "crossdomain",
        "description": {
            "purpose": clean.description.strip(),
            "usage": "Deliver the columns of the first object in any of the formats of docs/data-contract.md; analyses "
            "read the second one, never the delivery.",
            "limitations": "Rows that break the contract are quarantined with their reason; a day that breaks a rule "
            "of severity error is refused, and the last good day stays served.",
        },
        "servers": [*(_landing(feed) for feed in agreement.feeds), _lake(clean)],
        "schema": [_delivery_object(agreement), _clean_object(agreement)],
        "team": {"name": clean.owner},
        "slaProperties": _promises(agreement),
    }


def _landing(feed: Feed) -> dict[str, Any]:
    said = {
        "deliveryKind": feed.kind,
        "expected": feed.expected,
        "lateDays": feed.late_days,
        "mayBeEmpty": feed.may_be_empty,
        "timeZone": feed.timezone,
    }
    return {
        "server": f"landing_{feed.name}",
        "type": "local",
        "description": f"Files of feed {feed.name}, below the platform's home",
        "path": f"landing/{feed.name}/{{delivery day}}/*",
        "format": feed.format,
        "customProperties": [{"property": name, "value": value} for name, value in said.items()],
    }


def _lake(spec: TableSpec) -> dict[str, Any]:
    return {
        "server": "lake",
        "type": "local",
        "description": "Clean partitions by business day, below the platform's home",
        "path": f"lake/{spec.layer}/{spec.folder}",
        "format": "delta",
    }


def _delivery_object(agreement: Agreement) -> dict[str, Any]:
    table = agreement.table
    return {
        "name": f"{table.name}_delivery",
        "logicalType": "object",
        "physicalType": "file",
        "description": f"What is delivered for {table.name}; a feed file says which source column is which.",
        "properties": [
            _delivered_property(column, agreement.meaning(column.name), delivered_class(table, column.name))
            for column in table.columns
        ],
    }


def _delivered_property(column: CanonicalColumn, meaning: str, kind: ColumnClass) -> dict[str, Any]:
    return {
        "name": column.name,
        **_KINDS[column.kind],
        "physicalType": column.kind,
        "required": column.required,
        "description": meaning,
        **_classification(kind),
    }


def _clean_object(agreement: Agreement) -> dict[str, Any]:
    spec = agreement.clean
    by_column: dict[str, list[Rule]] = {}
    of_rows = []
    for rule in agreement.rules:
        if len(rule.columns) == 1:
            by_column.setdefault(rule.columns[0], []).append(rule)
        else:
            of_rows.append(rule)
    day = {
        "name": DS,
        "logicalType": "date",
        "physicalType": "DATE",
        "required": True,
        "partitioned": True,
        "partitionKeyPosition": 1,
        "description": f"business day in {agreement.settings.tz}",
        "classification": "internal",
    }
    return {
        "name": spec.name,
        "physicalName": f"{spec.layer}.{spec.folder}",
        "logicalType": "object",
        "physicalType": "table",
        "description": spec.description.strip(),
        "dataGranularityDescription": spec.grain,
        "properties": [
            day,
            *(_clean_property(agreement, column, by_column.get(column.name, ())) for column in spec.columns),
        ],
        **_checks(of_rows),
    }


def _clean_property(agreement: Agreement, column: Column, rules: Iterable[Rule]) -> dict[str, Any]:
    key = agreement.clean.key
    in_key = {"primaryKey": True, "primaryKeyPosition": key.index(column.name) + 1} if column.name in key else {}
    unit = f" ({column.unit})" if column.unit else ""
    return {
        "name": column.name,
        **_logical(column.type),
        "physicalType": column.type,
        "required": column.required,
        **({"unique": True} if key == (column.name,) else {}),
        **in_key,
        "description": f"{column.meaning}{unit}",
        **_classification(clean_class(agreement.table, column)),
        **_checks(rules),
    }


def _logical(sql_type: str) -> Mapping[str, Any]:
    if sql_type.endswith("[]"):
        return {"logicalType": "array", "items": dict(_logical(sql_type.removesuffix("[]")))}
    return _TYPES[sql_type.partition("(")[0]]


def _classification(kind: ColumnClass) -> dict[str, Any]:
    tags = {"tags": ["personal", kind.tag]} if kind.tag else {}
    return {"classification": kind.level, **tags}


def _checks(rules: Iterable[Rule]) -> dict[str, Any]:
    checks = [quality_check(rule) for rule in rules]
    return {"quality": checks} if checks else {}


def _promises(agreement: Agreement) -> list[dict[str, Any]]:
    feeds, day = agreement.feeds, agreement.table.day
    daily = any(feed.expected == "daily" for feed in feeds)
    promises: list[dict[str, Any]] = [
        {
            "property": "frequency",
            "value": 1 if daily else "when there is something to say",
            **({"unit": "d"} if daily else {}),
            "description": "A day without a delivery is refused" if daily else "A day without a delivery is normal",
        },
        {
            "property": "timeOfAvailability",
            "value": f"00:00 {agreement.settings.tz}",
            "description": "The delivery of a business day is complete when the day ends; later files wait for a rerun",
        },
    ]
    if feeds and day:
        promises.append(
            {
                "property": "lateDays",
                "value": max(feed.late_days for feed in feeds),
                "unit": "d",
                "element": f"{agreement.table.name}_delivery.{day}",
                "description": "How late a row may come; later ones are quarantined as too_late",
            }
        )
    for spec, what in ((agreement.clean, "clean rows"), (agreement.raw, "deliveries as they came")):
        promises.append(
            {
                "property": "retention",
                "value": spec.retention_days,
                "unit": "d",
                "element": spec.full_name,
                "description": f"How long {what} are kept",
                "driver": "regulatory",
            }
        )
    return promises
