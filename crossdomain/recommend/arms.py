"""Arms of experiments: from which source each person's lists come instead of the champion's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crossdomain.recommend.interactions import Ints

CHAMPION = "champion"
POPULARITY = "popularity"
ARM_SOURCES = (CHAMPION, POPULARITY, "als", "als_own_side")
"""``champion``: what the person would be shown without an experiment. ``popularity``: decayed popularity. ``als``: the
model's scores from all that the person did, whether the other side helps or not. ``als_own_side``: its scores from
what the person did in the target domain."""


@dataclass(frozen=True)
class Arms:
    """What persons are shown under experiments, one entry a person.

    Attributes:
        names: Names of variants.
        variant: Index into ``names``; -1 for persons of no experiment.
        source: Index into ``ARM_SOURCES``.
    """

    names: tuple[str, ...]
    variant: Ints
    source: Ints

    @classmethod
    def none(cls, names: Sequence[str], persons: int) -> Arms:
        """No person is in an experiment, all are served by the champion."""
        return cls(tuple(names), np.full(persons, -1, dtype=np.int64), np.zeros(persons, dtype=np.int64))
