"""How well bundles find what was planted: precision and recall of pairs, and of items."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from crossdomain.content.bundles import Bundle


class Agreement(NamedTuple):
    """Bundles beside the truth.

    Attributes:
        pairs: Pairs across the domains that stand in a bundle.
        precision: Share of these pairs whose items were planted together.
        recall: Right pairs, of the most that bundles of the allowed size could hold.
        items: Items in bundles.
        item_precision: Share of these items that stand with at least one planted partner.
        item_recall: Planted items that stand with a planted partner, of all that were planted.
    """

    pairs: int
    precision: float
    recall: float
    items: int
    item_precision: float
    item_recall: float


def agreement(
    bundles: Sequence[Bundle],
    planted: tuple[Mapping[str, str], Mapping[str, str]],
    *,
    most_items: int,
    most_bundles: int = 1,
) -> Agreement:
    """Bundles beside planted groups.

    Two items of different domains belong together if they were planted in the same group. A group of a and b items
    holds a·b such pairs, but bundles of at most m items a side with each item in at most u of them hold no more than
    min(a·min(b, m·u), b·min(a, m·u)) of these; recall is counted against that.

    Args:
        bundles: What was found.
        planted: For each domain the group of each planted item; an item that belongs nowhere is not in it.
        most_items: Most items of one side in a bundle.
        most_bundles: Most bundles of an item.

    Returns:
        The measures; shares of nothing are 0.
    """
    pairs = {pair for bundle in bundles for pair in bundle.pairs}
    right = {(a, b) for a, b in pairs if a in planted[0] and planted[0][a] == planted[1].get(b)}
    sizes = tuple(Counter(side.values()) for side in planted)
    reach = most_items * most_bundles
    possible = sum(min(a * min(b, reach), b * min(a, reach)) for g, a in sizes[0].items() if (b := sizes[1][g]))
    wanted = sum(a + sizes[1][group] for group, a in sizes[0].items() if sizes[1][group])
    items = {(side, item) for pair in pairs for side, item in enumerate(pair)}
    good = {(side, item) for pair in right for side, item in enumerate(pair)}
    return Agreement(
        pairs=len(pairs),
        precision=_share(len(right), len(pairs)),
        recall=_share(len(right), possible),
        items=len(items),
        item_precision=_share(len(good), len(items)),
        item_recall=_share(len(good), wanted),
    )


def _share(part: int, whole: int) -> float:
    return round(part / whole, 6) if whole else 0.0
