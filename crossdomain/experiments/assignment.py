"""Which variant a unit gets: a keyed hash of the unit, the same in Python and in DuckDB's SQL.

A unit has a *point* under a salt: the first 64 bits of SHA-256 over the salt's key (32 bytes) and the unit's bytes.
Points are uniform, and points under different salts are independent, so a salt of its own for each purpose (global
holdout, layer, experiment) makes these independent of each other. What a unit gets is the half-open range that its
point lies in; the cuts are whole numbers, so no rounding differs between engines.

Source: Kohavi, Tang, Xu: Trustworthy Online Controlled Experiments (2020), chapters 4 and 14 (layers, holdouts);
Tang et al.: Overlapping Experiment Infrastructure (KDD 2010).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from crossdomain.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from crossdomain.experiments.design import Design

SPACE = 1 << 64
"""Points are whole numbers from 0 up to this, excluded."""
GLOBAL_HOLDOUT = "global"
"""Name of the holdout whose units are in no experiment at all."""
_KEY_PREFIX = b"crossdomain.assignment\x00"

Outside = Literal["holdout", "outside_layer", "not_started"]
"""Why a unit has no variant."""


@dataclass(frozen=True)
class WeightPeriod:
    """Weights of the variants from a day on.

    Attributes:
        first: First business day on which they hold; None: from the beginning.
        weights: Pairs of variant and weight in the design's order; they sum to one, and one may be zero.
    """

    first: date | None
    weights: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Slot:
    """The part of a layer that an experiment owns: units whose point in the layer lies in [low, high).

    Experiments of one layer that own ranges that do not overlap never share a unit.
    """

    layer: str
    low: float = 0.0
    high: float = 1.0


@dataclass(frozen=True)
class AssignmentPlan:
    """All that decides who gets which variant of an experiment.

    Attributes:
        experiment_id: The experiment.
        salt: Text that its hash is keyed by; a new one deals the units out again.
        periods: Weights over time, by first day; the first one holds until the second begins.
        slot: The experiment's part of its layer; None: no layer.
        holdout: Share of all units that no experiment gets, the same units for every experiment.
    """

    experiment_id: str
    salt: str
    periods: tuple[WeightPeriod, ...]
    slot: Slot | None = None
    holdout: float = 0.0

    def __post_init__(self) -> None:
        """Refuse weights, ranges and shares that cannot be.

        Raises:
            InputError: The message says which.
        """
        if not self.periods:
            raise InputError(f"{self.experiment_id}: there are no weights")
        names = [name for name, _ in self.periods[0].weights]
        for period in self.periods:
            _check_weights(self.experiment_id, period, names)
        days = [period.first or date.min for period in self.periods]
        if days != sorted(set(days)):
            raise InputError(f"{self.experiment_id}: periods of weights must begin on different days, in order")
        if not 0 <= self.holdout < 1:
            raise InputError(f"{self.experiment_id}: a holdout of {self.holdout} does not lie in [0, 1)")
        if self.slot is not None and not 0 <= self.slot.low < self.slot.high <= 1:
            raise InputError(
                f"{self.experiment_id}: [{self.slot.low}, {self.slot.high}) is no part of layer {self.slot.layer!r}"
            )

    @property
    def variants(self) -> tuple[str, ...]:
        """The variants, in the design's order."""
        return tuple(name for name, _ in self.periods[0].weights)

    def period_on(self, day: date | None) -> int | None:
        """Position of the weights in force on a day (None: the newest); None before the first of them."""
        if day is None:
            return len(self.periods) - 1
        begun = [place for place, period in enumerate(self.periods) if (period.first or date.min) <= day]
        return begun[-1] if begun else None


@dataclass(frozen=True)
class Assigned:
    """Variants of some units, in their order.

    Attributes:
        variants: The variant of each unit, or None.
        outside: Why a unit has none; None where it has one.
        kept: Whether the variant was given earlier and only kept.
    """

    variants: tuple[str | None, ...]
    outside: tuple[Outside | None, ...]
    kept: tuple[bool, ...]


