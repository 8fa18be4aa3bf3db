"""Consent as it stands now, whatever day is built: what jobs that process people read beside the days before theirs."""

from __future__ import annotations

from datetime import date

from crossdomain.jobs.runner import open_lake
from crossdomain.people import consent
from crossdomain.settings import Settings
from crossdomain.storage.lake import Lake
from crossdomain.tables import TableRegistry, registry

_CONSENTS = "clean.consents"
_ERASURES = "clean.erasure_requests"
_WORDS = "account, purpose, granted, ts"


def words(lake: Lake, tables: TableRegistry, *, after: date | None = None) -> str:
    """SQL of the words on consent (account, purpose, granted, ts) of all days that are known by now.

    Args:
        lake: The lake.
        tables: The tables.
        after: Only words that were delivered after this day.
    """
    return f"SELECT {_WORDS} FROM ({_all_days(lake, tables, _CONSENTS, after)})"  # noqa: S608 - our own text


def withdrawn_now(lake: Lake, tables: TableRegistry) -> str:
    """SQL of (account, purposes): what the newest words of all days say no to."""
    return consent.withdrawn(words(lake, tables))


def erasures_after(lake: Lake, tables: TableRegistry, day: date) -> str:
    """SQL of (account): who asked to be forgotten in a delivery after the day."""
    return f"SELECT account FROM ({_all_days(lake, tables, _ERASURES, day)})"  # noqa: S608 - our own text


def withdrawals_version(settings: Settings) -> str:
    """Changes when somebody withdraws or renews a consent; part of the fingerprint of what is built from consent.

    So a day that was built before a withdrawal is not up to date any more, while new accounts and new grants leave it.
    Of accounts whose consent was assumed only withdrawals of words that they had given count.
    """
    tables = registry(settings.include)
    with open_lake(settings) as lake:
        rows = lake.con.execute(consent.withdrawals_version(words(lake, tables))).fetchall()
    return "-".join(str(number) for number in rows[0])


def _all_days(lake: Lake, tables: TableRegistry, table: str, after: date | None) -> str:
    spec = tables.get(table)
    where = "true" if after is None else f"delivered_ds > DATE '{after}'"
    return lake.relation(spec, lake.partitions(spec), where=where)
