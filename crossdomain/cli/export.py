"""Tables that leave the platform."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crossdomain.cli.output import Json, show
from crossdomain.settings import Settings, parse_day

app = typer.Typer(no_args_is_help=True, help="Tables that may leave: nobody in them can be singled out.")


@app.callback()
def _group() -> None:
    """Tables that may leave: nobody in them can be singled out."""


@app.command()
def people(
    date: Annotated[str, typer.Option(help="Business day whose people are taken.")],
    columns: Annotated[str, typer.Option(help="Columns, joined by commas: gender, birth_year, province, city, sides.")],
    out: Annotated[Path, typer.Option(help="File to write, .csv or .parquet.")],
    by: Annotated[str, typer.Option(help="Who takes it out; the audit log keeps the name.")],
    reason: Annotated[str, typer.Option(help="What for; the audit log keeps it.")],
    k: Annotated[int | None, typer.Option(help="Least people a cell; CROSSDOMAIN_EXPORT_K when not given.")] = None,
    sensitive: Annotated[str | None, typer.Option(help="A consent to add as it is, such as cross_domain.")] = None,
    most_suppressed: Annotated[float, typer.Option(help="Share of the people that may be left out.")] = 0.05,
    json: Json = False,
) -> None:
    """Write a k-anonymous table of people: columns are made coarser until every combination has k people."""
    from crossdomain.jobs.releasing import release_people

    done = release_people(
        Settings.from_env(),
        parse_day(date),
        [name.strip() for name in columns.split(",")],
        out,
        k=k,
        sensitive=sensitive,
        most_suppressed=most_suppressed,
        by=by,
        reason=reason,
    )
    steps = [[column, step] for column, step in done["columns"].items()]
    facts = {name: value for name, value in done.items() if name != "columns"}
    show(done, json=json, title=f"{done['rows']} people of {date}", columns=("column", "as"), rows=steps, facts=facts)
