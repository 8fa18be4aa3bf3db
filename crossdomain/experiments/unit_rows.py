"""An analyst's rows as one number a unit: who belongs to which arm, what is left out, and why.

Sums of floats are taken in the order of the values, so that the order of the rows changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from crossdomain.errors import InputError
from crossdomain.experiments.design import Design

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class LeftOut:
    """Rows and units that are not analysed.

    Attributes:
        unknown_variant: Rows whose variant is missing or not in the design.
        variants: Names of the unknown variants, sorted; at most ten.
        without_unit: Rows without a unit.
        several_variants: Units (clusters, where those were randomised) in more than one variant.
        units: Units known, left out or not.
    """

    unknown_variant: int
    variants: tuple[str, ...]
    without_unit: int
    several_variants: int
    units: int


@dataclass(frozen=True)
class UnitRows:
    """Rows of the units that are analysed.

    Attributes:
        table: The rows.
        unit: Unit of each row, from 0.
        arm: Arm of each unit, as its place in the design's variants.
        cluster: Cluster of each unit, from 0; None where units were randomised.
        left_out: What is not in it.
        block: Block of each unit, from 0, within which its cluster was randomised; None without blocks.
    """

    table: pa.Table
    unit: Codes
    arm: Codes
    cluster: Codes | None
    left_out: LeftOut
    block: Codes | None = None

    @property
    def units(self) -> int:
        """Units analysed."""
        return len(self.arm)

    @cached_property
    def single(self) -> bool:
        """Whether every unit has one row."""
        return len(self.unit) == self.units

    def numbers(self, name: str) -> tuple[Floats, Flags]:
        """A column's values by row, and whether each is there (0 stands where it is not).

        Raises:
            InputError: The column holds something other than numbers and booleans.
        """
        column = self.table[name].combine_chunks()
        kind = column.type
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
            if not (pa.types.is_boolean(kind) or pa.types.is_null(kind)):
                raise InputError(f"column {name!r} holds {_described(column)}, not numbers")
            if pa.types.is_boolean(kind):
                column = column.cast(pa.int8())
        there = np.asarray(pc.is_valid(column).to_numpy(zero_copy_only=False), dtype=bool)
        values = pc.fill_null(column.cast(pa.float64(), safe=False), 0.0).to_numpy(zero_copy_only=False)
        return np.asarray(values, dtype=np.float64), there

    def labels(self, name: str) -> tuple[Codes, list[str]]:
        """A column as codes by row and the labels that they stand for, sorted; a missing value is a label ''."""
        return _encoded(self.table[name])

    def totals(self, values: Floats) -> Floats:
        """Sum of a value over the rows of each unit."""
        if self.single:
            found = np.empty(self.units)
            found[self.unit] = values
            return found
        return sums_by(self.unit, values, self.units)

    def constants(self, name: str) -> tuple[Floats, Flags]:
        """A column that is the same in all rows of a unit, by unit, and whether it is known (0 stands where not).

        Raises:
            InputError: The column holds NaN, infinite values or no numbers, or the rows of a unit differ in it.
        """
        values, there = self.numbers(name)
        if not np.isfinite(values).all():
            raise InputError(
                f"covariate {name!r} holds NaN or infinite values: leave them empty where nothing is known"
            )
        least, most = np.full(self.units, np.inf), np.full(self.units, -np.inf)
        np.minimum.at(least, self.unit[there], values[there])
        np.maximum.at(most, self.unit[there], values[there])
        known: Flags = np.isfinite(least)
        if (least[known] != most[known]).any():
            raise InputError(f"covariate {name!r} differs between rows of one unit: it must be what was known before")
        return np.where(known, least, 0.0), known

    def largest(self, values: Floats) -> Floats:
        """Largest value of the rows of each unit."""
        found = np.full(self.units, -np.inf)
        np.maximum.at(found, self.unit, values)
        return found

    def chosen(self, rows: Flags) -> UnitRows:
        """The units that have a row among some rows, with those rows only."""
        kept, unit = np.unique(self.unit[rows], return_inverse=True)
        cluster, block = (
            None if codes is None else np.unique(codes[kept], return_inverse=True)[1]
            for codes in (self.cluster, self.block)
        )
        return UnitRows(self.table.filter(pa.array(rows)), unit, self.arm[kept], cluster, self.left_out, block)


def sums_by(codes: Codes, values: Floats, length: int) -> Floats:
    """Sum of the values of each code; the order of the rows changes nothing."""
    order = np.lexsort((values, codes))
    found = np.zeros(length)
    ordered = codes[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=-1))
    if len(starts):
        found[ordered[starts]] = np.add.reduceat(values[order], starts)
    return found


def read_unit_rows(design: Design, table: pa.Table) -> UnitRows:
    """Units and arms of an analyst's rows.

    Args:
        design: A design of a file.
        table: Its columns.

    Returns:
        Rows of known variants whose unit is in one variant only.
    """
    columns = design.file
    assert columns is not None
    names = [name for name, _ in design.variants]
    variant, labels = _encoded(table[columns.variant])
    places = np.array([names.index(label) if label in names else -1 for label in labels], dtype=np.int64)
    arm = places[variant] if len(labels) else np.zeros(0, dtype=np.int64)
    unknown = sorted(label for label in labels if label not in names)
    there = _valid(table[columns.unit]) if columns.unit else np.ones(len(table), dtype=bool)
    known = (arm >= 0) & there
    table, arm = table.filter(pa.array(known)), arm[known]
    unit = _dense(table[columns.unit]) if columns.unit else np.arange(len(table), dtype=np.int64)
    randomised = _dense(table[columns.cluster]) if columns.cluster else unit
    several = _several(randomised, arm)
    kept = ~several[randomised] if len(randomised) else np.zeros(0, dtype=bool)
    left_out = LeftOut(
        unknown_variant=int((~(places[variant] >= 0)).sum()) if len(labels) else 0,
        variants=tuple(unknown[:10]),
        without_unit=int((~there).sum()),
        several_variants=int(several.sum()),
        units=len(several),
    )
    table, arm = table.filter(pa.array(kept)), arm[kept]
    _, unit = np.unique(unit[kept], return_inverse=True)
    arm_of_unit = np.zeros(int(unit.max()) + 1 if len(unit) else 0, dtype=np.int64)
    arm_of_unit[unit] = arm
    cluster = _of_units(unit, randomised[kept], len(arm_of_unit)) if columns.cluster else None
    block = _of_units(unit, _dense(table[columns.block]), len(arm_of_unit)) if columns.block else None
    return UnitRows(table, unit, arm_of_unit, cluster, left_out, block)


def _of_units(unit: Codes, codes: Codes, units: int) -> Codes:
    """Codes of rows, from 0, as those of the units that the rows are of."""
    found = np.zeros(units, dtype=np.int64)
    found[unit] = np.unique(codes, return_inverse=True)[1]
    return found


def _several(codes: Codes, arm: Codes) -> Flags:
    """Whether each code occurs in more than one arm."""
    length = int(codes.max()) + 1 if len(codes) else 0
    least, most = np.full(length, np.iinfo(np.int64).max), np.full(length, -1)
    np.minimum.at(least, codes, arm)
    np.maximum.at(most, codes, arm)
    found: Flags = least != most
    return found


def _valid(column: pa.ChunkedArray) -> Flags:
    there: Flags = np.asarray(pc.is_valid(column).to_numpy(), dtype=bool)
    return there


def _dense(column: pa.ChunkedArray) -> Codes:
    """Codes from 0 in the order of first appearance; equal values have one code."""
    encoded = column.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.unify_dictionaries().combine_chunks()
    return np.asarray(encoded.indices.to_numpy(zero_copy_only=False), dtype=np.int64)


def _encoded(column: pa.ChunkedArray) -> tuple[Codes, list[str]]:
    """Codes and sorted labels; a missing value is the label ''."""
    as_text = column.combine_chunks()
    if isinstance(as_text, pa.ChunkedArray):
        as_text = pa.concat_arrays(as_text.chunks) if as_text.num_chunks else pa.array([], column.type)
    if not pa.types.is_string(as_text.type):
        as_text = _whole(as_text).cast(pa.string())
    filled = pc.fill_null(as_text, "").dictionary_encode()
    labels = filled.dictionary.to_pylist()
    order = sorted(range(len(labels)), key=lambda i: labels[i])
    rank = np.empty(len(labels), dtype=np.int64)
    rank[order] = np.arange(len(labels))
    codes = np.asarray(filled.indices.to_numpy(zero_copy_only=False), dtype=np.int64)
    return (rank[codes] if len(labels) else codes), [labels[i] for i in order]


def _whole(column: Any) -> Any:
    """Floats that are whole as integers, so that an arm 0.0 is the arm 0."""
    if pa.types.is_floating(column.type):
        values = np.asarray(pc.fill_null(column, 0.0).to_numpy(zero_copy_only=False))
        if bool(np.isfinite(values).all() and (values == np.floor(values)).all()):
            return column.cast(pa.int64())
    return column


def _described(column: Any) -> str:
    """What a column holds, with its first value that is no number as an example."""
    example = next((value for value in column.to_pylist() if value is not None and not _is_number(str(value))), None)
    return f"{column.type} such as {str(example)[:40]!r}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
