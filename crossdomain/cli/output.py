"""How commands speak: tables for people, one JSON document for programs, errors on standard error."""

from __future__ import annotations

import json as json_module
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from crossdomain.errors import CrossdomainError
from crossdomain.storage.home import REMEDIES, explained

_WIDTH = 140
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")]


def show(
    document: object,
    *,
    json: bool,
    title: str,
    columns: Sequence[str] = (),
    rows: Sequence[Sequence[object]] = (),
    facts: Mapping[str, Any] | None = None,
) -> None:
    """Prints a result: the document as JSON, or the title, facts and rows as a table."""
    if json:
        print(json_module.dumps(document, ensure_ascii=False, default=str))
        return
    console = wide_console()
    console.print(f"[bold]{escape(title)}[/bold]")
    for name, value in (facts or {}).items():
        console.print(f"  {escape(str(name))}: {escape(str(value))}")
    if rows:
        table = Table(*(Column(name, overflow="fold") for name in columns))
        for row in rows:
            table.add_row(*(escape(_cell(value)) for value in row))
        console.print(table)


def wide_console() -> Console:
    """A console as wide as the terminal; where there is none, wide enough for tables."""
    console = Console()
    return console if console.is_terminal else Console(width=_WIDTH)


@contextmanager
def progress() -> Iterator[None]:
    """Shows what the platform logs meanwhile on standard error, a line each with the time of day; for long work."""
    shown = logging.StreamHandler()
    shown.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    platform = logging.getLogger("crossdomain")
    level = platform.level
    platform.addHandler(shown)
    platform.setLevel(logging.INFO)
    try:
        yield
    finally:
        platform.removeHandler(shown)
        platform.setLevel(level)


@contextmanager
def errors() -> Iterator[None]:
    """Turns an error of the platform, or of the disk, into its message and exit code; a bug keeps its traceback."""
    try:
        yield
    except CrossdomainError as error:
        print(f"crossdomain: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:
        if error.errno not in REMEDIES:
            raise
        print(f"crossdomain: {error.filename or 'a file'}: {explained(error)}", file=sys.stderr)
        sys.exit(CrossdomainError.exit_code)


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
