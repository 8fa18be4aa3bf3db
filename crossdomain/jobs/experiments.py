"""Job ``experiments``: what every experiment says as seen on a day, whether its data may be trusted, what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from crossdomain.jobs.experiment_pages import METRICS, write_pages
from crossdomain.jobs.experiment_state import KEPT_DAYS, found_promotions, promotions_version
from crossdomain.jobs.experiment_weights import WEIGHTS, read_history, weight_rows
from crossdomain.jobs.model import Input, Job, JobContext
from crossdomain.settings import Settings

if TYPE_CHECKING:
    from crossdomain.experiments.assignment import WeightPeriod
    from crossdomain.experiments.design import Design
    from crossdomain.experiments.results import Analysis, NoResult


PARTS = "serving.experiment_parts"
CHECKED_DAYS = 28
"""Days whose new units are checked against what they were dealt."""


def build(ctx: JobContext) -> None:
    """Writes what every experiment that has begun by the key's day says, its page, and tomorrow's weights.

    Late data of an earlier day changes the totals of all days after it: the tables are ``sequential``, so
    that the runner carries a restated day forward, though no row of the day before is read.

    Raises:
        InputError: A design is not valid, or daily counts contradict each other.
    """
    from crossdomain.experiments.design import load_designs
    from crossdomain.experiments.promoting import ended
    from crossdomain.experiments.results import Analysis, CheckResult, Decision, MetricResult, NoResult

    analyses: list[Analysis] = []
    skipped: dict[str, str] = {}
    designs = load_designs(ctx.settings.include / "experiments")
    first_kept = ctx.ds - timedelta(days=KEPT_DAYS - 1)
    ctx.con.execute(
        "CREATE SCHEMA held; CREATE VIEW held.experiment_state AS "
        f"FROM derived.experiment_state WHERE ds >= DATE '{first_kept}'"
    )
    fingerprints = _fingerprints(ctx)
    promoted = found_promotions(ctx.lake, ctx.tables)
    for design in (ended(one, promoted) for one in designs):
        match _analyze(ctx, design, fingerprints):
            case Analysis() as analysis:
                analyses.append(analysis)
            case NoResult(reason=reason):
                skipped[design.experiment_id] = reason
    metrics = [one for analysis in analyses for one in analysis.metrics]
    checks = [one for analysis in analyses for one in analysis.checks]
    decisions = [one for analysis in analyses for one in analysis.decisions]
    ctx.write(METRICS, _table(ctx, METRICS, MetricResult, metrics))
    ctx.write("serving.experiment_checks", _table(ctx, "serving.experiment_checks", CheckResult, checks))
    ctx.write("serving.experiment_decisions", _table(ctx, "serving.experiment_decisions", Decision, decisions))
    ctx.write(WEIGHTS, weight_rows(ctx))
    ctx.write(PARTS, _part_rows(ctx, analyses))
    write_pages(ctx, analyses)
    failed = sorted(f"{check.experiment_id}: {check.check_name}" for check in checks if not check.ok)
    ctx.note(
        experiments=len(designs) - len(skipped),
        metrics=len(metrics),
        without_result=skipped,
        failed_checks=failed,
        decisions={f"{one.experiment_id}: {one.variant}": one.decision or one.rule for one in decisions},
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
    return analyze_measured(
        ctx.con,
        design,
        measured,
        ctx.ds,
        lambda: view_totals(ctx.con, design, fingerprints[name]),
        weights=_weights(ctx, design),
        mismatches=_mismatches(ctx, design, fingerprints[name]),
        part_units=ctx.settings.part_units,
    )


def _weights(ctx: JobContext, design: Design) -> list[WeightPeriod]:
    """Weights in force up to the day; none where they never changed."""
    history = read_history(ctx.con, "previous.experiment_weights").get(design.experiment_id, [])
    begun = [one.period for one in history if one.first is None or one.first <= ctx.ds]
    return begun if len({period.weights for period in begun}) > 1 else []


def _mismatches(ctx: JobContext, design: Design, fingerprint: str) -> tuple[int, int] | None:
    """Units that saw another variant than this platform dealt them; None where it did not deal them.

    A bandit's units may have been dealt on an earlier day than they were first exposed, by weights of that day.
    """
    from crossdomain.experiments.assignment import assignment_on_sql, plan_of
    from crossdomain.experiments.state import count_mismatches

    if design.applies_to is None or design.allocation.method != "fixed":
        return None
    history = read_history(ctx.con, "previous.experiment_weights").get(design.experiment_id, [])
    later = [one.period for one in history if one.first is not None and one.first <= ctx.ds]
    plan = plan_of(design, holdout=ctx.settings.holdout, first=history[0].weights if history else None, later=later)
    assigned = assignment_on_sql(plan, day="exposed_ds")
    return count_mismatches(ctx.con, design, fingerprint, assigned)


def _fingerprints(ctx: JobContext) -> dict[str, str]:
    rows = ctx.con.execute("SELECT name, version FROM derived.experiment_lineage WHERE kind = 'design'").fetchall()
    return dict(rows)


def config(settings: Settings) -> dict[str, Any]:
    """The designs, so that a changed design builds its days again."""
    from crossdomain.experiments.design import load_designs

    designs = [design.as_json() for design in load_designs(settings.include / "experiments")]
    return {
        "designs": designs,
        "promotions": promotions_version(settings),
        "holdout": settings.holdout,
        "part_units": settings.part_units,
    }


def _table(ctx: JobContext, name: str, row_type: type, rows: Sequence[object]) -> pa.Table:
    """The table's columns of the rows, with types that do not depend on the values (all may be null, or none there)."""
    arrow = {"VARCHAR": pa.string(), "DOUBLE": pa.float64(), "BIGINT": pa.int64(), "BOOLEAN": pa.bool_()}
    arrow["DATE"] = pa.date32()
    types = {column.name: arrow[column.type] for column in ctx.tables.get(name).columns}
    names = [field.name for field in fields(row_type) if field.name in types]
    columns = [pa.array([getattr(row, name) for row in rows], types[name]) for name in names]
    return pa.table(dict(zip(names, columns, strict=True)))


def _part_rows(ctx: JobContext, analyses: Sequence[Analysis]) -> pa.Table:
    from crossdomain.experiments.results import MetricResult

    rows = [(part, result) for one in analyses for part in one.parts for result in part.metrics]
    found = _table(ctx, PARTS, MetricResult, [result for _, result in rows])
    named = {"part": "kind", "part_name": "name", "part_value": "value"}
    for column, field in named.items():
        found = found.append_column(column, pa.array([getattr(part, field) for part, _ in rows], pa.string()))
    return found


JOB = Job(
    name="experiments",
    version=4,
    inputs=(
        Input(table="derived.experiment_state", days=CHECKED_DAYS),
        Input(table="derived.experiment_moments"),
        Input(table="derived.experiment_tallies"),
        Input(table="derived.experiment_lineage"),
        # Read through the state only. They are named so that a late row, which may change a later day and none
        # between, is carried forward over those that it leaves as they are.
        Input(table="clean.events", days=None),
        Input(table="clean.exposures", days=None),
        Input(table="clean.experiment_counts", days=None),
    ),
    outputs=(METRICS, "serving.experiment_checks", "serving.experiment_decisions", WEIGHTS, PARTS),
    run=build,
    config=config,
)
