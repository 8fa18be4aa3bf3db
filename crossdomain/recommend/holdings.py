"""What people own or rejected, whenever that was: a course that was bought two years ago is theirs, and is not shown.

``derived.holdings`` keeps the last purchase and the last rejection of each account, item and day. Both are maxima, so
that days, late ones too, can be put together in any order, and so can items that turn out to be one product later.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from crossdomain.recommend.settings import RATING_WEIGHTS, REJECTIONS

if TYPE_CHECKING:
    from crossdomain.recommend.interactions import Ints

LEAST_RATING = RATING_WEIGHTS[-1][0]
"""A rating below this rejects its item."""
_REJECTIONS = ", ".join(f"'{name}'" for name in REJECTIONS)
REJECTS = f"(event_type IN ({_REJECTIONS}) OR coalesce(event_type = 'rating' AND value < {LEAST_RATING!r}, false))"
"""SQL of whether an event rejects its item."""
HOLDINGS_SQL = f"""
SELECT account, domain, item_id, CAST(timezone(getvariable('tz'), ts) AS DATE) AS day, delivered_ds,
  max(ts) FILTER (event_type = 'purchase') AS bought_at, max(ts) FILTER ({REJECTS}) AS rejected_at
FROM clean.events WHERE item_id IS NOT NULL AND (event_type = 'purchase' OR {REJECTS}) GROUP BY ALL
"""  # noqa: S608 - our own text and constants
"""SQL of the rows of ``derived.holdings``, over the ``clean.events`` of a day; variable ``tz`` is the business zone."""


@dataclass(frozen=True)
class Held:
    """What accounts own or rejected.

    Attributes:
        account: Index into ``People.account``.
        item: Index into ``Items``.
    """

    account: Ints
    item: Ints


def held_sql(products: str, among: str = "SELECT account FROM derived.people") -> str:
    """SQL of what accounts own or rejected, over all days of ``derived.holdings`` up to ``$last``, a parameter to bind.

    An item is owned if it was bought and not rejected at that instant or later; items that are one product are one.
    One row per account and item, in no order: account, domain, item_id, owned, rejected; one of the two holds.

    Args:
        products: SQL of (domain, item_id, product): items that are one product, as in ``interactions``.
        among: SQL of the accounts that count.
    """
    return f"""
SELECT account, domain, coalesce(product, item_id) AS item_id,
  coalesce(max(bought_at) > max(rejected_at), max(bought_at) IS NOT NULL) AS owned,
  max(rejected_at) IS NOT NULL AS rejected
FROM derived.holdings LEFT JOIN ({products}) USING (domain, item_id)
WHERE day <= $last AND account IN ({among}) GROUP BY ALL
"""  # noqa: S608 - our own text
