"""Arms that were randomised within blocks (pairs of time slots, slots of one weekday and hour): compared within them.

What all slots of a block share (the hour, the week) cancels in the difference, and the variance must say so: arms of a
block are not independent, blocks are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crossdomain.errors import InputError
from crossdomain.stats.clusters import leave_one_out
from crossdomain.stats.comparison import Comparison, Relative, Unmeasurable, check_alpha, relative_of_dependent
from crossdomain.stats.distributions import t_critical, t_p

Floats = npt.NDArray[np.float64]
_NOTHING = 1e-28
"""Share of the squared means below which a variance is what rounding left."""


@dataclass(frozen=True, eq=False)
class BlockedSums:
    """An arm of an experiment that was randomised within blocks.

    Attributes:
        x: Sum of the numerator in each block, the blocks in the same order in all arms; 0 where the arm has nothing.
        y: The same of the denominator (of a mean: the number of units).
        n: Units.
    """

    x: Floats
    y: Floats
    n: int


def compare_blocks(
    control: BlockedSums, treatment: BlockedSums, *, alpha: float = 0.05, relative: Relative = "delta"
) -> Comparison:
    """Difference of two ratios of sums over blocks, t with one degree of freedom less than there are blocks.

    The variance is the jackknife's: each block is left out of both arms in turn. It is that of the differences of the
    two linearised ratios (Deng, Knoblich, Lu 2018, section 3), corrected for blocks that are large and so draw the
    ratios towards themselves (as ``ClusteredMean.of``); with one unit of each arm in every block it is the paired t
    test. Given the values, only the randomisation varies, and blocks are randomised by themselves: values of
    neighbouring blocks may depend on each other (Bojinov, Simchi-Levi, Zhao 2023; Imai, King, Nall 2009).

    Args:
        control: The control.
        treatment: The treatment, its blocks in the same order.
        alpha: One minus the confidence of the intervals.
        relative: Convention of the relative effect's interval.

    Raises:
        Unmeasurable: Fewer than two blocks, an arm without units, or no variance.
        InputError: The arms' blocks do not pair, or an option is not valid.
    """
    check_alpha(alpha)
    blocks = len(control.x)
    if len(treatment.x) != blocks:
        raise InputError(f"{blocks} and {len(treatment.x)} blocks do not pair")
    if blocks < 2:
        raise Unmeasurable("too_few_units", f"it needs two blocks, not {blocks}")
    below = [math.fsum(arm.y.tolist()) for arm in (control, treatment)]
    if 0 in below:
        raise Unmeasurable("zero_denominator", "an arm's blocks have no units")
    mean_c, mean_t = (math.fsum(arm.x.tolist()) / total for arm, total in zip((control, treatment), below, strict=True))
    of_control = leave_one_out(control.x, control.y)
    moved = leave_one_out(treatment.x, treatment.y) - of_control
    variance = _summed(moved, moved)
    if variance <= _NOTHING * (mean_c**2 + mean_t**2):
        raise Unmeasurable("zero_variance", "the arms differ by the same in every block: there is no test")
    estimate, se, df = mean_t - mean_c, math.sqrt(variance), float(blocks - 1)
    quantile = t_critical(alpha, df)
    return Comparison(
        estimate=estimate,
        se=se,
        low=estimate - quantile * se,
        high=estimate + quantile * se,
        statistic=estimate / se,
        df=df,
        p=t_p(estimate / se, df),
        mean=mean_t,
        mean_control=mean_c,
        n=treatment.n,
        n_control=control.n,
        relative=relative_of_dependent(
            estimate,
            variance,
            mean_c,
            _summed(of_control, of_control),
            _summed(moved, of_control),
            quantile=quantile,
            method=relative,
        ),
        alpha=alpha,
        method="blocked_t",
    )


def _summed(left: Floats, right: Floats) -> float:
    """The jackknife's (co)variance of two estimates from what leaving out each block does to them."""
    return math.fsum((left * right).tolist()) * (len(left) - 1) / len(left)
