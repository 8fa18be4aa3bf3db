"""Rules of clean.users: the accounts of both businesses."""

from __future__ import annotations

from crossdomain.quality.measures import Watched
from crossdomain.quality.rules import WARN, Rule, RulesOf, SuiteContext
from crossdomain.quality.suites import common

GENDERS = ("female", "male", "other", "unknown")
OLDEST_BIRTH_YEAR = 1900
WATCHED_USERS = Watched(categories=("gender", "province"))


def users(context: SuiteContext) -> tuple[Rule, ...]:
    """Rules for one day of accounts."""
    on = RulesOf("users")
    return (
        *common.of_every_table(on, context),
        *common.account_keys(on),
        *common.domains(on, context),
        on.unique(context.key or ("account",), "Two rows for an account would double its people and its audiences."),
        on.not_after_the_day(
            "registered_at", context, "Registration in the future is a wrong clock or a wrong column."
        ),
        on.one_of("gender", GENDERS, "Another spelling is a mapping that the feed lacks.", severity=WARN),
        on.within(
            "birth_year",
            OLDEST_BIRTH_YEAR,
            context.ds.year,
            "Ages decide who is a minor: look at the source.",
            severity=WARN,
        ),
        on.filled("consent_assumed", "Whether consent was given or assumed decides what may be done."),
    )
