"""Weights that new units are dealt by from the day after on, as job ``experiments`` writes them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from crossdomain.jobs.experiment_state import designs_over_exposures, found_promotions, read_moments
from crossdomain.jobs.model import JobContext

if TYPE_CHECKING:
    import duckdb

    from crossdomain.experiments.allocation import Allocated

WEIGHTS = "serving.experiment_weights"
_COLUMNS = {
    "experiment_id": pa.string(),
    "period": pa.int32(),
    "from_ds": pa.date32(),
    "place": pa.int32(),
    "variant": pa.string(),
    "weight": pa.float64(),
    "best": pa.float64(),
    "reason": pa.string(),
}


def weight_rows(ctx: JobContext) -> pa.Table:
    """Weights so far and those of the day after, where a bandit, a changed design or a promotion moves them.

    Weights of a day that were written once were given out: they stay, whatever was learned of the days before since.
    """
    from crossdomain.experiments.allocation import next_allocation, promoted_allocation
    from crossdomain.experiments.moments import WHOLE

    before = read_history(ctx.con, "previous.experiment_weights")
    given_out = _given_out(ctx)
    promoted = {one.experiment_id: one for one in found_promotions(ctx.lake, ctx.tables)}
    histories: dict[str, list[Allocated]] = {}
    for design in designs_over_exposures(ctx.settings):
        name = design.experiment_id
        history = before.get(name, [])
        found: Allocated | None
        if name in given_out:
            found = given_out[name]
        elif name in promoted and promoted[name].ds <= ctx.ds:
            found = promoted_allocation(design, history, promoted[name].variant, ctx.ds)
        else:
            strata = read_moments(ctx, name, schema="derived", parts=False).get(WHOLE, {})
            found = next_allocation(design, history, strata, ctx.ds)
        histories[name] = [*history, *([] if found is None else [found])]
    return _rows(histories)


def read_history(con: duckdb.DuckDBPyConnection, view: str) -> dict[str, list[Allocated]]:
    """Weights over time of each experiment from a view (or a query) with the table's columns, by first day."""
    from crossdomain.experiments.allocation import Allocated

    rows = con.execute(
        f"SELECT experiment_id, period, from_ds, variant, weight, best, reason FROM {view} "  # noqa: S608 - our own name
        "ORDER BY experiment_id, period, place"
    ).fetchall()
    periods: dict[tuple[str, int], list[tuple[Any, ...]]] = {}
    for name, period, *row in rows:
        periods.setdefault((name, period), []).append(tuple(row))
    found: dict[str, list[Allocated]] = {}
    for (name, _), arms in periods.items():
        first, reason = arms[0][0], arms[0][4]
        weights = tuple((arm[1], arm[2]) for arm in arms)
        found.setdefault(name, []).append(Allocated(first, weights, tuple(arm[3] for arm in arms), reason))
    return found


def _given_out(ctx: JobContext) -> dict[str, Allocated]:
    """Weights of the day after that this day's partition has already."""
    spec = ctx.tables.get(WEIGHTS)
    own = [partition for partition in ctx.lake.partitions(spec) if partition.ds == ctx.ds]
    ctx.lake.view(spec, own, schema="given_out")
    tomorrow = ctx.ds + timedelta(days=1)
    histories = read_history(ctx.con, "given_out.experiment_weights")
    return {name: history[-1] for name, history in histories.items() if history[-1].first == tomorrow}


def _rows(histories: dict[str, list[Allocated]]) -> pa.Table:
    rows: list[Sequence[Any]] = [
        (name, period, one.first, place, variant, weight, one.best[place], one.reason)
        for name, history in histories.items()
        for period, one in enumerate(history)
        for place, (variant, weight) in enumerate(one.weights)
    ]
    columns: Sequence[Sequence[Any]] = list(zip(*rows, strict=True)) or [()] * len(_COLUMNS)
    return pa.table({name: pa.array(values, _COLUMNS[name]) for name, values in zip(_COLUMNS, columns, strict=True)})
