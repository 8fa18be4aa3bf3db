"""Interleaved lists for units: whose ranker chooses first is dealt by the unit's hash, anew in each round and list."""

from __future__ import annotations

from collections.abc import Sequence

from crossdomain.experiments.assignment import points
from crossdomain.stats.interleaving import Interleaved, team_draft

_BITS = 64


def interleave(unit: bytes, salt: str, a: Sequence[str], b: Sequence[str], *, length: int) -> Interleaved:
    """The list of two rankers that a unit sees.

    Args:
        unit: Bytes of the unit.
        salt: Names the test and what makes a list another one, such as the day: ``"rankers:2026-01-05"``.
        a: Ranking of ranker A, best first.
        b: Ranking of ranker B, best first.
        length: Items to show; the list is shorter where both have no more.

    Returns:
        The items with the ranker that placed each; the same for the same unit and salt.
    """
    return team_draft(a, b, coins(unit, salt, len(a) + len(b)), length=length)


def coins(unit: bytes, salt: str, rounds: int) -> list[int]:
    """Fair and independent coins of a unit, one a round: 1 where A chooses first."""
    words = -(-rounds // _BITS)
    found: list[int] = []
    for word in range(words):
        (point,) = points([unit], f"interleaving:{salt}:{word}").tolist()
        found += [(point >> bit) & 1 for bit in range(_BITS)]
    return found[:rounds]
