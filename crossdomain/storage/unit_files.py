"""Files of units and their variants, as analysts bring and take them: CSV or Parquet."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from crossdomain.errors import InputError, MissingInput
from crossdomain.settings import Settings
from crossdomain.storage.engine import connection, file_literal, identifier, literal
from crossdomain.storage.home import Home, explained

_READERS = {".csv": "read_csv({}, all_varchar = true)", ".parquet": "read_parquet({})"}
_FORMATS = {".csv": "FORMAT csv, HEADER", ".parquet": "FORMAT parquet, COMPRESSION zstd"}


@dataclass(frozen=True)
class UnitFile:
    """Units of a file in its order.

    Attributes:
        units: Bytes of each: a BLOB as it is, text as UTF-8.
        shown: Each as people read it: text as it is, bytes as hexadecimal digits.
        variants: What was given earlier; None throughout where the file has no column variant.
    """

    units: tuple[bytes, ...]
    shown: tuple[str, ...]
    variants: tuple[str | None, ...]


def read_units(path: Path, settings: Settings) -> UnitFile:
    """Reads column ``unit`` and, where it is there, ``variant`` of a file.

    Raises:
        InputError: The file is no CSV or Parquet file, has no column unit, or a unit is missing or stands twice.
    """
    if path.suffix not in _READERS:
        raise InputError(f"{path}: units come as .csv or .parquet, not as {path.suffix or 'a file without an ending'}")
    if not path.exists():
        raise MissingInput(f"{path}: there is no such file")
    source = _READERS[path.suffix].format(file_literal(path))
    with Home(settings.home).scratch() as scratch, connection(settings, scratch) as con:
        try:
            columns = {name: kind for name, kind, *_ in con.execute(f"DESCRIBE FROM {source}").fetchall()}
        except (duckdb.InvalidInputException, duckdb.IOException) as error:
            raise InputError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error
        if "unit" not in columns:
            raise InputError(f"{path}: there is no column unit; the columns are {', '.join(columns)}")
        binary = columns["unit"] == "BLOB"
        shown = "lower(hex(unit))" if binary else "CAST(unit AS VARCHAR)"
        raw = "unit" if binary else "encode(CAST(unit AS VARCHAR))"
        variant = "nullif(CAST(variant AS VARCHAR), '')" if "variant" in columns else "NULL"
        rows = con.execute(f"SELECT {raw}, {shown}, {variant} FROM {source}").fetchall()  # noqa: S608 - quoted
    units, texts, variants = zip(*rows, strict=True) if rows else ((), (), ())
    for place, unit in enumerate(units, 2 if path.suffix == ".csv" else 1):
        if not unit:
            raise InputError(f"{path}, row {place}: the unit is empty")
    seen: set[bytes] = set()
    for unit, text in zip(units, texts, strict=True):
        if unit in seen:
            raise InputError(f"{path}: unit {text} stands twice: give each unit once")
        seen.add(unit)
    return UnitFile(units, texts, variants)


def write_assigned(path: Path, rows: Sequence[tuple[Any, ...]], settings: Settings) -> None:
    """Writes (unit, variant, outside, kept) in the order given; an existing file is replaced whole or not at all.

    Raises:
        InputError: The file's ending says neither CSV nor Parquet, or its folder cannot be written.
    """
    kinds = {"unit": pa.string(), "variant": pa.string(), "outside": pa.string(), "kept": pa.bool_()}
    _write(path, kinds, rows, settings)


def write_schedule(path: Path, rows: Sequence[tuple[Any, ...]], settings: Settings) -> None:
    """Writes (slot, block, variant, begins, measured_from, ends) as ``write_assigned``; times are UTC."""
    moment = pa.timestamp("us", "UTC")
    kinds = {"slot": pa.int64(), "block": pa.int64(), "variant": pa.string()}
    _write(path, kinds | {"begins": moment, "measured_from": moment, "ends": moment}, rows, settings)


def _write(path: Path, kinds: dict[str, pa.DataType], rows: Sequence[tuple[Any, ...]], settings: Settings) -> None:
    if path.suffix not in _FORMATS:
        raise InputError(f"{path}: assignments are written as .csv or .parquet")
    columns = list(zip(*rows, strict=True)) or [()] * len(kinds)
    table = pa.table({name: pa.array(values, kinds[name]) for name, values in zip(kinds, columns, strict=True)})
    aside = path.with_name(f".{uuid.uuid4().hex}{path.suffix}")
    with Home(settings.home).scratch() as scratch, connection(settings, scratch) as con:
        con.register("assigned", table)
        try:
            con.execute(f"COPY (FROM {identifier('assigned')}) TO {literal(str(aside))} ({_FORMATS[path.suffix]})")
            aside.replace(path)
        except (OSError, duckdb.IOException) as error:
            raise InputError(f"{path} cannot be written: {explained(error)}") from error
