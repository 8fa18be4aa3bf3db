"""Interactions and catalogues from CSV, Parquet or JSON lines in the platform's canonical columns."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from crossdomain.errors import InputError
from crossdomain.recommend.interactions import Bools
from crossdomain.recommend.settings import EVENT_WEIGHTS, RATING_WEIGHTS, REJECTIONS

EVENT_COLUMNS = ("user_id", "domain", "item_id")
_TEXTS = ("title", "description", "tags")
_FORMATS = "CSV, Parquet or JSON lines (.csv, .parquet, .jsonl; CSV and JSON lines also .gz)"
_READ = (*EVENT_COLUMNS, "ts", "event_type", "value", "type", "listed_at", *_TEXTS)
_AS_WRITTEN = pa.csv.ConvertOptions(
    column_types=dict.fromkeys(_READ, pa.string()),
    null_values=["", "NULL", "null", "NA", "N/A", "NaN", "nan"],
    strings_can_be_null=True,
)
"""Texts stay as they are written, whatever the others of their column look like: 001 is another id than 1."""
_ANY_LINES = pa.csv.ParseOptions(newlines_in_values=True)
_NUMBER = pa.float64()
_TIMES = (_NUMBER, *(pa.timestamp(unit, zone) for unit in ("us", "ns") for zone in ("UTC", None)))
"""Forms that a column of times may have, all rows the same: seconds, times with a zone, times without."""
_TIMES_WANTED = (
    "seconds since 1970, or times like 2024-01-31 08:00:00, all rows in one form, with a zone (+08:00) or not"
)
_SPAN = (-62_135_596_800, 253_402_300_799)
"""First second of the year 1, last one of the year 9999."""
_BARE_DATES = (19_000_101, 21_001_231)
_SILENT = ("impression", "unsubscribe")
"""Types that say nothing about taste."""


def read_events(path: Path, weights: Mapping[str, float] = EVENT_WEIGHTS) -> pa.Table:
    """Interactions of a file: user_id, domain, item_id (strings), ts (int64 seconds or null), weight (float32).

    Ids are texts as they are written: in CSV ``001`` and ``1`` are two. Times without a zone count as UTC.
    ``event_type`` and ``value`` weigh as in the daily training (``RecommendSettings.weights``, ``RATING_WEIGHTS``):
    types that say nothing about taste are left out. Rows that reject their item stay, with ``rejects`` (bool): what
    they take back depends on what may be known when (``Log.standing``). Without ``event_type`` there is no ``rejects``
    and each row weighs 1. The rows keep the order of the file.

    Raises:
        InputError: The file is missing or of another form, a column is missing or there twice, a key, type or time is
            empty or of another form, a type is unknown, or no interaction is left; file, row and column are named.
    """
    table = _table(path)
    _need(table, EVENT_COLUMNS, path)
    columns = {name: _text(table[name], name, path) for name in EVENT_COLUMNS}
    columns["ts"] = (
        _seconds(table["ts"], "ts", path) if "ts" in table.column_names else pa.nulls(len(table), pa.int64())
    )
    out = pa.table(columns)
    if not len(out):
        raise InputError(f"{path} has no rows: give rows of {', '.join(EVENT_COLUMNS)}")
    if "event_type" not in table.column_names:
        return out.append_column("weight", pa.array(np.ones(len(out), dtype=np.float32)))
    kinds = _types(table["event_type"], path)
    empty = pa.nulls(len(table), _NUMBER)
    value = _cast(table["value"], _NUMBER, "value", path, "a number") if "value" in table.column_names else empty
    left = _weighed(out, kinds, value, weights)
    if np.asarray(left["rejects"]).all():
        raise InputError(f"{path}: no row says what a person likes: all have types without weight, or reject")
    return left


def read_items(path: Path) -> pa.Table:
    """A catalogue: item_id, domain (strings), maybe ``group`` (its ``type``), ``title``, ``text``, ``listed_at``.

    ``text`` is what ``title``, ``description`` and ``tags`` (a text or a list) say, a line each. ``listed_at`` is in
    seconds, a day counting from its first one in UTC; null where it is not known.

    Raises:
        InputError: The file is missing or of another form, a column is missing or there twice, an id or domain is
            empty, or an item is listed twice.
    """
    table = _table(path)
    _need(table, ("item_id", "domain"), path)
    columns = {name: _text(table[name], name, path) for name in ("item_id", "domain")}
    for name, source in (("group", "type"), ("title", "title")):
        if source in table.column_names:
            columns[name] = _cast(table[source], pa.string(), source, path, "a text")
    if said := [_words(table[name], name, path) for name in _TEXTS if name in table.column_names]:
        columns["text"] = pc.utf8_trim_whitespace(pc.binary_join_element_wise(*said, "\n"))
    if "listed_at" in table.column_names:
        columns["listed_at"] = _seconds(table["listed_at"], "listed_at", path, all_known=False)
    return _once(pa.table(columns), path)


def _once(items: pa.Table, path: Path) -> pa.Table:
    """Each item once: equal rows are one; which of two descriptions holds is not for us to say."""
    numbered = items.append_column("row", pa.array(np.arange(len(items))))
    rows = numbered.group_by(items.column_names).aggregate([("row", "min")])
    listed = rows.group_by(["item_id", "domain"]).aggregate([("row_min", "max"), ("row_min", "count")])
    twice = listed.filter(pc.greater(listed["row_min_count"], 1)).sort_by("row_min_max").slice(0, 1).to_pylist()
    if twice:
        one = twice[0]
        item = f"item {one['item_id']} of {one['domain']}"
        raise InputError(f"{path}: row {one['row_min_max'] + 1} describes {item} in another way: list it once")
    return items.take(np.sort(rows["row_min"].to_numpy()))


def _words(column: pa.ChunkedArray, name: str, path: Path) -> pa.Array:
    """Texts, empty where there are none; lists of words joined by spaces."""
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        return pa.array([" ".join(map(str, words or ())) for words in column.to_pylist()], pa.string())
    return pc.fill_null(_cast(column, pa.string(), name, path, "a text"), "").combine_chunks()


def _table(path: Path) -> pa.Table:
    if not path.is_file():
        raise InputError(f"{path} is missing: give {_FORMATS}")
    name = path.name.lower().removesuffix(".gz")
    try:
        if name.endswith(".parquet"):
            return pa.parquet.read_table(path)
        if name.endswith(".csv"):
            return _read_csv(path)
        if name.endswith((".jsonl", ".ndjson")):
            return pa.json.read_json(path)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path} cannot be read: {error}; give {_FORMATS}, in UTF-8") from error
    raise InputError(f"{path} has no known form: give {_FORMATS}")


def _read_csv(path: Path) -> pa.Table:
    try:
        return pa.csv.read_csv(path, parse_options=_ANY_LINES, convert_options=_AS_WRITTEN)
    except pa.ArrowInvalid:  # only one thread knows which line it was
        alone = pa.csv.ReadOptions(use_threads=False)
        return pa.csv.read_csv(path, read_options=alone, parse_options=_ANY_LINES, convert_options=_AS_WRITTEN)


def _need(table: pa.Table, names: tuple[str, ...], path: Path) -> None:
    have = table.column_names
    if missing := [name for name in names if name not in have]:
        raise InputError(
            f"{path} lacks the column {', '.join(missing)}; it has {', '.join(have)}"
            + ("; separate the columns by commas" if set(have[0]) & set(";\t|") else "")
        )
    if twice := [name for name in have if have.count(name) > 1 and name in _READ]:
        raise InputError(f"{path} has the column {twice[0]} twice: leave one of them out")


def _text(column: pa.ChunkedArray, name: str, path: Path) -> pa.ChunkedArray:
    text = _cast(column, pa.string(), name, path, "a text or a number")
    _refuse(pc.fill_null(pc.equal(pc.utf8_trim_whitespace(text), ""), True), f"has no {name}", path)
    return text


def _refuse(wrong: pa.ChunkedArray | Bools, why: str, path: Path) -> None:
    """Names the first row that is wrong, if one is."""
    rows = np.flatnonzero(np.asarray(wrong))
    if len(rows):
        raise InputError(f"{path}: row {rows[0] + 1} {why}")


def _cast(column: pa.ChunkedArray, form: pa.DataType, name: str, path: Path, wanted: str) -> pa.ChunkedArray:
    """The column in another form; names the first row that does not have it."""
    try:
        return pc.cast(column, form, safe=False)
    except pa.ArrowNotImplementedError as error:
        raise InputError(f"{path}: the column {name} is {column.type}: give {wanted}") from error
    except pa.ArrowInvalid as error:
        row = bisect_left(range(len(column)), True, key=lambda row: not _fits(column.slice(0, row + 1), form))
        raise InputError(f"{path}: row {row + 1}: {name} {column[row].as_py()!r} is not {wanted}") from error


def _fits(column: pa.ChunkedArray, form: pa.DataType) -> bool:
    try:
        pc.cast(column, form, safe=False)
    except pa.ArrowInvalid:
        return False
    return True


def _seconds(column: pa.ChunkedArray, name: str, path: Path, *, all_known: bool = True) -> pa.ChunkedArray:
    """Whole seconds; null where the column has none at all, or without ``all_known`` where a row has none."""
    if column.null_count == len(column):
        return pa.chunked_array([pa.nulls(len(column), pa.int64())])
    missing = np.asarray(pc.is_null(column, nan_is_null=True))
    if all_known:
        _refuse(missing, f"has no {name}: give a time to every row or to none", path)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        form = next((form for form in _TIMES if _fits(column.drop_null().slice(0, 1), form)), _NUMBER)
        column = _cast(column, form, name, path, _TIMES_WANTED)
    elif pa.types.is_date(column.type):
        column = pc.cast(column, pa.timestamp("us"))
    if pa.types.is_timestamp(column.type):
        return pc.divide(pc.cast(pc.cast(column, pa.timestamp("us"), safe=False), pa.int64()), 1_000_000)
    seconds = np.where(missing, 0.0, np.asarray(_cast(column, _NUMBER, name, path, _TIMES_WANTED)))
    outside = ~((seconds >= _SPAN[0]) & (seconds <= _SPAN[1]))
    _refuse(outside, f"has a {name} beyond the year 9999: give seconds since 1970, milliseconds divided by 1000", path)
    known = seconds[~missing]
    if ((known >= _BARE_DATES[0]) & (known <= _BARE_DATES[1])).all():
        raise InputError(f"{path}: {name} looks like days without dashes ({known[0]:.0f}): give {_TIMES_WANTED}")
    return pa.chunked_array([pa.array(seconds.astype(np.int64), mask=missing)])


def _types(column: pa.ChunkedArray, path: Path) -> pa.ChunkedArray:
    """Types of the events, all of them known."""
    kinds = _text(column, "event_type", path)
    known = sorted({*EVENT_WEIGHTS, *REJECTIONS, "rating", *_SILENT})
    unknown = pc.invert(pc.is_in(kinds, pa.array(known)))
    why = f"has an unknown event_type: give {', '.join(known)}, or leave the column out, so that every row weighs 1"
    _refuse(unknown, why, path)
    return kinds


def _weighed(
    events: pa.Table,
    event_type: pa.ChunkedArray,
    value: pa.ChunkedArray | pa.Array,
    weights: Mapping[str, float],
) -> pa.Table:
    kinds = np.asarray(event_type.to_pylist(), dtype=object)
    rating = value.to_numpy(zero_copy_only=False)
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
