"""Rules of clean.reviews: what people wrote."""

from __future__ import annotations

from crossdomain.quality.measures import Watched
from crossdomain.quality.rules import Rule, RulesOf, SuiteContext
from crossdomain.quality.suites import common

LOWEST_RATING, HIGHEST_RATING = 0, 10
LONGEST_REVIEW = 20_000
WATCHED_REVIEWS = Watched(categories=("rating",), moment="ts")


def reviews(context: SuiteContext) -> tuple[Rule, ...]:
    """Rules for one day of reviews."""
    on = RulesOf("reviews")
    return (
        *common.of_every_table(on, context),
        *common.account_keys(on),
        *common.domains(on, context),
        on.filled("review_id", "Corrections of a review refer to its id."),
        on.unique(context.key or ("domain", "review_id"), "A review counted twice is an opinion counted twice."),
        on.filled("text", "A review without text has nothing to read."),
        on.length("text", 1, LONGEST_REVIEW, "An endless review is several lines run together."),
        on.filled("ts", "The time places the review in its day."),
        on.on_the_day("ts", context, "A review in another day's partition is counted on the wrong day."),
        on.within("rating", LOWEST_RATING, HIGHEST_RATING, "Outside every scale in use: a wrong column."),
    )
