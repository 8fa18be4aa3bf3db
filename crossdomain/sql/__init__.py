"""SQL of the tables: read from their homes, values bound by name."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from crossdomain.errors import InputError
from crossdomain.tables import TableSpec


def query(spec: TableSpec) -> str:
    """The SQL that builds a table; parameters stand in it as ``$name`` and are bound when it runs.

    Raises:
        InputError: The table's home has no ``query.sql``.
    """
    return _read(spec.home / "query.sql")


@cache
def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path} is missing: this table is not built by SQL") from None
