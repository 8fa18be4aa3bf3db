"""The champion of a day: a fold over the models trained so far, one for each target domain.

Models are compared on the same test people by a paired test. The greater mean alone does not decide: among models that
are alike it goes up and down with the days, and whoever takes the greatest of several takes the luckiest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from crossdomain.recommend.evaluate import BASELINE, rounded
from crossdomain.recommend.interactions import Floats
from crossdomain.stats.paired import PairedComparison, compare_pairs

METRIC = "ndcg@10"
"""Champions are compared by this metric over all test people of the target domain."""
POPULAR = BASELINE
"""Model and version of the standing challenger: what everybody would be shown without a model."""
ALPHA = 0.05
"""Chance of a change where nothing differs, over all challengers of a day."""


@dataclass(frozen=True)
class Rated:
    """A model and what it reached on today's test days.

    Attributes:
        model: ``als`` or ``decayed_popularity``.
        version: Version in the model store, or the name of a baseline.
        values: The metric of each test person, the people in the same order for all; None where it was not measured.
    """

    model: str
    version: str
    values: Floats | None = None

    @property
    def value(self) -> float | None:
        """The mean; None where it could not be measured."""
        return None if self.values is None or not len(self.values) else rounded(float(np.mean(self.values)))


@dataclass(frozen=True)
class Champion:
    """A row of ``serving.champions``.

    Attributes:
        target_domain: Whose items the champion ranks.
        model_version: Version in the model store, or the name of a baseline.
        model: ``als`` or ``decayed_popularity``.
        metric: What was compared.
        value: What the champion reached on today's test days.
        challenger_version: The one that stood against the champion of the day before and came nearest.
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

    A challenger of the incumbent's own kind has learned from newer days: it takes over unless it is worse, that is,
    unless the whole interval of the paired difference lies below ``-tolerance``. A challenger of another kind takes
    over only if it is better, the whole interval above 0. Intervals have confidence ``1 - ALPHA`` over all challengers
    together (Bonferroni). All are measured by twins that did not see the test days. Of several that may take over one
    that is better goes before one that is not worse, then the higher mean, then the first. With fewer than
    ``min_people`` test people nothing can be told: the incumbent stays, and without one the first challenger starts. On
    the first day the first challenger is treated as the incumbent.

    Args:
        target_domain: Whose items are ranked.
        incumbent: Yesterday's champion, measured today; None on the first day.
        challengers: Models that may take over, the preferred first; not empty on the first day.
        n: Test people.
        min_people: Fewest test people that a comparison needs, at least two.
        tolerance: How much worse a challenger of the same kind may be.
        overdue: Whether the incumbent must give way, to whatever stands beside it: it learned from people who were
            erased since, and its time is over.

    Raises:
        ValueError: There is neither an incumbent nor a challenger.
    """
    comparable = n >= max(min_people, 2)
    if incumbent is None:
        if not challengers:
            raise ValueError("there is no model to begin with")
        return _first(target_domain, challengers, n, comparable)
    if not challengers:
        return _row(target_domain, incumbent, None, n, "kept", "no model was trained today")
    if overdue:
        heir = _best(challengers) if comparable else challengers[0]
        reason = (
            f"{incumbent.version} learned from people who were erased and is past its day; {heir.version} takes over"
        )
        return _row(target_domain, heir, heir, n, "promoted", reason)
    if not comparable or all(one.value is None for one in challengers):
        reason = f"{n} test people are too few to compare ({min_people} needed)"
        return _row(target_domain, incumbent, challengers[0], n, "kept", reason)
    if incumbent.value is None:
        best = _best(challengers)
        reason = "the champion so far could not be measured on these days"
        return _row(target_domain, best, best, n, "promoted", reason)
    return _compared(target_domain, incumbent, challengers, n, tolerance)


def _first(target_domain: str, challengers: Sequence[Rated], n: int, comparable: bool) -> Champion:
    preferred, *others = challengers
    runner_up = _best(others) if others else None
    if runner_up is None:
        return _row(target_domain, preferred, None, n, "first", "the only model on the first day")
    if not comparable or preferred.value is None:
        reason = f"first day, {n} test people are too few to compare"
        return _row(target_domain, preferred, runner_up, n, "first", reason)
    found = _compared(target_domain, preferred, others, n, 0.0)
    chosen = next(one for one in challengers if one.version == found.model_version)
    beaten = runner_up if chosen is preferred else preferred
    return _row(target_domain, chosen, beaten, n, "first", f"first day: {found.reason}")


def _compared(target_domain: str, incumbent: Rated, challengers: Sequence[Rated], n: int, tolerance: float) -> Champion:
    base = np.zeros(0) if incumbent.values is None else incumbent.values
    measured = [(one, one.values) for one in challengers if one.values is not None]
    alpha = ALPHA / len(measured)
    compared = [(one, compare_pairs(base, values, alpha=alpha)) for one, values in measured]
    fit = [(one, found) for one, found in compared if _may_take_over(incumbent, one, found, tolerance)]
    if fit:
        best, found = max(fit, key=lambda pair: (pair[1].low > 0, pair[1].estimate))
        word = "better than" if found.low > 0 else "not worse than"
        reason = f"{best.version} is {word} {incumbent.version}: {_said(best, incumbent, found, alpha)}"
        return _row(target_domain, best, best, n, "promoted", reason)
    nearest, found = max(compared, key=lambda pair: (pair[0].model == incumbent.model, pair[1].estimate))
    word = "worse than" if found.high < 0 else "not shown to be better than"
    reason = f"{nearest.version} is {word} {incumbent.version}: {_said(nearest, incumbent, found, alpha)}"
    return _row(target_domain, incumbent, nearest, n, "kept", reason)


def _may_take_over(incumbent: Rated, challenger: Rated, found: PairedComparison, tolerance: float) -> bool:
    return found.high >= -tolerance if challenger.model == incumbent.model else found.low > 0


def _said(challenger: Rated, incumbent: Rated, found: PairedComparison, alpha: float) -> str:
    return (
        f"{challenger.value:.6f} to {incumbent.value:.6f}, difference {found.low:+.6f} to {found.high:+.6f} "
        f"at {1 - alpha:.1%}"
    )


def _best(challengers: Sequence[Rated]) -> Rated:
    return max(challengers, key=lambda one: -1.0 if one.value is None else one.value)


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
