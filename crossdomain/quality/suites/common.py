"""Rules that every clean table has: rows on a day that must have some, and where its rows came from."""

from __future__ import annotations

from datetime import timedelta

from crossdomain.quality.rules import WARN, Rule, RulesOf, SuiteContext

FEW_QUARANTINED = 20
"""So few unusable rows say nothing about a feed, whatever their share."""
USUAL_KEPT = 19
"""Rows kept for each one quarantined, at least, on a usual day: 5 % of the rows may be unusable."""


def of_every_table(rules: RulesOf, context: SuiteContext) -> tuple[Rule, ...]:
    """Presence of rows (where the day may not be empty), delivery day and feed.

    A delivery may bring rows of the first minutes of the next day (the tolerance of early events), so the delivery
    day may be one day before the business day, not more.
    """
    first = context.ds - timedelta(days=1)
    provenance = (
        rules.filled(
            "delivered_ds", "Decisions of a day read what was delivered by then: every row needs its delivery."
        ),
        rules.dated_from(
            "delivered_ds", first, "A row cannot be delivered before it happened, the early tolerance aside."
        ),
        rules.filled("feed", "A bad row must be traced to the feed that brought it."),
    )
    if context.may_be_empty:
        return (*_mostly_usable(rules, context), *provenance)
    present = rules.rows_present("This table's feeds deliver every day: no rows means a lost delivery.")
    return (present, *_mostly_usable(rules, context), *provenance)


def _mostly_usable(rules: RulesOf, context: SuiteContext) -> tuple[Rule, ...]:
    """Bounds on the share of rows that were quarantined: a broken mapping must not look like a quiet day."""
    unusable = context.quarantined if context.quarantined >= FEW_QUARANTINED else 0
    return (
        rules.rows_kept("kept", unusable, "More rows were quarantined than kept: the feed or its mapping is broken."),
        rules.rows_kept(
            "mostly_kept",
            USUAL_KEPT * unusable,
            "More than 5 % of the rows were quarantined: look at their reasons.",
            severity=WARN,
        ),
    )


def account_keys(rules: RulesOf, column: str = "account") -> tuple[Rule, ...]:
    """A pseudonymous key in every row, of the right length."""
    return (
        rules.filled(column, "Rows without their account cannot be joined, consented to or erased."),
        rules.key_length(column, "Another length is not a key of this platform: a raw id may have leaked through."),
    )


def domains(rules: RulesOf, context: SuiteContext) -> tuple[Rule, ...]:
    """A known domain in every row."""
    return (
        rules.filled("domain", "A row belongs to one of the two businesses."),
        rules.one_of("domain", context.domains, "An unknown domain is a feed that is mapped wrongly."),
    )
