"""DuckDB connections, bounded in memory and threads, that never reach for the network."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from crossdomain.errors import CrossdomainError
from crossdomain.settings import Settings
from crossdomain.storage.home import explained

_PATTERN = re.compile(r"[*?\[]")


@contextmanager
def connection(settings: Settings, scratch: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """An in-memory DuckDB for one task that spills to ``scratch``.

    Raises:
        CrossdomainError: DuckDB ran out of memory or of disk, or cannot read a file.
    """
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
    except duckdb.OutOfMemoryException as error:
        raise CrossdomainError(
            f"DuckDB needs more memory or temporary space than CROSSDOMAIN_MEMORY_LIMIT={settings.memory_limit} and "
            f"the disk of {scratch} give: raise the limit or free space; {str(error).strip().splitlines()[0]}"
        ) from error
    except duckdb.OperationalError as error:
        raise CrossdomainError(f"DuckDB cannot read or write a file: {explained(error)}") from error
    finally:
        con.close()


def identifier(name: str) -> str:
    """A name quoted for SQL, dots kept between quoted parts."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in name.split("."))


def quoted(name: str) -> str:
    """One column's name quoted for SQL; dots are part of it."""
    return '"' + name.replace('"', '""') + '"'


def exactly(path: Path) -> str:
    """A file's path for DuckDB's readers, which take ``*``, ``?`` and ``[`` in a name for a pattern."""
    return _PATTERN.sub(lambda match: f"[{match[0]}]", str(path))


def file_literal(path: Path) -> str:
    """A file's path quoted for DuckDB's readers; where DuckDB writes, ``literal`` is right."""
    return literal(exactly(path))


def literal(value: str) -> str:
    """A string quoted for the places where SQL takes no bound value (``COPY … TO``, options)."""
    return "'" + value.replace("'", "''") + "'"
