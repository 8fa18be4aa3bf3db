"""What a schema cannot say of a design: keys that must agree with each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from crossdomain.checked_file import CheckedFile
from crossdomain.experiments.design_parts import Metric
from crossdomain.experiments.switchback_design import check_switchback

if TYPE_CHECKING:
    from crossdomain.experiments.design import Design


def check_agreement(file: CheckedFile, design: Design) -> None:
    """Refuses a design whose keys contradict each other.

    Raises:
        InputError: The first contradiction, with file, line and key.
    """
    _check_arms(file, design)
    _check_dates(file, design)
    if design.switchback is not None:
        check_switchback(file, design, design.switchback)
    _check_metrics(file, design)
    _check_data(file, design)
    _check_sequential(file, design)
    _check_people(file, design)


def _check_arms(file: CheckedFile, design: Design) -> None:
    total = math.fsum(weight for _, weight in design.variants)
    names = [name for name, _ in design.variants]
    if not abs(total - 1) <= 1e-9:  # written so that NaN fails too
        raise file.error(["variants"], f"the weights sum to {total:.10g}, not to 1")
    if design.control not in names:
        raise file.error(["control"], f"{design.control!r} is not a variant; the variants are {', '.join(names)}")
    for variant, _ in design.parameters:
        if variant not in names:
            raise file.error(["parameters", variant], f"is not a variant; the variants are {', '.join(names)}")
    allocation = design.allocation
    if allocation.floor * len(names) > 1:
        raise file.error(["allocation", "floor"], f"{allocation.floor:g} for each of {len(names)} variants exceeds 1")
    if design.layer and not 0 <= design.layer.low < design.layer.high <= 1:
        raise file.error(["layer"], f"from {design.layer.low:g} to {design.layer.high:g} is no part of 0 to 1")


def _check_dates(file: CheckedFile, design: Design) -> None:
    for key, value in (("alpha", design.alpha), ("power", design.power)):
        if not 0 < value < 1:
            raise file.error([key], f"{value} does not lie between 0 and 1")
    if design.start and design.end and design.end < design.start:
        raise file.error(["end"], f"{design.end} lies before the start, {design.start}")


def _check_metrics(file: CheckedFile, design: Design) -> None:
    names = [metric.name for metric in design.metrics]
    for position, name in enumerate(names):
        if name in names[:position]:
            raise file.error(["metrics", position, "name"], f"{name!r} is already the name of a metric above")
    if design.primary_metric not in names:
        raise file.error(["primary_metric"], f"{design.primary_metric!r} is not a metric; they are {', '.join(names)}")
    for position, guardrail in enumerate(design.guardrails):
        where: list[str | int] = ["guardrails", position, "metric"]
        if guardrail.metric not in names:
            raise file.error(where, f"{guardrail.metric!r} is not a metric; they are {', '.join(names)}")
        if guardrail.metric == design.primary_metric:
            raise file.error(where, f"{guardrail.metric!r} is the primary metric")
    for position, metric in enumerate(design.metrics):
        _check_metric(file, ["metrics", position], metric, design)


def _check_metric(file: CheckedFile, where: Sequence[str | int], metric: Metric, design: Design) -> None:
    caps = metric.winsorize
    if caps and caps.lower is None and caps.upper is None:
        raise file.error([*where, "winsorize"], "give a lower or an upper quantile, or both")
    if caps and caps.lower is not None and caps.upper is not None and caps.lower >= caps.upper:
        raise file.error([*where, "winsorize"], f"the lower quantile {caps.lower} is not below the upper {caps.upper}")
    if metric.cuped and design.cuped_days is None:
        raise file.error([*where, "cuped"], "needs cuped_days, the days before the experiment that it looks at")
    if metric.covariate and design.file:
        for name in (metric.covariate.column, metric.covariate.denominator):
            if design.file.covariates and name is not None and name not in design.file.covariates:
                raise file.error([*where, "cuped"], f"{name!r} is not among data.covariates")


def _check_data(file: CheckedFile, design: Design) -> None:
    if design.data == "file":
        _check_columns(file, design)
        return
    if design.switchback is not None:
        raise file.error(["switchback"], "is analysed from a file only: give data with the columns of the file")
    if design.unit == "slot":
        raise file.error(["unit"], "slot is the unit of a switchback, and needs its key switchback")
    if (design.data == "counts") != (design.unit == "trial"):
        raise file.error(["unit"], "trial is the unit of daily counts, and theirs only")
    if design.data == "counts" and not design.sample_ratio_metrics:
        raise file.error(["sample_ratio_metrics"], "daily counts need a count that must split by the weights")
    if design.data == "exposures" and design.sample_ratio_metrics:
        raise file.error(["sample_ratio_metrics"], "belongs to daily counts; exposures are checked by their units")
    if design.data == "counts":
        for key in ("cuped_days", "exposure_event", "trigger", "segments", "dimensions"):
            if file.content.get(key):
                raise file.error([key], "daily counts know nothing of units")


def _check_columns(file: CheckedFile, design: Design) -> None:
    assert design.file is not None
    if "unit" in file.content and not (design.switchback and file.content["unit"] == "slot"):
        raise file.error(["unit"], "with a file the column of units is data.unit")
    if design.switchback is None and design.file.slot is not None:
        raise file.error(["data", "slot"], "belongs to a switchback: give its key, or name the column as data.cluster")
    if design.switchback is None and (design.file.time is None) != (design.file.events is None):
        raise file.error(["data"], "time of exposure and columns of events belong together: give both or none")
    if design.file.events and design.file.unit is None:
        raise file.error(["data", "unit"], "is required to join exposures to events")
    for key in ("layer", "audience", "cuped_days", "exposure_event", "trigger", "allocation", "applies_to"):
        if file.content.get(key):
            raise file.error([key], "belongs to experiments over the platform's tables, not to a file's analysis")


def _check_sequential(file: CheckedFile, design: Design) -> None:
    if design.analysis == "group_sequential":
        if not design.looks:
            raise file.error(["looks"], "a group sequential analysis needs the days on which it looks, such as [7, 14]")
        if list(design.looks) != sorted(set(design.looks)):
            raise file.error(["looks"], "days of looks must rise")
    elif design.looks:
        raise file.error(["looks"], f"belongs to analysis group_sequential, not {design.analysis}")
    if design.start and design.end and design.looks:
        days = (design.end - design.start).days + 1
        if design.looks[-1] > days:
            raise file.error(["looks"], f"day {design.looks[-1]} lies after the end: the experiment has {days} days")


def _check_people(file: CheckedFile, design: Design) -> None:
    names = [segment.name for segment in design.segments]
    for position, segment in enumerate(design.segments):
        if segment.name in names[:position]:
            raise file.error(["segments", position, "name"], f"{segment.name!r} is already a segment above")
        for dimension, _ in segment.where:
            if dimension not in design.dimensions:
                raise file.error(["segments", position, "where", dimension], "is not among the dimensions")
