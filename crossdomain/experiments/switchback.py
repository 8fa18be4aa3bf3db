"""The schedule of a switchback: which variant everybody gets in which time slot, the same in Python and in SQL.

Slots are numbered from 0, which begins at midnight of the design's first day in the business zone; each lasts for the
same time, so that clocks put forward or back move no slot. A slot's *point* is that of a unit whose bytes are its
number in ASCII digits, under the experiment's salt (``assignment``). Independent slots get the variant whose range
holds their point. In a block the slots are put in the order of their points (ties: of their numbers), and the variants
take them in the design's order, each as many as its weight says: every order is equally likely.

Source: Bojinov, Simchi-Levi, Zhao: Design and analysis of switchback experiments (Management Science 69, 2023): slots
at least as long as what one slot carries over, randomised by themselves; what they randomise less often at both ends
is left out here. Blocks: Imai, King, Nall: The essential role of pair matching in cluster-randomized experiments
(Statistical Science 24, 2009).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from crossdomain.experiments.assignment import (
    AssignmentPlan,
    WeightPeriod,
    assign,
    assignment_sql,
    experiment_salt,
    point_sql,
    points,
)
from crossdomain.experiments.design import Design
from crossdomain.experiments.design_parts import Switchback
from crossdomain.experiments.switchback_design import DAY
from crossdomain.storage.engine import literal


@dataclass(frozen=True)
class DealtSlot:
    """A slot of a schedule.

    Attributes:
        slot: Its number, from 0.
        block: Block within which it was randomised; its own number where slots are independent.
        variant: What everybody gets in it.
        begins: When it begins, UTC.
        measured_from: When its burn-in is over, UTC.
        ends: When the next one begins, UTC.
    """

    slot: int
    block: int
    variant: str
    begins: datetime
    measured_from: datetime
    ends: datetime


def switchback_of(design: Design) -> Switchback:
    """The design's switchback; its design has one."""
    assert design.switchback is not None
    return design.switchback


def slots_begin(design: Design, zone: ZoneInfo) -> datetime:
    """When slot 0 begins, UTC."""
    assert design.start is not None
    return _midnight(design.start, zone)


def count_slots(design: Design, zone: ZoneInfo) -> int:
    """Slots that end by the end of the design's last day."""
    assert design.end is not None
    span = _midnight(design.end + timedelta(days=1), zone) - slots_begin(design, zone)
    return span // timedelta(minutes=switchback_of(design).slot_minutes)


def schedule(design: Design, zone: ZoneInfo) -> tuple[DealtSlot, ...]:
    """All slots of a switchback with what they were dealt, in order.

    Args:
        design: A design with ``switchback``, ``start`` and ``end``.
        zone: The business zone.
    """
    switchback, first = switchback_of(design), slots_begin(design, zone)
    length, burn_in = (timedelta(minutes=n) for n in (switchback.slot_minutes, switchback.burn_in_minutes))
    variants = deal_slots(design, count_slots(design, zone))
    found = []
    for slot, variant in enumerate(variants):
        begins = first + slot * length
        found.append(DealtSlot(slot, block_of(switchback, slot), variant, begins, begins + burn_in, begins + length))
    return tuple(found)


def deal_slots(design: Design, count: int) -> tuple[str, ...]:
    """Variant of each of the first slots of a switchback.

    Args:
        design: The design.
        count: How many slots; what a slot gets does not depend on it.
    """
    switchback = switchback_of(design)
    if switchback.scheme == "independent":
        dealt = assign([_unit(slot) for slot in range(count)], _plan(design))
        return tuple(str(variant) for variant in dealt.variants)
    whole = _whole_blocks(switchback, count)
    place = points([_unit(slot) for slot in range(whole)], experiment_salt(design.experiment_id)).tolist()
    members: dict[int, list[int]] = {}
    for slot in range(whole):
        members.setdefault(block_of(switchback, slot), []).append(slot)
    order = [variant for variant, slots in _shares(design) for _ in range(slots)]
    dealt_to: dict[int, str] = {}
    for slots in members.values():
        dealt_to |= zip(sorted(slots, key=lambda slot: (place[slot], slot)), order, strict=True)
    return tuple(dealt_to[slot] for slot in range(count))


