"""SQL of what a unit contributes to a metric: one number a *part*, the numerator or denominator of a metric.

Part ``x<i>`` is the numerator of metric i of the design, ``y<i>`` the denominator of a ratio. Money is DECIMAL from
end to end, so sums are exact and do not depend on the order of rows or on threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from crossdomain.errors import InputError
from crossdomain.experiments.design import Design
from crossdomain.experiments.design_parts import EXPOSURES, Metric, Selection

NUMBER = "DECIMAL(18,2)"
"""Type of a unit's number: counts and money alike, so that one list holds all of them."""
EVENTS_OF = {
    "account": "clean.events",
    "person": (
        "(SELECT events.* REPLACE (people.person AS account) FROM clean.events AS events"
        " JOIN derived.people AS people ON people.account = events.account)"
    ),
}
"""Events with the unit that they belong to as their account, by the design's unit."""
_AMOUNTS = {None: "1", "quantity": "coalesce(e.quantity, 0)", "value": "coalesce(e.value, 0)"}


class Binder:
    """Collects bound values and gives their names."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def __call__(self, value: Any) -> str:
        """Name of a value in the query."""
        name = f"p{len(self.values)}"
        self.values[name] = value
        return f"${name}"

    def all(self, values: Sequence[Any]) -> str:
        """Names of several values, joined by commas."""
        return ", ".join(self(value) for value in values)


@dataclass(frozen=True)
class Part:
    """One number a unit has.

    Attributes:
        column: ``x<i>`` or ``y<i>``.
        metric: The metric whose numerator or denominator it is.
        selection: The events that it is made of; None: the number of the unit's exposures.
    """

    column: str
    metric: Metric
    selection: Selection | None

    @property
    def keeps_largest(self) -> bool:
        """Whether the unit's number is the largest of its days' numbers, not their sum."""
        return self.metric.kind == "proportion"


def parts(design: Design) -> tuple[Part, ...]:
    """The parts of a design over exposures, in the order of its metrics; of a ratio first x, then y.

    Raises:
        InputError: A metric counts what a unit's events cannot say (a column that events do not have).
    """
    found = []
    for position, metric in enumerate(design.metrics):
        for letter, selection in (("x", metric.numerator), ("y", metric.denominator)):
            if selection is None:
                continue
            if isinstance(selection, Selection):
                _check_column(design, metric, selection)
                found.append(Part(f"{letter}{position}", metric, selection))
            elif selection == EXPOSURES:
                found.append(Part(f"{letter}{position}", metric, None))
            else:
                raise InputError(f"{design.source}: {metric.name}: {selection!r} is no selection of events")
    return tuple(found)


def event_types(chosen: Sequence[Part]) -> list[str]:
    """All event types that any of the parts looks at, sorted."""
    selections = [part.selection for part in chosen if part.selection is not None]
    return sorted({kind for selection in selections for kind in selection.events + selection.subtract})


def total_sql(part: Part, bind: Binder, *, when: str | None = None, all_days: bool = False) -> str:
    """SQL aggregate of a part over the events ``e`` of a unit ``k``.

    Args:
        part: A part with a selection.
        bind: Takes the design's values.
        when: SQL of whether an event counts at all; None where the query has seen to that.
        all_days: Whether the days after exposure that the selection names do not matter.
    """
    selection = part.selection
    assert selection is not None
    within = "" if when is None else f" AND {when}"
    if selection.days is not None and not all_days:
        within += f" AND e.ds - k.first_ds BETWEEN {bind(selection.days[0])} AND {bind(selection.days[1])}"
    added = condition(selection.events, selection, bind) + within
    if part.keeps_largest:
        return f"CAST(max(CASE WHEN {added} THEN 1 ELSE 0 END) AS {NUMBER})"
    amount = _AMOUNTS[selection.column]
    cases = f"WHEN {added} THEN {amount}"
    if selection.subtract:
        cases += f" WHEN {condition(selection.subtract, selection, bind)}{within} THEN -abs({amount})"
    return f"CAST(sum(CASE {cases} ELSE 0 END) AS {NUMBER})"


def condition(events: Sequence[str], selection: Selection, bind: Binder) -> str:
    """SQL of whether an event ``e`` is of the types and has the selection's values."""
    tests = [f"e.event_type IN ({bind.all(events)})"]
    tests += [f"e.{column} = {bind(value)}" for column, value in selection.where]
    return " AND ".join(tests)


def matured_after(metric: Metric) -> int:
    """Days after a unit's first one until its number is whole; 0 where every day counts as it comes."""
    selections = [part for part in (metric.numerator, metric.denominator) if isinstance(part, Selection)]
    return max((selection.days[1] for selection in selections if selection.days), default=0)


_WHERE = ("domain", "placement", "channel", "campaign_id", "item_id")


def _check_column(design: Design, metric: Metric, selection: Selection) -> None:
    if selection.column not in _AMOUNTS:
        raise InputError(
            f"{design.source}: {metric.name}: events have no column {selection.column!r} to add up: value or quantity"
        )
    for column, _ in selection.where:
        if column not in _WHERE:
            raise InputError(f"{design.source}: {metric.name}: where: {column!r} is none of {', '.join(_WHERE)}")
