"""The rules of the gate, in the vocabulary of Great Expectations and without importing it.

A rule is one expectation (named as Great Expectations names it) with a stable id, a severity and the reason why it is
there. Suites are functions that return rules for one day; ``crossdomain.quality.gate`` asks Great Expectations, and
``crossdomain.quality.counted`` answers the same rules by SQL when a partition is too large for a frame.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from types import MappingProxyType
from typing import Literal
from zoneinfo import ZoneInfo

Severity = Literal["fail", "warn"]
FAIL: Severity = "fail"
WARN: Severity = "warn"

ROW_COUNT = "expect_table_row_count_to_be_between"
NOT_NULL = "expect_column_values_to_not_be_null"
UNIQUE = "expect_column_values_to_be_unique"
COMPOUND_UNIQUE = "expect_compound_columns_to_be_unique"
IN_SET = "expect_column_values_to_be_in_set"
BETWEEN = "expect_column_values_to_be_between"
LENGTH_BETWEEN = "expect_column_value_lengths_to_be_between"
MATCH_REGEX = "expect_column_values_to_match_regex"

KEY_BYTES = 16
"""Length of a pseudonymous key (HMAC-SHA-256, its first 16 bytes)."""


@dataclass(frozen=True)
class SuiteContext:
    """What the rules of one partition depend on.

    Attributes:
        ds: The business day of the partition.
        may_be_empty: Whether a day without rows is normal for the feeds of this table.
        domains: The names of the domains (settings).
        tz: The time zone whose calendar days are the business days.
        key: The columns that identify a row inside the partition; empty: the suite's own choice.
        start: The declared first business day of the data, if there is one.
        quarantined: Rows that were delivered for the partition and set aside as unusable.
    """

    ds: date
    may_be_empty: bool
    domains: tuple[str, ...]
    tz: str
    key: tuple[str, ...] = ()
    start: date | None = None
    quarantined: int = 0

    @property
    def holds_history(self) -> bool:
        """Whether the partition is the declared start of the data, into which all earlier days are folded."""
        return self.ds == self.start

    @property
    def day_starts(self) -> datetime:
        """First instant of the business day, in its own zone."""
        return datetime.combine(self.ds, time.min, tzinfo=ZoneInfo(self.tz))

    @property
    def day_ends(self) -> datetime:
        """First instant after the business day."""
        return datetime.combine(self.ds + timedelta(days=1), time.min, tzinfo=ZoneInfo(self.tz))


@dataclass(frozen=True)
class Rule:
    """One expectation with its standing.

    Attributes:
        id: Stable name ``<table>.<what>.<check>``; results of all days are compared under it.
        severity: "fail" refuses the day, "warn" is reported only.
        reason: Why the rule is there, in one sentence, for whoever meets its failure.
        type: Name of the expectation in Great Expectations.
        columns: The columns that it reads, in the order that the expectation takes them.
        options: The other arguments of the expectation.
    """

    id: str
    severity: Severity
    reason: str
    type: str
    columns: tuple[str, ...] = ()
    options: MappingProxyType[str, object] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def arguments(self) -> dict[str, object]:
        """Keyword arguments of the expectation, columns included."""
        if self.type == ROW_COUNT:
            return dict(self.options)
        if self.type == COMPOUND_UNIQUE:
            return {"column_list": list(self.columns), **self.options}
        return {"column": self.columns[0], **self.options}

    @property
    def mostly(self) -> float:
        """Least share of the rows with a value that must satisfy the rule (1 unless the rule says otherwise)."""
        return float(str(self.options.get("mostly", 1.0)))


Suite = Callable[[SuiteContext], tuple[Rule, ...]]


class RulesOf:
    """Writes the rules of one table in the field's words.

    Every method returns one ``Rule`` of severity fail unless ``severity=WARN``. ``share_off`` is the share of rows that
    may break the rule before it counts as broken (0: none may). Rows without a value satisfy every rule but ``filled``.
    """

    def __init__(self, table: str) -> None:
        """Bind the rules to a table name without its layer, such as "events"."""
        self.table = table

    def rows_present(self, reason: str) -> Rule:
        """The partition has at least one row."""
        return self._rule("rows.present", FAIL, reason, ROW_COUNT, (), min_value=1)

    def rows_kept(self, name: str, least: int, reason: str, *, severity: Severity = FAIL) -> Rule:
        """The partition has at least so many rows, measured by what was set aside of its deliveries."""
        return self._rule(f"rows.{name}", severity, reason, ROW_COUNT, (), min_value=least)

    def filled(self, column: str, reason: str, *, severity: Severity = FAIL, share_off: float = 0.0) -> Rule:
        """The column has a value in every row (but for ``share_off`` of them)."""
        return self._rule(f"{column}.filled", severity, reason, NOT_NULL, (column,), **_mostly(share_off))

    def unique(self, columns: Iterable[str], reason: str, *, severity: Severity = FAIL) -> Rule:
        """No two rows of the partition agree in all these columns; every row of a clash counts as unexpected."""
        names = tuple(columns)
        kind = UNIQUE if len(names) == 1 else COMPOUND_UNIQUE
        return self._rule(f"{'+'.join(names)}.unique", severity, reason, kind, names)

    def one_of(self, column: str, values: Iterable[str], reason: str, *, severity: Severity = FAIL) -> Rule:
        """The column holds only these values."""
        return self._rule(f"{column}.known", severity, reason, IN_SET, (column,), value_set=sorted(values))

    def at_least(self, column: str, low: float, reason: str, *, severity: Severity = FAIL) -> Rule:
        """Numbers are not below ``low``."""
        return self._rule(f"{column}.at_least", severity, reason, BETWEEN, (column,), min_value=low)

    def at_most(self, column: str, high: float, reason: str, *, severity: Severity = FAIL) -> Rule:
        """Numbers are not above ``high``."""
        return self._rule(f"{column}.at_most", severity, reason, BETWEEN, (column,), max_value=high)

    def within(
        self, column: str, low: float, high: float, reason: str, *, severity: Severity = FAIL, share_off: float = 0.0
    ) -> Rule:
        """Numbers lie in the closed range from ``low`` to ``high``."""
        limits = {"min_value": low, "max_value": high, **_mostly(share_off)}
        return self._rule(f"{column}.within", severity, reason, BETWEEN, (column,), **limits)

    def on_the_day(self, column: str, context: SuiteContext, reason: str) -> Rule:
        """Instants lie on the business day, in its time zone: from its midnight to before the next.

        The declared start of the data holds history: there earlier instants are right.
        """
        first = {} if context.holds_history else {"min_value": context.day_starts}
        limits = {**first, "max_value": context.day_ends, "strict_max": True}
        return self._rule(f"{column}.on_the_day", FAIL, reason, BETWEEN, (column,), **limits)

    def not_after_the_day(self, column: str, context: SuiteContext, reason: str, *, severity: Severity = WARN) -> Rule:
        """Instants lie before the end of the business day."""
        limits = {"max_value": context.day_ends, "strict_max": True}
        return self._rule(f"{column}.not_after_the_day", severity, reason, BETWEEN, (column,), **limits)

    def dated_on_the_day(self, column: str, context: SuiteContext, reason: str) -> Rule:
        """Dates are the business day, or earlier at the declared start of the data."""
        first = {} if context.holds_history else {"min_value": context.ds}
        limits = {**first, "max_value": context.ds}
        return self._rule(f"{column}.on_the_day", FAIL, reason, BETWEEN, (column,), **limits)

    def dated_from(self, column: str, first: date, reason: str) -> Rule:
        """Dates are not before ``first``."""
        return self._rule(f"{column}.not_before", FAIL, reason, BETWEEN, (column,), min_value=first)

    def key_length(self, column: str, reason: str) -> Rule:
        """Pseudonymous keys are 16 bytes long."""
        limits = {"min_value": KEY_BYTES, "max_value": KEY_BYTES}
        return self._rule(f"{column}.key_length", FAIL, reason, LENGTH_BETWEEN, (column,), **limits)

    def length(
        self, column: str, low: int, high: int, reason: str, *, severity: Severity = WARN, share_off: float = 0.0
    ) -> Rule:
        """Texts have from ``low`` to ``high`` characters."""
        limits = {"min_value": low, "max_value": high, **_mostly(share_off)}
        return self._rule(f"{column}.length", severity, reason, LENGTH_BETWEEN, (column,), **limits)

    def matches(self, column: str, pattern: str, reason: str, *, severity: Severity = FAIL) -> Rule:
        """Texts match the regular expression from their start."""
        return self._rule(f"{column}.form", severity, reason, MATCH_REGEX, (column,), regex=pattern)

    def _rule(
        self, what: str, severity: Severity, reason: str, kind: str, columns: tuple[str, ...], **options: object
    ) -> Rule:
        return Rule(f"{self.table}.{what}", severity, reason, kind, columns, MappingProxyType(options))


def _mostly(share_off: float) -> dict[str, object]:
    """The expectation's own word for a share that may be off; nothing when none may."""
    return {"mostly": round(1.0 - share_off, 6)} if share_off else {}
