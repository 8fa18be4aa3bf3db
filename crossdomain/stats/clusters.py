"""Randomisation by cluster (lecturer, slot): the cluster is the independent unit, its units are not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from crossdomain.errors import InputError
from crossdomain.stats.comparison import (
    Comparison,
    Estimate,
    Relative,
    Unmeasurable,
    check_alpha,
    compare_t,
    satterthwaite,
    satterthwaite_of,
)
from crossdomain.stats.distributions import t_p
from crossdomain.stats.exact_sums import pair_moments
from crossdomain.stats.moments import PairMoments

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ClusteredMean:
    """An arm whose clusters were randomised.

    Attributes:
        moments: Moments over the clusters of (sum of the values, number of units), or of a ratio's two sums.
        n: Units.
        variance: Variance of the mean; None: the delta method's, by the moments (0 where they say so exactly).
    """

    moments: PairMoments
    n: int
    variance: float | None = None

    @classmethod
    def of(cls, sums: Floats, sizes: Floats, n: int) -> Self:
        """An arm from its clusters, with the jackknife's variance.

        The delta method's is too small where clusters are few and their sizes vary: a large cluster draws the mean
        towards itself. Leaving out one cluster after the other accounts for that (Miller 1974; Wu 1986); with clusters
        of one size the two are the same.

        Args:
            sums: Sum of the values of each cluster (the numerators), in any order.
            sizes: Units of each cluster (the denominators).
            n: Units.
        """
        moments, clusters = pair_moments(sums, sizes), len(sums)
        if clusters < 2 or moments.y == 0 or moments.ratio_variance == 0:
            return cls(moments, n)
        moved = leave_one_out(sums, sizes)
        return cls(moments, n, math.fsum((moved**2).tolist()) * (clusters - 1) / clusters)


def compare_clustered_means(
    control: ClusteredMean, treatment: ClusteredMean, *, alpha: float = 0.05, relative: Relative = "delta"
) -> Comparison:
    """Difference of the means of units whose clusters were randomised.

    A mean over units is a ratio over clusters: sum of the values over number of units, with the delta-method
    variance over clusters (Deng, Knoblich, Lu 2018, section 3) or that of ``ClusteredMean.of``. Clusters are often few,
    so t takes the place of z, with Satterthwaite's degrees of freedom from the clusters.

    Args:
        control: The control.
        treatment: The treatment.
        alpha: One minus the confidence of the intervals.
        relative: Convention of the relative effect's interval.

    Raises:
        Unmeasurable: Fewer than two clusters an arm, no unit, or no variance.
        InputError: An option is not valid.
    """
    check_alpha(alpha)
    c, t = control.moments, treatment.moments
    if min(c.n, t.n) < 2:
        raise Unmeasurable("too_few_units", f"it needs two clusters an arm: {c.n} and {t.n}")
    if c.y == 0 or t.y == 0:
        raise Unmeasurable("zero_denominator", "an arm's clusters have no units")
    var_c, var_t = (
        arm.moments.ratio_variance if arm.variance is None else arm.variance for arm in (control, treatment)
    )
    if var_c + var_t == 0:
        raise Unmeasurable("zero_variance", "every cluster has the same mean in each arm: there is no test")
    return compare_t(
        Estimate(c.ratio, var_c, control.n),
        Estimate(t.ratio, var_t, treatment.n),
        df=satterthwaite(var_c, c.n, var_t, t.n),
        alpha=alpha,
        relative=relative,
        method="clustered_t",
    )


def leave_one_out(numerators: Floats, denominators: Floats) -> Floats:
    """By how much a ratio of two sums changes when each of its terms is left out in turn.

    Args:
        numerators: The terms of the upper sum.
        denominators: Those of the lower sum, whose sum is not 0; one that is all of it changes nothing.
    """
    below = math.fsum(denominators.tolist())
    if below == 0:
        return np.zeros(len(numerators))
    rest = below - denominators
    residual = numerators - math.fsum(numerators.tolist()) / below * denominators
    return np.divide(-residual, rest, out=np.zeros(len(rest)), where=rest != 0)


@dataclass(frozen=True)
class StratifiedDifference:
    """A difference of clustered means, averaged over strata.

    Attributes:
        estimate: Mean over the strata of one mean minus the other.
        se: Its standard error.
        df: Degrees of freedom of t.
        p: Two-sided p-value.
    """

    estimate: float
    se: float
    df: float
    p: float


def compare_in_strata(strata: Sequence[tuple[PairMoments, PairMoments]]) -> StratifiedDifference:
    """Difference of two clustered means within each stratum, the strata counting alike.

    Args:
        strata: Moments over the clusters of the one and of the other group in each stratum.

    Raises:
        Unmeasurable: A group has fewer than two clusters or no unit, or nothing varies.
    """
    groups = [group for pair in strata for group in pair]
    if not groups or min(group.n for group in groups) < 2:
        raise Unmeasurable("too_few_units", "every group of every stratum needs two clusters")
    if any(group.y == 0 for group in groups):
        raise Unmeasurable("zero_denominator", "a group's clusters have no units")
    variances = [(group.ratio_variance, group.n) for group in groups]
    if not sum(variance for variance, _ in variances) > 0:
        raise Unmeasurable("zero_variance", "every cluster of a group has the same mean: there is no test")
    estimate = math.fsum(other.ratio - one.ratio for one, other in strata) / len(strata)
    se = math.sqrt(math.fsum(variance for variance, _ in variances)) / len(strata)
    df = satterthwaite_of(variances)
    return StratifiedDifference(estimate, se, df, t_p(estimate / se, df))


def design_effect(cluster_size: float, correlation: float, *, variation: float = 0.0) -> float:
    """By how much the variance of a mean grows when clusters are randomised instead of their units.

    1 + ((1 + v^2) m - 1) r for clusters of mean size m whose sizes vary with coefficient v, and correlation r within
    them (Kish 1965; Eldridge, Ashby, Kerry 2006).

    Args:
        cluster_size: Mean units of a cluster, at least 1.
        correlation: Correlation of two units of a cluster.
        variation: Standard deviation of the sizes over their mean.

    Raises:
        InputError: A number is out of range.
    """
    if not (cluster_size >= 1 and -1 <= correlation <= 1 and variation >= 0):
        raise InputError(f"out of range: size {cluster_size}, correlation {correlation}, variation {variation}")
    return 1 + ((1 + variation**2) * cluster_size - 1) * correlation
