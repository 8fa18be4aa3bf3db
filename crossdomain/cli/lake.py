"""Looking after the lake."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from crossdomain.cli.output import Json, show
from crossdomain.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Look after the lake's files.")
_DAMAGED = 1
_DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")]


@app.command()
def verify(
    deep: Annotated[bool, typer.Option("--deep", help="Also read every live file and compare its checksum.")] = False,
    json: Json = False,
) -> None:
    """Check that every live file is there, and list files that nothing names. Exit code 1 if a file is damaged."""
    from crossdomain.jobs.runner import open_lake
    from crossdomain.storage.collection import left_over
    from crossdomain.storage.home import Home
    from crossdomain.storage.inspection import inspect
    from crossdomain.tables import registry

    settings = Settings.from_env()
    with open_lake(settings) as lake:
        tables = [inspect(lake, spec, deep=deep) for spec in registry(settings.include)]
    outside = left_over(Home(settings.home))
    damage = [one for table in tables for one in table.damage]
    unnamed = [(table.table, one) for table in tables for one in table.unnamed] + [("home", one) for one in outside]
    document = {
        "files": sum(table.files for table in tables),
        "compared": sum(table.compared for table in tables),
        "damaged": [
            {"table": one.table, "partition": dict(one.file.values), "path": str(one.file.path), "why": one.why}
            for one in damage
        ],
        "unreferenced": [
            {"table": table, "path": str(one.path), "bytes": one.size, "kind": _kind(one.replaced)}
            for table, one in unnamed
        ],
    }
    left = sum(not one.replaced for _, one in unnamed)
    rows = [["DAMAGED", one.table, f"{one.file.path} {one.why}", one.file.size] for one in damage]
    rows += [[_kind(one.replaced), table, str(one.path), one.size] for table, one in unnamed]
    facts: dict[str, object] = {
        "left by kills or being written": left,
        "replaced, kept for a while": len(unnamed) - left,
    }
    if damage:
        facts["what to do"] = "build the partitions of damaged files again: crossdomain run JOB --date DAY --force"
    show(
        document,
        json=json,
        title=f"{document['files']} live files, {document['compared']} of them read; {len(damage)} damaged",
        facts=facts,
        columns=("what", "table", "path", "bytes"),
        rows=rows,
    )
    if damage:
        raise typer.Exit(_DAMAGED)


@app.command()
def gc(
    keep_hours: Annotated[
        int | None,
        typer.Option(min=0, help="Keep replaced files for this long, instead of each table's history_hours."),
    ] = None,
    grace_hours: Annotated[
        int | None, typer.Option(min=0, help="No running task is older than this; 0 only where no task runs.")
    ] = None,
    dry_run: _DryRun = False,
    json: Json = False,
) -> None:
    """Remove files that grew old after they were replaced, and what killed tasks left."""
    from crossdomain.jobs.runner import open_lake
    from crossdomain.storage.collection import collect, sweep
    from crossdomain.storage.home import LONGEST_TASK, Home
    from crossdomain.tables import registry

    settings = Settings.from_env()
    grace = LONGEST_TASK if grace_hours is None else timedelta(hours=grace_hours)
    removed = {}
    with open_lake(settings) as lake:
        for spec in registry(settings.include):
            history = timedelta(hours=spec.history_hours if keep_hours is None else keep_hours)
            removed[spec.full_name] = len(collect(lake, spec, history=history, grace=grace, dry_run=dry_run))
    removed["home"] = len(sweep(Home(settings.home), grace=grace, dry_run=dry_run))
    removed = {name: count for name, count in removed.items() if count}
    show(
        {"dry_run": dry_run, "removed": removed},
        json=json,
        title=f"{'would remove' if dry_run else 'removed'} {sum(removed.values())} files",
        columns=("table", "files"),
        rows=list(removed.items()),
    )


@app.command()
def maintain(dry_run: _DryRun = False, json: Json = False) -> None:
    """Put small files together, close long logs and remove what nobody needs, as each table's metadata.yaml says.

    Safe beside running jobs, and harmless when killed.
    """
    from crossdomain.jobs.runner import open_lake
    from crossdomain.storage.maintenance import maintain as maintain_tables
    from crossdomain.tables import registry

    settings = Settings.from_env()
    with open_lake(settings) as lake:
        done = [one for one in maintain_tables(lake, registry(settings.include), dry_run=dry_run) if one.did_something]
    document = [
        {
            "table": one.table,
            "merged": one.merged,
            "into": one.into,
            "checkpoint": one.checkpointed,
            "removed": one.removed,
            "bytes_freed": one.freed,
        }
        for one in done
    ]
    show(
        {"dry_run": dry_run, "tables": document},
        json=json,
        title=f"{'would change' if dry_run else 'changed'} {len(done)} tables" if done else "there was nothing to do",
        columns=("table", "files merged", "into", "checkpoint", "files removed", "bytes freed"),
        rows=[list(one.values()) for one in document],
    )


@app.command()
def partitions(
    table: Annotated[str, typer.Argument(help="Unversioned name, such as clean.events.")], json: Json = False
) -> None:
    """List the live partitions of a table with files, rows, bytes and checksum."""
    from crossdomain.jobs.runner import open_lake
    from crossdomain.tables import registry

    settings = Settings.from_env()
    with open_lake(settings) as lake:
        found = lake.partitions(registry(settings.include).get(table))
    document = [
        {
            **one.values,
            "files": len(one.files),
            "rows": one.rows,
            "bytes": sum(file.size for file in one.files),
            "checksum": one.checksum,
        }
        for one in found
    ]
    columns = tuple(document[0]) if document else ()
    show(document, json=json, title=table, columns=columns, rows=[list(one.values()) for one in document])


def _kind(replaced: bool) -> str:
    return "replaced" if replaced else "left over"
