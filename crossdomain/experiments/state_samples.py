"""Samples of a design's metrics from moments, and from the units' state where moments do not suffice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import TYPE_CHECKING

import numpy as np

from crossdomain.experiments.design import Design
from crossdomain.experiments.design_parts import Metric, Selection
from crossdomain.experiments.moments import Strata, Sums, samples
from crossdomain.experiments.samples import NoSample, Sample
from crossdomain.experiments.selections import Binder, condition, matured_after
from crossdomain.stats.comparison import Unmeasurable
from crossdomain.stats.cuped import MeanAndCovariate
from crossdomain.stats.exact_sums import joint_moments, moments
from crossdomain.stats.quantiles import estimate_quantile
from crossdomain.stats.winsorizing import Values, cut, pooled_caps

if TYPE_CHECKING:
    import duckdb


def state_samples(
    con: duckdb.DuckDBPyConnection,
    design: Design,
    strata: Strata,
    until: date,
    make_totals: Callable[[], None],
) -> dict[tuple[str, str], Sample]:
    """Samples of every metric and variant of a design as of a day.

    Args:
        con: Connection; for quantiles of single events with view ``clean.events``.
        design: The design.
        strata: Moments as of the day.
        until: Last business day that counts.
        make_totals: Makes temporary table ``experiment_totals``; called only where a metric needs the units.
    """
    found: dict[tuple[str, str], Sample] = {}
    by_moments = samples(design, strata, until)
    made = False
    for metric in design.metrics:
        arms = {variant: by_moments[metric.name, variant] for variant, _ in design.variants}
        if needs_units(metric) and not made:
            make_totals()
            made = True
        for variant, sample in _of_metric(con, design, metric, arms, until):
            found[metric.name, variant] = sample
    return found


def needs_units(metric: Metric) -> bool:
    """Whether moments do not suffice for a metric."""
    return metric.kind == "quantile" or metric.winsorize is not None


def _of_metric(
    con: duckdb.DuckDBPyConnection, design: Design, metric: Metric, arms: dict[str, Sums], until: date
) -> Iterator[tuple[str, Sample]]:
    if metric.kind == "quantile":
        yield from _quantiles(con, design, metric, until)
    elif metric.winsorize is not None:
        yield from _winsorized(con, design, metric, until)
    else:
        for variant, sums in arms.items():
            yield variant, sums.sample(metric)


def _winsorized(
    con: duckdb.DuckDBPyConnection, design: Design, metric: Metric, until: date
) -> Iterator[tuple[str, Sample]]:
    """Means of values cut at quantiles of all arms; the covariate stays as it is, since nothing can act on it."""
    caps = metric.winsorize
    assert caps is not None
    place = design.metrics.index(metric)
    arms = {variant: _units(con, metric, f"x{place}", variant, until) for variant, _ in design.variants}
    bounds = pooled_caps(list(arms.values()), lower=caps.lower, upper=caps.upper, ignore_zeros=caps.ignore_zeros)
    for variant, values in arms.items():
        if metric.cuped:
            joint = joint_moments(cut(values, bounds), _units(con, metric, f"cx{place}", variant, until))
            yield variant, MeanAndCovariate(joint.n, joint.sums, joint.products)
        else:
            yield variant, moments(cut(values, bounds))


def _quantiles(
    con: duckdb.DuckDBPyConnection, design: Design, metric: Metric, until: date
) -> Iterator[tuple[str, Sample]]:
    assert metric.quantile is not None
    place = design.metrics.index(metric)
    for variant, _ in design.variants:
        units = _units(con, metric, f"x{place}", variant, until)
        values, clusters = (units, None) if metric.per == "unit" else _events(con, metric, variant, until)
        try:
            yield variant, estimate_quantile(values, metric.quantile, clusters=clusters, alpha=design.alpha)
        except Unmeasurable as reason:
            yield variant, NoSample(reason.verdict, len(units))


def _units(con: duckdb.DuckDBPyConnection, metric: Metric, column: str, variant: str, until: date) -> Values:
    """A number of the units of an arm whose days are over, ordered by unit."""
    found = con.execute(
        f"SELECT CAST({column} AS DOUBLE) AS value FROM experiment_totals "  # noqa: S608 - a name of our own
        "WHERE variant = ? AND first_ds <= ? ORDER BY unit",
        [variant, until - timedelta(days=matured_after(metric))],
    ).fetchnumpy()
    return np.asarray(found["value"], dtype=np.float64)


def _events(
    con: duckdb.DuckDBPyConnection, metric: Metric, variant: str, until: date
) -> tuple[Values, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """Values of the single events of an arm, and the number of the unit that each is of; read from all its days."""
    chosen = metric.numerator
    assert isinstance(chosen, Selection)
    bind = Binder()
    amount = {"value": "e.value", "quantity": "e.quantity", None: "1"}[chosen.column]
    found = con.execute(
        f"SELECT CAST(coalesce({amount}, 0) AS DOUBLE) AS value, dense_rank() OVER (ORDER BY t.unit) AS unit "  # noqa: S608
        "FROM experiment_totals AS t JOIN clean.events AS e ON e.account = t.unit "
        f"WHERE t.variant = {bind(variant)} AND e.ds <= {bind(until)} AND e.ts >= t.first_ts "
        f"AND {condition(chosen.events, chosen, bind)} ORDER BY t.unit, value",
        bind.values,
    ).fetchnumpy()
    return np.asarray(found["value"], dtype=np.float64), np.asarray(found["unit"], dtype=np.int64)
