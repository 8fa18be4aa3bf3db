"""The design of an experiment: what was decided before the data came in."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

from crossdomain.checked_file import CheckedFile, read_checked_file
from crossdomain.errors import InputError
from crossdomain.experiments.design_checks import check_agreement
from crossdomain.experiments.design_parts import (
    EVERYBODY,
    FIXED_WEIGHTS,
    Allocation,
    AnalysisMethod,
    Audience,
    Correction,
    DataKind,
    Expected,
    FileColumns,
    Guardrail,
    Layer,
    Metric,
    MinimumEffect,
    Segment,
    Selection,
    Spending,
    Switchback,
)
from crossdomain.experiments.design_reading import (
    read_day,
    read_expected,
    read_file_columns,
    read_metric,
    read_selection,
    read_switchback,
)

SCHEMA_FILE = "design.schema.json"


@dataclass(frozen=True)
class Design:
    """A checked design; see ``include/experiments/design.schema.json`` for the file's keys.

    Attributes:
        experiment_id: Id in exposures or daily counts; the salt of its assignment.
        name: What people call it, by language (``zh``, ``en``).
        hypothesis: What is expected and why, by language.
        owner: Team that decides.
        unit: ``account``, ``person``, ``trial`` for daily counts, ``slot`` for a switchback, or a file's column of
            units (``row`` without one).
        data: ``exposures``, ``counts`` or ``file``.
        variants: Pairs of variant and weight in the file's order; the weights sum to one.
        control: The variant that the others are compared with.
        start: First business day; None is the day of the first exposure or count.
        end: Last business day, included; None is open.
        alpha: One minus the confidence of the intervals.
        power: Wanted probability of finding the minimum effect.
        primary_metric: Name of the metric that the decision rests on.
        sample_ratio_metrics: Counts (columns of a file) that must split by the weights; empty: the units must.
        metrics: The metrics in the file's order.
        guardrails: Metrics that must not get worse.
        minimum_effect: Smallest effect on the primary metric worth finding; None: not said.
        analysis: ``fixed`` (once, at the end), ``group_sequential`` (at the looks), ``always_valid`` (any day).
        looks: Days of the experiment (1 is its first) on which a group sequential analysis looks, ascending.
        spending: How alpha is spent over the looks.
        planned_units: Units over all arms at which the experiment ends; None: not said.
        expected: What is known beforehand, for the plan; None: not said.
        correction: For several metrics and variants.
        layer: Mutual exclusion; None: every unit may take part in it beside other experiments.
        audience: Who may take part.
        cuped_days: Days before the experiment whose metrics are covariates; None: no CUPED.
        exposure_event: What counts as exposure, where it is an event; None: the rows of the exposures.
        trigger: Event from which on, and only with which, a unit is analysed; None: from its exposure.
        dimensions: Attributes of units by which results are broken down.
        segments: Parts of the units registered beforehand.
        allocation: How the weights come about.
        applies_to: What the variants change (``recommendations``, ``campaign``, ``channel``); None: only measured.
        parameters: Pairs of variant and its pairs of parameter and value, for what applies them.
        file: Columns of an analyst's file; None for the platform's tables.
        switchback: Randomisation over time slots instead of units; None: units are randomised.
        source: The file, for messages.
    """

    experiment_id: str
    name: dict[str, str]
    hypothesis: dict[str, str]
    owner: str
    unit: str
    data: DataKind
    variants: tuple[tuple[str, float], ...]
    control: str
    start: date | None
    end: date | None
    alpha: float
    primary_metric: str
    sample_ratio_metrics: tuple[str, ...]
    metrics: tuple[Metric, ...]
    power: float = 0.8
    guardrails: tuple[Guardrail, ...] = ()
    minimum_effect: MinimumEffect | None = None
    analysis: AnalysisMethod = "fixed"
    looks: tuple[int, ...] = ()
    spending: Spending = "obrien_fleming"
    planned_units: int | None = None
    expected: Expected | None = None
    correction: Correction = "holm"
    layer: Layer | None = None
    audience: Audience = EVERYBODY
    cuped_days: int | None = None
    exposure_event: Selection | None = None
    trigger: Selection | None = None
    dimensions: tuple[str, ...] = ()
    segments: tuple[Segment, ...] = ()
    allocation: Allocation = FIXED_WEIGHTS
    applies_to: str | None = None
    parameters: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = ()
    file: FileColumns | None = None
    switchback: Switchback | None = None
    source: str = "design"

    @property
    def treatments(self) -> tuple[str, ...]:
        """Variants other than the control, in the design's order."""
        return tuple(name for name, _ in self.variants if name != self.control)

    def metric(self, name: str) -> Metric:
        """The metric of a name of the design."""
        return next(metric for metric in self.metrics if metric.name == name)

    def as_json(self) -> dict[str, Any]:
        """The design as plain values, without where it was read from: what results depend on."""
        content = asdict(self)
        del content["source"]
        if self.switchback is None:
            del content["switchback"]
        return {name: value.isoformat() if isinstance(value, date) else value for name, value in content.items()}


