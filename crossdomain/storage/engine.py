"""DuckDB connections, bounded in memory and threads, that never reach for the network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from crossdomain.settings import Settings


@contextmanager
def connection(settings: Settings, scratch: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """An in-memory DuckDB for one task that spills to ``scratch``."""
    con = duckdb.connect(
        config={
            "memory_limit": settings.memory_limit,
            "threads": settings.threads,
            "temp_directory": str(scratch / "duckdb"),
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
        }
    )
    try:
        con.execute("SET TimeZone = 'UTC'")
        con.execute("SET enable_progress_bar = false")
        yield con
    finally:
        con.close()


def identifier(name: str) -> str:
    """A name quoted for SQL, dots kept between quoted parts."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in name.split("."))


def literal(value: str) -> str:
    """A string quoted for the places where SQL takes no bound value (``COPY … TO``, options)."""
    return "'" + value.replace("'", "''") + "'"
