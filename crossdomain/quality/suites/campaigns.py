"""Rules of clean.campaign_costs, clean.coupons and clean.sends: what a campaign spent, gave and sent."""

from __future__ import annotations

from crossdomain.quality.measures import Watched
from crossdomain.quality.rules import WARN, Rule, RulesOf, SuiteContext
from crossdomain.quality.suites import common

CHANNELS = ("email", "sms", "push", "wechat", "app", "ads", "offline")
WATCHED_COSTS = Watched(categories=("channel",), numbers=("cost",))
WATCHED_COUPONS = Watched(numbers=("amount",), moment="issued_at")
WATCHED_SENDS = Watched(categories=("channel",), moment="ts")


def campaign_costs(context: SuiteContext) -> tuple[Rule, ...]:
    """Rules for one day of spending."""
    on = RulesOf("campaign_costs")
    return (
        *common.of_every_table(on, context),
        on.filled("campaign_id", "Money is spent for a campaign."),
        on.dated_on_the_day("day", context, "Spending in another day's partition distorts the return of both days."),
        on.filled("cost", "A cost without amount would be read as free."),
        on.at_least("cost", 0, "A negative cost would look like income."),
        on.unique(context.key or ("campaign_id", "day", "channel"), "Spending given twice is money spent twice."),
    )


def coupons(context: SuiteContext) -> tuple[Rule, ...]:
    """Rules for one day of coupons."""
    on = RulesOf("coupons")
    return (
        *common.of_every_table(on, context),
        *common.account_keys(on),
        *common.domains(on, context),
        on.filled("coupon_id", "A coupon is redeemed by its id."),
        on.unique(context.key or ("domain", "coupon_id"), "A coupon counted twice is a budget counted twice."),
        on.at_least("amount", 0, "A negative coupon would raise the price."),
        on.on_the_day("issued_at", context, "A coupon in another day's partition is counted on the wrong day."),
    )


def sends(context: SuiteContext) -> tuple[Rule, ...]:
    """Rules for one day of messages sent."""
    on = RulesOf("sends")
    return (
        *common.of_every_table(on, context),
        *common.account_keys(on),
        *common.domains(on, context),
        on.filled("send_id", "Frequency caps count sends by id."),
        on.unique(context.key or ("domain", "send_id"), "A send counted twice exhausts the frequency cap."),
        on.filled("channel", "Consent is per channel."),
        on.one_of("channel", CHANNELS, "No consent covers a channel that is unknown here.", severity=WARN),
        on.filled("ts", "Caps and attribution need the time."),
        on.on_the_day("ts", context, "A send in another day's partition counts towards the wrong cap."),
    )