def assign(
    units: Sequence[bytes],
    plan: AssignmentPlan,
    *,
    day: date | None = None,
    given: Sequence[str | None] | None = None,
) -> Assigned:
    """The variant of each unit on a day.

    A variant once given stays, whatever the weights, ranges and holdouts are by then: pass it in ``given``. Who comes
    later is dealt out by the weights of their day, independently of who came before.

    Args:
        units: Bytes of each unit: an account key, or the UTF-8 of an id.
        plan: The experiment's plan.
        day: Business day; None: the newest weights.
        given: Variants given earlier, one a unit; None where there is none.

    Raises:
        InputError: ``given`` has another length, or names a variant that the plan does not have.
    """
    earlier = [None] * len(units) if given is None else list(given)
    if len(earlier) != len(units):
        raise InputError(f"{len(earlier)} earlier variants and {len(units)} units do not pair")
    if strange := sorted({name for name in earlier if name is not None} - set(plan.variants)):
        raise InputError(f"{plan.experiment_id}: {strange[0]!r} was given earlier and is no variant")
    dealt = _deal(units, plan, day)
    variants, outside = [], []
    for before, (variant, reason) in zip(earlier, dealt, strict=True):
        variants.append(before or variant)
        outside.append(None if before else reason)
    return Assigned(tuple(variants), tuple(outside), tuple(name is not None for name in earlier))


def assignment_sql(plan: AssignmentPlan, *, unit: str = "unit", day: date | None = None) -> str:
    """SQL expression of the variant that a day's weights deal to a unit, null outside; as ``assign`` without ``given``.

    Keep earlier variants by ``coalesce(earlier.variant, <this>)``.

    Args:
        plan: The experiment's plan.
        unit: SQL of the unit's bytes (BLOB).
        day: Business day; None: the newest weights.
    """
    place = plan.period_on(day)
    if place is None:
        return "CAST(NULL AS VARCHAR)"
    weights = plan.periods[place].weights
    point = point_sql(unit, experiment_salt(plan.salt))
    ranges = [
        (name, cut)
        for (name, weight), cut in zip(weights, cuts([weight for _, weight in weights]), strict=True)
        if weight > 0
    ]
    cases = "".join(f"WHEN {point} < {cut} THEN {_text(name)} " for name, cut in ranges[:-1])
    last = _text(ranges[-1][0])
    dealt = f"CASE {cases}ELSE {last} END" if cases else last
    conditions = []
    if plan.holdout > 0:
        conditions.append(f"{point_sql(unit, _holdout_salt())} >= {_cut(plan.holdout)}")
    if plan.slot is not None:
        low, high = _cut(plan.slot.low), _cut(plan.slot.high)
        in_layer = point_sql(unit, _layer_salt(plan.slot.layer))
        conditions += [f"{in_layer} >= {low}", *([f"{in_layer} < {high}"] if high < SPACE else [])]
    return f"CASE WHEN {' AND '.join(conditions)} THEN {dealt} END" if conditions else dealt


def assignment_on_sql(plan: AssignmentPlan, *, unit: str = "unit", day: str) -> str:
    """As ``assignment_sql``, by the weights of each row's own day.

    Args:
        plan: The experiment's plan.
        unit: SQL of the unit's bytes.
        day: SQL of the day (DATE).
    """
    cases = []
    for place, period in enumerate(plan.periods):
        following = plan.periods[place + 1].first if place + 1 < len(plan.periods) else None
        ends = f"{day} < DATE '{following}'" if following else "true"
        begins = f" AND {day} >= DATE '{period.first}'" if period.first else ""
        cases.append(f"WHEN {ends}{begins} THEN {assignment_sql(plan, unit=unit, day=period.first or date.min)}")
    return f"CASE {' '.join(cases)} END"


def points(units: Sequence[bytes], salt: str) -> NDArray[np.uint64]:
    """Points of units under a salt, uint64, in their order."""
    import numpy as np

    keyed = hashlib.sha256(_key(salt))  # the key is hashed once and its state copied for each unit
    heads = bytearray()
    for unit in units:
        one = keyed.copy()
        one.update(unit)
        heads += one.digest()[:8]
    return np.frombuffer(bytes(heads), dtype=">u8").astype(np.uint64)


def point_sql(unit: str, salt: str) -> str:
    """SQL expression (UBIGINT) of the point of a unit, whose bytes are SQL of a BLOB."""
    key = "".join(f"\\x{byte:02X}" for byte in _key(salt))
    return f"CAST('0x' || substr(sha256('{key}'::BLOB || {unit}), 1, 16) AS UBIGINT)"


