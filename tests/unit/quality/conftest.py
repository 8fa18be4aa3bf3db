"""One clean day of every table, and a way to spoil it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date

import duckdb
import pytest

from crossdomain.settings import Settings

DAY = date(2026, 1, 5)
SETTINGS = Settings(domains=("knowledge", "beauty"), tz="Asia/Shanghai")

_KEY = "unhex(md5('{}' || i))"
_ACCOUNT = _KEY.format("a") + " AS account"
_DOMAIN = "CASE WHEN i % 2 = 0 THEN 'knowledge' ELSE 'beauty' END AS domain"
_TIME = "TIMESTAMPTZ '2026-01-05 00:00:00+08' + to_minutes(CAST(i AS BIGINT))"
_PROVENANCE = "DATE '2026-01-05' AS delivered_ds, 'demo' AS feed"

CLEAN_DAY = {
    "clean.users": f"{_ACCOUNT}, {_DOMAIN}, {_TIME} AS registered_at, 'female' AS gender, 1990 AS birth_year, "
    "false AS consent_assumed",
    "clean.items": f"'i' || i AS item_id, {_DOMAIN}, '课程 ' || i AS title, CAST(9.90 AS DECIMAL(18,2)) AS price, "
    f"{_TIME} AS listed_at, CAST(NULL AS VARCHAR) AS status, CAST(i AS BIGINT) AS sales, "
    "CAST(i AS BIGINT) AS comments, true AS snapshot",
    "clean.events": f"'e' || i AS event_id, {_ACCOUNT}, {_DOMAIN}, 'i' || i AS item_id, 'purchase' AS event_type, "
    f"{_TIME} AS ts, CAST(i AS DECIMAL(18,2)) AS value, CASE WHEN i > 2 THEN 1 END AS quantity, "
    "CAST(i AS INTEGER) AS position",
    "clean.reviews": f"'r' || i AS review_id, {_ACCOUNT}, 'i' || i AS item_id, {_DOMAIN}, '好用' AS text, "
    f"{_TIME} AS ts, 5.0::DOUBLE AS rating",
    "clean.consents": f"{_ACCOUNT}, {_DOMAIN}, 'cross_domain' AS purpose, true AS granted, {_TIME} AS ts",
    "clean.identity_links": f"{_KEY.format('k')} AS knowledge_account, {_KEY.format('b')} AS beauty_account, "
    f"{_TIME} AS linked_at, 'given' AS method",
    "clean.exposures": "'x' AS experiment_id, 'account' AS unit_type, "
    f"{_KEY.format('a')} AS unit, 'A' AS variant, {_TIME} AS ts, 'home' AS placement",
    "clean.experiment_counts": "'x' AS experiment_id, 'v' || i AS variant, DATE '2026-01-05' AS day, "
    "'clicks' AS metric, CAST(687 AS BIGINT) AS value",
    "clean.campaign_costs": "'c' || i AS campaign_id, DATE '2026-01-05' AS day, 'email' AS channel, "
    "CAST(12.50 AS DECIMAL(18,2)) AS cost",
    "clean.coupons": f"'k' || i AS coupon_id, 'c' AS campaign_id, {_ACCOUNT}, {_DOMAIN}, {_TIME} AS issued_at, "
    "CAST(5 AS DECIMAL(18,2)) AS amount",
    "clean.sends": f"'s' || i AS send_id, 'c' AS campaign_id, {_ACCOUNT}, {_DOMAIN}, 'email' AS channel, {_TIME} AS ts",
    "clean.support_entries": f"'q' || i AS entry_id, {_DOMAIN}, '怎么退款?' AS question, '七天内可退。' AS answer",
    "clean.erasure_requests": f"{_ACCOUNT}, {_DOMAIN}, {_TIME} AS requested_at",
}
"""Columns of a clean day, as SQL over the row number i = 0, 1, …"""


@pytest.fixture
def day() -> date:
    return DAY


@pytest.fixture
def settings() -> Settings:
    return SETTINGS


@pytest.fixture
def make_day() -> Iterator[Callable[..., duckdb.DuckDBPyRelation]]:
    """Gives `make(table, rows=10, replace="")`: a clean day, with columns replaced by SQL (`expression AS column`)."""
    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'")

    def make(table: str, rows: int = 10, replace: str = "") -> duckdb.DuckDBPyRelation:
        columns = f"{CLEAN_DAY[table]}, {_PROVENANCE}"
        query = f"SELECT {columns}, i FROM range({rows}) AS numbers(i) ORDER BY i"
        spoilt = f"* EXCLUDE (i) REPLACE ({replace})" if replace else "* EXCLUDE (i)"
        return con.sql(f"SELECT {spoilt} FROM ({query})")

    yield make
    con.close()
