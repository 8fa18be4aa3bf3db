"""The design of an experiment: what was decided before the data came in."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from crossdomain.errors import InputError
from crossdomain.experiments.design_file import DesignFile, read_design_file

if TYPE_CHECKING:
    from crossdomain.stats.comparison import Relative
    from crossdomain.stats.proportions import Interval

SCHEMA_FILE = "design.schema.json"
MetricKind = Literal["mean", "proportion", "ratio"]


@dataclass(frozen=True)
class Selection:
    """A number per unit from its events at or after its first exposure.

    Attributes:
        events: Event types that count.
        subtract: Event types whose absolute amount is taken off (refunds).
        column: Column that is added up, ``value`` or ``quantity``; None counts events.
        where: Pairs of column and value that an event must have.
    """

    events: tuple[str, ...]
    subtract: tuple[str, ...] = ()
    column: str | None = None
    where: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Metric:
    """A metric of the design.

    Attributes:
        name: Name in the results.
        kind: ``mean`` per unit, ``proportion`` of units (of counts: numerator over denominator), or
            ``ratio`` of two sums over units.
        numerator: What a unit contributes; with daily counts the name of a count.
        denominator: The ratio's denominator; with daily counts the name of a count; else None.
        interval: Convention of a proportion's interval.
        relative: Convention of the relative effect's interval.
    """

    name: str
    kind: MetricKind
    numerator: Selection | str
    denominator: Selection | str | None = None
    interval: Interval = "unpooled"
    relative: Relative = "delta"


@dataclass(frozen=True)
class Design:
    """A checked design; see ``include/experiments/design.schema.json`` for the file's keys.

    Attributes:
        experiment_id: Id in exposures or daily counts.
        name: What people call it, by language (``zh``, ``en``).
        hypothesis: What is expected and why, by language.
        owner: Team that decides.
        unit: ``account``, ``person``, or ``trial`` for daily counts.
        data: ``exposures`` or ``counts``.
        variants: Pairs of variant and weight in the file's order; the weights sum to one.
        control: The variant that the others are compared with.
        start: First business day; None is the day of the first exposure or count.
        end: Last business day, included; None is open.
        alpha: One minus the confidence of the intervals.
        primary_metric: Name of the metric that the decision rests on.
        sample_ratio_metrics: Daily counts that must split by the weights; empty for exposures.
        metrics: The metrics in the file's order.
        source: The file, for messages.
    """

    experiment_id: str
    name: dict[str, str]
    hypothesis: dict[str, str]
    owner: str
    unit: str
    data: Literal["exposures", "counts"]
    variants: tuple[tuple[str, float], ...]
    control: str
    start: date | None
    end: date | None
    alpha: float
    primary_metric: str
    sample_ratio_metrics: tuple[str, ...]
    metrics: tuple[Metric, ...]
    source: str = "design"

    @property
    def treatments(self) -> tuple[str, ...]:
        """Variants other than the control, in the design's order."""
        return tuple(name for name, _ in self.variants if name != self.control)

    def as_json(self) -> dict[str, Any]:
        """The design as plain values, without where it was read from: what results depend on."""
        content = asdict(self)
        del content["source"]
        return {name: value.isoformat() if isinstance(value, date) else value for name, value in content.items()}


def load_designs(folder: Path) -> tuple[Design, ...]:
    """All designs of a folder (``*.yaml``), by experiment id.

    Args:
        folder: Folder with the designs and ``design.schema.json``; one without designs gives none.

    Raises:
        InputError: A design is not valid, or two files share an experiment id.
    """
    designs: dict[str, Design] = {}
    for path in sorted(folder.glob("*.yaml")):
        design = load_design(path, schema=folder / SCHEMA_FILE)
        if design.experiment_id in designs:
            other = designs[design.experiment_id].source
            raise InputError(f"{path}: experiment_id: {design.experiment_id} is already that of {other}")
        designs[design.experiment_id] = design
    return tuple(designs[name] for name in sorted(designs))


def load_design(path: Path, *, schema: Path) -> Design:
    """Reads and checks one design.

    Args:
        path: YAML file.
        schema: The published ``design.schema.json``.

    Raises:
        InputError: The design is not valid; the message names file, line and key.
    """
    file = read_design_file(path, schema=schema)
    content = file.content
    design = Design(
        experiment_id=content["experiment_id"],
        name=content["name"],
        hypothesis=content["hypothesis"],
        owner=content["owner"],
        unit=content["unit"],
        data=content.get("data", "exposures"),
        variants=tuple((name, float(weight)) for name, weight in content["variants"].items()),
        control=content["control"],
        start=_day(file, "start"),
        end=_day(file, "end"),
        alpha=float(content.get("alpha", 0.05)),
        primary_metric=content["primary_metric"],
        sample_ratio_metrics=tuple(content.get("sample_ratio_metrics", ())),
        metrics=tuple(_metric(file, position) for position in range(len(content["metrics"]))),
        source=str(path),
    )
    _check(file, design)
    return design


