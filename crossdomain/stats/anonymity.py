"""How well a table hides people: k-anonymity, l-diversity and t-closeness of its groups.

A group holds the rows that share their quasi-identifiers; whoever knows those of a person knows the group. The
measures are of the worst group: a release is as safe as its weakest.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Anonymity:
    """Measures of a table; all 0 where it has no rows.

    Attributes:
        rows: Number of rows.
        groups: Number of groups.
        k: Rows of the smallest group (k-anonymity, Sweeney 2002).
        l_distinct: Sensitive values of the group that has fewest.
        l_entropy: exp of the smallest entropy of a group's sensitive values (entropy l-diversity,
            Machanavajjhala et al. 2006): 1 where a group has one value, at most ``l_distinct``.
        t: Largest distance between a group's sensitive values and the whole table's, half the sum of absolute
            differences of shares (t-closeness, Li et al. 2007, with the variational distance), 0 to 1.
    """

    rows: int
    groups: int
    k: int
    l_distinct: int
    l_entropy: float
    t: float


def measure(groups: Sequence[Hashable], sensitive: Sequence[Hashable]) -> Anonymity:
    """Measures a table from two of its columns.

    Args:
        groups: For each row its quasi-identifiers, as one value (a tuple, where there are several). A value that
            was suppressed is a value like any other.
        sensitive: For each row the sensitive value; None is a value like any other.

    Raises:
        ValueError: The columns differ in length.
    """
    found: defaultdict[Hashable, Counter[Hashable]] = defaultdict(Counter)
    for group, value in zip(groups, sensitive, strict=True):
        found[group][value] += 1
    if not found:
        return Anonymity(0, 0, 0, 0, 0.0, 0.0)
    whole: Counter[Hashable] = Counter()
    for values in found.values():
        whole.update(values)
    return Anonymity(
        rows=whole.total(),
        groups=len(found),
        k=min(values.total() for values in found.values()),
        l_distinct=min(len(values) for values in found.values()),
        l_entropy=math.exp(min(_entropy(values) for values in found.values())),
        t=max(_distance(values, whole) for values in found.values()),
    )


def _entropy(values: Counter[Hashable]) -> float:
    total = values.total()
    return -math.fsum(count / total * math.log(count / total) for count in values.values())


def _distance(values: Counter[Hashable], whole: Counter[Hashable]) -> float:
    total, everyone = values.total(), whole.total()
    return math.fsum(abs(values[value] / total - count / everyone) for value, count in whole.items()) / 2
