"""Moments of an experiment's metrics by arm and first day, carried forward by the difference that a day makes.

A unit's numbers are those of the whole experiment, so a day's moments cannot be added to those of the days before:
what a changed unit contributed before is taken off, and what it contributes now is added. Sums are exact (DECIMAL), so
the result is the same, to the last digit, as that of all units at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import date, timedelta
from decimal import Decimal
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING

from crossdomain.experiments.design import Design
from crossdomain.experiments.design_parts import Metric
from crossdomain.experiments.samples import Sample
from crossdomain.experiments.selections import NUMBER, Part, matured_after, parts
from crossdomain.experiments.state import covariate_parts, newest_rows
from crossdomain.stats.cuped import MeanAndCovariate, RatioAndCovariate
from crossdomain.stats.moments import Moments, PairMoments
from crossdomain.stats.proportions import Successes

if TYPE_CHECKING:
    import duckdb

_ZERO = Decimal(0)


@dataclass(frozen=True)
class Sums:
    """Sums over units of a metric's numerator x, denominator y and their covariates, and of their products.

    Attributes:
        n: Units.
        x: Sum of the numerator; ``y`` of the denominator, ``cx`` and ``cy`` of their covariates. What a metric does
            not have is 0.
        xx: Sum of the numerator's square; the others likewise are sums of products.
    """

    n: int = 0
    x: Decimal = _ZERO
    y: Decimal = _ZERO
    cx: Decimal = _ZERO
    cy: Decimal = _ZERO
    xx: Decimal = _ZERO
    xy: Decimal = _ZERO
    xcx: Decimal = _ZERO
    xcy: Decimal = _ZERO
    yy: Decimal = _ZERO
    ycx: Decimal = _ZERO
    ycy: Decimal = _ZERO
    cxcx: Decimal = _ZERO
    cxcy: Decimal = _ZERO
    cycy: Decimal = _ZERO

    def __add__(self, other: Sums) -> Sums:
        """Sums of two sets of units that share none."""
        return Sums(*(getattr(self, name) + getattr(other, name) for name in SUMS))

    def __sub__(self, other: Sums) -> Sums:
        """Sums without some of the units."""
        return Sums(*(getattr(self, name) - getattr(other, name) for name in SUMS))

    def sample(self, metric: Metric) -> Sample:
        """What the comparison of a metric takes; with CUPED its covariate too."""
        if metric.kind == "proportion" and not metric.cuped:
            return Successes(int(self.x), self.n)
        if metric.kind == "ratio" and metric.cuped:
            return RatioAndCovariate(
                self.n, (self.x, self.y, self.cx, self.cy), tuple(self._products("x", "y", "cx", "cy"))
            )
        if metric.kind == "ratio":
            return PairMoments(self.n, self.x, self.y, self.xx, self.yy, self.xy)
        if metric.cuped:
            return MeanAndCovariate(self.n, (self.x, self.cx), tuple(self._products("x", "cx")))
        return Moments(self.n, self.x, self.xx)

    def _products(self, *names: str) -> Iterator[Decimal]:
        """Sums of the products of every two values, each pair once, in the order of the rows of a matrix."""
        for left, right in combinations_with_replacement(names, 2):
            yield getattr(self, left + right)


SUMS = tuple(field.name for field in fields(Sums))
_PRODUCTS = {
    left + right: (left, right)
    for place, left in enumerate(("x", "y", "cx", "cy"))
    for right in ("x", "y", "cx", "cy")[place:]
}


@dataclass(frozen=True)
class Stratum:
    """Units of one arm that were first analysed on one day, in one metric: the grain of the moments."""

    first_ds: date
    variant: str
    metric: str


Strata = dict[Stratum, Sums]


def day_difference(con: duckdb.DuckDBPyConnection, design: Design) -> Strata:
    """What the fold changed: moments of ``state_after`` less those of the same units in ``state_before``.

    Args:
        con: Connection after ``fold_state``.
        design: The design.
    """
    numbers = ", ".join(_number(design))
    source = (
        f"SELECT 1 AS sign, first_ds, variant, {numbers} FROM state_after WHERE counted AND written UNION ALL "  # noqa: S608
        f"SELECT -1 AS sign, first_ds, variant, {numbers} FROM state_before AS b "
        f"SEMI JOIN (FROM state_after WHERE written) AS a ON a.unit = b.unit WHERE {_analysed(design)}"
    )
    return _strata(con, design, source)


def held_moments(con: duckdb.DuckDBPyConnection, design: Design, held: str) -> Strata:
    """Moments of the newest rows of ``held.experiment_state``, all read again.

    Needed where rows were taken out of the state since its moments were written (erasure).

    Args:
        con: Connection with view ``held.experiment_state`` of the kept days.
        design: The design.
        held: Fingerprint of the rows.
    """
    newest = newest_rows(design, held)
    source = (
        f"SELECT 1 AS sign, first_ds, variant, {', '.join(_number(design))} FROM ({newest}) WHERE {_analysed(design)}"  # noqa: S608
    )
    return _strata(con, design, source)


def moments_of_totals(con: duckdb.DuckDBPyConnection, design: Design) -> Strata:
    """Moments of the units of temporary table ``experiment_totals``, as ``view_totals`` makes it.

    Args:
        con: Connection with the table.
        design: The design.
    """
    return _strata(con, design, "SELECT 1 AS sign, * FROM experiment_totals")


def _strata(con: duckdb.DuckDBPyConnection, design: Design, source: str) -> Strata:
    sums = [(position, name, sql) for position in range(len(design.metrics)) for name, sql in _sums(design, position)]
    listed = "".join(f", {sql}" for _, _, sql in sums)
    query = f"SELECT sign, first_ds, variant, count(*){listed} FROM ({source}) GROUP BY ALL ORDER BY ALL"  # noqa: S608
    found: Strata = {}
    for sign, first_ds, variant, units, *values in con.execute(query).fetchall():
        by_metric: dict[int, dict[str, Decimal]] = {position: {} for position in range(len(design.metrics))}
        for (position, name, _), value in zip(sums, values, strict=True):
            by_metric[position][name] = value
        for position, metric in enumerate(design.metrics):
            stratum = Stratum(first_ds, variant, metric.name)
            one, known = Sums(n=units, **by_metric[position]), found.get(stratum, Sums())
            found[stratum] = known + one if sign > 0 else known - one
    return found


def _analysed(design: Design) -> str:
    names = ", ".join("'" + name.replace("'", "''") + "'" for name, _ in design.variants)
    return f"NOT several AND first_ts IS NOT NULL AND variant IN ({names})"


def carried(before: Strata, difference: Strata) -> Strata:
    """Moments after a fold; strata that no unit is left in are dropped."""
    joined = dict(before)
    for stratum, change in difference.items():
        joined[stratum] = joined.get(stratum, Sums()) + change
    return {stratum: joined[stratum] for stratum in sorted(joined, key=_order) if joined[stratum].n}


def samples(
    design: Design, strata: Mapping[Stratum, Sums], until: date, *, first_days: Iterable[date] | None = None
) -> dict[tuple[str, str], Sums]:
    """Sums of every metric and arm as of a day.

    A metric over the days after exposure (retention) takes only units whose last such day is over.

    Args:
        design: The design.
        strata: Moments as of ``until``.
        until: Business day.
        first_days: Only units that were first analysed on one of these days; None: all.

    Returns:
        (metric, variant) to sums, for every metric and variant of the design.
    """
    chosen = None if first_days is None else frozenset(first_days)
    found = {(metric.name, variant): Sums() for metric in design.metrics for variant, _ in design.variants}
    latest = {metric.name: until - timedelta(days=matured_after(metric)) for metric in design.metrics}
    for stratum, sums in strata.items():
        wanted = chosen is None or stratum.first_ds in chosen
        if wanted and stratum.first_ds <= latest[stratum.metric]:
            found[stratum.metric, stratum.variant] += sums
    return found


def units_by_day(design: Design, strata: Mapping[Stratum, Sums]) -> dict[date, dict[str, int]]:
    """Analysed units by the day on which they came, and variant; every variant is given."""
    metric = design.metrics[0].name
    found: dict[date, dict[str, int]] = {}
    for stratum, sums in sorted(strata.items(), key=lambda item: _order(item[0])):
        if stratum.metric == metric:
            found.setdefault(stratum.first_ds, {name: 0 for name, _ in design.variants})[stratum.variant] += sums.n
    return found


def _order(stratum: Stratum) -> tuple[date, str, str]:
    return stratum.first_ds, stratum.variant, stratum.metric


def _number(design: Design) -> Iterator[str]:
    """SQL of every part and covariate as a column of its own."""
    for place, part in enumerate(parts(design), 1):
        value = f"CAST(exposures AS {NUMBER})" if part.selection is None else f"totals[{place}]"
        yield f"{value} AS {part.column}"
    for place, part in enumerate(covariate_parts(design), 1):
        yield f"covariates[{place}] AS c{part.column}"


def _sums(design: Design, position: int) -> Iterator[tuple[str, str]]:
    """Name and SQL of each sum of a metric that is not 0 for lack of the number."""
    held = {_letters(part.column): part.column for part in parts(design) if _of(part, position)}
    held |= {f"c{_letters(part.column)}": f"c{part.column}" for part in covariate_parts(design) if _of(part, position)}
    for name, column in held.items():
        yield name, f"sum({column})"
    for name, (left, right) in _PRODUCTS.items():
        if left in held and right in held:
            yield name, f"sum({held[left]} * {held[right]})"


def _of(part: Part, position: int) -> bool:
    return part.column[1:] == str(position)


def _letters(column: str) -> str:
    return column[0]
