"""An analyst's rows in the time slots of their switchback: burn-ins and what lies outside the slots are left out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from crossdomain.errors import InputError
from crossdomain.experiments.design import Design
from crossdomain.experiments.design_parts import FileColumns
from crossdomain.experiments.switchback import block_of, count_slots, slots_begin, switchback_of

Slots = npt.NDArray[np.int64]

SLOT, BLOCK, DAY, UNIT = (f"switchback.{name}" for name in ("slot", "block", "day", "unit"))
"""Columns that placed rows have beside the file's own."""
_MICROSECONDS = 60_000_000
"""Of a minute."""
_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class PlacedRows:
    """Rows of a switchback.

    Attributes:
        design: The design over the new columns: a row's cluster is its slot, a unit is one within its slot.
        table: The rows that count.
        outside: Rows that lie in none of the slots.
        burn_in: Rows that lie in a burn-in.
    """

    design: Design
    table: pa.Table
    outside: int
    burn_in: int


def place_rows(design: Design, table: pa.Table, zone: ZoneInfo) -> PlacedRows:
    """Rows of a switchback in their slots.

    Args:
        design: A design of a file with ``switchback``.
        table: Its columns. Times without a zone are of the business zone. A slot is given by its number in the
            schedule, or as the time at which it begins; then burn-ins are taken as left out already.
        zone: The business zone.

    Raises:
        InputError: A time or slot is missing or is none, or no slot begins at that time.
    """
    columns, switchback = design.file, switchback_of(design)
    assert columns is not None
    length = switchback.slot_minutes * _MICROSECONDS
    name = columns.slot or columns.time
    assert name is not None
    column = table[name]
    if column.null_count:
        raise InputError(f"column {name!r} is missing in {column.null_count} rows: every row lies in a slot")
    into = np.zeros(len(table), dtype=np.int64)
    if columns.slot is not None and pa.types.is_integer(column.type):
        slot = np.asarray(column.cast(pa.int64()).to_numpy(), dtype=np.int64)
    else:
        since = _since(column, name, slots_begin(design, zone), zone)
        slot, into = since // length, since % length
        if columns.slot is not None and into.any():
            raise InputError(f"column {name!r}: {int((into != 0).sum())} rows name a time at which no slot begins")
    inside = (slot >= 0) & (slot < count_slots(design, zone))
    measured = inside & ((into >= switchback.burn_in_minutes * _MICROSECONDS) | (columns.slot is not None))
    kept, chosen = slot[measured], table.filter(pa.array(measured))
    return PlacedRows(
        replace(design, file=_columns(columns, blocked=switchback.scheme != "independent")),
        _with_slots(design, chosen, kept, zone),
        outside=int((~inside).sum()),
        burn_in=int((inside & ~measured).sum()),
    )


def _columns(columns: FileColumns, *, blocked: bool) -> FileColumns:
    return replace(
        columns,
        unit=None if columns.unit is None else UNIT,
        cluster=SLOT,
        block=BLOCK if blocked else None,
        day=DAY,
        time=None,
        slot=None,
    )


def _with_slots(design: Design, table: pa.Table, slot: Slots, zone: ZoneInfo) -> pa.Table:
    assert design.file is not None
    switchback, first = switchback_of(design), slots_begin(design, zone)
    numbers, place = np.unique(slot, return_inverse=True)
    blocks = np.array([block_of(switchback, int(one)) for one in numbers], dtype=np.int64)
    minutes = [int(one) * switchback.slot_minutes for one in numbers]
    days = [(first + timedelta(minutes=after)).astimezone(zone).date().isoformat() for after in minutes]
    made = {
        SLOT: pa.array(slot),
        BLOCK: pa.array(blocks[place]),
        DAY: pa.array(days, pa.string()).take(pa.array(place)),
    }
    if design.file.unit is not None:
        units = table[design.file.unit].cast(pa.string())
        made[UNIT] = pc.binary_join_element_wise(made[SLOT].cast(pa.string()), units, " ")
    for name, column in made.items():
        table = table.append_column(name, column)
    return table


def _since(column: pa.ChunkedArray, name: str, first: datetime, zone: ZoneInfo) -> Slots:
    """Microseconds since the first slot began."""
    kind = column.type
    if not (pa.types.is_timestamp(kind) or pa.types.is_date(kind)):
        example = next((str(value) for value in column.to_pylist()), "nothing")
        raise InputError(f"column {name!r} holds {example[:40]!r}, not times as 2026-01-05 08:30:00")
    own_zone = getattr(kind, "tz", None)
    micros = np.asarray(column.cast(pa.timestamp("us", own_zone)).cast(pa.int64()).to_numpy(), dtype=np.int64)
    if own_zone is None:
        micros = micros - _offsets(micros, zone)
    return micros - (first - _EPOCH) // _MICROSECOND


def _offsets(micros: Slots, zone: ZoneInfo) -> Slots:
    """What a zone's clocks are ahead of UTC at local times; of an hour that they show twice the first one is meant."""
    quarters, place = np.unique(micros // (15 * _MICROSECONDS), return_inverse=True)
    moments = [(_EPOCH + timedelta(minutes=15 * int(one))).replace(tzinfo=zone) for one in quarters]
    ahead = [(moment.utcoffset() or timedelta()) // _MICROSECOND for moment in moments]
    found: Slots = np.array(ahead, dtype=np.int64)[place]
    return found
