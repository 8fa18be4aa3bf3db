"""Looking after the lake."""

from __future__ import annotations

from typing import Annotated

import typer

from crossdomain.cli.output import Json, show
from crossdomain.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Look after the lake's files.")
_KEEP_HOURS = 7 * 24


@app.command()
def verify(json: Json = False) -> None:
    """Check that every live file is there, and list files that a kill left behind."""
    from crossdomain.jobs.runner import open_lake
    from crossdomain.tables import registry

    settings = Settings.from_env()
    with open_lake(settings) as lake:
        found = [orphan for spec in registry(settings.include) for orphan in lake.verify(spec)]
    document = [{"table": one.table, "path": str(one.path), "bytes": one.size} for one in found]
    show(
        {"unreferenced": document},
        json=json,
        title=f"every live file is there; {len(found)} files are not named by the current versions",
        columns=("table", "path", "bytes"),
        rows=[[one.table, one.path, one.size] for one in found],
    )


@app.command()
def gc(
    keep_hours: Annotated[int, typer.Option(help="Keep what versions of the last hours name.")] = _KEEP_HOURS,
    json: Json = False,
) -> None:
    """Remove files that no kept version names. Use a span longer than the longest running task."""
    from crossdomain.jobs.runner import open_lake
    from crossdomain.tables import registry

    settings = Settings.from_env()
    with open_lake(settings) as lake:
        removed = {
            spec.full_name: len(lake.collect(spec, keep_hours=keep_hours)) for spec in registry(settings.include)
        }
    removed = {name: count for name, count in removed.items() if count}
    show(
        {"removed": removed},
        json=json,
        title=f"removed {sum(removed.values())} files",
        columns=("table", "files"),
        rows=list(removed.items()),
    )


@app.command()
def partitions(
    table: Annotated[str, typer.Argument(help="Unversioned name, such as clean.events.")], json: Json = False
) -> None:
    """List the live partitions of a table with rows, bytes and checksum."""
    from crossdomain.jobs.runner import open_lake
    from crossdomain.tables import registry

    settings = Settings.from_env()
    with open_lake(settings) as lake:
        found = lake.partitions(registry(settings.include).get(table))
    document = [
        {**one.values, "rows": one.rows, "bytes": sum(file.size for file in one.files), "checksum": one.checksum}
        for one in found
    ]
    columns = tuple(document[0]) if document else ()
    show(document, json=json, title=table, columns=columns, rows=[list(one.values()) for one in document])
