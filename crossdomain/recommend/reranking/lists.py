"""Lists of a block of people as arrays: people × places of item positions, best first, -1 where a list ends.

Every function gives lists of the same kind. Where two items are alike in what it looks at, the earlier one stays first.
"""

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


def drop_over(item: Ints, score: Floats, counted: Bools, room: Ints) -> tuple[Ints, Floats]:
    """The lists without what is counted beyond a person's room; what comes after moves up.

    Args:
        item: People × pool item positions, best first; -1 for none, at the end.
        score: Their scores.
        counted: People × pool, whether an item takes of the room.
        room: Per person, how many such items may stay: the first ones do.

    Returns:
        Items and scores, people × pool; -1 and -inf at the end.
    """
    over = counted & (np.cumsum(counted, axis=1) > room[:, None])
    kept = np.where(over, -1, item)
    item, score = put_last(kept, np.where(over, -np.inf, score), np.zeros_like(over), item.shape[1])
    return item, score


def put_first(item: Ints, score: Floats, first: Ints, first_score: Floats, k: int) -> tuple[Ints, Floats]:
    """Lists that begin with given items; where these stood before, others move up.

    Args:
        item: People × pool item positions, best first; -1 for none, at the end.
        score: Their scores.
        first: People × n items that come first, in this order, none twice for a person; -1 for none, anywhere.
        first_score: Their scores.
        k: Length of the lists.

    Returns:
        Items and scores, people × k.
    """
    again = (item[:, :, None] == first[:, None, :]).any(axis=2)
    item = np.concatenate([first, np.where(again, -1, item)], axis=1)
    score = np.concatenate([first_score, score], axis=1)
    return put_last(item, score, np.zeros(item.shape, dtype=bool), k)


def merge(item: Ints, score: Floats, other: Ints, other_score: Floats) -> tuple[Ints, Floats]:
    """Two lists of each person as one, by score; ties to the smaller position.

    Args:
        item: People × pool item positions; -1 for none, whose score is -inf.
        score: Their scores.
        other: People × n other item positions, none of which is in the first list.
        other_score: Their scores.

    Returns:
        Items and scores, people × (pool + n).
    """
    item = np.concatenate([item, other], axis=1)
    score = np.concatenate([score, other_score], axis=1)
    order = np.lexsort((item, -score), axis=1)
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
