"""Job ``experiments``: what every experiment says as seen on a day, and whether its data may be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import pyarrow as pa

from crossdomain.errors import InputError
from crossdomain.jobs.model import Input, Job, JobContext
from crossdomain.settings import Settings


def build(ctx: JobContext) -> None:
    """Writes metrics and checks of every experiment that has begun by the key's day.

    Late data of an earlier day changes the totals of all days after it: the tables are ``sequential``, so
    that the runner carries a restated day forward, though no row of the day before is read.

    Raises:
        InputError: A design is not valid or has persons as units, or daily counts contradict each other.
    """
    from crossdomain.experiments.analysis import analyze
    from crossdomain.experiments.design import load_designs
    from crossdomain.experiments.results import Analysis, CheckResult, MetricResult, NoResult

    metrics: list[MetricResult] = []
    checks: list[CheckResult] = []
    skipped: dict[str, str] = {}
    designs = load_designs(ctx.settings.include / "experiments")
    for design in designs:
        if design.unit == "person":
            raise InputError(
                f"{design.source}: unit: the daily job reads no links between accounts; expose and design by account"
            )
        match analyze(ctx.con, design, ctx.ds):
            case Analysis(metrics=found, checks=checked):
                metrics += found
                checks += checked
            case NoResult(reason=reason):
                skipped[design.experiment_id] = reason
    ctx.write("serving.experiment_metrics", _table(ctx, "serving.experiment_metrics", MetricResult, metrics))
    ctx.write("serving.experiment_checks", _table(ctx, "serving.experiment_checks", CheckResult, checks))
    failed = sorted(f"{check.experiment_id}: {check.check_name}" for check in checks if not check.ok)
    ctx.note(
        experiments=len(designs) - len(skipped), metrics=len(metrics), without_result=skipped, failed_checks=failed
    )


def config(settings: Settings) -> dict[str, Any]:
    """The designs, so that a changed design builds its days again."""
    from crossdomain.experiments.design import load_designs

    return {"designs": [design.as_json() for design in load_designs(settings.include / "experiments")]}


def _table(ctx: JobContext, name: str, row_type: type, rows: Sequence[object]) -> pa.Table:
    """The table's columns of the rows, with types that do not depend on the values (all may be null, or none there)."""
    arrow = {"VARCHAR": pa.string(), "DOUBLE": pa.float64(), "BIGINT": pa.int64(), "BOOLEAN": pa.bool_()}
    arrow["DATE"] = pa.date32()
    types = {column.name: arrow[column.type] for column in ctx.tables.get(name).columns}
    names = [field.name for field in fields(row_type) if field.name in types]
    columns = [pa.array([getattr(row, name) for row in rows], types[name]) for name in names]
    return pa.table(dict(zip(names, columns, strict=True)))


JOB = Job(
    name="experiments",
    version=1,
    inputs=(
        Input(table="clean.events", days=None),
        Input(table="clean.exposures", days=None),
        Input(table="clean.experiment_counts", days=None),
    ),
    outputs=("serving.experiment_metrics", "serving.experiment_checks"),
    run=build,
    config=config,
)
