"""The suites: one function per clean table, in the order in which pages show the tables; and what drift watches."""

from __future__ import annotations

from types import MappingProxyType

from crossdomain.quality.measures import Watched
from crossdomain.quality.rules import Suite
from crossdomain.quality.suites.campaigns import (
    WATCHED_COSTS,
    WATCHED_COUPONS,
    WATCHED_SENDS,
    campaign_costs,
    coupons,
    sends,
)
from crossdomain.quality.suites.events import WATCHED_EVENTS, events
from crossdomain.quality.suites.experiments import WATCHED_COUNTS, WATCHED_EXPOSURES, experiment_counts, exposures
from crossdomain.quality.suites.items import WATCHED_ITEMS, items
from crossdomain.quality.suites.people import (
    WATCHED_CONSENTS,
    WATCHED_LINKS,
    WATCHED_REQUESTS,
    consents,
    erasure_requests,
    identity_links,
)
from crossdomain.quality.suites.reviews import WATCHED_REVIEWS, reviews
from crossdomain.quality.suites.support import WATCHED_ENTRIES, support_entries
from crossdomain.quality.suites.users import WATCHED_USERS, users

SUITES: MappingProxyType[str, Suite] = MappingProxyType(
    {
        "clean.users": users,
        "clean.items": items,
        "clean.events": events,
        "clean.reviews": reviews,
        "clean.consents": consents,
        "clean.identity_links": identity_links,
        "clean.exposures": exposures,
        "clean.experiment_counts": experiment_counts,
        "clean.campaign_costs": campaign_costs,
        "clean.coupons": coupons,
        "clean.sends": sends,
        "clean.support_entries": support_entries,
        "clean.erasure_requests": erasure_requests,
    }
)
"""Suite of each table, by the table's name in code."""

WATCHED: MappingProxyType[str, Watched] = MappingProxyType(
    {
        "clean.users": WATCHED_USERS,
        "clean.items": WATCHED_ITEMS,
        "clean.events": WATCHED_EVENTS,
        "clean.reviews": WATCHED_REVIEWS,
        "clean.consents": WATCHED_CONSENTS,
        "clean.identity_links": WATCHED_LINKS,
        "clean.exposures": WATCHED_EXPOSURES,
        "clean.experiment_counts": WATCHED_COUNTS,
        "clean.campaign_costs": WATCHED_COSTS,
        "clean.coupons": WATCHED_COUPONS,
        "clean.sends": WATCHED_SENDS,
        "clean.support_entries": WATCHED_ENTRIES,
        "clean.erasure_requests": WATCHED_REQUESTS,
    }
)
"""What is watched of each table beside its rows, feeds and nulls, by the table's name in code."""
