"""What the schema cannot say of a switchback's design."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crossdomain.checked_file import CheckedFile
from crossdomain.experiments.design_parts import Switchback

if TYPE_CHECKING:
    from crossdomain.experiments.design import Design

DAY = 24 * 60
"""Minutes of a day."""


def check_switchback(file: CheckedFile, design: Design, switchback: Switchback) -> None:
    """Refuses a switchback whose keys contradict each other.

    Raises:
        InputError: The first contradiction, with file, line and key.
    """
    if design.start is None or design.end is None:
        raise file.error(["start" if design.start is None else "end"], "a switchback's slots run from start to end")
    if switchback.dealt == "here" and "experiment_id" not in file.content:
        raise file.error(["experiment_id"], "is required: it keys the hash that deals the slots")
    if design.analysis != "fixed":
        raise file.error(["analysis"], f"a switchback is analysed at its end, fixed, not {design.analysis}")
    _check_lengths(file, switchback)
    _check_blocks(file, design, switchback)
    _check_columns(file, design)


def _check_lengths(file: CheckedFile, switchback: Switchback) -> None:
    slot, burn_in = switchback.slot_minutes, switchback.burn_in_minutes
    if DAY % slot and slot % DAY:
        raise file.error(["switchback", "slot_minutes"], f"{slot} minutes neither divide a day nor are whole days")
    if burn_in >= slot:
        raise file.error(["switchback", "burn_in_minutes"], f"{burn_in} minutes leave nothing of a slot of {slot}")
    if switchback.scheme == "weekdays" and 7 * DAY % slot:
        raise file.error(["switchback", "slot_minutes"], f"slots of {slot} minutes do not make a week")


def _check_blocks(file: CheckedFile, design: Design, switchback: Switchback) -> None:
    size = switchback.block_slots
    if switchback.scheme == "independent":
        if size != 1:
            raise file.error(["switchback", "block_slots"], "independent slots have no blocks: use blocks or weekdays")
        return
    for variant, weight in design.variants:
        slots = weight * size
        if round(slots) < 1 or abs(slots - round(slots)) > 1e-6:
            said = f"{variant} with weight {weight:g} has {slots:g} of the {size} slots of a block, not a whole number"
            raise file.error(["switchback", "block_slots"], said)
    for position, metric in enumerate(design.metrics):
        if metric.kind == "quantile":
            raise file.error(["metrics", position, "kind"], "a quantile has no test within blocks: use independent")
        if metric.covariate is not None:
            said = "blocks compare like with like already: a covariate belongs to scheme independent"
            raise file.error(["metrics", position, "cuped"], said)


def _check_columns(file: CheckedFile, design: Design) -> None:
    columns = design.file
    if columns is None:
        return  # refused as no file's design
    if (columns.time is None) == (columns.slot is None):
        raise file.error(["data"], "a switchback's file has the time of each row, or its slot: give one of the two")
    for key, given in (("events", columns.events), ("cluster", columns.cluster), ("day", columns.day)):
        if given is not None:
            raise file.error(
                ["data", key], "does not belong to a switchback: its slots are the clusters, and have days"
            )
    if design.sample_ratio_metrics:
        raise file.error(["sample_ratio_metrics"], "a switchback deals slots, not units: counts need not split evenly")
