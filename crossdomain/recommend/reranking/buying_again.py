"""Buying again: items that a person bought and that are due again, by how long people wait between two purchases.

Which items are bought again is seen, not declared: a course never is, a face cream is. Gaps are seen within the window
of events only, so that items which last longer than that are never due.
"""

from __future__ import annotations

LEAST_PEOPLE = 20
"""Accounts that bought an item (or its type) on two days or more, below which nothing is said of its rhythm."""
LEAST_SHARE = 0.1
"""Of the accounts that bought it, so many must have bought it again: else it is not what people buy again."""
LATEST = 2.0
"""Gaps after which an item is due no longer: who let it pass twice has turned away."""


def due_sql(products: str) -> str:
    """SQL of the items that accounts are due to buy again on ``$last``, by account, then how near they are to due.

    Parameters to bind: ``first``, ``last`` and ``tz``, as for ``interactions.pairs_sql``. A purchase day of a product
    counts once. An account's gap is the median of its gaps; the rhythm of an item is the median over accounts, so that
    a shop which buys daily counts as one. An item without a rhythm of its own has that of its type. Due is who last
    bought it one gap ago or more and less than ``LATEST`` gaps ago. Columns: account, domain, item_id, wait (days since
    the last purchase by the gap, 1 up to ``LATEST``, rounded to 6 digits).

    Args:
        products: SQL of (domain, item_id, product): items that are one product, as in ``interactions``.
    """
    return f"""
WITH bought AS (
  SELECT DISTINCT account, domain, coalesce(product, item_id) AS item_id, CAST(timezone($tz, ts) AS DATE) AS day
  FROM clean.events LEFT JOIN ({products}) USING (domain, item_id)
  WHERE event_type = 'purchase' AND CAST(timezone($tz, ts) AS DATE) BETWEEN $first AND $last
),
gaps AS (
  SELECT account, domain, item_id, day,
    date_diff('day', lag(day) OVER (PARTITION BY account, domain, item_id ORDER BY day), day) AS gap
  FROM bought
),
buyers AS (
  SELECT account, domain, item_id, max(day) AS last_day, median(gap) AS gap FROM gaps GROUP BY ALL
),
of_items AS (
  SELECT domain, item_id, median(gap) AS gap FROM buyers GROUP BY ALL
  HAVING count(gap) >= {LEAST_PEOPLE} AND count(gap) >= {LEAST_SHARE!r} * count(*)
),
of_types AS (
  SELECT domain, type, median(gap) AS gap FROM buyers JOIN derived.catalogue USING (domain, item_id)
  WHERE type IS NOT NULL GROUP BY ALL
  HAVING count(DISTINCT account) FILTER (gap IS NOT NULL) >= {LEAST_PEOPLE}
    AND count(gap) >= {LEAST_SHARE!r} * count(*)
),
rhythm AS (
  SELECT c.domain, c.item_id, coalesce(i.gap, t.gap) AS gap
  FROM derived.catalogue c LEFT JOIN of_items i USING (domain, item_id) LEFT JOIN of_types t USING (domain, type)
  WHERE coalesce(i.gap, t.gap) IS NOT NULL
)
SELECT account, domain, item_id, round(date_diff('day', last_day, $last) / r.gap, 6) AS wait
FROM buyers JOIN rhythm r USING (domain, item_id)
WHERE date_diff('day', last_day, $last) >= r.gap AND date_diff('day', last_day, $last) < {LATEST!r} * r.gap
ORDER BY account, domain, wait, item_id
"""  # noqa: S608 - our own text and numbers
