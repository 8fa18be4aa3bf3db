"""Interactions and catalogues from CSV, Parquet or JSON lines in the platform's canonical columns."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from crossdomain.errors import InputError
from crossdomain.recommend.settings import EVENT_WEIGHTS, RATING_WEIGHTS, REJECTIONS

EVENT_COLUMNS = ("user_id", "domain", "item_id")
_TEXTS = ("title", "description", "tags")
_FORMATS = "CSV, Parquet or JSON lines (.csv, .parquet, .jsonl; CSV and JSON lines also .gz)"


def read_events(path: Path, weights: Mapping[str, float] = EVENT_WEIGHTS) -> pa.Table:
    """Interactions of a file: user_id, domain, item_id (strings), ts (int64 seconds or null), weight (float32).

    ``event_type`` and ``value`` weigh as in the daily training (``RecommendSettings.weights``, ``RATING_WEIGHTS``):
    types that say nothing about taste are left out. Rows that reject their item stay, with ``rejects`` (bool): what
    they take back depends on what may be known when (``Log.standing``). Without ``event_type`` there is no ``rejects``
    and each row weighs 1. The rows keep the order of the file.

    Raises:
        InputError: The file is missing or of another form, a column is missing, or a key or time is empty.
    """
    table = _table(path)
    _need(table, EVENT_COLUMNS, path)
    columns = {name: _text(table[name], name, path) for name in EVENT_COLUMNS}
    columns["ts"] = _seconds(table["ts"], path) if "ts" in table.column_names else pa.nulls(len(table), pa.int64())
    out = pa.table(columns)
    if "event_type" not in table.column_names:
        return out.append_column("weight", pa.array(np.ones(len(out), dtype=np.float32)))
    value = table["value"] if "value" in table.column_names else pa.nulls(len(table), pa.float64())
    return _weighed(out, table["event_type"], value, weights)


def read_items(path: Path) -> pa.Table:
    """A catalogue: item_id, domain (strings), maybe ``group`` (its ``type``), ``title``, ``text``, ``listed_at``.

    ``text`` is what ``title``, ``description`` and ``tags`` (a text or a list) say, a line each. ``listed_at`` is in
    seconds, a day counting from its first one in UTC; null where it is not known.

    Raises:
        InputError: The file is missing or of another form, or a column is missing.
    """
    table = _table(path)
    _need(table, ("item_id", "domain"), path)
    columns = {name: _text(table[name], name, path) for name in ("item_id", "domain")}
    if "type" in table.column_names:
        columns["group"] = pc.cast(table["type"], pa.string())
    if "title" in table.column_names:
        columns["title"] = pc.cast(table["title"], pa.string())
    if said := [_words(table[name]) for name in _TEXTS if name in table.column_names]:
        columns["text"] = pc.utf8_trim_whitespace(pc.binary_join_element_wise(*said, "\n"))
    if "listed_at" in table.column_names:
        columns["listed_at"] = _seconds(table["listed_at"], path)
    return pa.table(columns)


def _words(column: pa.ChunkedArray) -> pa.Array:
    """Texts, empty where there are none; lists of words joined by spaces."""
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        return pa.array([" ".join(map(str, words or ())) for words in column.to_pylist()], pa.string())
    return pc.fill_null(pc.cast(column, pa.string()), "").combine_chunks()


def _table(path: Path) -> pa.Table:
    if not path.is_file():
        raise InputError(f"{path} is missing: give {_FORMATS}")
    name = path.name.removesuffix(".gz")
    try:
        if name.endswith(".parquet"):
            return pa.parquet.read_table(path)
        if name.endswith(".csv"):
            return pa.csv.read_csv(path)
        if name.endswith((".jsonl", ".ndjson")):
            return pa.json.read_json(path)
    except pa.ArrowInvalid as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    raise InputError(f"{path} has no known form: give {_FORMATS}")


def _need(table: pa.Table, names: tuple[str, ...], path: Path) -> None:
    if missing := [name for name in names if name not in table.column_names]:
        raise InputError(f"{path} lacks the column {', '.join(missing)}; it has {', '.join(table.column_names)}")


def _text(column: pa.ChunkedArray, name: str, path: Path) -> pa.ChunkedArray:
    if column.null_count:
        row = int(np.flatnonzero(pc.is_null(column).to_numpy(zero_copy_only=False))[0])
        raise InputError(f"{path}: row {row + 1} has no {name}")
    return pc.cast(column, pa.string())


def _seconds(column: pa.ChunkedArray, path: Path) -> pa.ChunkedArray:
    kind = column.type
    if pa.types.is_null(kind):
        return pa.chunked_array([pa.nulls(len(column), pa.int64())])
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return pc.cast(column, pa.int64(), safe=False)
    if pa.types.is_date(kind):
        column = pc.cast(column, pa.timestamp("us"))
    try:
        micros = pc.cast(pc.cast(column, pa.timestamp("us")), pa.int64())
    except pa.ArrowInvalid as error:
        raise InputError(f"{path}: ts is neither a time nor seconds since 1970: {error}") from error
    return pc.divide(micros, 1_000_000)


def _weighed(
    events: pa.Table,
    event_type: pa.ChunkedArray,
    value: pa.ChunkedArray | pa.Array,
    weights: Mapping[str, float],
) -> pa.Table:
    kinds = np.asarray(event_type.to_pylist(), dtype=object)
    rating = pc.cast(value, pa.float64()).to_numpy(zero_copy_only=False)
    weight = np.array([weights.get(kind, 0.0) for kind in kinds], dtype=np.float32)
    rated = kinds == "rating"
    steps = np.full(len(kinds), 0.0)
    for least, worth in reversed(RATING_WEIGHTS):
        steps[rating >= least] = worth
    steps[np.isnan(rating)] = RATING_WEIGHTS[-1][1]
    weight[rated] = steps[rated]
    rejects = np.isin(kinds, REJECTIONS) | (rated & (rating < RATING_WEIGHTS[-1][0]))
    events = events.append_column("weight", pa.array(weight)).append_column("rejects", pa.array(rejects))
    return events.filter(pa.array((weight > 0) | rejects))
