"""Rules of clean.items: what both businesses sell."""

from __future__ import annotations

from crossdomain.quality.measures import Watched
from crossdomain.quality.rules import WARN, Rule, RulesOf, SuiteContext
from crossdomain.quality.suites import common

STATUSES = ("on", "off")
DEAREST = 1_000_000
LONGEST_TITLE = 300
UNTITLED_SHARE = 0.05
UNPRICED_SHARE = 0.05
WATCHED_ITEMS = Watched(categories=("type", "status"), numbers=("price", "sales", "comments"))


def items(context: SuiteContext) -> tuple[Rule, ...]:
    """Rules for one day of the catalogues (a whole state or its changes)."""
    on = RulesOf("items")
    return (
        *common.of_every_table(on, context),
        *common.domains(on, context),
        on.filled("item_id", "An item without id cannot be recommended."),
        on.unique(context.key or ("domain", "item_id"), "Two rows for an item leave its price and title to chance."),
        on.filled(
            "title",
            "Similarity and topics read titles: many missing ones are a lost column.",
            severity=WARN,
            share_off=UNTITLED_SHARE,
        ),
        on.length("title", 1, LONGEST_TITLE, "An endless title is a description in the wrong column."),
        on.at_least("price", 0, "Nobody is paid to buy: a negative price is a parsing error."),
        on.at_most("price", DEAREST, "A price above a million yuan is most likely in fen.", severity=WARN),
        on.filled(
            "price",
            "Bundles and revenue need prices: many missing ones are a lost column.",
            severity=WARN,
            share_off=UNPRICED_SHARE,
        ),
        on.one_of("status", STATUSES, "Only 'on' and 'off' are understood: others would be sold by accident."),
        on.at_least("sales", 0, "Units sold are counted, never negative."),
        on.at_least("comments", 0, "Comments are counted, never negative."),
        on.not_after_the_day("listed_at", context, "Listed in the future: a wrong date, or a younger snapshot."),
        on.filled("snapshot", "Whether the day is a whole state or changes decides what has left the shop."),
    )
