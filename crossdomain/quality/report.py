"""The gate's report: the full results as JSON, and the message of a refused day."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date

from crossdomain.errors import GateRefused
from crossdomain.quality.results import GateResult, verdict

MOST_SHOWN = 10
"""Broken rules that the message names."""


def report_name(ds: date) -> str:
    """Name of a day's report below the reports folder."""
    return f"quality/{ds.isoformat()}.json"


def report_json(ds: date, results: Sequence[GateResult]) -> bytes:
    """The verdict on a day with every table's validation result as Great Expectations wrote it, as JSON text."""
    content = {
        "ds": ds.isoformat(),
        "verdict": verdict(results),
        "tables": {
            result.table: {
                "passed": result.passed,
                "rows": result.rows,
                "broken": [rule.rule_id for rule in result.broken],
                "warnings": [rule.rule_id for rule in result.warnings],
                "overridden": {rule.rule_id: rule.overridden_by for rule in result.overridden},
                "validation": dict(result.record),
            }
            for result in results
        },
    }
    return json.dumps(content, ensure_ascii=False, indent=1, default=str).encode()


def refuse_unless_passed(ds: date, results: Sequence[GateResult], report: str) -> None:
    """Refuses the day if a rule of severity fail is broken in any table.

    Args:
        ds: The business day.
        results: The verdicts on its tables.
        report: Where the full report is, for the message.

    Raises:
        GateRefused: Names at most ten broken rules with what was seen, the most rows first.
    """
    broken = [(result, rule) for result in results for rule in result.broken]
    if not broken:
        return
    broken.sort(key=lambda pair: (-pair[1].unexpected_rows, pair[1].rule_id))
    lines = [f"  {rule.rule_id}: {rule.observed}. {rule.reason}" for _, rule in broken[:MOST_SHOWN]]
    if len(broken) > MOST_SHOWN:
        lines.append(f"  and {len(broken) - MOST_SHOWN} more")
    tables = ", ".join(sorted({result.table for result, _ in broken}))
    raise GateRefused(
        f"the gate refused {ds}: {len(broken)} rule(s) of {tables} failed; nothing of that day was committed\n"
        + "\n".join(lines)
        + f"\nFull report: {report}. Mend the delivery, then run the day again; or let the day through as it is: "
        f"DAG gate_override, or `crossdomain quality override --date {ds} --by NAME --reason TEXT`."
    )
