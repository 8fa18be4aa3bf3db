"""``crossdomain experiment assign``: which variant each unit of a file gets."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crossdomain.cli.output import Json, show
from crossdomain.settings import Settings, parse_day

if TYPE_CHECKING:
    from crossdomain.experiments.assignment import AssignmentPlan
    from crossdomain.experiments.design import Design

_SHOWN = 20

DesignFile = Annotated[Path, typer.Option("--design", help="Design, a YAML file.")]
Units = Annotated[
    Path,
    typer.Option("--units", help="CSV or Parquet with column unit, and maybe variant: what was given earlier is kept."),
]
Out = Annotated[Path | None, typer.Option("--out", help="CSV or Parquet to write: unit, variant, outside, kept.")]
Date = Annotated[str | None, typer.Option("--date", help="Business day whose weights deal; the newest unless said.")]


def assign(design: DesignFile, units: Units, out: Out = None, date: Date = None, json: Json = False) -> None:
    """Say which variant each unit gets: the same here, in the pipeline and in DuckDB's SQL.

    A unit in the global holdout (CROSSDOMAIN_HOLDOUT) or outside the design's part of its layer gets none.
    """
    from crossdomain.experiments.assignment import assign as deal
    from crossdomain.experiments.design import SCHEMA_FILE, load_design
    from crossdomain.storage.unit_files import read_units, write_assigned

    settings = Settings.from_env()
    read = load_design(design, schema=settings.include / "experiments" / SCHEMA_FILE)
    given = read_units(units, settings)
    plan = assignment_plan(read, settings)
    assigned = deal(given.units, plan, day=parse_day(date) if date else None, given=given.variants)
    rows = list(zip(given.shown, assigned.variants, assigned.outside, assigned.kept, strict=True))
    if out is not None:
        write_assigned(out, rows, settings)
    counts = Counter(variant or str(reason) for _, variant, reason, _ in rows)
    document = {
        "experiment_id": read.experiment_id,
        "units": len(rows),
        "assigned": {name: counts[name] for name in plan.variants},
        "outside": {name: counts[name] for name in ("holdout", "outside_layer", "not_started") if counts[name]},
        "kept": sum(assigned.kept),
        "file": None if out is None else str(out),
    }
    if out is None:
        document["assignments"] = [
            {"unit": unit, "variant": variant, "outside": reason, "kept": kept} for unit, variant, reason, kept in rows
        ]
    show(
        document,
        json=json,
        title=f"{read.experiment_id}: {len(rows):,} units",
        columns=("unit", "variant", "outside"),
        rows=[(unit, variant or "", reason or "") for unit, variant, reason, _ in rows[:_SHOWN]],
        facts={name: f"{count:,} ({count / max(len(rows), 1):.2%})" for name, count in sorted(counts.items())},
    )


def assignment_plan(design: Design, settings: Settings) -> AssignmentPlan:
    """The plan of a design's own weights with the deployment's holdout."""
    from crossdomain.experiments.assignment import plan_of

    return plan_of(design, holdout=settings.holdout)
