"""Re-ranking: what a list looks like as a whole, after each item was scored by itself."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from crossdomain.recommend.interactions import Bools, Floats, Ints


def cap_groups(item: Ints, score: Floats, group: Ints, most: int, k: int) -> tuple[Ints, Floats]:
    """The best k of each list with at most so many items of a group; what is over comes after, if there is room.

    A list of one lecturer's courses hides all others: the cap gives a person choice and creators a share of what is
    shown. Within what is kept, and within what comes after, the order stays.

    Args:
        item: People × pool item positions, best first; -1 for none, at the end.
        score: Their scores.
        group: Group of each item; -1 for an item of none, which is never capped.
        most: Items of a group that come first; 0 for no cap.
        k: Length of the lists.

    Returns:
        Items and scores, people × k.
    """
    if not most:
        return item[:, :k], score[:, :k]
    groups = np.where(item >= 0, group[np.maximum(item, 0)], -1)
    over = (_earlier(groups) >= most) & (groups >= 0)
    return put_last(item, score, over, k)


def put_last(item: Ints, score: Floats, late: Bools, k: int) -> tuple[Ints, Floats]:
    """The best k of each list, what is late after what is not; within both the order stays.

    Args:
        item: People × pool item positions, best first; -1 for none, at the end.
        score: Their scores.
        late: People × pool, whether an item comes after.
        k: Length of the lists.

    Returns:
        Items and scores, people × k.
    """
    place = np.where(item < 0, 2, late)
    order = np.argsort(place, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(item, order, axis=1), np.take_along_axis(score, order, axis=1)


def are_in(item: Ints, chosen: sp.csr_matrix) -> Bools:
    """Whether items are among those of their row.

    Args:
        item: People × pool item positions; -1 for none, which is in nothing.
        chosen: People × items; a stored cell is an item of the row.

    Returns:
        People × pool.
    """
    width = chosen.shape[1]
    stored = np.repeat(np.arange(chosen.shape[0]), np.diff(chosen.indptr)) * width + chosen.indices
    asked = np.arange(item.shape[0])[:, None] * width + item
    found: Bools = np.isin(asked, stored) & (item >= 0)
    return found


def _earlier(groups: Ints) -> Ints:
    """For each cell, how many cells before it in its row have its group."""
    order = np.argsort(groups, axis=1, kind="stable")
    sorted_groups = np.take_along_axis(groups, order, axis=1)
    place = np.broadcast_to(np.arange(groups.shape[1]), groups.shape)
    begins = np.ones(groups.shape, dtype=bool)
    begins[:, 1:] = sorted_groups[:, 1:] != sorted_groups[:, :-1]
    first = np.maximum.accumulate(np.where(begins, place, 0), axis=1)
    earlier = np.empty(groups.shape, dtype=np.int64)
    np.put_along_axis(earlier, order, place - first, axis=1)
    return earlier
