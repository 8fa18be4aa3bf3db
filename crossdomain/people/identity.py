"""Persons from links: the connected sets of accounts."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


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
