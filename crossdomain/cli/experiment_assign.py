"""``crossdomain experiment assign``: which variant each unit of a file gets, or each time slot of a switchback."""

from __future__ import annotations

from collections import Counter
from datetime import date as date_type
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crossdomain.cli.output import Json, show
from crossdomain.errors import InputError
from crossdomain.settings import Settings, parse_day

if TYPE_CHECKING:
    from crossdomain.experiments.assignment import AssignmentPlan
    from crossdomain.experiments.design import Design

_SHOWN = 20

DesignFile = Annotated[Path, typer.Option("--design", help="Design, a YAML file.")]
Units = Annotated[
    Path | None,
    typer.Option("--units", help="CSV or Parquet with column unit, and maybe variant: what was given earlier is kept."),
]
Out = Annotated[Path | None, typer.Option("--out", help="CSV or Parquet to write: what each unit or slot gets.")]
Date = Annotated[
    str | None,
    typer.Option("--date", help="Business day, of the weights that deal (the newest unless said) or of slots."),
]


def assign(design: DesignFile, units: Units = None, out: Out = None, date: Date = None, json: Json = False) -> None:
    """Say which variant each unit gets: the same here, in the pipeline and in DuckDB's SQL.

    A unit in the global holdout (CROSSDOMAIN_HOLDOUT) or outside the design's part of its layer gets none. A switchback
    needs no units: it gives the schedule of its time slots.
    """
    from crossdomain.experiments.assignment import assign as deal
    from crossdomain.experiments.design import SCHEMA_FILE, load_design
    from crossdomain.storage.unit_files import read_units, write_assigned

    settings = Settings.from_env()
    read = load_design(design, schema=settings.include / "experiments" / SCHEMA_FILE)
    if (read.switchback is None) == (units is None):
        raise InputError(
            f"{design}: give --units, the file of units to deal"
            if units is None
            else f"{design}: switchback: deals time slots, to everybody alike: leave out --units"
        )
    if units is None:
        _show_schedule(read, settings, out, parse_day(date) if date else None, json=json)
        return
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


def _show_schedule(design: Design, settings: Settings, out: Path | None, day: date_type | None, *, json: bool) -> None:
    """The slots of a switchback, of one day or all."""
    from crossdomain.experiments.switchback import schedule, slots_on
    from crossdomain.storage.unit_files import write_schedule

    slots = schedule(design, settings.zone)
    if day is not None:
        slots = tuple(slots_on(slots, day, settings.zone))
    rows = [(one.slot, one.block, one.variant, one.begins, one.measured_from, one.ends) for one in slots]
    if out is not None:
        write_schedule(out, rows, settings)
    counts = Counter(one.variant for one in slots)
    names = ("slot", "block", "variant", "begins", "measured_from", "ends")
    shown = [
        (slot, block, variant, *(moment.astimezone(settings.zone).isoformat() for moment in moments))
        for slot, block, variant, *moments in rows
    ]
    document = {
        "experiment_id": design.experiment_id,
        "slots": len(slots),
        "assigned": {name: counts[name] for name, _ in design.variants},
        "file": None if out is None else str(out),
    }
    if out is None:
        document["schedule"] = [dict(zip(names, row, strict=True)) for row in shown]
    show(
        document,
        json=json,
        title=f"{design.experiment_id}: {len(slots):,} slots",
        columns=("slot", "variant", "begins", "measured from"),
        rows=[(slot, variant, begins, measured) for slot, _, variant, begins, measured, _ in shown[:_SHOWN]],
        facts={name: f"{counts[name]:,}" for name, _ in design.variants},
    )


def assignment_plan(design: Design, settings: Settings) -> AssignmentPlan:
    """The plan of a design's own weights with the deployment's holdout."""
    from crossdomain.experiments.assignment import plan_of

    return plan_of(design, holdout=settings.holdout)
