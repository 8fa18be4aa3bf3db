"""Rules of clean.events: what people did."""

from __future__ import annotations

from crossdomain.quality.measures import Watched
from crossdomain.quality.rules import WARN, Rule, RulesOf, SuiteContext
from crossdomain.quality.suites import common

EVENT_TYPES = (
    "impression", "view", "click", "favorite", "cart", "purchase", "refund", "rating", "share", "comment", "attend",
    "dislike", "hide", "unsubscribe", "complaint",
)  # fmt: skip
LARGEST_VALUE = 1_000_000
LARGEST_QUANTITY = 10_000
WATCHED_EVENTS = Watched(
    categories=("event_type", "channel", "placement"), numbers=("value", "quantity", "position"), moment="ts"
)


def events(context: SuiteContext) -> tuple[Rule, ...]:
    """Rules for one day of behaviour."""
    on = RulesOf("events")
    return (
        *common.of_every_table(on, context),
        *common.account_keys(on),
        *common.domains(on, context),
        on.filled("event_id", "Deduplication and refunds refer to the event's id."),
        on.unique(context.key or ("domain", "event_id"), "An event counted twice is revenue counted twice."),
        on.filled(
            "item_id",
            "Most behaviour is about an item: many without one are a lost column.",
            severity=WARN,
            share_off=0.2,
        ),
        on.filled("event_type", "Without its type an event means nothing."),
        on.one_of("event_type", EVENT_TYPES, "An unknown type is silently left out of every measure."),
        on.filled("ts", "The time places the event in its day."),
        on.on_the_day("ts", context, "An event in another day's partition is counted on the wrong day."),
        on.at_least("value", 0, "Money given back is a refund event with a positive value, not a negative sale."),
        on.at_most("value", LARGEST_VALUE, "A value above a million yuan is most likely in fen.", severity=WARN),
        on.at_most("quantity", LARGEST_QUANTITY, "A quantity beyond ten thousand is a parsing error.", severity=WARN),
        on.at_least("quantity", 0, "A negative quantity would cancel other people's purchases."),
        on.at_least("position", 0, "Positions in a list count from the top."),
    )
