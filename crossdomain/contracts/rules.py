"""The quality suites' rules as quality checks of the Open Data Contract Standard."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

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
    SuiteContext,
)
from crossdomain.quality.suites import SUITES
from crossdomain.quality.suites.common import USUAL_KEPT
from crossdomain.settings import Settings

ENGINE = "great-expectations"
_DAY = date(2987, 6, 5)
"""A day that no rule names by itself: wherever it stands, the rule depends on the day."""
_QUARANTINED = 7_919_000
_DIMENSIONS = {
    ROW_COUNT: "completeness",
    NOT_NULL: "completeness",
    UNIQUE: "uniqueness",
    COMPOUND_UNIQUE: "uniqueness",
    IN_SET: "conformity",
    MATCH_REGEX: "conformity",
    LENGTH_BETWEEN: "conformity",
    BETWEEN: "accuracy",
}


def rules_of(table: str, key: Sequence[str], *, may_be_empty: bool, settings: Settings) -> tuple[Rule, ...]:
    """The rules of a clean table's suite; what depends on the day stands for it (see ``quality_check``).

    Args:
        table: Name with its layer.
        key: The table's key.
        may_be_empty: Whether a day without rows is normal.
        settings: Domains and time zone.
    """
    context = SuiteContext(
        ds=_DAY,
        may_be_empty=may_be_empty,
        domains=settings.domains,
        tz=settings.tz,
        key=tuple(key),
        quarantined=_QUARANTINED,
    )
    return SUITES[table](context)


def quality_check(rule: Rule) -> dict[str, Any]:
    """One check of the standard.

    What the standard's own metrics express is given in them; the rest as the expectation of Great Expectations that
    the gate asks. Of values that change with the day the text in braces says what stands there.
    """
    return {
        "id": re.sub(r"[^A-Za-z0-9_-]+", "-", rule.id),
        "name": rule.id,
        "description": rule.reason,
        "dimension": _DIMENSIONS.get(rule.type, "consistency"),
        "severity": "error" if rule.severity == FAIL else "warning",
        **_metric(rule),
    }


def _metric(rule: Rule) -> dict[str, Any]:
    options = {name: _in_words(value) for name, value in rule.options.items()}
    numeric = all(isinstance(value, int | float) for value in options.values())
    if rule.type == NOT_NULL and set(options) <= {"mostly"}:
        return {"metric": "nullValues", **_share_off(rule)}
    if rule.type in (UNIQUE, COMPOUND_UNIQUE) and not options:
        columns = {"arguments": {"properties": list(rule.columns)}} if rule.type == COMPOUND_UNIQUE else {}
        return {"metric": "duplicateValues", **columns, "mustBe": 0, "unit": "rows"}
    if rule.type == IN_SET and set(options) == {"value_set"}:
        return {
            "metric": "invalidValues",
            "arguments": {"validValues": options["value_set"]},
            "mustBe": 0,
            "unit": "rows",
        }
    if rule.type == ROW_COUNT and set(options) == {"min_value"} and numeric:
        return {"metric": "rowCount", "mustBeGreaterOrEqualTo": options["min_value"]}
    arguments = {name: _in_words(value) for name, value in rule.arguments.items()}
    return {"type": "custom", "engine": ENGINE, "implementation": {"expectation": rule.type, "kwargs": arguments}}


def _share_off(rule: Rule) -> dict[str, Any]:
    if rule.mostly == 1.0:
        return {"mustBe": 0, "unit": "rows"}
    return {"mustBeLessOrEqualTo": round(100 * (1 - rule.mostly), 4), "unit": "percent"}


def _in_words(value: object) -> Any:
    """A value as the contract says it: plain, or in braces what stands there on the day."""
    if isinstance(value, datetime):
        return _instant(value)
    if isinstance(value, date):
        return _calendar(value)
    if isinstance(value, Mapping):
        return {name: _in_words(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_in_words(inner) for inner in value]
    known = {
        _DAY.year: "{year of the day}",
        _QUARANTINED: "{rows quarantined}",
        USUAL_KEPT * _QUARANTINED: f"{{{USUAL_KEPT} times the rows quarantined}}",
    }
    return known.get(value, value) if isinstance(value, int) else value


def _instant(value: datetime) -> str:
    return {0: "{start of the day}", 1: "{end of the day}"}[(value.date() - _DAY).days]


def _calendar(value: date) -> str:
    return {0: "{the day}", -1: "{the day before}"}[(value - _DAY).days]
