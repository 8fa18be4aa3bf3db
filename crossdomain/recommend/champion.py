"""The champion of a day: a fold over the models trained so far, one for each target domain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

METRIC = "ndcg@10"
"""Champions are compared by this metric over all test people of the target domain."""
POPULAR = "decayed_popularity"
"""Model and version of the standing challenger: what everybody would be shown without a model."""


@dataclass(frozen=True)
class Rated:
    """A model and what it reached on today's test days; value None where it could not be measured."""

    model: str
    version: str
    value: float | None


@dataclass(frozen=True)
class Champion:
    """A row of ``serving.champions``.

    Attributes:
        target_domain: Whose items the champion ranks.
        model_version: Version in the model store, or the name of a baseline.
        model: ``als`` or ``decayed_popularity``.
        metric: What was compared.
        value: What the champion reached on today's test days.
        challenger_version: The best of those that stood against the champion of the day before.
        challenger_value: What the challenger reached on the same people and days.
        n: Test people.
        decision: ``first``, ``promoted`` or ``kept``.
        reason: The decision in a sentence.
    """

    target_domain: str
    model_version: str
    model: str
    metric: str
    value: float | None
    challenger_version: str | None
    challenger_value: float | None
    n: int
    decision: Literal["first", "promoted", "kept"]
    reason: str


def decide(
    target_domain: str,
    incumbent: Rated | None,
    challengers: Sequence[Rated],
    *,
    n: int,
    min_people: int,
    tolerance: float = 0.0,
    overdue: bool = False,
) -> Champion:
    """Today's champion.

    The incumbent gives way only to a challenger that is not worse (by more than ``tolerance``) on the same
    test people; both are measured by twins that did not see the test days. Among challengers the highest
    value wins, ties go to the first. With fewer than ``min_people`` test people nothing can be told: the
    incumbent stays, and without one the first challenger starts.

    Args:
        target_domain: Whose items are ranked.
        incumbent: Yesterday's champion, measured today; None on the first day.
        challengers: Models that may take over, the preferred first; not empty on the first day.
        n: Test people.
        min_people: Fewest test people that a comparison needs.
        tolerance: How much worse a challenger may be.
        overdue: Whether the incumbent must give way, to whatever stands beside it: it learned from people who were
            erased since, and its time is over.

    Raises:
        ValueError: There is neither an incumbent nor a challenger.
    """
    comparable = n >= min_people
    best = max(challengers, key=_rank) if comparable and challengers else next(iter(challengers), None)
    if incumbent is None:
        if best is None:
            raise ValueError("there is no model to begin with")
        reason = _first_reason(best, challengers, comparable, n)
        return _row(target_domain, best, _runner_up(best, challengers), n, "first", reason)
    if best is None:
        return _row(target_domain, incumbent, None, n, "kept", "no model was trained today")
    if overdue:
        reason = (
            f"{incumbent.version} learned from people who were erased and is past its day; {best.version} takes over"
        )
        return _row(target_domain, best, best, n, "promoted", reason)
    if not comparable or best.value is None:
        reason = f"{n} test people are too few to compare ({min_people} needed)"
        return _row(target_domain, incumbent, best, n, "kept", reason)
    if incumbent.value is None:
        reason = "the champion so far could not be measured on these days"
        return _row(target_domain, best, best, n, "promoted", reason)
    if best.value >= incumbent.value - tolerance:
        reason = f"{best.version} is not worse than {incumbent.version}: {best.value:.6f} to {incumbent.value:.6f}"
        return _row(target_domain, best, best, n, "promoted", reason)
    reason = f"{best.version} is worse than {incumbent.version}: {best.value:.6f} to {incumbent.value:.6f}"
    return _row(target_domain, incumbent, best, n, "kept", reason)


def _rank(rated: Rated) -> float:
    return -1.0 if rated.value is None else rated.value


def _runner_up(best: Rated, challengers: Sequence[Rated]) -> Rated | None:
    others = [rated for rated in challengers if rated is not best]
    return max(others, key=_rank) if others else None


def _first_reason(best: Rated, challengers: Sequence[Rated], comparable: bool, n: int) -> str:
    if len(challengers) == 1:
        return "the only model on the first day"
    if not comparable or best.value is None:
        return f"first day, {n} test people are too few to compare"
    return f"the best of {len(challengers)} models on the first day"


def _row(
    target_domain: str,
    champion: Rated,
    challenger: Rated | None,
    n: int,
    decision: Literal["first", "promoted", "kept"],
    reason: str,
) -> Champion:
    return Champion(
        target_domain=target_domain,
        model_version=champion.version,
        model=champion.model,
        metric=METRIC,
        value=champion.value,
        challenger_version=challenger.version if challenger else None,
        challenger_value=challenger.value if challenger else None,
        n=n,
        decision=decision,
        reason=reason,
    )
