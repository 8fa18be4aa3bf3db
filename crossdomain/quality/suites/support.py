"""Rules of clean.support_entries: questions that customers ask, with their answers."""

from __future__ import annotations

from crossdomain.quality.measures import Watched
from crossdomain.quality.rules import Rule, RulesOf, SuiteContext
from crossdomain.quality.suites import common

LONGEST_ANSWER = 20_000
WATCHED_ENTRIES = Watched()


def support_entries(context: SuiteContext) -> tuple[Rule, ...]:
    """Rules for one day of support entries."""
    on = RulesOf("support_entries")
    return (
        *common.of_every_table(on, context),
        *common.domains(on, context),
        on.filled("entry_id", "An answer is cited by its entry."),
        on.unique(context.key or ("domain", "entry_id"), "Two rows for an entry leave the answer to chance."),
        on.filled("question", "Retrieval searches the questions."),
        on.filled("answer", "A question without an answer helps nobody."),
        on.length("answer", 1, LONGEST_ANSWER, "An endless answer is several entries run together."),
    )
