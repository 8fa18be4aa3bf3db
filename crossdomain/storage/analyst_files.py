"""Files that an analyst brings, CSV or Parquet, as Arrow tables."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa

from crossdomain.errors import InputError, MissingInput
from crossdomain.settings import Settings
from crossdomain.storage.engine import connection, file_literal, quoted
from crossdomain.storage.home import write_whole

_CSV = (".csv", ".csv.gz", ".tsv", ".tsv.gz")
_PARQUET = (".parquet", ".pq")
_NULLS = "['', 'NULL', 'null', 'NA', 'N/A']"


def read_columns(settings: Settings, path: Path, columns: Sequence[str]) -> pa.Table:
    """Some columns of a file, or of all files of a folder.

    Args:
        settings: Memory and threads.
        path: A CSV file (``.csv``, ``.tsv``, perhaps ``.gz``; UTF-8, with a header), a Parquet file, or a folder of
            files of one of these forms.
        columns: Columns to read.

    Returns:
        The columns in the order asked for; types are inferred over all rows, so that order and partitioning of the
        rows do not change them.

    Raises:
        MissingInput: There is no such file.
        InputError: The file cannot be read, or lacks a column; the message names those that it has.
    """
    source = _source(path)
    with tempfile.TemporaryDirectory() as scratch, connection(settings, Path(scratch)) as con:
        try:
            have = con.sql(f"FROM {source}").columns
            if missing := [name for name in columns if name not in have]:
                raise InputError(f"{path}: there is no column {missing[0]!r}; the columns are {', '.join(have)}")
            chosen = ", ".join(quoted(name) for name in dict.fromkeys(columns))
            return con.sql(f"SELECT {chosen} FROM {source}").to_arrow_table()  # noqa: S608 - quoted names and paths
        except duckdb.Error as error:
            raise InputError(f"{path}: cannot be read: {str(error).strip().splitlines()[0]}") from error


def read_by_variant(settings: Settings, files: Mapping[str, Path], columns: Sequence[str], *, variant: str) -> pa.Table:
    """One file a variant, put together with a column that names it.

    Args:
        settings: Memory and threads.
        files: Variant to file.
        columns: Columns to read, ``variant`` perhaps among them.
        variant: Name of the column that says the variant.

    Raises:
        InputError: As ``read_columns``.
    """
    wanted = [name for name in columns if name != variant]
    tables = []
    for name, path in files.items():
        table = read_columns(settings, path, wanted)
        tables.append(table.append_column(variant, pa.array([name] * len(table), pa.string())))
    return pa.concat_tables(tables, promote_options="permissive")


def check_writable(path: Path) -> None:
    """Asks before long work whether a file of that name can be written after it.

    Raises:
        MissingInput: Its folder does not exist.
        InputError: A folder or device has that name, or its folder may not be written to.
    """
    if not path.parent.is_dir():
        raise MissingInput(f"{path}: there is no folder {path.parent}")
    if path.exists() and not path.is_file():
        raise InputError(f"{path} is no file: give the name of one")
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"{path}: this user may not write to {path.parent}: give another folder")


def write_file(path: Path, content: bytes) -> None:
    """Writes a file for an analyst, whole or not at all; a file of that name is replaced.

    Raises:
        MissingInput: Its folder does not exist.
        InputError: A folder or device has that name, or its folder may not be written to.
        CrossdomainError: The disk is full or fails.
    """
    check_writable(path)
    write_whole(path, content)


def _source(path: Path) -> str:
    """SQL that reads the file or folder."""
    if not path.exists():
        raise MissingInput(f"{path}: there is no such file")
    files = (
        sorted(one for one in path.rglob("*") if one.name.lower().endswith(_CSV + _PARQUET))
        if path.is_dir()
        else [path]
    )
    if not files:
        raise MissingInput(f"{path}: no CSV or Parquet file lies in this folder")
    listed = "[" + ", ".join(file_literal(one) for one in files) + "]"
    if all(one.name.lower().endswith(_PARQUET) for one in files):
        return f"read_parquet({listed}, union_by_name = true, hive_partitioning = true)"
    if all(one.name.lower().endswith(_CSV) for one in files):
        return (
            f"read_csv({listed}, header = true, sample_size = -1, nullstr = {_NULLS}, union_by_name = true, "
            "hive_partitioning = true)"
        )
    raise InputError(f"{path}: give CSV (.csv, .tsv, .gz) or Parquet (.parquet), all files of one form")
