"""Promotion: a named person says that a variant takes the place of the others; the experiment ends on that day.

A promotion is a row of ``derived.experiment_promotions`` and a line of the audit log. From the next day that is dealt
the variant has all the weight; measuring stops at the day of the decision that it rests on, since units that come
later are compared with nobody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

import pyarrow as pa

from crossdomain.errors import InputError
from crossdomain.experiments.design import Design
from crossdomain.storage import audit
from crossdomain.storage.lake import Lake
from crossdomain.storage.removal import add_rows
from crossdomain.tables import TableRegistry

PROMOTIONS = "derived.experiment_promotions"
_DECISIONS = "serving.experiment_decisions"


@dataclass(frozen=True)
class Candidate:
    """A variant that the rules would ship.

    Attributes:
        experiment_id: The experiment.
        variant: The variant.
        rule: Name of the rule.
        detail: Its numbers.
    """

    experiment_id: str
    variant: str
    rule: str
    detail: str


@dataclass(frozen=True)
class Promotion:
    """A variant that somebody has promoted.

    Attributes:
        ds: Business day of the decision that it rests on.
        experiment_id: The experiment.
        variant: The variant.
        by: Who decided.
        reason: Why.
    """

    ds: date
    experiment_id: str
    variant: str
    by: str
    reason: str


def candidates(lake: Lake, tables: TableRegistry, ds: date) -> list[Candidate]:
    """Variants that the rules would ship as of a day, by experiment and variant; none that was promoted already."""
    spec = tables.get(_DECISIONS)
    found = [partition for partition in lake.partitions(spec) if partition.ds == ds]
    rows = lake.con.execute(
        f"SELECT experiment_id, variant, rule, detail FROM ({lake.relation(spec, found)}) "  # noqa: S608
        "WHERE decision = 'ship' ORDER BY ALL"
    ).fetchall()
    done = {one.experiment_id for one in promotions(lake, tables)}
    return [Candidate(*row) for row in rows if row[0] not in done]


def describe(ds: date, found: Sequence[Candidate]) -> str:
    """What a person must read before deciding, as Markdown."""
    lines = [f"As of {ds} the rules would ship (规则建议上线):", ""]
    lines += [f"- **{one.experiment_id}**: `{one.variant}` ({one.rule}): {one.detail}" for one in found]
    lines += [
        "",
        "Approving gives the variant all the weight from the next day that is dealt, and ends the experiment.",
    ]
    return "\n".join(lines)


def promote(
    lake: Lake,
    tables: TableRegistry,
    ds: date,
    *,
    chosen: Mapping[str, str],
    by: str,
    reason: str,
    decided_at: datetime,
    via: str,
) -> list[Promotion]:
    """Records that a person promotes variants.

    Args:
        lake: The lake.
        tables: Its tables.
        ds: Business day of the decision.
        chosen: Experiment to variant.
        by: The person.
        reason: Why; at least ten characters.
        decided_at: When.
        via: How they decided, for the audit log.

    Raises:
        InputError: The rules would not ship the variant (any more), or person or reason is missing.
    """
    by, reason = audit.decision("a promotion", by=by, reason=reason)
    if not chosen:
        raise InputError("say which variant of which experiment is promoted")
    shippable = {(one.experiment_id, one.variant) for one in candidates(lake, tables, ds)}
    for pair in chosen.items():
        if pair not in shippable:
            listed = ", ".join(": ".join(one) for one in sorted(shippable)) or "none"
            raise InputError(f"{pair[0]}: {pair[1]} may not be promoted as of {ds}; those that may: {listed}")
    given = [Promotion(ds, name, variant, by, reason) for name, variant in sorted(chosen.items())]
    audit.record(
        lake.home, "experiment.promote", by=by, reason=reason, ds=ds.isoformat(), variants=dict(chosen), via=via
    )
    rows = pa.table(
        {
            "experiment_id": [one.experiment_id for one in given],
            "variant": [one.variant for one in given],
            "decided_by": [one.by for one in given],
            "why": [one.reason for one in given],
            "decided_at": pa.array([decided_at] * len(given), pa.timestamp("us", "UTC")),
        }
    )
    values = {"ds": ds.isoformat()}
    add_rows(lake, tables.get(PROMOTIONS), values, rows, made_by={"act": "experiment.promote"})
    return given


def decline(lake: Lake, ds: date, *, by: str, reason: str, chosen: Mapping[str, str], via: str) -> None:
    """Records in the audit log that a person did not promote; nothing else happens."""
    audit.record(
        lake.home,
        "experiment.promotion_declined",
        by=by,
        reason=reason,
        ds=ds.isoformat(),
        variants=dict(chosen),
        via=via,
    )


def promotions(lake: Lake, tables: TableRegistry) -> list[Promotion]:
    """All promotions, by day and experiment; of two for one experiment only the first holds."""
    spec = tables.get(PROMOTIONS)
    rows = lake.con.execute(
        "SELECT ds, experiment_id, variant, decided_by, why "  # noqa: S608
        f"FROM ({lake.relation(spec, lake.partitions(spec))}) ORDER BY ds, experiment_id"
    ).fetchall()
    first: dict[str, Promotion] = {}
    for row in rows:
        first.setdefault(row[1], Promotion(*row))
    return list(first.values())


def ended(design: Design, found: Sequence[Promotion]) -> Design:
    """The design, ended on the day of its promotion's decision if it has one."""
    for one in found:
        if one.experiment_id == design.experiment_id and (design.end is None or one.ds < design.end):
            return replace(design, end=one.ds)
    return design
