"""What the gate found: results of rules, the verdict on a partition, and the rows kept of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from types import MappingProxyType
from typing import Any, Literal

import pyarrow as pa

from crossdomain.quality.rules import FAIL, Severity

Verdict = Literal["passed", "overridden", "refused"]
PASSED: Verdict = "passed"
OVERRIDDEN: Verdict = "overridden"
REFUSED: Verdict = "refused"

QUALITY_ROWS = pa.schema(
    [
        ("table_name", pa.string()),
        ("rule_id", pa.string()),
        ("severity", pa.string()),
        ("success", pa.bool_()),
        ("observed", pa.string()),
        ("unexpected_rows", pa.int64()),
        ("rows", pa.int64()),
        ("reason", pa.string()),
        ("run_verdict", pa.string()),
    ]
)
"""Columns of ``serving.quality_results``, without its partition column."""


@dataclass(frozen=True)
class RuleResult:
    """How one rule fared on one partition.

    Attributes:
        rule_id: Stable id of the rule.
        severity: "fail" or "warn".
        success: Whether the rule holds.
        observed: What was seen, in words: counts, and a few of the values that broke the rule.
        unexpected_rows: Rows that broke it (0 for rules about the whole partition).
        rows: Rows that the rule looked at (rows without a value are not looked at, save by ``filled``).
        reason: Why the rule is there.
        overridden_by: Who let the day through in spite of it; empty if nobody did.
    """

    rule_id: str
    severity: Severity
    success: bool
    observed: str
    unexpected_rows: int
    rows: int
    reason: str
    overridden_by: str = ""

    @property
    def refuses(self) -> bool:
        """Whether this result alone refuses the day."""
        return self.severity == FAIL and not self.success and not self.overridden_by


@dataclass(frozen=True)
class GateResult:
    """The verdict on one partition of one table.

    Attributes:
        table: Name in code, such as "clean.events".
        ds: The business day.
        rows: Rows of the partition.
        rules: Results, in the suite's order.
        record: The validation result as Great Expectations writes it (JSON); not part of equality.
    """

    table: str
    ds: date
    rows: int
    rules: tuple[RuleResult, ...]
    record: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}), compare=False, repr=False)

    @property
    def passed(self) -> bool:
        """Whether no rule of severity fail is broken that nobody has overridden."""
        return not self.broken

    @property
    def broken(self) -> tuple[RuleResult, ...]:
        """Results that refuse the day."""
        return tuple(rule for rule in self.rules if rule.refuses)

    @property
    def warnings(self) -> tuple[RuleResult, ...]:
        """Rules that are broken and only reported."""
        return tuple(rule for rule in self.rules if not rule.success and rule.severity != FAIL)

    @property
    def overridden(self) -> tuple[RuleResult, ...]:
        """Results that would have refused the day, had nobody let it through."""
        return tuple(rule for rule in self.rules if not rule.success and rule.overridden_by)


def verdict(results: Iterable[GateResult]) -> Verdict:
    """The verdict on a day: refused if any table is, since it is committed whole or not at all."""
    seen = list(results)
    if not all(result.passed for result in seen):
        return REFUSED
    return OVERRIDDEN if any(result.overridden for result in seen) else PASSED


def to_quality_rows(results: Sequence[GateResult]) -> pa.Table:
    """Rows of ``serving.quality_results`` for one day: one a rule, ``run_verdict`` alike in all.

    Args:
        results: The verdicts on all tables of the day, in any order.

    Returns:
        A table of ``QUALITY_ROWS``, ordered by table and rule.
    """
    judged = verdict(results)
    rows = [
        {
            "table_name": result.table,
            "rule_id": rule.rule_id,
            "severity": rule.severity,
            "success": rule.success,
            "observed": rule.observed,
            "unexpected_rows": rule.unexpected_rows,
            "rows": rule.rows,
            "reason": rule.reason,
            "run_verdict": judged,
        }
        for result in results
        for rule in result.rules
    ]
    rows.sort(key=lambda row: (str(row["table_name"]), str(row["rule_id"])))
    return pa.Table.from_pylist(rows, schema=QUALITY_ROWS)
