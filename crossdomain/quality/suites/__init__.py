"""The suites: one function per clean table, in the order in which pages show the tables."""

from __future__ import annotations

from types import MappingProxyType

from crossdomain.quality.rules import Suite
from crossdomain.quality.suites.campaigns import campaign_costs, coupons, sends
from crossdomain.quality.suites.events import events
from crossdomain.quality.suites.experiments import experiment_counts, exposures
from crossdomain.quality.suites.items import items
from crossdomain.quality.suites.people import consents, erasure_requests, identity_links
from crossdomain.quality.suites.reviews import reviews
from crossdomain.quality.suites.support import support_entries
from crossdomain.quality.suites.users import users

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
