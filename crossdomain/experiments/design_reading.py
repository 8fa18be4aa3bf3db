"""From the plain values of a design file to the parts of a design."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date
from fractions import Fraction
from typing import Any

from crossdomain.checked_file import CheckedFile
from crossdomain.experiments.design_parts import (
    EXPOSURES,
    Covariate,
    EventColumns,
    Expected,
    FileColumns,
    Metric,
    MetricKind,
    Selection,
    Switchback,
    Winsorizing,
)

Where = list[str | int]

_EVENT_COLUMNS = ("value", "quantity")
_EVENT_ATTRIBUTES = ("campaign_id", "channel", "domain", "item_id", "placement")
_LONGEST_BLOCK = 1000
_SELECTION_KEYS = {"events", "subtract", "column", "where", "days"}
_OF_KIND = {
    "mean": {"winsorize", "cuped"},
    "proportion": {"interval", "cuped"},
    "ratio": {"cuped"},
    "quantile": {"quantile", "per"},
}


def read_day(file: CheckedFile, key: str) -> date | None:
    """A day of the file; None where it is null or not given.

    Raises:
        InputError: It is not a day that exists.
    """
    text = file.content.get(key)
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise file.error([key], f"{text!r} is not a day that exists: {error}") from error


def read_expected(content: Mapping[str, float]) -> Expected:
    """What is known beforehand."""
    return Expected(**{key: float(value) for key, value in content.items()})


def read_file_columns(content: Mapping[str, Any]) -> FileColumns:
    """Columns of an analyst's file, from the mapping under ``data``."""
    events = content.get("events")
    columns = None
    if events is not None:
        columns = EventColumns(events.get("unit", content.get("unit")), events["time"], events["type"])
    plain = {key: value for key, value in content.items() if key not in ("covariates", "events")}
    return FileColumns(**plain, covariates=tuple(content.get("covariates", ())), events=columns)


def read_switchback(content: Mapping[str, Any], weights: Mapping[str, float]) -> Switchback:
    """Randomisation over time slots; blocks are as short as the weights allow, unless said."""
    balanced = content.get("scheme", "independent") != "independent"
    return Switchback(**{"block_slots": _shortest_block(list(weights.values())) if balanced else 1, **content})


def _shortest_block(weights: Sequence[float]) -> int:
    """Fewest slots that weights split into whole numbers; a third may be written to a few digits."""
    if not all(math.isfinite(weight) for weight in weights):
        return 1  # refused with its key later
    return math.lcm(*(Fraction(weight).limit_denominator(_LONGEST_BLOCK).denominator for weight in weights))


def read_metric(file: CheckedFile, position: int, columns: FileColumns | None) -> Metric:
    """A metric, from its place in the list.

    Args:
        file: The design file.
        position: Place of the metric, from 0.
        columns: Columns of an analyst's file; None over the platform's tables.

    Raises:
        InputError: Keys that do not belong to its kind, or are missing.
    """
    content, where = file.content["metrics"][position], Where(["metrics", position])
    kind: MetricKind = content["kind"]
    _check_keys(file, where, content, columns)
    if kind == "quantile" and "quantile" not in content:
        raise file.error([*where, "quantile"], "is required for a metric of kind quantile, such as 0.9")
    if "numerator" in content:
        numerator, denominator = (
            _part(file, [*where, key], content[key], kind, columns) for key in ("numerator", "denominator")
        )
    else:
        numerator, denominator = _whole(file, where, content, kind, columns), None
    if numerator == EXPOSURES and _over_events(file, columns):
        raise file.error([*where, "numerator"], "exposures can only be a denominator")
    cuped = content.get("cuped", False)
    trials = columns is not None and columns.unit is None and denominator is not None
    return Metric(
        name=content["name"],
        kind=kind,
        numerator=numerator,
        denominator=denominator,
        interval=content.get("interval", "unpooled"),
        relative=content.get("relative", "delta"),
        better=content.get("better", "higher"),
        quantile=content.get("quantile"),
        per=content.get("per", "unit"),
        winsorize=_winsorizing(content.get("winsorize")),
        cuped=cuped is True,
        covariate=_covariate(file, [*where, "cuped"], cuped, kind, columns),
        # Rows of totals (a day an arm) may not be known yet; a unit's number always should be.
        missing=content.get("missing", "leave_out" if trials else "refuse"),
    )


