"""Rules of clean.consents, clean.identity_links and clean.erasure_requests: what people decided about their data."""

from __future__ import annotations

from crossdomain.quality.measures import Watched
from crossdomain.quality.rules import WARN, Rule, RulesOf, SuiteContext
from crossdomain.quality.suites import common

PURPOSES = ("personalisation", "cross_domain", "marketing_email", "marketing_sms", "marketing_push", "profiling")
WATCHED_CONSENTS = Watched(categories=("purpose", "granted"), moment="ts")
WATCHED_LINKS = Watched(categories=("method",), moment="linked_at")
WATCHED_REQUESTS = Watched(moment="requested_at")


def consents(context: SuiteContext) -> tuple[Rule, ...]:
    """Rules for one day of consents given and withdrawn."""
    on = RulesOf("consents")
    return (
        *common.of_every_table(on, context),
        *common.account_keys(on),
        *common.domains(on, context),
        on.filled("purpose", "Consent is given for a purpose, never in general."),
        on.one_of("purpose", PURPOSES, "An unknown purpose would be ignored: a withdrawal could be lost."),
        on.filled("granted", "Neither yes nor no: it must not be read as yes."),
        on.filled("ts", "The order of consent and withdrawal decides."),
        on.on_the_day("ts", context, "Consent in another day's partition holds from the wrong day on."),
        on.unique(context.key or ("account", "purpose", "ts"), "Yes and no in one instant leave consent to chance."),
    )


def identity_links(context: SuiteContext) -> tuple[Rule, ...]:
    """Rules for one day of links between accounts."""
    on = RulesOf("identity_links")
    return (
        *common.of_every_table(on, context),
        *common.account_keys(on, "knowledge_account"),
        *common.account_keys(on, "beauty_account"),
        on.filled("linked_at", "Links hold from their time on."),
        on.on_the_day("linked_at", context, "A link in another day's partition holds from the wrong day on."),
        on.unique(context.key or ("knowledge_account", "beauty_account"), "A link is given once."),
        on.unique(("knowledge_account",), "One account linked twice: links that conflict are reported.", severity=WARN),
        on.unique(("beauty_account",), "One account linked twice: links that conflict are reported.", severity=WARN),
    )


def erasure_requests(context: SuiteContext) -> tuple[Rule, ...]:
    """Rules for one day of requests to be forgotten."""
    on = RulesOf("erasure_requests")
    return (
        *common.of_every_table(on, context),
        *common.account_keys(on),
        *common.domains(on, context),
        on.filled("requested_at", "The law counts the days from the request."),
        on.on_the_day("requested_at", context, "A request in another day's partition runs out on the wrong day."),
    )
