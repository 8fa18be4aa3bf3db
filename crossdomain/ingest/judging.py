"""What may be wrong with one value of a row, as SQL: the rules of its kind and those that its feed declares."""

from __future__ import annotations

from crossdomain.ingest.canonical import CanonicalColumn
from crossdomain.ingest.feeds import Feed
from crossdomain.ingest.parsing import NUMBER_KINDS, TEXT_KINDS, text_of, value_of
from crossdomain.storage.engine import identifier, literal

COLUMN_OF_REASON = "^(?:missing|unparseable|negative|future|unknown|unmatched)_(.+)$"
"""Regular expression whose group is the column that a reason is about."""


def broken_rule(feed: Feed) -> str:
    """SQL of the first rule that a row of ``read_columns`` breaks, null if none: column by column, in order.

    The rows need ``_until``, the time from which on nothing is believed, and ``_reason``, why a row could not be
    read or placed in a day, which comes before all rules.
    """
    rules = " ".join(
        f"WHEN {broken} THEN {literal(f'{reason}_{feed.label(column.name)}')}"
        for column in feed.judged_columns
        for broken, reason in _rules(feed, column)
    )
    return f"CASE WHEN _reason IS NOT NULL THEN _reason {rules} END"


def _rules(feed: Feed, column: CanonicalColumn) -> list[tuple[str, str]]:
    """(condition, reason) in order."""
    text, value, source = identifier(text_of(column)), identifier(value_of(column)), feed.source(column.name)
    rules = []
    if feed.requires(column.name):
        rules.append((f"{text} IS NULL", "missing"))
    if column.name == feed.table.day:  # a row without a usable time has its reason already
        return rules
    if column.kind not in TEXT_KINDS:
        rules.append((f"{text} IS NOT NULL AND {value} IS NULL", "unparseable"))
    if column.kind in NUMBER_KINDS and not column.signed:
        rules.append((f"{value} < 0", "negative"))
    if column.kind == "time":
        rules.append((f"{value} >= _until", "future"))
    if column.name == "domain":
        rules.append((f"NOT list_contains(getvariable('domains'), {value})", "unknown"))
    if source.among:
        words = [word.lower() if column.kind == "word" else word for word in source.among]
        rules.append((f"{value} NOT IN ({', '.join(map(literal, words))})", "unknown"))
    if source.pattern is not None:
        rules.append((f"NOT regexp_full_match({text}, {literal(source.pattern)})", "unmatched"))
    return rules