def load_designs(folder: Path) -> tuple[Design, ...]:
    """All designs of a folder (``*.yaml``), by experiment id.

    Args:
        folder: Folder with the designs and ``design.schema.json``; one without designs gives none.

    Raises:
        InputError: A design is not valid or is of an analyst's file, two files share an experiment id, or two
            experiments that run at the same time share a part of a layer.
    """
    designs: dict[str, Design] = {}
    for path in sorted(folder.glob("*.yaml")):
        design = load_design(path, schema=folder / SCHEMA_FILE)
        if design.data == "file":
            raise InputError(f"{path}: data: columns of a file belong to `crossdomain experiment analyze`, not here")
        if design.experiment_id in designs:
            other = designs[design.experiment_id].source
            raise InputError(f"{path}: experiment_id: {design.experiment_id} is already that of {other}")
        designs[design.experiment_id] = design
    _check_layers(designs.values())
    return tuple(designs[name] for name in sorted(designs))


def load_design(path: Path, *, schema: Path) -> Design:
    """Reads and checks one design.

    Args:
        path: YAML file.
        schema: The published ``design.schema.json``.

    Raises:
        InputError: The design is not valid; the message names file, line and key.
    """
    file = read_checked_file(path, schema=schema, what="design file")
    design = _construct(file)
    check_agreement(file, design)
    return design


def _construct(file: CheckedFile) -> Design:
    content = file.content
    columns = read_file_columns(content["data"]) if isinstance(content.get("data"), dict) else None
    experiment_id = content.get("experiment_id", file.path.stem)
    metrics = tuple(read_metric(file, position, columns) for position in range(len(content["metrics"])))
    triggers = {
        key: read_selection(file, [key], content[key], "proportion", columns) if content.get(key) else None
        for key in ("exposure_event", "trigger")
    }
    layer, effect = content.get("layer"), content.get("minimum_effect")
    return Design(
        experiment_id=experiment_id,
        name=content.get("name", {"zh": experiment_id, "en": experiment_id}),
        hypothesis=content.get("hypothesis", {"zh": "", "en": ""}),
        owner=content.get("owner", ""),
        unit="slot" if "switchback" in content else content.get("unit") or (columns and columns.unit) or "row",
        data="file" if columns else content.get("data", "exposures"),
        variants=tuple((name, float(weight)) for name, weight in content["variants"].items()),
        control=str(content["control"]),
        start=read_day(file, "start"),
        end=read_day(file, "end"),
        alpha=float(content.get("alpha", 0.05)),
        power=float(content.get("power", 0.8)),
        primary_metric=content.get("primary_metric", metrics[0].name),
        sample_ratio_metrics=tuple(content.get("sample_ratio_metrics", ())),
        metrics=metrics,
        guardrails=tuple(
            Guardrail(one["metric"], float(one.get("margin", 0))) for one in content.get("guardrails", ())
        ),
        minimum_effect=_effect(effect),
        analysis=content.get("analysis", "fixed"),
        looks=tuple(content.get("looks", ())),
        spending=content.get("spending", "obrien_fleming"),
        planned_units=content.get("planned_units"),
        expected=read_expected(content["expected"]) if content.get("expected") else None,
        correction=content.get("correction", "holm"),
        layer=Layer(layer["name"], float(layer.get("from", 0)), float(layer.get("to", 1))) if layer else None,
        audience=Audience(**{key: tuple(names) for key, names in content.get("audience", {}).items()}),
        cuped_days=content.get("cuped_days"),
        exposure_event=triggers["exposure_event"],
        trigger=triggers["trigger"],
        dimensions=tuple(content.get("dimensions", ())),
        segments=tuple(
            Segment(one["name"], tuple((key, tuple(values)) for key, values in sorted(one["where"].items())))
            for one in content.get("segments", ())
        ),
        allocation=Allocation(**content.get("allocation", {})),
        applies_to=content.get("applies_to"),
        parameters=tuple(
            (variant, tuple(sorted((key, str(value)) for key, value in given.items())))
            for variant, given in content.get("parameters", {}).items()
        ),
        file=columns,
        switchback=read_switchback(content["switchback"], content["variants"]) if "switchback" in content else None,
        source=str(file.path),
    )


def _effect(content: Mapping[str, float] | None) -> MinimumEffect | None:
    if not content:
        return None
    ((kind, value),) = content.items()
    return MinimumEffect(float(value), kind == "relative")


def _check_layers(designs: Iterable[Design]) -> None:
    """Experiments of one layer at one time must have parts of their own.

    Raises:
        InputError: Two share a part; the message names both.
    """
    for one, other in itertools.combinations(designs, 2):
        a, b = one.layer, other.layer
        if a is None or b is None or a.name != b.name or not _meet(one, other):
            continue
        low, high = max(a.low, b.low), min(a.high, b.high)
        if low < high:
            raise InputError(
                f"{other.source}: layer: {other.experiment_id} and {one.experiment_id} ({one.source}) both use "
                f"{low:g} to {high:g} of layer {a.name!r} at the same time: give them parts that do not overlap"
            )


def _meet(one: Design, other: Design) -> bool:
    """Whether the two may run on the same day; an open start or end may be any day."""
    starts_before_end = one.start is None or other.end is None or one.start <= other.end
    return starts_before_end and (other.start is None or one.end is None or other.start <= one.end)
