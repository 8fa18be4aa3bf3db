"""Weights of the blend by what people did: which of two items the same person takes later.

A choice is (an item taken before, the item taken later, an item passed over). The chance that the item taken is the
more similar one is modelled as logistic in w·(x_taken − x_passed), the Bradley-Terry form of a conditional logistic
regression, with weights w ≥ 0 of the parts x. The penalty pulls w towards the stated weights times any factor: without
behaviour they stay, with little of it they move little.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

Floats = npt.NDArray[np.float64]

PULL = 1.0
"""Strength of the penalty, in choices."""
MOST_BEHAVIOUR = 0.5
"""Greatest weight of behaviour."""
LEARNED, TOO_FEW, NO_BETTER = "learned", "too_few", "no_better"
"""Why weights are as they are: learned, or the stated ones for want of choices or because they are as good."""
_SURE = 2.0
"""Standard errors by which learned weights must be better on later days."""
_DIGITS = 4


@dataclass(frozen=True)
class Learned:
    """Weights of one pair of domains.

    Attributes:
        weights: In force, adding up to 1.
        why: ``LEARNED``, ``TOO_FEW`` or ``NO_BETTER``.
        learned_from: Choices by which they were learned.
        checked_on: Choices of later days on which they were compared with the stated ones.
        stated_right: Share of those choices in which the item taken was the more similar one by the stated weights;
            a tie counts half. None without any.
        learned_right: The same by the learned weights, also where they are not in force.
    """

    weights: tuple[float, ...]
    why: str
    learned_from: int
    checked_on: int
    stated_right: float | None = None
    learned_right: float | None = None


def learn_blend(learn: Floats, check: Floats, stated: Sequence[float], *, least: int) -> Learned:
    """Weights by the choices of earlier days, in force if they are better than the stated ones on later days.

    Args:
        learn: (choices, parts) parts of the item taken less those of the item passed over.
        check: The same of later days.
        stated: Stated weights, adding up to 1.
        least: Choices needed on either days.
    """
    stated = tuple(stated)
    if min(len(learn), len(check)) < least:
        return Learned(stated, TOO_FEW, len(learn), len(check))
    weights = fit(learn, stated)
    by_stated, by_learned = (won(check, one) for one in (stated, weights))
    gain = by_learned - by_stated
    error = float(gain.std() / np.sqrt(len(gain)))
    better = float(gain.mean()) > _SURE * error
    rates = (round(float(one.mean()), 6) for one in (by_stated, by_learned))
    return Learned(weights if better else stated, LEARNED if better else NO_BETTER, len(learn), len(check), *rates)


def fit(
    differences: Floats, stated: Sequence[float], *, pull: float = PULL, most_behaviour: float = MOST_BEHAVIOUR
) -> tuple[float, ...]:
    """The weights under which the choices are most likely, rounded and adding up to 1.

    Args:
        differences: (choices, parts); the last part is behaviour.
        stated: Weights towards which the penalty pulls; they are the answer where nothing speaks for any part.
        pull: Strength of the penalty.
        most_behaviour: Greatest weight of behaviour: what is new has none, and must be found all the same. Where it
            would be exceeded, the other parts have the weights that are most likely without behaviour.
    """
    prior = np.asarray(stated)
    found = _most_likely(differences, prior, pull)
    if found.sum() > 0 and found[-1] > most_behaviour * found.sum():
        rest = _most_likely(differences[:, :-1], prior[:-1], pull)
        rest = rest if rest.sum() > 0 else prior[:-1]
        found = np.append(rest / rest.sum() * (1.0 - most_behaviour), most_behaviour)
    return _rounded(found) if found.sum() > 0 else tuple(stated)


def _most_likely(differences: Floats, prior: Floats, pull: float) -> Floats:
    """Weights of least penalised loss, none negative."""

    def loss(values: Floats) -> tuple[float, Floats]:
        weights, scale = values[:-1], values[-1]
        margin = differences @ weights
        off = weights - scale * prior
        chance = 1.0 / (1.0 + np.exp(np.minimum(margin, 700.0)))
        slope = -(differences.T @ chance) + pull * off
        return (
            float(np.logaddexp(0.0, -margin).sum() + pull / 2 * (off @ off)),
            np.append(slope, -pull * (off @ prior)),
        )

    start = np.append(prior, 1.0)
    found: Floats = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0.0, None)] * len(start)).x[:-1]
    return found


def won(differences: Floats, weights: Sequence[float]) -> Floats:
    """Of each choice 1 if the item taken is the more similar one, 0 if the other is, a half if neither is."""
    margin = np.round(differences @ np.asarray(weights), 9)
    result: Floats = (np.sign(margin) + 1) / 2
    return result


def _rounded(weights: Floats) -> tuple[float, ...]:
    shares = np.round(weights / weights.sum(), _DIGITS)
    shares[np.argmax(shares)] += 1.0 - shares.sum()
    return tuple(round(float(share), _DIGITS) for share in shares)
