"""Uplift and interleaving from the columns of an analyst's file."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from crossdomain.errors import InputError
from crossdomain.stats.comparison import Unmeasurable
from crossdomain.stats.interleaving import Preference, prefer
from crossdomain.stats.uplift import Uplift, measure_uplift


def uplift_of_columns(
    table: pa.Table, *, score: str, outcome: str, variant: str, control: str, treatment: str
) -> Uplift:
    """How well a score orders units by what a treatment does to them; a row is a unit.

    Args:
        table: The file; the order of its rows changes nothing.
        score: Column of the expected help.
        outcome: Column of what happened.
        variant: Column of the arm.
        control: Its value of the control.
        treatment: Its value of the treatment; rows of other arms are left out.

    Raises:
        InputError: A column is not of numbers, has missing or infinite values, or an arm has no row.
    """
    arm = table[variant].cast(pa.string())
    kept = pc.is_in(arm, value_set=pa.array([control, treatment], pa.string()))
    chosen = table.filter(kept)
    treated = pc.equal(chosen[variant].cast(pa.string()), treatment).to_numpy()
    try:
        return measure_uplift(_numbers(chosen, score), _numbers(chosen, outcome), treated.astype(bool))
    except Unmeasurable as reason:
        raise InputError(f"{variant}: {control!r} and {treatment!r} must both have rows") from reason


def preference_of_columns(table: pa.Table, *, clicks_a: str, clicks_b: str, unit: str | None) -> Preference:
    """Which of two interleaved rankers people preferred.

    Args:
        table: The file; the order of its rows changes nothing.
        clicks_a: Column of the clicks on items of ranker A.
        clicks_b: Column of those on items of B.
        unit: Column of the person or session, whose rows are added up; None: a row is a unit.

    Raises:
        InputError: A column of clicks is not of whole numbers from 0 on, or a unit is missing.
    """
    clicks = np.stack([_numbers(table, name) for name in (clicks_a, clicks_b)], axis=1)
    if (clicks < 0).any() or (clicks != np.floor(clicks)).any():
        raise InputError(f"{clicks_a}, {clicks_b}: clicks must be whole numbers from 0 on")
    if unit is not None:
        if table[unit].null_count:
            raise InputError(f"{unit}: {table[unit].null_count} rows have no unit")
        codes = table[unit].combine_chunks().dictionary_encode().indices.to_numpy()
        summed = np.zeros((int(codes.max(initial=-1)) + 1, 2))
        np.add.at(summed, codes, clicks)
        clicks = summed
    return prefer([(int(a), int(b)) for a, b in clicks])


def _numbers(table: pa.Table, name: str) -> npt.NDArray[np.float64]:
    column = table[name]
    kind = column.type
    if not (
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_boolean(kind)
    ):
        raise InputError(f"{name}: is {kind}, not numbers")
    if column.null_count:
        raise InputError(f"{name}: {column.null_count} values are missing")
    values = column.cast(pa.int8()) if pa.types.is_boolean(kind) else column
    return np.asarray(values.cast(pa.float64(), safe=False).to_numpy(), dtype=np.float64)
