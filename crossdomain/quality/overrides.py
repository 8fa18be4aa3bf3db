"""Overrides: a named person lets one refused day through, for the rules that refused it and not one more.

An override is a row of ``derived.gate_overrides`` and a line of the audit log. It names rules, each with the number of
rows that broke it when the person decided: if more rows break it on the next run, or another rule, the gate refuses
again. Job ``clean`` reads the day's overrides as an input, so that they are part of what its partitions are made of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

import duckdb
import pyarrow as pa

from crossdomain.errors import InputError
from crossdomain.quality.results import REFUSED, GateResult, RuleResult
from crossdomain.quality.rules import FAIL
from crossdomain.storage import audit
from crossdomain.storage.lake import Lake
from crossdomain.tables import TableRegistry

OVERRIDES = "derived.gate_overrides"
_QUALITY_RESULTS = "serving.quality_results"


@dataclass(frozen=True)
class Refusal:
    """A rule that refused a day."""

    rule_id: str
    observed: str
    unexpected_rows: int
    reason: str


@dataclass(frozen=True)
class Override:
    """A rule that somebody has overridden for a day.

    Attributes:
        rule_id: The rule.
        by: Who decided.
        reason: Why.
        unexpected_rows: Rows that broke the rule then; more are not let through.
    """

    rule_id: str
    by: str
    reason: str
    unexpected_rows: int


def refusals(lake: Lake, tables: TableRegistry, ds: date) -> list[Refusal]:
    """The rules that refused a day when it was last run, the most rows first; none if it was not refused."""
    spec = tables.get(_QUALITY_RESULTS)
    found = [partition for partition in lake.partitions(spec) if partition.ds == ds]
    rows = lake.con.execute(
        f"SELECT rule_id, observed, unexpected_rows, reason FROM ({lake.relation(spec, found)}) "  # noqa: S608
        "WHERE run_verdict = $refused AND severity = $fail AND NOT success ORDER BY unexpected_rows DESC, rule_id",
        {"refused": REFUSED, "fail": FAIL},
    ).fetchall()
    return [Refusal(*row) for row in rows]


def describe(ds: date, refused: Sequence[Refusal]) -> str:
    """What a person must read before deciding, as Markdown: rules, what was seen, why they are there."""
    lines = [f"The gate refused {ds}. Approving commits the day as it is, for these rules and rows only:", ""]
    lines += [f"- `{rule.rule_id}`: {rule.observed}. {rule.reason}" for rule in refused]
    return "\n".join(lines)


def override(
    lake: Lake,
    tables: TableRegistry,
    ds: date,
    *,
    by: str,
    reason: str,
    decided_at: datetime,
    rules: Mapping[str, int] | None = None,
    via: str,
) -> list[Override]:
    """Records that a person lets a refused day through; job ``clean`` must then be run for it.

    Args:
        lake: The lake.
        tables: Its tables.
        ds: The business day.
        by: The person.
        reason: Why; at least ten characters.
        decided_at: When they decided.
        rules: Ids of rules that refused the day, with the rows that the person saw break them; by default all, as they
            stand now.
        via: How they decided, for the audit log, such as "cli".

    Raises:
        InputError: The day was not refused, a rule did not refuse it or more rows break it than the person saw, or
            person or reason is missing.
        CommitConflict: Somebody else overrode the same day at the same moment; ask again.
    """
    by, reason = audit.decision("an override", by=by, reason=reason)
    refused = {rule.rule_id: rule.unexpected_rows for rule in refusals(lake, tables, ds)}
    if not refused:
        raise InputError(f"the gate has not refused {ds}: there is nothing to override")
    shown = refused if rules is None else rules
    if unknown := sorted(set(shown) - set(refused)):
        raise InputError(f"{', '.join(unknown)} did not refuse {ds}; these rules did: {', '.join(sorted(refused))}")
    if grown := sorted(name for name, rows in shown.items() if refused[name] > rows):
        raise InputError(f"{', '.join(grown)}: more rows break it than when you looked; look again before you decide")
    given = [Override(name, by, reason, shown[name]) for name in sorted(shown)]
    seen = {entry.rule_id: entry.unexpected_rows for entry in given}
    audit.record(lake.home, "gate.override", by=by, reason=reason, ds=ds.isoformat(), rules=seen, via=via)
    _keep(lake, tables, ds, given, decided_at)
    return given


def decline(lake: Lake, ds: date, *, by: str, reason: str, rules: Mapping[str, int], via: str) -> None:
    """Records in the audit log that a person did not let a refused day through; nothing else happens."""
    shown = dict(rules)
    audit.record(lake.home, "gate.override_declined", by=by, reason=reason, ds=ds.isoformat(), rules=shown, via=via)


def read_overrides(con: duckdb.DuckDBPyConnection) -> list[Override]:
    """The overrides of view ``derived.gate_overrides``, as job ``clean`` is given them for its day."""
    rows = con.execute(
        "SELECT rule_id, decided_by, why, unexpected_rows FROM derived.gate_overrides ORDER BY rule_id"
    ).fetchall()
    return [Override(*row) for row in rows]


def overridden(results: Sequence[GateResult], overrides: Sequence[Override]) -> list[GateResult]:
    """The results with the rules marked that are let through; they refuse the day no more.

    A rule that more rows break than its override was given for is not let through.
    """
    given = {entry.rule_id: entry for entry in overrides}
    return [replace(result, rules=tuple(_marked(rule, given) for rule in result.rules)) for result in results]


def _marked(rule: RuleResult, given: Mapping[str, Override]) -> RuleResult:
    entry = given.get(rule.rule_id)
    if entry is None or not rule.refuses or rule.unexpected_rows > entry.unexpected_rows:
        return rule
    return replace(rule, overridden_by=entry.by)


def _keep(lake: Lake, tables: TableRegistry, ds: date, given: Sequence[Override], decided_at: datetime) -> None:
    """Adds the overrides to those of the day; of two for one rule the newer one holds."""
    spec = tables.get(OVERRIDES)
    found = [partition for partition in lake.partitions(spec) if partition.ds == ds]
    new = pa.table(
        {
            "rule_id": [entry.rule_id for entry in given],
            "decided_by": [entry.by for entry in given],
            "why": [entry.reason for entry in given],
            "unexpected_rows": pa.array([entry.unexpected_rows for entry in given], pa.int64()),
            "decided_at": pa.array([decided_at] * len(given), pa.timestamp("us", "UTC")),
        }
    )
    lake.con.register("new_overrides", new)
    rows = lake.con.sql(
        f"SELECT * EXCLUDE (ds) FROM ({lake.relation(spec, found)}) "  # noqa: S608
        "WHERE rule_id NOT IN (SELECT rule_id FROM new_overrides) UNION ALL BY NAME FROM new_overrides"
    ).to_arrow_table()
    lake.con.unregister("new_overrides")
    values = {"ds": ds.isoformat()}
    staged = lake.stage(spec, rows, values, made_by={"act": "gate.override"})
    before = {file.path for partition in found for file in partition.files}
    lake.commit(spec, [staged], replace={"ds": [values["ds"]]}, expect=before)
