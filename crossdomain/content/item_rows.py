"""Which row an item has: by domain and id."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc


def rows_of_items(
    domains: npt.NDArray[np.object_], item_ids: npt.NDArray[np.object_], table: pa.Table, columns: tuple[str, str]
) -> npt.NDArray[np.int64]:
    """Rows of the items that a table names; -1 for items that are not there.

    Args:
        domains: Domain of each item.
        item_ids: Id of each item.
        table: The table.
        columns: Its columns of domain and id.
    """
    sides = []
    for name, own in zip(columns, (domains, item_ids), strict=True):
        found = table[name].cast(pa.string()).combine_chunks().dictionary_encode()
        values = pa.array(own, pa.string())
        sides.append((np.asarray(found.indices), np.asarray(pc.fill_null(pc.index_in(values, found.dictionary), -1)),
                      len(found.dictionary)))  # fmt: skip
    (domain, own_domain, n_domains), (item, own_item, n_items) = sides
    row_of = np.full((n_domains, n_items), -1, dtype=np.int64)
    named = np.flatnonzero((own_domain >= 0) & (own_item >= 0))
    row_of[own_domain[named], own_item[named]] = named
    rows: npt.NDArray[np.int64] = row_of[domain, item]
    return rows
