"""Partitions as data frames that Great Expectations can read.

Great Expectations compares what pandas holds: money becomes a double (exact for cents up to 90 trillion) and a key
of bytes a text with one character a byte, so that lengths and equality stay what they were.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from crossdomain.errors import InputError

Rows: TypeAlias = "pa.Table | duckdb.DuckDBPyRelation"
"""Rows of a partition: an Arrow table, or a DuckDB relation that is read only for the columns that rules name."""


def columns_of(rows: Rows) -> tuple[str, ...]:
    """Names of the columns."""
    return tuple(rows.column_names) if isinstance(rows, pa.Table) else tuple(rows.columns)


def row_count(rows: Rows) -> int:
    """Number of rows."""
    if isinstance(rows, pa.Table):
        return int(rows.num_rows)
    counted = rows.aggregate("count(*)").fetchall()
    return int(counted[0][0])


def checked_frame(rows: Rows, columns: Sequence[str], table: str) -> pd.DataFrame:
    """The named columns as a frame, one row a row, in the same order.

    Raises:
        InputError: A column is missing; the message names it and the table.
    """
    if missing := [name for name in columns if name not in columns_of(rows)]:
        raise InputError(f"{table} has no column {', '.join(missing)}, which its rules read: compare its schema.yaml")
    if isinstance(rows, pa.Table):
        selected = rows.select(list(columns))
    else:
        quoted = ", ".join('"' + name.replace('"', '""') + '"' for name in columns)
        selected = rows.project(quoted).to_arrow_table()
    readable = [_readable(selected.column(name)) for name in columns]
    frame = pa.table(readable, names=list(columns)).to_pandas()
    return frame if columns else pd.DataFrame(index=pd.RangeIndex(row_count(rows)))


def _readable(column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type
    if pa.types.is_decimal(kind):
        return pc.cast(column, pa.float64())
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return _one_character_a_byte(column)
    if pa.types.is_integer(kind) and column.null_count:
        return pc.cast(column, pa.float64(), safe=False)
    return column


def _one_character_a_byte(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Bytes as text, decoded once for each different key."""
    coded = pc.dictionary_encode(column).combine_chunks()
    if isinstance(coded, pa.ChunkedArray):
        coded = coded.chunk(0)
    texts = pa.array([value.decode("latin-1") for value in coded.dictionary.to_pylist()], pa.string())
    return pa.chunked_array([texts.take(coded.indices)])
