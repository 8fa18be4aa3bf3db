"""The gate: a partition is checked by its suite before it may be committed.

Great Expectations validates a frame of the columns that have rules. A partition with more rows than
``Settings.gate_frame_rows`` is never loaded, nor is one without any: DuckDB counts what each rule would find, and the
numbers are recorded under the same ids (``crossdomain.quality.counted``). Great Expectations takes seconds to import:
the first check does it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from crossdomain.errors import CrossdomainError, InputError
from crossdomain.quality.counted import count_rules, rows_seen
from crossdomain.quality.frames import Rows, checked_frame, row_count
from crossdomain.quality.results import GateResult, RuleResult
from crossdomain.quality.rules import BETWEEN, FAIL, IN_SET, ROW_COUNT, Rule, SuiteContext
from crossdomain.quality.suites import SUITES
from crossdomain.settings import Settings

if TYPE_CHECKING:
    import pandas as pd
    from great_expectations.core.expectation_validation_result import (
        ExpectationSuiteValidationResult,
        ExpectationValidationResult,
    )

EXAMPLES = 3
"""Values shown of those that broke a rule."""
_SHOWS_VALUES = (IN_SET, BETWEEN)


def rules_for(table: str, context: SuiteContext) -> tuple[Rule, ...]:
    """The rules of a table for one day.

    Raises:
        InputError: The table has no suite.
    """
    if table not in SUITES:
        raise InputError(f"{table!r} has no suite; the gate knows {', '.join(SUITES)}")
    return SUITES[table](context)


def check_partition(
    table: str,
    ds: date,
    rows: Rows,
    *,
    may_be_empty: bool,
    settings: Settings | None = None,
    key: Sequence[str] = (),
    quarantined: int = 0,
    frame_rows: int | None = None,
) -> GateResult:
    """Checks one partition against its suite.

    Args:
        table: Name in code, such as "clean.events".
        ds: The business day.
        rows: The staged rows, with the schema's columns; a DuckDB relation is read only for columns that have rules.
        may_be_empty: Whether a day without rows is normal; if not, ``<table>.rows.present`` fails on none.
        settings: Domains and time zone; the environment's by default.
        key: Columns that identify a row, from the table's metadata; the suite's own choice by default. The lake
            has made sure that they do when it staged the rows: where DuckDB counts, they are not counted again.
        quarantined: Rows delivered for this partition and set aside as unusable; too large a share is a finding.
        frame_rows: A relation with more rows is counted by DuckDB and never loaded; so is an empty one. The setting by
            default.

    Returns:
        The verdict with one result a rule, in the suite's order. The same rows in the same order give an equal one.

    Raises:
        InputError: The table has no suite, or a column that a rule reads is missing.
        CrossdomainError: An expectation could not be evaluated.
    """
    chosen = settings or Settings.from_env()
    context = SuiteContext(ds, may_be_empty, tuple(chosen.domains), chosen.tz, tuple(key), chosen.start, quarantined)
    rules = rules_for(table, context)
    total = row_count(rows)
    most = chosen.gate_frame_rows if frame_rows is None else frame_rows
    if not isinstance(rows, pa.Table) and not 0 < total <= most:
        results, record = count_rules(rows, rules, table, unique=key)
        return GateResult(table, ds, total, results, record)
    columns = sorted({column for rule in rules for column in rule.columns})
    validated = _validate(checked_frame(rows, columns, table), rules, f"{table} {ds}")
    found = {_rule_id(result): result for result in validated.results}
    return GateResult(
        table=table,
        ds=ds,
        rows=total,
        rules=tuple(_result(rule, found[rule.id], total) for rule in rules),
        record=_as_json(validated),
    )


def _validate(frame: pd.DataFrame, rules: Sequence[Rule], name: str) -> ExpectationSuiteValidationResult:
    """One run of Great Expectations over a frame, in a context that lives only for it."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
    from great_expectations.expectations.metadata_types import FailureSeverity

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    suite = gx.ExpectationSuite(
        name=name,
        expectations=[
            ExpectationConfiguration(
                type=rule.type,
                kwargs=rule.arguments,
                severity=FailureSeverity.CRITICAL if rule.severity == FAIL else FailureSeverity.WARNING,
                meta={"rule": rule.id, "reason": rule.reason},
            )
            for rule in rules
        ],
    )
    asset = context.data_sources.add_pandas("partitions").add_dataframe_asset(name)
    batch = asset.add_batch_definition_whole_dataframe("day").get_batch(batch_parameters={"dataframe": frame})
    return batch.validate(suite, result_format={"result_format": "SUMMARY", "partial_unexpected_count": EXAMPLES})


def _result(rule: Rule, found: ExpectationValidationResult, total: int) -> RuleResult:
    if _raised(found.exception_info):
        raise CrossdomainError(f"rule {rule.id} could not be evaluated: {found.exception_info}")
    seen: Mapping[str, Any] = found.result
    if rule.type == ROW_COUNT:
        observed, unexpected, looked_at = rows_seen(rule, total), 0, total
    else:
        unexpected = int(seen.get("unexpected_count") or 0)
        looked_at = int(seen.get("element_count") or 0) - int(seen.get("missing_count") or 0)
        observed = f"{unexpected} of {looked_at} rows"
        if unexpected and rule.type in _SHOWS_VALUES:
            observed += ", such as " + ", ".join(str(value) for value in seen["partial_unexpected_list"])
    return RuleResult(rule.id, rule.severity, bool(found.success), observed, unexpected, looked_at, rule.reason)


def _rule_id(found: ExpectationValidationResult) -> str:
    """The id that the rule's expectation carries."""
    meta = found.expectation_config.meta if found.expectation_config else None
    return str((meta or {})["rule"])


def _as_json(validated: ExpectationSuiteValidationResult) -> Mapping[str, Any]:
    record: Mapping[str, Any] = validated.to_json_dict()  # type: ignore[no-untyped-call]
    return record


def _raised(exception_info: Mapping[str, Any]) -> bool:
    """Whether an expectation ended in an error: the flag stands at the top, or once for each metric."""
    nested = [entry for entry in exception_info.values() if isinstance(entry, Mapping)]
    return any(bool(entry.get("raised_exception")) for entry in (exception_info, *nested))
