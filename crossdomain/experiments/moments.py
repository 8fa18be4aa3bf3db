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
from typing import TYPE_CHECKING, Any, NamedTuple

from crossdomain.experiments.design import Design
from crossdomain.experiments.design_parts import Metric
from crossdomain.experiments.samples import Sample
from crossdomain.experiments.selections import NUMBER, Binder, Part, matured_after, parts
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


class PartName(NamedTuple):
    """A part of the units: all of them (``WHOLE``), a registered segment, or a value of a dimension.

    Attributes:
        kind: Empty for all units, ``segment`` or ``dimension``.
        name: The segment, or the dimension; of all units empty.
        value: The dimension's value; else empty.
    """

    kind: str
    name: str
    value: str


WHOLE = PartName("", "", "")
PartStrata = dict[PartName, Strata]
"""Moments of all units and of every part of the design; parts that no unit is in are not there."""


def day_difference(con: duckdb.DuckDBPyConnection, design: Design) -> PartStrata:
    """What the fold changed: moments of ``state_after`` less those of the same units in ``state_before``.

    Args:
        con: Connection after ``fold_state``.
        design: The design.
    """
    numbers = ", ".join(_number(design))
    source = (
        f"SELECT 1 AS sign, {numbers} FROM state_after WHERE counted AND written UNION ALL "  # noqa: S608
        f"SELECT -1 AS sign, {numbers} FROM state_before AS b "
        f"SEMI JOIN (FROM state_after WHERE written) AS a ON a.unit = b.unit WHERE {_analysed(design)}"
    )
    return _by_part(con, design, source)


def held_moments(con: duckdb.DuckDBPyConnection, design: Design, held: str) -> PartStrata:
    """Moments of the newest rows of ``held.experiment_state``, all read again.

    Needed where rows were taken out of the state since its moments were written (erasure).

    Args:
        con: Connection with view ``held.experiment_state`` of the kept days.
        design: The design.
        held: Fingerprint of the rows.
    """
    newest = newest_rows(design, held)
    numbers = ", ".join(_number(design))
    return _by_part(con, design, f"SELECT 1 AS sign, {numbers} FROM ({newest}) WHERE {_analysed(design)}")  # noqa: S608


def _by_part(con: duckdb.DuckDBPyConnection, design: Design, source: str) -> PartStrata:
    """Moments of all units, of every value of every dimension and of the segments, each by one pass over the source."""
    rows = f"({source})"
    if design.dimensions:
        con.execute(f"CREATE OR REPLACE TEMP TABLE moved AS {source}").fetchall()
        rows = "moved"
    found = _told_apart(con, design, rows, WHOLE)
    for place, dimension in enumerate(design.dimensions, 1):
        found |= _told_apart(con, design, rows, PartName("dimension", dimension, ""), value=f"attributes[{place}]")
    for part in (PartName("segment", segment.name, "") for segment in design.segments):
        found |= _told_apart(con, design, rows, part, where=in_part(design, part))
    return found


def in_part(design: Design, part: PartName) -> tuple[str, dict[str, Any]]:
    """SQL of whether a unit with ``attributes`` is in a segment or a dimension's value, and what it binds."""
    bind = Binder()
    if part.kind == "segment":
        where = next(segment.where for segment in design.segments if segment.name == part.name)
    else:
        where = ((part.name, (part.value,)),)
    tests = [f"attributes[{design.dimensions.index(name) + 1}] IN ({bind.all(values)})" for name, values in where]
    return " AND ".join(tests), bind.values


def _told_apart(
    con: duckdb.DuckDBPyConnection,
    design: Design,
    rows: str,
    part: PartName,
    *,
    value: str = "''",
    where: tuple[str, Mapping[str, Any]] = ("true", {}),
) -> PartStrata:
    """Moments of rows that a condition holds for, by the value that SQL gives them."""
    sums = [(position, name, sql) for position in range(len(design.metrics)) for name, sql in _sums(design, position)]
    listed = "".join(f", {sql}" for _, _, sql in sums)
    condition, bound = where
    query = (
        f"SELECT {value} AS value, sign, first_ds, variant, count(*){listed} FROM {rows} WHERE {condition} "  # noqa: S608
        "GROUP BY ALL ORDER BY ALL"
    )
    found: PartStrata = {}
    for own_value, sign, first_ds, variant, units, *values in con.execute(query, bound).fetchall():
        strata = found.setdefault(part._replace(value=own_value), {})
        by_metric: dict[int, dict[str, Decimal]] = {position: {} for position in range(len(design.metrics))}
        for (position, name, _), number in zip(sums, values, strict=True):
            by_metric[position][name] = number
        for position, metric in enumerate(design.metrics):
            stratum = Stratum(first_ds, variant, metric.name)
            one, known = Sums(n=units, **by_metric[position]), strata.get(stratum, Sums())
            strata[stratum] = known + one if sign > 0 else known - one
    return found


def _analysed(design: Design) -> str:
    names = ", ".join("'" + name.replace("'", "''") + "'" for name, _ in design.variants)
    return f"NOT several AND first_ts IS NOT NULL AND variant IN ({names})"


def carried(before: PartStrata, difference: PartStrata) -> PartStrata:
    """Moments after a fold; strata that no unit is left in are dropped, and parts without any."""
    joined = {part: _carried(before.get(part, {}), difference.get(part, {})) for part in sorted({*before, *difference})}
    return {part: strata for part, strata in joined.items() if strata}


def _carried(before: Strata, difference: Strata) -> Strata:
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
    """SQL of what moments are told apart by, and of every number and covariate as a column of its own."""
    yield from ("first_ds", "variant", "attributes")
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
