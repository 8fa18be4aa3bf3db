"""What one arm gives for one metric, by the metric's kind and what is known of its units."""

from __future__ import annotations

import math
from dataclasses import dataclass

from crossdomain.stats.blocks import BlockedSums
from crossdomain.stats.clusters import ClusteredMean
from crossdomain.stats.cuped import ClusteredAndCovariate, MeanAndCovariate, RatioAndCovariate
from crossdomain.stats.moments import Moments, PairMoments
from crossdomain.stats.proportions import Successes
from crossdomain.stats.quantiles import Quantile


@dataclass(frozen=True)
class NoSample:
    """An arm that the metric cannot be measured in.

    Attributes:
        verdict: Why, as in ``MetricResult``.
        n: Units of the arm.
    """

    verdict: str
    n: int


Sample = (
    Successes
    | Moments
    | PairMoments
    | MeanAndCovariate
    | RatioAndCovariate
    | ClusteredMean
    | ClusteredAndCovariate
    | BlockedSums
    | Quantile
    | NoSample
)


def sample_mean(sample: Sample) -> float | None:
    """Mean, share, ratio or quantile of an arm; None where it has no unit, or its denominators add up to zero."""
    if isinstance(sample, Quantile):
        return sample.value
    if isinstance(sample, NoSample) or sample.n == 0:
        return None
    if isinstance(sample, Successes):
        return sample.share
    if isinstance(sample, Moments):
        return sample.mean
    if isinstance(sample, MeanAndCovariate):
        return float(sample.mean(0))
    if isinstance(sample, RatioAndCovariate | ClusteredAndCovariate):
        return None if sample.sums[1] == 0 else float(sample.mean(0) / sample.mean(1))
    if isinstance(sample, BlockedSums):
        total = math.fsum(sample.y)
        return math.fsum(sample.x) / total if total else None
    pairs = sample.moments if isinstance(sample, ClusteredMean) else sample
    return None if pairs.y == 0 else pairs.ratio


def sample_units(sample: Sample) -> int:
    """Units (trials) of an arm."""
    return sample.units if isinstance(sample, Quantile) else sample.n
