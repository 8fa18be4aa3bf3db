"""Arms that were randomised within blocks (pairs of time slots, slots of one weekday and hour): compared within them.

What all slots of a block share (the hour, the week) cancels in the difference, and the variance must say so: arms of a
block are not independent, blocks are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from crossdomain.errors import InputError
from crossdomain.stats.comparison import Comparison, Relative, Unmeasurable, check_alpha, relative_of_dependent
from crossdomain.stats.cuped import JointMoments
from crossdomain.stats.distributions import t_critical, t_p
from crossdomain.stats.exact_sums import joint_moments

Floats = npt.NDArray[np.float64]


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
    """Difference of two arms' means or ratios; as ``compare_blocked_moments``."""
    if len(control.x) != len(treatment.x):
        raise InputError(f"{len(control.x)} and {len(treatment.x)} blocks do not pair")
    return compare_blocked_moments(
        joint_moments(control.x, control.y, treatment.x, treatment.y),
        n_control=control.n,
        n=treatment.n,
        alpha=alpha,
        relative=relative,
    )


def compare_blocked_moments(
    joint: JointMoments, *, n_control: int, n: int, alpha: float = 0.05, relative: Relative = "delta"
) -> Comparison:
    """Difference of two ratios of sums over blocks, t with one degree of freedom less than there are blocks.

    Each ratio is linearised, (x - R y) / mean(y), and the variance is that of the differences of these over the blocks
    (delta method for dependent ratios: Deng, Knoblich, Lu 2018, section 3). With one unit of each arm in every block
    it is the paired t test. Given the values, only the randomisation varies, and blocks are randomised by themselves:
    values of neighbouring blocks may depend on each other (Bojinov, Simchi-Levi, Zhao 2023; Imai, King, Nall 2009).

    Args:
        joint: Moments over blocks of (control's numerator, its denominator, treatment's numerator, its denominator).
        n_control: Units of the control.
        n: Units of the treatment.
        alpha: One minus the confidence of the intervals.
        relative: Convention of the relative effect's interval.

    Raises:
        Unmeasurable: Fewer than two blocks, an arm without units, or no variance.
        InputError: An option is not valid.
    """
    check_alpha(alpha)
    blocks = joint.n
    if blocks < 2:
        raise Unmeasurable("too_few_units", f"it needs two blocks, not {blocks}")
    if joint.sums[1] == 0 or joint.sums[3] == 0:
        raise Unmeasurable("zero_denominator", "an arm's blocks have no units")
    ratio_c, ratio_t = (Fraction(joint.sums[i]) / Fraction(joint.sums[i + 1]) for i in (0, 2))
    of_control = (1 / joint.mean(1), -ratio_c / joint.mean(1), Fraction(0), Fraction(0))
    of_treatment = (Fraction(0), Fraction(0), 1 / joint.mean(3), -ratio_t / joint.mean(3))
    difference = tuple(t - c for c, t in zip(of_control, of_treatment, strict=True))
    scale = (blocks - 1) * blocks
    variance = float(max(_form(joint, difference, difference) / scale, Fraction(0)))
    if variance == 0:
        raise Unmeasurable("zero_variance", "the arms differ by the same in every block: there is no test")
    estimate, se, df = float(ratio_t - ratio_c), math.sqrt(variance), float(blocks - 1)
    quantile = t_critical(alpha, df)
    return Comparison(
        estimate=estimate,
        se=se,
        low=estimate - quantile * se,
        high=estimate + quantile * se,
        statistic=estimate / se,
        df=df,
        p=t_p(estimate / se, df),
        mean=float(ratio_t),
        mean_control=float(ratio_c),
        n=n,
        n_control=n_control,
        relative=relative_of_dependent(
            estimate,
            variance,
            float(ratio_c),
            float(_form(joint, of_control, of_control) / scale),
            float(_form(joint, difference, of_control) / scale),
            quantile=quantile,
            method=relative,
        ),
        alpha=alpha,
        method="blocked_t",
    )


def _form(joint: JointMoments, left: tuple[Fraction, ...], right: tuple[Fraction, ...]) -> Fraction:
    """The scatter between two linear combinations of the values."""
    return sum(
        (a * b * joint.scatter[i][j] for i, a in enumerate(left) for j, b in enumerate(right) if a and b), Fraction(0)
    )