def _day(file: DesignFile, key: str) -> date | None:
    text = file.content.get(key)
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise file.error([key], f"{text!r} is not a day that exists: {error}") from error


def _metric(file: DesignFile, position: int) -> Metric:
    content = file.content["metrics"][position]
    counts = file.content.get("data", "exposures") == "counts"
    kind: MetricKind = content["kind"]
    where: list[str | int] = ["metrics", position]
    if counts and kind != "proportion":
        raise file.error([*where, "kind"], f"daily counts allow kind proportion only, not {kind}: they have no units")
    pair = counts or kind == "ratio"
    own = {"numerator", "denominator"} if pair else {"events", "subtract", "column", "where"}
    common = {"name", "kind", "relative"} | ({"interval"} if kind == "proportion" else set())
    if extra := sorted(set(content) - own - common):
        raise file.error(
            [*where, extra[0]], f"does not belong to a metric of kind {kind} over {'counts' if counts else 'events'}"
        )
    required = ("numerator", "denominator") if pair else ("events",)
    for key in required:
        if key not in content:
            raise file.error([*where, key], f"is required for a metric of kind {kind}")
    if not pair:
        parts: list[Selection | str | None] = [_selection(file, [*where], content, kind), None]
    elif counts:
        parts = [_count_name(file, [*where, key], content[key]) for key in required]
    else:
        parts = [_selection(file, [*where, key], content[key], kind) for key in required]
    numerator, denominator = parts
    assert numerator is not None
    return Metric(
        name=content["name"],
        kind=kind,
        numerator=numerator,
        denominator=denominator,
        interval=content.get("interval", "unpooled"),
        relative=content.get("relative", "delta"),
    )


def _count_name(file: DesignFile, key: list[str | int], content: object) -> str:
    if not isinstance(content, str):
        raise file.error(key, "with daily counts this is the name of a count")
    return content


def _selection(file: DesignFile, key: list[str | int], content: object, kind: MetricKind) -> Selection:
    if not isinstance(content, dict):
        raise file.error(key, "with exposures this is a mapping with events, and maybe subtract, column, where")
    selection = Selection(
        events=tuple(content["events"]),
        subtract=tuple(content.get("subtract", ())),
        column=content.get("column"),
        where=tuple(sorted(content.get("where", {}).items())),
    )
    if kind == "proportion" and (selection.column or selection.subtract):
        raise file.error(
            [*key, "column" if selection.column else "subtract"], "a proportion asks only whether an event came"
        )
    if both := sorted(set(selection.events) & set(selection.subtract)):
        raise file.error([*key, "subtract"], f"{both[0]} is among the events that are added")
    return selection


def _check(file: DesignFile, design: Design) -> None:
    """What a schema cannot say: keys that must agree with each other."""
    total = math.fsum(weight for _, weight in design.variants)
    names = [name for name, _ in design.variants]
    metrics = [metric.name for metric in design.metrics]
    if not abs(total - 1) <= 1e-9:  # written so that NaN fails too
        raise file.error(["variants"], f"the weights sum to {total:.10g}, not to 1")
    if design.control not in names:
        raise file.error(["control"], f"{design.control!r} is not a variant; the variants are {', '.join(names)}")
    if not 0 < design.alpha < 1:
        raise file.error(["alpha"], f"{design.alpha} does not lie between 0 and 1")
    if design.start and design.end and design.end < design.start:
        raise file.error(["end"], f"{design.end} lies before the start, {design.start}")
    for position, name in enumerate(metrics):
        if name in metrics[:position]:
            raise file.error(["metrics", position, "name"], f"{name!r} is already the name of a metric above")
    if design.primary_metric not in metrics:
        raise file.error(
            ["primary_metric"], f"{design.primary_metric!r} is not a metric; they are {', '.join(metrics)}"
        )
    if (design.data == "counts") != (design.unit == "trial"):
        raise file.error(["unit"], "trial is the unit of daily counts, and theirs only")
    if design.data == "counts" and not design.sample_ratio_metrics:
        raise file.error(["sample_ratio_metrics"], "daily counts need a count that must split by the weights")
    if design.data == "exposures" and design.sample_ratio_metrics:
        raise file.error(["sample_ratio_metrics"], "belongs to daily counts; exposures are checked by their units")
