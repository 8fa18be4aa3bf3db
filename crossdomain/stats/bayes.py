"""Bayesian comparison: which arm is better, how probably, and what a wrong choice costs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from crossdomain.errors import InputError
from crossdomain.stats.distributions import normal_below

_NODES = 2048


@dataclass(frozen=True)
class Posterior:
    """What is believed of the treatment's effect.

    Attributes:
        better: Probability that the treatment's mean is above the control's.
        loss_treatment: Expected loss of choosing the treatment: mean of max(control - treatment, 0).
        loss_control: Expected loss of choosing the control: mean of max(treatment - control, 0).
        mean: Posterior mean of the difference, treatment minus control.
        deviation: Its posterior standard deviation.
    """

    better: float
    loss_treatment: float
    loss_control: float
    mean: float
    deviation: float


def normal_posterior(
    estimate: float, se: float, *, prior_mean: float = 0.0, prior_deviation: float = math.inf
) -> Posterior:
    """Posterior of a difference whose estimate is about normal, under a normal prior.

    Precision-weighted mean of estimate and prior (Gelman et al.: Bayesian data analysis, 2.5). For a normal
    difference with mean m and deviation s, the mean of max(-d, 0) is s phi(m / s) - m Phi(-m / s).

    Args:
        estimate: Estimated difference.
        se: Its standard error.
        prior_mean: Mean of the prior.
        prior_deviation: Standard deviation of the prior; infinite for a flat one.

    Raises:
        InputError: A deviation is not positive.
    """
    if not (se > 0 and prior_deviation > 0):
        raise InputError(f"standard error and prior deviation must be positive: {se}, {prior_deviation}")
    data, prior = 1 / se**2, 0.0 if math.isinf(prior_deviation) else 1 / prior_deviation**2
    mean = (data * estimate + prior * prior_mean) / (data + prior)
    deviation = math.sqrt(1 / (data + prior))
    ratio = mean / deviation
    density = math.exp(-(ratio**2) / 2) / math.sqrt(2 * math.pi)
    return Posterior(
        better=normal_below(ratio),
        loss_treatment=deviation * density - mean * normal_below(-ratio),
        loss_control=deviation * density + mean * normal_below(ratio),
        mean=mean,
        deviation=deviation,
    )


def beta_posterior(
    control: tuple[int, int], treatment: tuple[int, int], *, prior: tuple[float, float] = (1.0, 1.0)
) -> Posterior:
    """Posterior of the difference of two proportions, by quadrature over their beta distributions.

    Args:
        control: Successes and trials of the control.
        treatment: Successes and trials of the treatment.
        prior: Parameters of the beta prior of both.

    Raises:
        InputError: Impossible counts, or a prior parameter that is not positive.
    """
    if min(prior) <= 0:
        raise InputError(f"parameters of a beta prior must be positive: {prior}")
    for successes, trials in (control, treatment):
        if not 0 <= successes <= trials:
            raise InputError(f"{successes} successes in {trials} trials: a share lies between 0 and 1")
    (a_c, b_c), (a_t, b_t) = (
        (prior[0] + successes, prior[1] + trials - successes) for successes, trials in (control, treatment)
    )
    # E max(t - c, 0) = integral of P(c < x) P(t > x) dx, and P(t > c) = integral of P(c < x) dP(t = x).
    x, weights = _nodes([(a_c, b_c), (a_t, b_t)])
    below_c, below_t = stats.beta.cdf(x, a_c, b_c), stats.beta.cdf(x, a_t, b_t)
    above_c, above_t = stats.beta.sf(x, a_c, b_c), stats.beta.sf(x, a_t, b_t)
    variance = sum(a * b / (a + b) ** 2 / (a + b + 1) for a, b in ((a_c, b_c), (a_t, b_t)))
    return Posterior(
        better=float((weights * below_c * stats.beta.pdf(x, a_t, b_t)).sum()),
        loss_treatment=float((weights * below_t * above_c).sum()),
        loss_control=float((weights * below_c * above_t).sum()),
        mean=a_t / (a_t + b_t) - a_c / (a_c + b_c),
        deviation=math.sqrt(variance),
    )


def best_of_normal(means: Sequence[float], deviations: Sequence[float]) -> tuple[float, ...]:
    """Probability that each of several independent normal arms has the greatest mean.

    The integral of each density times the others' distribution functions.

    Args:
        means: Posterior mean of each arm.
        deviations: Posterior standard deviation of each arm.

    Raises:
        InputError: Lengths differ, no arm, or a deviation is not positive.
    """
    if len(means) != len(deviations) or not means or not all(deviation > 0 for deviation in deviations):
        raise InputError(f"give a mean and a positive deviation for each arm: {list(means)}, {list(deviations)}")
    centres, scales = np.asarray(means, dtype=np.float64), np.asarray(deviations, dtype=np.float64)
    edges = np.unique(np.concatenate([centres + k * scales for k in (-9, -6, -4, -2, -1, 0, 1, 2, 4, 6, 9)]))
    x, weights = _pieces(edges)
    return _best(
        weights,
        stats.norm.pdf(x[None, :], centres[:, None], scales[:, None]),
        stats.norm.cdf(x[None, :], centres[:, None], scales[:, None]),
    )


def best_of_beta(parameters: Sequence[tuple[float, float]]) -> tuple[float, ...]:
    """Probability that each of several independent beta arms has the greatest share.

    Args:
        parameters: Parameters of the posterior of each arm.

    Raises:
        InputError: No arm, or a parameter is not positive.
    """
    if not parameters or min(min(pair) for pair in parameters) <= 0:
        raise InputError(f"parameters of a beta distribution must be positive: {list(parameters)}")
    x, weights = _nodes(parameters)
    a, b = (np.asarray(one, dtype=np.float64)[:, None] for one in zip(*parameters, strict=True))
    return _best(weights, stats.beta.pdf(x[None, :], a, b), stats.beta.cdf(x[None, :], a, b))


def with_floor(probabilities: Sequence[float], floor: float) -> tuple[float, ...]:
    """Weights that give every arm a floor: floor + (1 - arms floor) probability (GrowthBook's convention).

    Args:
        probabilities: Probabilities of the arms; they sum to one.
        floor: Least weight.

    Raises:
        InputError: The floors exceed one.
    """
    arms = len(probabilities)
    if not 0 <= floor * arms <= 1:
        raise InputError(f"a floor of {floor} for each of {arms} arms is not between 0 and 1 in all")
    return tuple(floor + (1 - arms * floor) * probability for probability in probabilities)


def _best(
    weights: npt.NDArray[np.float64], densities: npt.NDArray[np.float64], below: npt.NDArray[np.float64]
) -> tuple[float, ...]:
    arms = len(densities)
    found = [
        float((weights * densities[arm] * np.delete(below, arm, axis=0).prod(axis=0)).sum()) for arm in range(arms)
    ]
    total = math.fsum(found)
    return tuple(value / total for value in found)


def _nodes(parameters: Sequence[tuple[float, float]]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Nodes on [0, 1], dense where the beta densities are."""
    levels = (1e-12, 1e-6, 1e-3, 0.05, 0.25, 0.5, 0.75, 0.95, 1 - 1e-3, 1 - 1e-6, 1 - 1e-12)
    edges = {0.0, 1.0, *(float(stats.beta.ppf(level, a, b)) for a, b in parameters for level in levels)}
    return _pieces(np.asarray(sorted(edges)))


def _pieces(edges: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Gauss-Legendre nodes and weights between each two edges."""
    points, weights = np.polynomial.legendre.leggauss(max(16, _NODES // len(edges)))
    half, centres = np.diff(edges) / 2, (edges[:-1] + edges[1:]) / 2
    return (centres[:, None] + half[:, None] * points).ravel(), (half[:, None] * weights).ravel()
