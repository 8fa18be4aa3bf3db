"""The pages of a day's experiments, from its results and from those of the days before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from crossdomain.jobs.model import JobContext

if TYPE_CHECKING:
    from crossdomain.experiments.results import Analysis

METRICS = "serving.experiment_metrics"


def write_pages(ctx: JobContext, analyses: Sequence[Analysis]) -> None:
    """Writes the page of every experiment under ``reports/experiments/``.

    The curve of the primary metric takes the results of the days before as they are committed now: a day that is
    restated builds those after it, so that their pages are drawn again too.

    Args:
        ctx: Context of job ``experiments``.
        analyses: What the day says.
    """
    from crossdomain.experiments.history import daily_curve
    from crossdomain.experiments.page import render_page
    from crossdomain.experiments.page_files import write_page

    before = _rows_before(ctx, analyses)
    for analysis in analyses:
        design = analysis.design
        rows = before.get(design.experiment_id, []) + [asdict(one) | {"ds": ctx.ds} for one in analysis.metrics]
        shown = replace(analysis, daily=tuple(daily_curve(design, rows)))
        write_page(ctx.lake.home, design.experiment_id, ctx.ds, render_page(shown))


def _rows_before(ctx: JobContext, analyses: Sequence[Analysis]) -> dict[str, list[dict[str, Any]]]:
    """Rows of the primary metrics on the days before, by experiment; only days since the first of them began."""
    begun = [one.window.first for one in analyses if one.window is not None]
    spec = ctx.tables.get(METRICS)
    chosen = [one for one in ctx.lake.partitions(spec) if min(begun, default=ctx.ds) <= one.ds < ctx.ds]
    query = f"SELECT * FROM ({ctx.lake.relation(spec, chosen)}) WHERE is_primary ORDER BY ALL"  # noqa: S608 - ours
    found: dict[str, list[dict[str, Any]]] = {}
    for row in ctx.con.sql(query).to_arrow_table().to_pylist():
        found.setdefault(row["experiment_id"], []).append(row)
    return found
