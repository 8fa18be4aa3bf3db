"""Rules of clean.exposures and clean.experiment_counts: who saw which variant, and counts of past tests."""

from __future__ import annotations

from crossdomain.quality.measures import Watched
from crossdomain.quality.rules import Rule, RulesOf, SuiteContext
from crossdomain.quality.suites import common

UNIT_TYPES = ("account", "person", "device", "session")
WATCHED_EXPOSURES = Watched(categories=("unit_type", "placement"), moment="ts")
WATCHED_COUNTS = Watched(categories=("metric",), numbers=("value",))


def exposures(context: SuiteContext) -> tuple[Rule, ...]:
    """Rules for one day of exposures."""
    on = RulesOf("exposures")
    return (
        *common.of_every_table(on, context),
        on.filled("experiment_id", "An exposure belongs to an experiment."),
        on.filled("unit_type", "What was assigned decides how outcomes are joined."),
        on.one_of("unit_type", UNIT_TYPES, "Outcomes of an unknown unit cannot be joined."),
        *common.account_keys(on, "unit"),
        on.filled("variant", "An exposure without variant breaks the sample-ratio check."),
        on.filled("ts", "Outcomes count from the first exposure on."),
        on.on_the_day("ts", context, "An exposure in another day's partition is counted on the wrong day."),
    )


def experiment_counts(context: SuiteContext) -> tuple[Rule, ...]:
    """Rules for one day of an experiment's daily aggregates."""
    on = RulesOf("experiment_counts")
    return (
        *common.of_every_table(on, context),
        on.filled("experiment_id", "A count belongs to an experiment."),
        on.filled("variant", "A count without variant cannot be compared."),
        on.filled("metric", "A count of what?"),
        on.filled("value", "A count without value would be read as none."),
        on.at_least("value", 0, "Counts are never negative."),
        on.unique(
            context.key or ("experiment_id", "variant", "day", "metric"), "A count given twice would be added twice."
        ),
        on.dated_on_the_day("day", context, "A count in another day's partition is analysed on the wrong day."),
    )
