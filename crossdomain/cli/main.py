"""``crossdomain``: the map of everything that can be run by hand."""

from __future__ import annotations

from typing import Annotated

import typer

from crossdomain.cli import (
    contract,
    demo,
    evaluate,
    exchange,
    experiment,
    export,
    keys,
    lake,
    model,
    privacy,
    quality,
    recommender,
)
from crossdomain.cli.output import Json, errors, show
from crossdomain.errors import InputError
from crossdomain.settings import Settings, parse_day

HELP = (
    "Everything that can be run by hand: `crossdomain jobs` lists the jobs, docs/guide.md says how a day runs.\n\n"
    "Every command that reports prints a table for people or, with --json, one JSON document on standard output. "
    "Exit codes: 0 done, 1 failed, 2 wrong use or input, 3 refused by a gate."
)
app = typer.Typer(no_args_is_help=True, add_completion=False, help=HELP, pretty_exceptions_enable=False)
app.add_typer(contract.app, name="contract")
app.add_typer(demo.app, name="demo")
app.add_typer(evaluate.app, name="evaluate")
app.add_typer(exchange.app, name="exchange")
app.add_typer(experiment.app, name="experiment")
app.add_typer(export.app, name="export")
app.add_typer(keys.app, name="keys")
app.add_typer(lake.app, name="lake")
app.add_typer(model.app, name="model")
app.add_typer(privacy.app, name="privacy")
app.add_typer(quality.app, name="quality")
evaluate.app.command("recommender")(recommender.evaluate)


@app.command()
def run(
    job: Annotated[str, typer.Argument(help="Name of a job; `crossdomain jobs` lists them.")],
    date: Annotated[str, typer.Option(help="Business day YYYY-MM-DD; for ingest the delivery day.")],
    force: Annotated[bool, typer.Option(help="Build again even if nothing changed.")] = False,
    json: Json = False,
) -> None:
    """Run a job for a day, just as its DAG's task does."""
    from crossdomain.jobs.registry import job as find
    from crossdomain.jobs.runner import run_job

    result = run_job(find(job), parse_day(date), Settings.from_env(), force=force)
    document = {
        "job": result.job,
        "date": result.ds,
        "status": result.status,
        "days": list(result.keys),
        "tables": {
            table.table: {"rows": table.rows, "checksum": table.checksum, "changed": table.changed}
            for table in result.tables
        },
        "notes": dict(result.notes),
        "seconds": round(result.seconds, 3),
    }
    rows = [[table.table, table.rows, table.checksum, table.changed] for table in result.tables]
    show(
        document,
        json=json,
        title=f"{result.job} {result.ds}: {result.status} in {result.seconds:.1f} s",
        columns=("table", "rows", "checksum", "changed"),
        rows=rows,
        facts={"days": ", ".join(map(str, result.keys)) or "none changed", **result.notes},
    )


@app.command()
def jobs(json: Json = False) -> None:
    """List the jobs in the order in which a day runs through them."""
    from crossdomain.jobs.registry import DUTIES, NAMES
    from crossdomain.jobs.registry import job as find
    from crossdomain.tables import registry

    tables = registry(Settings.from_env().include)
    found = [find(name) for name in (*NAMES, *DUTIES)]
    document = [
        {
            "name": one.name,
            "version": one.version,
            "kind": one.kind(tables),
            "inputs": [wanted.table for wanted in one.inputs],
            "outputs": list(one.outputs),
        }
        for one in found
    ]
    rows = [[one["name"], one["version"], one["kind"], _list(one["inputs"]), _list(one["outputs"])] for one in document]
    show(document, json=json, title="jobs", columns=("job", "version", "kind", "reads", "writes"), rows=rows)


@app.command()
def backfill(
    first: Annotated[str, typer.Option("--from", help="First delivery day.")],
    last: Annotated[str, typer.Option("--to", help="Last delivery day.")],
    reprocess: Annotated[str, typer.Option(help="none, failed or completed.")] = "none",
    dry_run: Annotated[bool, typer.Option(help="Show what would run.")] = False,
) -> None:
    """Backfill delivery days through Airflow: the producer's runs; the other DAGs follow by key.

    Uses the `airflow` command of this environment. Refuses days that are not over.
    """
    from crossdomain.cli.airflow import backfill as command

    settings = Settings.from_env()
    begin, end = parse_day(first), parse_day(last)
    if begin > end:
        raise InputError(f"--from {begin} lies after --to {end}")
    if not settings.day_is_closed(end):
        raise InputError(f"the business day {end} is not over in {settings.tz}: backfill closed days only")
    if reprocess not in ("none", "failed", "completed"):
        raise InputError(f"--reprocess {reprocess}: give none, failed or completed")
    raise typer.Exit(command(begin, end, reprocess=reprocess, dry_run=dry_run))


app.command()(recommender.tune)  # after the commands of a day, in the order of the help


def _list(names: object) -> str:
    return "\n".join(names) if isinstance(names, list) else str(names)


def main() -> None:
    """Entry point: runs the command, prints errors for people, exits with their code."""
    with errors():
        app(standalone_mode=True)


if __name__ == "__main__":
    main()