def _check_keys(file: CheckedFile, where: Where, content: Mapping[str, Any], columns: FileColumns | None) -> None:
    """Keys that belong to the metric's kind over the design's data, and those that it must have."""
    kind, counts = content["kind"], file.content.get("data") == "counts"
    if counts and kind != "proportion":
        raise file.error([*where, "kind"], f"daily counts allow kind proportion only, not {kind}: they have no units")
    rows = columns is not None and columns.events is None
    pair = counts or kind == "ratio" or (rows and kind == "proportion" and "column" not in content)
    own = {"numerator", "denominator"} if pair else {"column"} if rows else _SELECTION_KEYS
    extra = _OF_KIND[kind] - ({"cuped"} if counts else set()) | ({"missing"} if rows else set())
    data = "counts" if counts else "rows" if rows else "events"
    if unknown := sorted(set(content) - own - extra - {"name", "kind", "relative", "better"}):
        raise file.error([*where, unknown[0]], f"does not belong to a metric of kind {kind} over {data}")
    for key in ("numerator", "denominator") if pair else ("column",) if rows else ("events",):
        if key not in content:
            raise file.error([*where, key], f"is required for a metric of kind {kind}")


def _over_events(file: CheckedFile, columns: FileColumns | None) -> bool:
    """Whether metrics are formed from events, not from counts or from columns of unit rows."""
    return file.content.get("data") != "counts" and (columns is None or columns.events is not None)


def _whole(
    file: CheckedFile, where: Where, content: Mapping[str, Any], kind: MetricKind, columns: FileColumns | None
) -> Selection | str:
    if not _over_events(file, columns):
        return str(content["column"])
    return read_selection(
        file, where, {key: value for key, value in content.items() if key in _SELECTION_KEYS}, kind, columns
    )


def _part(
    file: CheckedFile, key: Where, content: object, kind: MetricKind, columns: FileColumns | None
) -> Selection | str:
    """Numerator or denominator."""
    if not _over_events(file, columns):
        if not isinstance(content, str):
            said = "with daily counts this is the name of a count" if columns is None else "this is a column's name"
            raise file.error(key, said)
        return content
    if content == EXPOSURES:
        return EXPOSURES
    return read_selection(file, key, content, kind, columns)


def read_selection(
    file: CheckedFile, key: Where, content: object, kind: MetricKind, columns: FileColumns | None
) -> Selection:
    """A selection of events.

    Raises:
        InputError: It is none, or it selects what the kind of metric cannot use.
    """
    if not isinstance(content, dict):
        raise file.error(key, "with exposures this is a mapping with events, and maybe subtract, column, where, days")
    selection = Selection(
        events=tuple(content["events"]),
        subtract=tuple(content.get("subtract", ())),
        column=content.get("column"),
        where=tuple(sorted(content.get("where", {}).items())),
        days=tuple(content["days"]) if "days" in content else None,
    )
    if kind == "proportion" and (selection.column or selection.subtract):
        raise file.error(
            [*key, "column" if selection.column else "subtract"], "a proportion asks only whether an event came"
        )
    if both := sorted(set(selection.events) & set(selection.subtract)):
        raise file.error([*key, "subtract"], f"{both[0]} is among the events that are added")
    if selection.days and selection.days[0] > selection.days[1]:
        raise file.error([*key, "days"], f"day {selection.days[1]} lies before day {selection.days[0]}")
    if columns is None:
        _check_event_columns(file, key, selection)
    return selection


def _check_event_columns(file: CheckedFile, key: Where, selection: Selection) -> None:
    """The platform's events have columns of their own; a file's may have any."""
    if selection.column not in (None, *_EVENT_COLUMNS):
        allowed = ", ".join(_EVENT_COLUMNS)
        raise file.error([*key, "column"], f"{selection.column!r} is unknown; use one of {allowed}")
    for name, _ in selection.where:
        if name not in _EVENT_ATTRIBUTES:
            raise file.error([*key, "where", name], f"unknown key; known are {', '.join(_EVENT_ATTRIBUTES)}")


def _winsorizing(content: float | Mapping[str, Any] | None) -> Winsorizing | None:
    if content is None:
        return None
    return Winsorizing(**content) if isinstance(content, Mapping) else Winsorizing(upper=float(content))


def _covariate(
    file: CheckedFile, key: Where, content: object, kind: MetricKind, columns: FileColumns | None
) -> Covariate | None:
    """The covariate of a file's metric: a column's name, or a pair of names for a ratio."""
    if isinstance(content, bool):
        if content and columns is not None:
            raise file.error(key, "with a file this is the name of the covariate's column")
        return None
    if columns is None:
        raise file.error(key, "over the platform's tables this is true or false; cuped_days says how far back it looks")
    if isinstance(content, Mapping):
        if kind != "ratio":
            raise file.error(key, "a pair of covariates belongs to a ratio; give one column")
        return Covariate(content["numerator"], content["denominator"])
    return Covariate(str(content))
