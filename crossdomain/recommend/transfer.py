"""Does transfer help? For each direction and segment, what people did in the other domain is put to the test.

The champion ranks the target domain's items for the same test people twice: with what they did in the other domain,
and without it. Where the other side does not help it is not used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from crossdomain.recommend.champion import METRIC, POPULAR
from crossdomain.recommend.evaluate import rounded
from crossdomain.recommend.interactions import Floats
from crossdomain.stats.paired import PairedComparison, compare_pairs

SEGMENTS = ("warm", "cold")

Verdict = Literal["helps", "does_not_help", "unclear", "too_few"]


def own_side(model: str) -> str:
    """Name of a model that uses what people did in the target domain only."""
    return f"{model}_own_side"


@dataclass(frozen=True)
class Transfer:
    """A row of ``serving.transfer``.

    Attributes:
        target_domain: Whose items are ranked.
        direction: ``from>to``.
        segment: ``warm`` or ``cold``.
        model_version: The champion that was asked about.
        without: The better of what can be served without the other side.
        metric: What is compared.
        value: What the champion reaches with the other side; None without test people.
        value_without: What is reached without it, by the same people.
        difference: Mean difference.
        low: Lower end of its paired 95 % t interval.
        high: Upper end.
        p: Two-sided p of the paired t test.
        n: Test people.
        verdict: What the test says.
        serves: What the segment is shown.
        reason: The decision in a sentence.
    """

    target_domain: str
    direction: str
    segment: str
    model_version: str
    without: str
    metric: str
    value: float | None
    value_without: float | None
    difference: float | None
    low: float | None
    high: float | None
    p: float | None
    n: int
    verdict: Verdict
    serves: str
    reason: str


def decide(
    target_domain: str,
    direction: str,
    segment: str,
    model: str,
    model_version: str,
    transferred: Floats,
    without: Mapping[str, Floats],
    *,
    before: str | None,
    min_people: int,
) -> Transfer:
    """Whether a segment is served with people's other side.

    It is where the paired interval lies above 0, and is not where it lies below. Where 0 lies in it the day before
    stands; on the first day the other side is not used: that it helps has to be shown. With fewer than ``min_people``
    test people nothing can be told: the day before stands, and the champion serves where there is none.

    Args:
        target_domain: Whose items are ranked.
        direction: ``from>to``.
        segment: ``warm`` or ``cold``.
        model: What the champion is: ``als`` or ``ranker``.
        model_version: The champion.
        transferred: Its metric for each test person, with the other side.
        without: By name what can be served without it, and its metric for the same people; the best mean is compared,
            a tie goes to the first.
        before: What served the segment the day before; None on the first day. What it says of another kind of model
            holds for this one.
        min_people: Fewest test people that a comparison needs.
    """
    name = max(without, key=lambda one: float(np.mean(without[one])) if len(without[one]) else 0.0)
    n = len(transferred)
    tested = n >= max(min_people, 2)
    found = compare_pairs(without[name], transferred) if tested else None
    verdict = _verdict(found)
    serves = _serves(verdict, before, name, model)
    return Transfer(
        target_domain=target_domain,
        direction=direction,
        segment=segment,
        model_version=model_version,
        without=name,
        metric=METRIC,
        value=rounded(float(np.mean(transferred))) if n else None,
        value_without=rounded(float(np.mean(without[name]))) if n else None,
        difference=rounded(found.estimate) if found else None,
        low=rounded(found.low) if found else None,
        high=rounded(found.high) if found else None,
        p=rounded(found.p) if found else None,
        n=n,
        verdict=verdict,
        serves=serves,
        reason=_reason(verdict, found, n, min_people, before),
    )


def _verdict(found: PairedComparison | None) -> Verdict:
    if found is None:
        return "too_few"
    if found.low > 0:
        return "helps"
    return "does_not_help" if found.high < 0 else "unclear"


def _serves(verdict: Verdict, before: str | None, without: str, model: str) -> str:
    if verdict == "helps" or (verdict == "too_few" and before is None):
        return model
    if verdict == "does_not_help" or before is None:
        return without
    if before == POPULAR:
        return before
    return own_side(model) if before.endswith(own_side("")) else model


def _reason(verdict: Verdict, found: PairedComparison | None, n: int, min_people: int, before: str | None) -> str:
    stands = "the day before stands" if before else ""
    if found is None:
        return f"{n} test people are too few to compare ({min_people} needed): {stands or 'the champion serves'}"
    said = f"difference {found.low:+.6f} to {found.high:+.6f}"
    if verdict == "unclear":
        return f"that the other side helps is not shown, {said}: {stands or 'it is not used'}"
    return f"the other side {'helps' if verdict == 'helps' else 'does not help'}, {said}"
