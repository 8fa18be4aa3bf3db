"""Group sequential tests: an experiment looked at several times, with one level over all looks.

The two-sided boundaries hold for the score process S(t) = Z sqrt(t), which over shares of information t moves like
Brownian motion. The probability of crossing is integrated look by look: Armitage, McPherson, Rowe: Repeated
significance tests on accumulating data (JRSS A, 1969); Jennison, Turnbull: Group sequential methods (2000), chapter 19.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import optimize
from scipy.special import ndtr

from crossdomain.errors import InputError
from crossdomain.stats.comparison import check_alpha
from crossdomain.stats.distributions import normal_critical, normal_p

Shape = Literal["obrien_fleming", "pocock"]

_NODES = 64
_FAR = 8.0
"""Standard deviations beyond which a normal density is taken as zero; its tail there is 1e-15."""


@dataclass(frozen=True)
class Boundaries:
    """Critical values of |Z| at the looks.

    Attributes:
        information: Share of the planned information at each look, rising; the last need not be 1.
        critical: Critical value of |Z| at each look; infinite where nothing is spent.
        spent: Probability under the null of having crossed by each look.
        alpha: Level over all looks up to information 1.
    """

    information: tuple[float, ...]
    critical: tuple[float, ...]
    spent: tuple[float, ...]
    alpha: float


def spending_boundaries(information: Sequence[float], *, alpha: float = 0.05, shape: Shape) -> Boundaries:
    """Boundaries that spend alpha as a function of information, at looks that need not be planned.

    Source: Lan, DeMets: Discrete sequential boundaries for clinical trials (Biometrika 1983). Each side spends half
    of alpha: ``obrien_fleming`` 2 - 2 Phi(z_{1 - a/2} / sqrt(t)) with a = alpha / 2 for each side; ``pocock``
    a log(1 + (e - 1) t).

    Args:
        information: Share of information at each look so far, rising, each above 0 and at most 1.
        alpha: Two-sided level.
        shape: Spending function.

    Raises:
        InputError: The information does not rise, or an option is not valid.
    """
    check_alpha(alpha)
    looks = _checked(information)
    return _spending_boundaries(looks, alpha, shape)


@lru_cache(maxsize=1024)
def _spending_boundaries(looks: tuple[float, ...], alpha: float, shape: Shape) -> Boundaries:
    targets = [spent_by(t, alpha=alpha, shape=shape) for t in looks]
    process = _Process()
    critical, spent = [], []
    for t, target in zip(looks, targets, strict=True):
        left = target - process.crossed
        bound = process.bound_for(t, left) if left > 1e-16 else math.inf
        process = process.after(t, bound)
        critical.append(bound)
        spent.append(process.crossed)
    return Boundaries(looks, tuple(critical), tuple(spent), alpha)


def spent_by(information: float, *, alpha: float, shape: Shape) -> float:
    """Alpha spent by a share of information, both sides together.

    Raises:
        InputError: Unknown spending function.
    """
    t = min(information, 1.0)
    if shape == "obrien_fleming":
        return 2 * normal_p(normal_critical(alpha / 2) / math.sqrt(t))
    if shape == "pocock":
        return alpha * math.log1p((math.e - 1) * t)
    raise InputError(f"unknown spending function {shape!r}: use obrien_fleming or pocock")


def classical_boundaries(looks: int, *, alpha: float = 0.05, shape: Shape) -> Boundaries:
    """Boundaries of a fixed number of equally spaced looks.

    ``pocock``: the same critical value at each (Biometrika 1977). ``obrien_fleming``: c / sqrt(t) (Biometrics 1979).

    Args:
        looks: How many.
        alpha: Two-sided level.
        shape: Shape of the boundary.

    Raises:
        InputError: An option is not valid.
    """
    check_alpha(alpha)
    if looks < 1:
        raise InputError(f"a test needs a look, not {looks}")
    if shape not in ("obrien_fleming", "pocock"):
        raise InputError(f"unknown shape {shape!r}: use obrien_fleming or pocock")
    information = tuple((look + 1) / looks for look in range(looks))

    def critical(constant: float) -> tuple[float, ...]:
        return tuple(constant / math.sqrt(t) if shape == "obrien_fleming" else constant for t in information)

    def excess(constant: float) -> float:
        return crossing_probabilities(information, critical(constant))[-1] - alpha

    least = normal_critical(alpha)
    found = critical(float(optimize.brentq(excess, least - 1e-9, least + 3, xtol=1e-11)))
    return Boundaries(information, found, crossing_probabilities(information, found), alpha)


def crossing_probabilities(
    information: Sequence[float], critical: Sequence[float], *, drift: float = 0.0
) -> tuple[float, ...]:
    """Probability of having crossed either bound by each look.

    Args:
        information: Share of information at each look, rising.
        critical: Critical value of |Z| at each look.
        drift: Expected Z at information 1: the effect over its standard error there.

    Raises:
        InputError: The information does not rise, or the lengths differ.
    """
    looks = _checked(information)
    if len(looks) != len(critical):
        raise InputError(f"{len(looks)} looks and {len(critical)} critical values do not pair")
    process, found = _Process(drift=drift), []
    for t, bound in zip(looks, critical, strict=True):
        process = process.after(t, bound)
        found.append(process.crossed)
    return tuple(found)


def drift_for(power: float, boundaries: Boundaries) -> float:
    """Drift at which the boundaries are crossed with a probability.

    The ratio of its square to that of a single look, (z_{1-alpha/2} + z_{power})^2, is by how much the
    largest sample size grows.

    Raises:
        InputError: ``power`` is not between alpha and 1.
    """
    if not boundaries.alpha < power < 1:
        raise InputError(f"power must lie between alpha, {boundaries.alpha}, and 1, not {power}")

    def missing(drift: float) -> float:
        return crossing_probabilities(boundaries.information, boundaries.critical, drift=drift)[-1] - power

    return float(optimize.brentq(missing, 0.0, 20.0, xtol=1e-9))


def repeated_p(information: Sequence[float], z: float, *, shape: Shape) -> float:
    """Smallest level at which the last look would have crossed (Jennison, Turnbull 2000, section 9.5).

    Valid whether or not the experiment goes on after it.

    Args:
        information: Share of information at each look so far.
        z: Statistic of the last look.
        shape: Spending function.

    Raises:
        InputError: The information does not rise.
    """
    looks, least, most = _checked(information), 1e-12, 1 - 1e-9

    def distance(log_alpha: float) -> float:
        bound = _spending_boundaries(looks, math.exp(log_alpha), shape).critical[-1]
        return min(bound, 1e6) - abs(z)

    low, high = math.log(least), math.log(most)
    if distance(high) >= 0:
        return 1.0
    if distance(low) <= 0:
        return least
    return float(math.exp(optimize.brentq(distance, low, high, xtol=1e-6)))


@dataclass(frozen=True)
class _Process:
    """The score process after a look: sub-density over the scores that crossed no bound, at quadrature nodes.

    Attributes:
        information: Share of information of the look; 0 before the first.
        scores: Nodes, ascending; before the first look all probability lies at 0.
        mass: Density times quadrature weight at each node.
        crossed: Probability of having crossed.
        drift: Expected score at information 1.
    """

    information: float = 0.0
    scores: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(1))
    mass: npt.NDArray[np.float64] = field(default_factory=lambda: np.ones(1))
    crossed: float = 0.0
    drift: float = 0.0

    def tail(self, t: float, bound: float) -> float:
        """Probability of crossing at the next look only."""
        if math.isinf(bound):
            return 0.0
        edge, step = bound * math.sqrt(t), math.sqrt(t - self.information)
        centres = self.scores + self.drift * (t - self.information)
        return float((self.mass * (ndtr((centres - edge) / step) + ndtr((-edge - centres) / step))).sum())

    def bound_for(self, t: float, probability: float) -> float:
        """Critical value that is crossed with a probability at the next look only."""
        high = normal_critical(probability) + 3.0
        return float(optimize.brentq(lambda bound: self.tail(t, bound) - probability, 0.0, high, xtol=1e-12))

    def after(self, t: float, bound: float) -> _Process:
        """The process after a look with a critical value."""
        step = t - self.information
        centres = self.scores + self.drift * step
        reach = _FAR * math.sqrt(t)
        edge = bound * math.sqrt(t)
        low, high = max(-edge, self.drift * t - reach), min(edge, self.drift * t + reach)
        if low >= high:
            scores, weights = np.zeros(1), np.zeros(1)
        else:
            scores, weights = _quadrature(low, high, math.sqrt(step))
        density = np.exp(-((scores[:, None] - centres[None, :]) ** 2) / (2 * step)) / math.sqrt(2 * math.pi * step)
        return _Process(t, scores, (density @ self.mass) * weights, self.crossed + self.tail(t, bound), self.drift)


def _quadrature(low: float, high: float, scale: float) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Gauss-Legendre nodes on pieces no longer than a few standard deviations of the step."""
    pieces = max(1, math.ceil((high - low) / (8 * scale)))
    nodes, weights = _legendre()
    edges = np.linspace(low, high, pieces + 1)
    half = np.diff(edges) / 2
    centres = (edges[:-1] + edges[1:]) / 2
    return (centres[:, None] + half[:, None] * nodes).ravel(), (half[:, None] * weights).ravel()


@lru_cache(maxsize=1)
def _legendre() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    return nodes, weights


def _checked(information: Sequence[float]) -> tuple[float, ...]:
    looks = tuple(float(t) for t in information)
    if not looks or not all(a < b for a, b in zip((0.0, *looks), looks, strict=False)) or looks[-1] > 1 + 1e-9:
        raise InputError(f"shares of information must rise from above 0 to at most 1: {list(looks)}")
    return looks
