"""Two proportions: pooled z test, and an interval of the difference under a named convention."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from crossdomain.errors import InputError
from crossdomain.stats.comparison import Comparison, Estimate, Relative, Unmeasurable, check_alpha, compare_z

Interval = Literal["unpooled", "pooled"]
"""Standard error of the difference's interval; see ``compare_proportions``."""


@dataclass(frozen=True)
class Successes:
    """Successes among trials (units, clicks); the share is ``count / n``."""

    count: int
    n: int

    def __post_init__(self) -> None:
        """Refuse impossible counts.

        Raises:
            InputError: Not 0 <= count <= n.
        """
        if not 0 <= self.count <= self.n:
            raise InputError(f"{self.count} successes in {self.n} trials: a share lies between 0 and 1")

    @property
    def share(self) -> float:
        """Successes over trials; needs a trial."""
        return self.count / self.n

    @property
    def share_variance(self) -> float:
        """Variance of the share, p (1 - p) / n."""
        return self.share * (1 - self.share) / self.n


def compare_proportions(
    control: Successes,
    treatment: Successes,
    *,
    alpha: float = 0.05,
    interval: Interval = "unpooled",
    relative: Relative = "delta",
) -> Comparison:
    """Difference of two shares: p from the pooled z test, interval of the named convention.

    The null hypothesis says that the shares are equal, so the test pools them. The interval holds for
    any true difference, so ``unpooled`` (Wald, each arm's own variance) is the default; ``pooled`` uses
    the test's standard error and agrees with it (an interval without zero exactly where p < alpha).
    Source: Agresti, Categorical Data Analysis, 3.1. The relative effect always uses each arm's own
    variance. Both are large-sample methods: with fewer than about five successes or failures an arm,
    read them with care.

    Args:
        control: Successes of the control.
        treatment: Successes of the treatment.
        alpha: One minus the confidence of the intervals.
        interval: Convention of the difference's interval.
        relative: Convention of the relative effect's interval.

    Returns:
        The comparison; ``method`` is ``z_pooled_interval_unpooled`` or ``z_pooled_interval_pooled``.

    Raises:
        Unmeasurable: An arm without trials (``too_few_units``), or all trials of both arms ended alike
            (``zero_variance``).
        InputError: An option is not valid.
    """
    check_alpha(alpha)
    if interval not in ("unpooled", "pooled"):
        raise InputError(f"unknown interval of a proportion {interval!r}: use unpooled or pooled")
    if min(control.n, treatment.n) < 1:
        raise Unmeasurable("too_few_units", f"an arm has no trials: {control.n} and {treatment.n}")
    pooled = (control.count + treatment.count) / (control.n + treatment.n)
    if pooled in (0.0, 1.0):
        raise Unmeasurable("zero_variance", "all trials of both arms ended alike: there is no test")
    se_pooled = math.sqrt(pooled * (1 - pooled) * (1 / control.n + 1 / treatment.n))
    se_unpooled = math.sqrt(control.share_variance + treatment.share_variance)
    return compare_z(
        Estimate(control.share, control.share_variance, control.n),
        Estimate(treatment.share, treatment.share_variance, treatment.n),
        se=se_pooled if interval == "pooled" else se_unpooled,
        se_test=se_pooled,
        alpha=alpha,
        relative=relative,
        method=f"z_pooled_interval_{interval}",
    )
