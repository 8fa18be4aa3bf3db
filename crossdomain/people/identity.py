"""Who belongs together: contacts that both sides know, and persons from links.

Links that were given or matched are judged in ``include/sql/derived/account_links_v1/query.sql``, over the tables that
the SQL here describes. Contradictions are reported in ``derived.link_conflicts``, never guessed away.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

CARRIED = """
SELECT account, domain, 'phone' AS kind, phone_hash AS contact FROM state.accounts WHERE phone_hash IS NOT NULL
UNION ALL
SELECT account, domain, 'email', email_hash FROM state.accounts WHERE email_hash IS NOT NULL
"""
"""SQL of who carries which keyed contact, one row per account and kind."""

CONTACTS = """
SELECT kind, contact,
       count(*) FILTER (domain = getvariable('first_domain')) AS knowledge_accounts,
       count(*) FILTER (domain = getvariable('second_domain')) AS beauty_accounts,
       min(account) FILTER (domain = getvariable('first_domain')) AS knowledge_account,
       min(account) FILTER (domain = getvariable('second_domain')) AS beauty_account
FROM state.carried
GROUP BY kind, contact
HAVING knowledge_accounts > 0 AND beauty_accounts > 0
"""
"""SQL of the contacts that accounts of both sides carry: how many accounts of each side, and the smallest of each."""

MET = """
SELECT account, any_value(contact) FILTER (kind = 'phone') AS phone, any_value(contact) FILTER (kind = 'email') AS email
FROM state.carried
SEMI JOIN state.contacts USING (kind, contact)
GROUP BY account
"""
"""SQL of each account's contacts that the other side knows too; null where it does not."""


def persons(links: pa.Table) -> pa.Table:
    """Names each connected set of linked accounts by its smallest account key.

    Args:
        links: Two binary columns, one pair of linked accounts a row; order and repeats change nothing.

    Returns:
        Columns ``account`` and ``person`` (both binary), one row per account that stands in a link, ordered
        by account.
    """
    left, right = (links.column(index).to_pylist() for index in (0, 1))
    # sorted, so that the first account of a component is its smallest key
    accounts = sorted({*left, *right})
    index = {account: position for position, account in enumerate(accounts)}
    rows = np.fromiter((index[account] for account in left), dtype=np.int64, count=len(left))
    columns = np.fromiter((index[account] for account in right), dtype=np.int64, count=len(right))
    graph = coo_array((np.ones(len(left), dtype=np.int8), (rows, columns)), shape=(len(accounts), len(accounts)))
    _, labels = connected_components(graph, directed=False)
    _, smallest = np.unique(labels, return_index=True)
    named = [accounts[smallest[label]] for label in labels]
    return pa.table({"account": pa.array(accounts, pa.binary()), "person": pa.array(named, pa.binary())})
