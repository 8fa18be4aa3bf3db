"""Checks of a switchback's rows: are its slots those of the schedule, are all there, does one act in the next?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np

from crossdomain.experiments.design import Design
from crossdomain.experiments.design_parts import Switchback
from crossdomain.experiments.file_checks import check_units
from crossdomain.experiments.results import CheckResult
from crossdomain.experiments.slot_rows import SLOT, PlacedRows, Slots
from crossdomain.experiments.switchback import block_of, count_slots, deal_slots, switchback_of
from crossdomain.experiments.unit_metrics import sums_of_clusters
from crossdomain.experiments.unit_rows import Codes, Flags, Floats, UnitRows
from crossdomain.stats.clusters import StratifiedDifference, compare_in_strata
from crossdomain.stats.comparison import Unmeasurable
from crossdomain.stats.exact_sums import pair_moments

CARRY_OVER_ALPHA = 0.01
"""Level of the check for carry-over: slots are few, and missing it costs more than a longer burn-in."""
LEAST_SLOTS = 5
"""Slots that must have followed each variant before the check for carry-over says anything."""
_LISTED = 10


@dataclass(frozen=True)
class SlotSums:
    """A metric by slot, slots in their order.

    Attributes:
        slot: Number of each slot.
        arm: Its variant, as its place in the design.
        x: Sum of the numerator in it.
        y: Sum of the denominator.
    """

    slot: Slots
    arm: Codes
    x: Floats
    y: Floats


def check_slots(placed: PlacedRows, rows: UnitRows, zone: ZoneInfo) -> tuple[CheckResult, ...]:
    """All checks of a switchback's rows.

    Args:
        placed: The rows in their slots.
        rows: Their units.
        zone: The business zone.
    """
    design = placed.design
    slots, arms = _slots(rows)
    return (
        *check_units(design, rows),
        *_schedule(design, slots, arms),
        _missing(design, slots, zone),
        _left_out(placed),
        *_carry_over(design, rows),
    )


def carry_over_check(design: Design, sums: SlotSums) -> CheckResult:
    """Whether a slot's values depend on the variant of the slot before.

    Slots of each variant that followed a treatment are compared with those of it that followed the control, the
    variants counting alike, by t over slots. Only a slot that was randomised apart from the one before is taken: in
    blocks of consecutive slots the first of each. What the slot before got is then a draw of its own, whatever the
    values' dependence on time.

    Args:
        design: A switchback's design.
        sums: A metric's sums.
    """
    switchback, control = switchback_of(design), [name for name, _ in design.variants].index(design.control)
    before, apart = _before(switchback, sums)
    found: list[tuple[float, str, StratifiedDifference]] = []
    for place, (variant, _) in enumerate(design.variants):
        if place != control and (difference := _followed(design, sums, apart, before, control, place)) is not None:
            found.append((difference.p, variant, difference))
    if not found:
        said = f"fewer than {LEAST_SLOTS} slots of each variant followed each variant: nothing is known of it"
        return CheckResult(design.experiment_id, "carry_over", True, None, None, said)
    _, variant, worst = min(found, key=lambda one: one[:2])
    p = min(worst.p * len(found), 1.0)
    said = (
        f"slots after {variant} rather than {design.control}: {worst.estimate:+.4g} (standard error {worst.se:.4g}), "
        f"p {p:.3g}; burn-in {switchback.burn_in_minutes} of {switchback.slot_minutes} minutes"
    )
    return CheckResult(design.experiment_id, "carry_over", p >= CARRY_OVER_ALPHA, p, worst.estimate, said)


def _before(switchback: Switchback, sums: SlotSums) -> tuple[Codes, Flags]:
    """Variant of the slot before each (-1: not known), and whether the two were randomised apart."""
    arm_of = dict(zip(sums.slot.tolist(), sums.arm.tolist(), strict=True))
    before = np.array([arm_of.get(slot - 1, -1) for slot in sums.slot.tolist()], dtype=np.int64)
    blocks = [(block_of(switchback, slot), block_of(switchback, slot - 1)) for slot in sums.slot.tolist()]
    return before, np.array([own != other for own, other in blocks], dtype=bool)


def _followed(
    design: Design, sums: SlotSums, apart: Flags, before: Codes, control: int, treatment: int
) -> StratifiedDifference | None:
    """Slots after a treatment less slots after the control, within the slots of each variant."""
    strata = []
    for arm in range(len(design.variants)):
        groups = [apart & (sums.arm == arm) & (before == place) for place in (control, treatment)]
        if min(int(group.sum()) for group in groups) >= LEAST_SLOTS:
            one, other = (pair_moments(sums.x[group], sums.y[group]) for group in groups)
            strata.append((one, other))
    try:
        return compare_in_strata(strata)
    except Unmeasurable:
        return None


def _slots(rows: UnitRows) -> tuple[Slots, Codes]:
    """Numbers of the slots that are analysed, in order, and their arms."""
    slots, first = np.unique(rows.numbers(SLOT)[0].astype(np.int64), return_index=True)
    return slots, rows.arm[rows.unit[first]]


def _carry_over(design: Design, rows: UnitRows) -> Iterator[CheckResult]:
    """Of the primary metric, unless it is a quantile or cannot be measured."""
    found = sums_of_clusters(design, rows, design.metric(design.primary_metric))
    if found is not None:
        part, x, y = found
        slots, arms = _slots(part)
        # Clusters are coded in the order in which they appear: the slot of each code.
        assert part.cluster is not None
        code = np.zeros(len(slots), dtype=np.int64)
        code[np.searchsorted(slots, part.numbers(SLOT)[0].astype(np.int64))] = part.cluster[part.unit]
        yield carry_over_check(design, SlotSums(slots, arms, x[code], y[code]))


def _schedule(design: Design, slots: Slots, arms: Codes) -> Iterator[CheckResult]:
    """Whether each slot had the variant that the design deals."""
    if switchback_of(design).dealt == "elsewhere":
        return
    names = [name for name, _ in design.variants]
    dealt = deal_slots(design, int(slots.max(initial=-1)) + 1)
    wrong = [slot for slot, arm in zip(slots.tolist(), arms.tolist(), strict=True) if dealt[slot] != names[arm]]
    said = f"{len(wrong)} of {len(slots)} slots had another variant than the schedule deals{_listed(wrong)}"
    yield CheckResult(design.experiment_id, "assignment", not wrong, None, len(wrong), said)


def _missing(design: Design, slots: Slots, zone: ZoneInfo) -> CheckResult:
    """Slots without any row; those after the last one may be yet to come."""
    last = int(slots.max(initial=-1))
    gaps = sorted(set(range(last + 1)) - set(slots.tolist()))
    said = f"{len(gaps)} of the {last + 1} slots up to the last one with rows have none{_listed(gaps)}"
    said += f"; the schedule has {count_slots(design, zone)}"
    return CheckResult(design.experiment_id, "missing_slots", not gaps, None, len(gaps), said)


def _left_out(placed: PlacedRows) -> CheckResult:
    said = f"{placed.burn_in} rows lie in a burn-in and {placed.outside} in none of the slots; they are left out"
    return CheckResult(placed.design.experiment_id, "left_out_rows", True, None, placed.burn_in + placed.outside, said)


def _listed(slots: list[int]) -> str:
    shown = ", ".join(map(str, slots[:_LISTED]))
    return f": {shown}{', …' if len(slots) > _LISTED else ''}" if slots else ""
