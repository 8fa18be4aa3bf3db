"""Job ``experiments``: what every experiment says as seen on a day, and whether its data may be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from crossdomain.jobs.experiment_state import KEPT_DAYS
from crossdomain.jobs.model import Input, Job, JobContext
from crossdomain.settings import Settings

if TYPE_CHECKING:
    from crossdomain.experiments.design import Design
    from crossdomain.experiments.results import Analysis, NoResult


def build(ctx: JobContext) -> None:
    """Writes metrics and checks of every experiment that has begun by the key's day.

    Late data of an earlier day changes the totals of all days after it: the tables are ``sequential``, so
    that the runner carries a restated day forward, though no row of the day before is read.

    Raises:
        InputError: A design is not valid, or daily counts contradict each other.
    """
    from crossdomain.experiments.design import load_designs
    from crossdomain.experiments.results import Analysis, CheckResult, MetricResult, NoResult

    metrics: list[MetricResult] = []
    checks: list[CheckResult] = []
    skipped: dict[str, str] = {}
    designs = load_designs(ctx.settings.include / "experiments")
    ctx.con.execute("CREATE SCHEMA held; CREATE VIEW held.experiment_state AS FROM derived.experiment_state")
    fingerprints = _fingerprints(ctx)
    for design in designs:
        match _analyze(ctx, design, fingerprints):
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


def _analyze(ctx: JobContext, design: Design, fingerprints: dict[str, str]) -> Analysis | NoResult:
    from crossdomain.experiments.analysis import read_daily_counts
    from crossdomain.experiments.counts import analyze_daily_counts
    from crossdomain.experiments.daily import Measured, analyze_measured
    from crossdomain.experiments.results import NoResult
    from crossdomain.experiments.state import view_totals
    from crossdomain.jobs.experiment_state import read_moments, read_tallies

    name = design.experiment_id
    if design.start and ctx.ds < design.start:
        return NoResult(name, f"starts on {design.start}")
    if design.data == "counts":
        return analyze_daily_counts(design, read_daily_counts(ctx.con, design), ctx.ds)
    measured = Measured(read_moments(ctx, name, schema="derived"), read_tallies(ctx, name, schema="derived"))
    return analyze_measured(ctx.con, design, measured, ctx.ds, lambda: view_totals(ctx.con, design, fingerprints[name]))


def _fingerprints(ctx: JobContext) -> dict[str, str]:
    rows = ctx.con.execute("SELECT name, version FROM derived.experiment_lineage WHERE kind = 'design'").fetchall()
    return dict(rows)


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
    version=2,
    inputs=(
        Input(table="derived.experiment_state", days=KEPT_DAYS),
        Input(table="derived.experiment_moments"),
        Input(table="derived.experiment_tallies"),
        Input(table="derived.experiment_lineage"),
        # Read through the state only. They are named so that a late row, which may change a later day and none
        # between, is carried forward over those that it leaves as they are.
        Input(table="clean.events", days=None),
        Input(table="clean.exposures", days=None),
        Input(table="clean.experiment_counts", days=None),
    ),
    outputs=("serving.experiment_metrics", "serving.experiment_checks"),
    run=build,
    config=config,
)
