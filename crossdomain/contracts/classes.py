"""How sensitive each column is, for those who deliver it and for those who read it."""

from __future__ import annotations

from dataclasses import dataclass

from crossdomain.ingest.canonical import CanonicalTable
from crossdomain.storage.vault import FIELDS
from crossdomain.tables import Column

RESTRICTED = "restricted"
CONFIDENTIAL = "confidential"
INTERNAL = "internal"

_ATTRIBUTES = ("gender", "birth_year", "province", "city")


@dataclass(frozen=True)
class ColumnClass:
    """A column's class, why it is there (a tag), and what becomes of it.

    Attributes:
        level: ``restricted`` (reaches or names a person), ``confidential`` (tells people apart or describes one) or
            ``internal``.
        tag: ``contact``, ``identifier``, ``pseudonym``, ``attribute``, ``free_text``, or none.
    """

    level: str
    tag: str | None = None

    @property
    def personal(self) -> bool:
        """Whether the column is personal data by itself, not only as part of somebody's row."""
        return self.level != INTERNAL


def delivered_class(table: CanonicalTable, column: str) -> ColumnClass:
    """The class of a column as the companies deliver it."""
    if column in {name for _, name in table.accounts}:
        return ColumnClass(CONFIDENTIAL, "identifier")
    if table.accounts and column in FIELDS:
        return ColumnClass(RESTRICTED, "contact")
    if table.accounts and column in _ATTRIBUTES:
        return ColumnClass(CONFIDENTIAL, "attribute")
    if table.accounts and table.column(column).kind == "rich_text":
        return ColumnClass(CONFIDENTIAL, "free_text")
    return ColumnClass(INTERNAL)


def clean_class(table: CanonicalTable, column: Column) -> ColumnClass:
    """The class of a column of the clean table."""
    if column.type == "BLOB":
        return ColumnClass(CONFIDENTIAL, "pseudonym")
    if column.name in table.column_names:
        return delivered_class(table, column.name)
    return ColumnClass(INTERNAL)