def cuts(weights: Sequence[float]) -> list[int]:
    """Upper ends, excluded, of the ranges that weights make of all points; the last is ``SPACE``.

    A weight counts as the decimal number that it is written as: 0.1 is a tenth.
    """
    total = Fraction(0)
    ends = []
    for weight in weights:
        total += Fraction(repr(float(weight)))
        ends.append(round(total * SPACE))
    ends[-1] = SPACE
    # A variant without weight at the end leaves the last range to the one before it.
    for place in range(len(ends) - 1, 0, -1):
        if weights[place] > 0:
            break
        ends[place - 1] = SPACE
    return ends


def plan_of(
    design: Design,
    *,
    holdout: float = 0.0,
    first: tuple[tuple[str, float], ...] | None = None,
    later: Sequence[WeightPeriod] = (),
) -> AssignmentPlan:
    """The plan of a design.

    Args:
        design: The design; its experiment id is the salt, so that a copy under another id deals anew.
        holdout: Share of all units that no experiment gets.
        first: Weights at the beginning, where they were not those that the design has now.
        later: Weights that take their place from their days on.
    """
    slot = None if design.layer is None else Slot(design.layer.name, design.layer.low, design.layer.high)
    begun = WeightPeriod(design.start, first or design.variants)
    return AssignmentPlan(design.experiment_id, design.experiment_id, (begun, *later), slot, holdout)


def check_layer(plans: Sequence[AssignmentPlan]) -> None:
    """Refuse experiments of one layer whose ranges overlap.

    Args:
        plans: Plans of experiments that run at the same time.

    Raises:
        InputError: Two overlap; the message names both and the layer.
    """
    slots = sorted(
        (plan.slot.layer, plan.slot.low, plan.slot.high, plan.experiment_id) for plan in plans if plan.slot is not None
    )
    for (layer, _, high, first), (other_layer, low, _, second) in pairwise(slots):
        if layer == other_layer and low < high:
            raise InputError(f"layer {layer!r}: {first} and {second} overlap from {low} to {high}")


def _deal(units: Sequence[bytes], plan: AssignmentPlan, day: date | None) -> list[tuple[str | None, Outside | None]]:
    import numpy as np

    place = plan.period_on(day)
    if place is None:
        return [(None, "not_started")] * len(units)
    weights = plan.periods[place].weights
    ends = np.array([min(end, SPACE - 1) for end in cuts([weight for _, weight in weights])], np.uint64)
    # The last range ends at SPACE, which uint64 cannot hold: whoever is in none of the others is in it.
    found = np.searchsorted(ends[:-1], points(units, experiment_salt(plan.salt)), side="right")
    dealt: list[tuple[str | None, Outside | None]] = [(weights[number][0], None) for number in found]
    if plan.slot is not None:
        in_layer = points(units, _layer_salt(plan.slot.layer))
        low, high = _cut(plan.slot.low), _cut(plan.slot.high)
        outside = (in_layer < low) | ((in_layer >= high) if high < SPACE else False)
        dealt = [(None, "outside_layer") if out else one for one, out in zip(dealt, outside, strict=True)]
    if plan.holdout > 0:
        held = points(units, _holdout_salt()) < _cut(plan.holdout)
        dealt = [(None, "holdout") if out else one for one, out in zip(dealt, held, strict=True)]
    return dealt


def _key(salt: str) -> bytes:
    return hashlib.sha256(_KEY_PREFIX + salt.encode()).digest()


def experiment_salt(salt: str) -> str:
    """Salt under which an experiment deals its units, or a switchback its slots."""
    return f"experiment:{salt}"


def _layer_salt(layer: str) -> str:
    return f"layer:{layer}"


def _holdout_salt() -> str:
    return f"holdout:{GLOBAL_HOLDOUT}"


def _cut(share: float) -> int:
    return round(Fraction(repr(float(share))) * SPACE)


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _check_weights(experiment_id: str, period: WeightPeriod, names: Sequence[str]) -> None:
    if [name for name, _ in period.weights] != list(names):
        raise InputError(f"{experiment_id}: every period names the same variants in the same order")
    for name, weight in period.weights:
        if not (math.isfinite(weight) and 0 <= weight <= 1):
            raise InputError(f"{experiment_id}: the weight of {name} is {weight}, which does not lie in [0, 1]")
    total = math.fsum(weight for _, weight in period.weights)
    if abs(total - 1) > 1e-9:
        raise InputError(f"{experiment_id}: the weights sum to {total:.10g}, not to 1")
