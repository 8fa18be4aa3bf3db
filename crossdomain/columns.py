"""Names of the columns that carry the platform's own meaning, in one place.

A table's other columns are named in its ``schema.yaml``; these are the ones that code relies on.
"""

from __future__ import annotations

DS = "ds"
"""Partition key: the business day, a DATE in the business time zone."""
DELIVERED_DS = "delivered_ds"
"""Business day that the delivery of the row closed; what was known when."""
FEED = "feed"
"""Name of the source feed that brought the row."""

PARTITION_TYPES = {DS: "DATE", DELIVERED_DS: "DATE", FEED: "VARCHAR"}
"""DuckDB types of the columns that a table may be partitioned by."""
