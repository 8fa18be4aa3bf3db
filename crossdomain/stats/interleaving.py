"""Interleaving of two rankers: both fill one list, and the clicks say whose items people want."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from scipy import stats

from crossdomain.errors import InputError

Team = Literal["A", "B"]


@dataclass(frozen=True)
class Interleaved:
    """A list that two rankers filled.

    Attributes:
        ranking: The items in the order shown.
        teams: For each item the ranker that placed it.
    """

    ranking: tuple[str, ...]
    teams: tuple[Team, ...]


@dataclass(frozen=True)
class Preference:
    """Which ranker people preferred.

    Attributes:
        wins_a: Units with more clicks on items of A.
        wins_b: Units with more clicks on items of B.
        ties: Units with as many on both.
        share_a: (wins_a + ties / 2) / units; 0.5 where nobody clicked.
        p: Two-sided exact sign test over the units that are not tied; 1 where all are.
    """

    wins_a: int
    wins_b: int
    ties: int
    share_a: float
    p: float


def team_draft(a: Sequence[str], b: Sequence[str], coins: Sequence[int], *, length: int) -> Interleaved:
    """Interleaves two rankings like captains who choose their teams.

    In each round a coin says who chooses first; each adds its best item that is not in the list yet. One that has
    none left passes. Source: Radlinski, Kurup, Joachims: How does clickthrough data reflect retrieval quality?
    (CIKM 2008), algorithm 2.

    Args:
        a: Ranking of A, best first.
        b: Ranking of B, best first.
        coins: For each round 1 where A chooses first, 0 where B does; ceil(length / 2) are enough unless a ranker
            runs out of items.
        length: Items to show; the list is shorter where both have no more.

    Raises:
        InputError: A ranking names an item twice, or the coins do not suffice.
    """
    for name, ranking in (("A", a), ("B", b)):
        if len(set(ranking)) != len(ranking):
            raise InputError(f"the ranking of {name} names an item twice")
    shown: list[str] = []
    teams: list[Team] = []
    flips = iter(coins)
    while len(shown) < length and (_next(a, shown) or _next(b, shown)) is not None:
        flip = next(flips, None)
        if flip not in (0, 1):
            raise InputError(f"coin {len(coins) if flip is None else flip!r} is not there or neither 0 nor 1")
        order: tuple[Team, Team] = ("A", "B") if flip else ("B", "A")
        for team in order:
            item = _next(a if team == "A" else b, shown)
            if item is not None and len(shown) < length:
                shown.append(item)
                teams.append(team)
    return Interleaved(tuple(shown), tuple(teams))


def prefer(clicks: Sequence[tuple[int, int]]) -> Preference:
    """Which ranker wins, by the sign test over units.

    A unit's clicks belong together, so that a unit counts once (Chapelle, Joachims, Radlinski, Yue: Large-scale
    validation and analysis of interleaved search evaluation, TOIS 2012).

    Args:
        clicks: For each unit (person or session) its clicks on items of A and of B.

    Raises:
        InputError: A number of clicks is negative.
    """
    if any(min(pair) < 0 for pair in clicks):
        raise InputError("a number of clicks cannot be negative")
    wins_a = sum(on_a > on_b for on_a, on_b in clicks)
    wins_b = sum(on_a < on_b for on_a, on_b in clicks)
    ties = len(clicks) - wins_a - wins_b
    share = (wins_a + ties / 2) / len(clicks) if clicks else 0.5
    return Preference(wins_a, wins_b, ties, share, sign_test(wins_a, wins_b))


def sign_test(wins_a: int, wins_b: int) -> float:
    """Two-sided exact binomial p-value of equal chances; 1 where there is no win.

    Raises:
        InputError: A number of wins is negative.
    """
    if min(wins_a, wins_b) < 0:
        raise InputError(f"numbers of wins cannot be negative: {wins_a} and {wins_b}")
    if wins_a + wins_b == 0:
        return 1.0
    return float(stats.binomtest(wins_a, wins_a + wins_b).pvalue)


def _next(ranking: Sequence[str], shown: Sequence[str]) -> str | None:
    """The best item that is not shown yet."""
    return next((item for item in ranking if item not in shown), None)
