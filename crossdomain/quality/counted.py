"""The same rules answered by SQL, for partitions too large for a frame.

One pass over the partition counts, for every rule, the rows that it looks at and those that break it; uniqueness takes
one grouped pass each. Nothing is loaded, so memory does not grow with the rows. Counting agrees with Great
Expectations: rows without a value are not looked at (but by ``filled``), and every row of a clash is unexpected.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

import duckdb

from crossdomain.errors import CrossdomainError, InputError
from crossdomain.quality.results import RuleResult
from crossdomain.quality.rules import (
    BETWEEN,
    COMPOUND_UNIQUE,
    FAIL,
    IN_SET,
    LENGTH_BETWEEN,
    MATCH_REGEX,
    NOT_NULL,
    ROW_COUNT,
    UNIQUE,
    Rule,
)

Counts = tuple[int, int]
"""Rows that a rule looked at, and rows that broke it."""


def count_rules(
    rows: duckdb.DuckDBPyRelation, rules: Sequence[Rule], table: str, *, unique: Sequence[str] = ()
) -> tuple[tuple[RuleResult, ...], Mapping[str, Any]]:
    """Results of all rules, in their order, and the record of them in Great Expectations' shape.

    Args:
        rows: The partition.
        rules: Its rules.
        table: Its name, for messages.
        unique: Columns whose values are known to stand once each, so that they need not be counted.

    Raises:
        InputError: A column that a rule reads is missing.
        CrossdomainError: A rule has a type that SQL does not answer here.
    """
    wanted = {column for rule in rules for column in rule.columns}
    if missing := sorted(wanted - set(rows.columns)):
        raise InputError(f"{table} has no column {', '.join(missing)}, which its rules read: compare its schema.yaml")
    types = dict(zip(rows.columns, (str(kind) for kind in rows.types), strict=True))
    total, counts = _row_by_row(rows, rules, types)
    for rule in rules:
        if rule.type in (UNIQUE, COMPOUND_UNIQUE) and set(rule.columns) != set(unique):
            counts[rule.id] = _clashes(rows, rule.columns)
    results = tuple(_result(rule, counts.get(rule.id, (total, 0)), total) for rule in rules)
    return results, _record(rules, results)


def rows_seen(rule: Rule, total: int) -> str:
    """What a rule about the number of rows saw, in words."""
    return f"{total} rows, at least {rule.options['min_value']} expected"


def _row_by_row(
    rows: duckdb.DuckDBPyRelation, rules: Sequence[Rule], types: Mapping[str, str]
) -> tuple[int, dict[str, Counts]]:
    """Number of rows, and the counts of all rules that look at one row at a time: one pass."""
    single = [rule for rule in rules if rule.type not in (ROW_COUNT, UNIQUE, COMPOUND_UNIQUE)]
    asked = ["count(*)"]
    for rule in single:
        column = _quoted(rule.columns[0])
        asked.append("count(*)" if rule.type == NOT_NULL else f"count({column})")
        asked.append(f"count(*) FILTER (WHERE {_broken(rule, types[rule.columns[0]])})")
    answered = [int(value) for value in rows.aggregate(", ".join(asked)).fetchall()[0]]
    pairs = zip(answered[1::2], answered[2::2], strict=True)
    return answered[0], {rule.id: pair for rule, pair in zip(single, pairs, strict=True)}


def _clashes(rows: duckdb.DuckDBPyRelation, columns: Sequence[str]) -> Counts:
    """Rows with any of the columns filled, and those that agree with another row in all of them.

    Equal values have equal hashes: the values themselves are grouped only where hashes are equal.
    """
    listed = ", ".join(_quoted(column) for column in columns)
    filled = rows.filter(" OR ".join(f"{_quoted(column)} IS NOT NULL" for column in columns))
    ((total, hashes),) = filled.aggregate(f"count(*), count(DISTINCT hash({listed}))").fetchall()
    if total == hashes:
        return int(total), 0
    found = filled.aggregate("count(*) AS alike", listed).filter("alike > 1").aggregate("coalesce(sum(alike), 0)")
    return int(total), int(found.fetchall()[0][0])


def _broken(rule: Rule, kind: str) -> str:
    """Condition that holds for a row that breaks the rule; null (so not true) for a row without a value."""
    conditions: dict[str, Callable[[str], str]] = {
        NOT_NULL: lambda column: f"{column} IS NULL",
        IN_SET: lambda column: f"{column} NOT IN ({', '.join(_literal(value) for value in _values(rule))})",
        BETWEEN: lambda column: _outside(column, rule),
        LENGTH_BETWEEN: lambda column: _outside(f"{_length(kind)}({column})", rule),
        MATCH_REGEX: lambda column: (
            f"NOT regexp_matches({column}, {_literal('^(?:' + str(rule.options['regex']) + ')')})"
        ),
    }
    if rule.type not in conditions:
        raise CrossdomainError(f"rule {rule.id}: {rule.type} cannot be counted by SQL yet; check it on a frame")
    return conditions[rule.type](_quoted(rule.columns[0]))


def _outside(value: str, rule: Rule) -> str:
    above = ">=" if rule.options.get("strict_max") else ">"
    limits = {"min_value": "<", "max_value": above}
    parts = [f"{value} {sign} {_literal(rule.options[name])}" for name, sign in limits.items() if name in rule.options]
    return " OR ".join(parts)


def _length(kind: str) -> str:
    return "octet_length" if kind == "BLOB" else "length"


def _values(rule: Rule) -> list[object]:
    values = rule.options["value_set"]
    return list(values) if isinstance(values, list | tuple) else [values]


def _literal(value: object) -> str:
    """A constant of a suite (never data) in SQL."""
    if isinstance(value, datetime):
        return f"TIMESTAMPTZ '{value.isoformat()}'"
    if isinstance(value, date):
        return f"DATE '{value.isoformat()}'"
    if isinstance(value, int | float):
        return repr(value)
    return "'" + str(value).replace("'", "''") + "'"


def _quoted(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'


def _result(rule: Rule, counts: Counts, total: int) -> RuleResult:
    looked_at, unexpected = counts
    if rule.type == ROW_COUNT:
        success = total >= int(str(rule.options["min_value"]))
        return RuleResult(rule.id, rule.severity, success, rows_seen(rule, total), 0, total, rule.reason)
    success = looked_at == 0 or (looked_at - unexpected) / looked_at >= rule.mostly
    return RuleResult(
        rule.id, rule.severity, success, f"{unexpected} of {looked_at} rows", unexpected, looked_at, rule.reason
    )


def _record(rules: Sequence[Rule], results: Sequence[RuleResult]) -> dict[str, Any]:
    """The results in the shape of a validation result of Great Expectations, with their source named."""
    entries = [
        {
            "success": result.success,
            "expectation_config": {
                "type": rule.type,
                "kwargs": {name: _plain(value) for name, value in rule.arguments.items()},
                "meta": {"rule": rule.id, "reason": rule.reason},
                "severity": "critical" if rule.severity == FAIL else "warning",
            },
            "result": {"element_count": result.rows, "unexpected_count": result.unexpected_rows},
        }
        for rule, result in zip(rules, results, strict=True)
    ]
    return {"success": all(r.success for r in results), "results": entries, "meta": {"counted_by": "duckdb"}}


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, date) else value