def block_of(switchback: Switchback, slot: int) -> int:
    """Block of a slot: itself where slots are independent."""
    if switchback.scheme == "weekdays":
        week = slots_a_week(switchback)
        return slot // (switchback.block_slots * week) * week + slot % week
    return slot // switchback.block_slots


def slots_a_week(switchback: Switchback) -> int:
    """Slots of a week, where whole slots make one."""
    return 7 * DAY // switchback.slot_minutes


def schedule_sql(design: Design, count: int) -> str:
    """SQL of the schedule: slot (BIGINT), block, variant, in the order of the slots; as ``deal_slots``.

    Join it to rows by ``slot_sql``.

    Args:
        design: A design with ``switchback``.
        count: How many slots.
    """
    switchback = switchback_of(design)
    unit = "encode(CAST(slot AS VARCHAR))"
    if switchback.scheme == "independent":
        dealt = assignment_sql(_plan(design), unit=unit)
        return f"SELECT slot, slot AS block, {dealt} AS variant FROM range({count}) AS r(slot) ORDER BY slot"  # noqa: S608
    week = slots_a_week(switchback)
    block = f"slot // {switchback.block_slots}"
    if switchback.scheme == "weekdays":
        block = f"slot // {switchback.block_slots * week} * {week} + slot % {week}"
    cases, taken = [], 0
    for variant, slots in _shares(design):
        taken += slots
        cases.append(f"WHEN place <= {taken} THEN {literal(variant)}")
    point = point_sql(unit, experiment_salt(design.experiment_id))
    return (
        f"SELECT slot, block, CASE {' '.join(cases)} END AS variant FROM ("  # noqa: S608
        "SELECT slot, block, row_number() OVER (PARTITION BY block ORDER BY point, slot) AS place FROM ("
        f"SELECT slot, {block} AS block, {point} AS point FROM range({_whole_blocks(switchback, count)}) AS r(slot)"
        f")) WHERE slot < {count} ORDER BY slot"
    )


def slot_sql(design: Design, zone: ZoneInfo, *, ts: str = "ts") -> str:
    """SQL of the number of the slot that a moment lies in; below 0 or past the last where it lies in none.

    Args:
        design: A design with ``switchback``.
        zone: The business zone.
        ts: SQL of the moment (TIMESTAMP in UTC, or TIMESTAMPTZ).
    """
    first = int(slots_begin(design, zone).timestamp()) * 1_000_000
    return f"CAST(floor((epoch_us({ts}) - {first}) / {switchback_of(design).slot_minutes * 60_000_000}) AS BIGINT)"


def slots_on(dealt: tuple[DealtSlot, ...], day: date, zone: ZoneInfo) -> Iterator[DealtSlot]:
    """Slots of a schedule that are in force on a business day."""
    first, last = _midnight(day, zone), _midnight(day + timedelta(days=1), zone)
    return (slot for slot in dealt if slot.begins < last and slot.ends > first)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)


def _unit(slot: int) -> bytes:
    return str(slot).encode()


def _plan(design: Design) -> AssignmentPlan:
    return AssignmentPlan(design.experiment_id, design.experiment_id, (WeightPeriod(None, design.variants),))


def _shares(design: Design) -> tuple[tuple[str, int], ...]:
    """Slots of a block that each variant gets."""
    size = switchback_of(design).block_slots
    return tuple((variant, round(weight * size)) for variant, weight in design.variants)


def _whole_blocks(switchback: Switchback, count: int) -> int:
    """Slots of the blocks that the first slots lie in: a block that is cut off is dealt as if it were whole."""
    size = switchback.block_slots * (slots_a_week(switchback) if switchback.scheme == "weekdays" else 1)
    return -(-count // size) * size
