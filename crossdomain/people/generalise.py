"""Tables of people that name nobody: quasi-identifiers made coarser until every combination has k people.

Each quasi-identifier has declared steps from fine to ``*`` (full-domain generalisation: the same step for the whole
column). All combinations of steps are tried; of those that leave out at most a set share of the people the one that
keeps most is taken, by the discernibility measure (Bayardo & Agrawal 2005: each person costs the size of their cell,
or the size of the table where left out). Cells with fewer than k people are then left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

import duckdb
import pyarrow as pa

from crossdomain.errors import CrossdomainError, InputError
from crossdomain.stats.anonymity import Anonymity, measure
from crossdomain.storage.engine import identifier

ANY = "*"
"""What stands for a value that was generalised away."""

MOST_COMBINATIONS = 500
"""So many combinations of steps are tried at most."""


@dataclass(frozen=True)
class Step:
    """One degree of coarseness of a quasi-identifier.

    Attributes:
        name: Shown in the report, such as ``5 years``.
        sql: Expression over the table's columns that gives text; null counts as a value of its own.
    """

    name: str
    sql: str


def bands(column: str, years: int) -> Step:
    """A year as a band of years, such as ``1990-1994``."""
    low = f"({identifier(column)} // {years}) * {years}"
    return Step(f"{years} years", f"({low}) || '-' || ({low} + {years - 1})")


def exact(column: str) -> Step:
    """A column as it is."""
    return Step("exact", f"CAST({identifier(column)} AS VARCHAR)")


def instead(column: str) -> Step:
    """Another, coarser column in its place."""
    return Step(column, f"CAST({identifier(column)} AS VARCHAR)")


_NOTHING = Step("any", f"'{ANY}'")

HIERARCHIES: Mapping[str, tuple[Step, ...]] = {
    "gender": (exact("gender"), _NOTHING),
    "birth_year": (exact("birth_year"), bands("birth_year", 5), bands("birth_year", 10), _NOTHING),
    "province": (exact("province"), _NOTHING),
    "city": (Step("exact", "province || ' ' || city"), instead("province"), _NOTHING),
    "sides": (exact("sides"), _NOTHING),
}
"""Steps of each quasi-identifier of people, from fine to coarse."""


@dataclass(frozen=True)
class Released:
    """A table that may leave, and how safe it is.

    Attributes:
        rows: The quasi-identifiers as text, then the sensitive column if any; ordered by all columns.
        steps: Name of the step that each quasi-identifier was taken to.
        people: Rows of the table before.
        suppressed: Rows that were left out.
        anonymity: Measured on ``rows``; without a sensitive column the diversity of nothing is 1.
    """

    rows: pa.Table
    steps: Mapping[str, str]
    people: int
    suppressed: int
    anonymity: Anonymity


def release(
    con: duckdb.DuckDBPyConnection,
    relation: str,
    columns: Sequence[str],
    *,
    k: int,
    sensitive: str | None = None,
    most_suppressed: float = 0.05,
    hierarchies: Mapping[str, Sequence[Step]] = HIERARCHIES,
) -> Released:
    """Generalises a table until every combination of its quasi-identifiers has at least k rows.

    Args:
        con: A connection.
        relation: Name of a table or view with one row a person.
        columns: Quasi-identifiers to release, each with steps in ``hierarchies``.
        k: Least number of rows of a cell; at least 2.
        sensitive: A column that is released as it is; the report says how diverse it is within cells.
        most_suppressed: Share of the rows that may be left out, 0 to 1.
        hierarchies: Steps of each column; the last one must be the same for all rows.

    Raises:
        InputError: A column without steps or twice, ``k`` or ``most_suppressed`` out of range.
        CrossdomainError: There are fewer than k rows: nothing may leave.
    """
    _check(columns, k=k, sensitive=sensitive, most_suppressed=most_suppressed, hierarchies=hierarchies)
    lattice = [hierarchies[column] for column in columns]
    con.execute(f"CREATE OR REPLACE TEMP TABLE base_cells AS {_cells(relation, lattice)}")
    ((people,),) = con.execute("SELECT coalesce(sum(rows), 0)::BIGINT FROM base_cells").fetchall()
    if people < k:
        raise CrossdomainError(f"{people} people are fewer than k = {k}: nothing may leave; ask for more days or sides")
    chosen = _best(con, lattice, k=k, allowed=int(most_suppressed * people), people=people)
    rows = _released_rows(
        con, relation, columns, [steps[at] for steps, at in zip(lattice, chosen, strict=True)], k, sensitive
    )
    cells = list(zip(*(rows.column(column).to_pylist() for column in columns), strict=True))
    anonymity = measure(cells, rows.column(sensitive).to_pylist() if sensitive else [None] * len(cells))
    if anonymity.k < k:
        raise CrossdomainError(f"a cell has {anonymity.k} people where {k} are needed: a fault of this program")
    return Released(
        rows=rows,
        steps={column: steps[at].name for column, steps, at in zip(columns, lattice, chosen, strict=True)},
        people=people,
        suppressed=people - rows.num_rows,
        anonymity=anonymity,
    )


def _check(
    columns: Sequence[str],
    *,
    k: int,
    sensitive: str | None,
    most_suppressed: float,
    hierarchies: Mapping[str, Sequence[Step]],
) -> None:
    if not columns or len(set(columns)) != len(columns):
        raise InputError("name the columns to release, each once")
    if unknown := [column for column in columns if column not in hierarchies]:
        raise InputError(f"column {unknown[0]!r} cannot be released; there are {', '.join(sorted(hierarchies))}")
    if sensitive in columns:
        raise InputError(f"column {sensitive!r} is released generalised or as sensitive, not both")
    if k < 2:
        raise InputError(f"k = {k} hides nobody; give 2 or more")
    if not 0 <= most_suppressed <= 1:
        raise InputError(f"the share that may be left out is {most_suppressed}; give 0 to 1")
    if (combinations := prod(len(hierarchies[column]) for column in columns)) > MOST_COMBINATIONS:
        raise InputError(
            f"{combinations} combinations of steps are too many (at most {MOST_COMBINATIONS}); ask for fewer columns"
        )


def _cells(relation: str, lattice: Sequence[Sequence[Step]]) -> str:
    """SQL of the distinct combinations with all their steps, column ``c<i>_<step>``, and their number of rows."""
    steps = ", ".join(
        f"{step.sql} AS c{place}_{at}" for place, column in enumerate(lattice) for at, step in enumerate(column)
    )
    return f"SELECT {steps}, count(*) AS rows FROM {identifier(relation)} GROUP BY ALL"  # noqa: S608 - quoted


def _best(
    con: duckdb.DuckDBPyConnection, lattice: Sequence[Sequence[Step]], *, k: int, allowed: int, people: int
) -> tuple[int, ...]:
    """Step of each column, least discernibility first, then finer, among those that leave out few enough."""
    best: tuple[int, int, tuple[int, ...]] | None = None
    for at in product(*(range(len(steps)) for steps in lattice)):
        grouped = ", ".join(f"c{place}_{step}" for place, step in enumerate(at))
        ((left_out, kept),) = con.execute(
            f"SELECT coalesce(sum(rows) FILTER (rows < $k), 0)::BIGINT, "  # noqa: S608 - our own names
            f"coalesce(sum(rows * rows) FILTER (rows >= $k), 0)::HUGEINT "
            f"FROM (SELECT sum(rows)::HUGEINT AS rows FROM base_cells GROUP BY {grouped})",
            {"k": k},
        ).fetchall()
        cost = (kept + left_out * people, sum(at), at)
        if left_out <= allowed and (best is None or cost < best):
            best = cost
    assert best is not None  # the coarsest combination is one cell of at least k rows
    return best[2]


def _released_rows(
    con: duckdb.DuckDBPyConnection,
    relation: str,
    columns: Sequence[str],
    steps: Sequence[Step],
    k: int,
    sensitive: str | None,
) -> pa.Table:
    coarse = ", ".join(f"{step.sql} AS c{place}" for place, step in enumerate(steps))
    cell = ", ".join(f"c{place}" for place in range(len(steps)))
    named = ", ".join(f"c{place} AS {identifier(column)}" for place, column in enumerate(columns))
    extra, kept = (
        ("", "") if sensitive is None else (f", {identifier(sensitive)} AS s", f", s AS {identifier(sensitive)}")
    )
    return con.sql(
        f"SELECT {named}{kept} FROM (SELECT {coarse}{extra} FROM {identifier(relation)}) "  # noqa: S608 - quoted
        f"QUALIFY count(*) OVER (PARTITION BY {cell}) >= {k:d} ORDER BY ALL"
    ).to_arrow_table()
