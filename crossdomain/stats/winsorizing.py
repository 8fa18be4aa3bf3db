"""Values cut to quantiles of all arms together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from crossdomain.errors import InputError

Values = npt.NDArray[np.float64]


def pooled_caps(
    arms: Sequence[Values], *, lower: float | None = None, upper: float | None = None, ignore_zeros: bool = False
) -> tuple[float | None, float | None]:
    """Caps at quantiles of the values of all arms, by linear interpolation (Hyndman and Fan's type 7).

    One cap for all: caps of each arm would cut the better arm higher and bias the difference. Source: the
    convention of GrowthBook and Eppo.

    Args:
        arms: The values of each arm.
        lower: Quantile below which values are raised to it; None for no cap.
        upper: Quantile above which values are cut to it; None for no cap.
        ignore_zeros: Whether the quantiles are of the values other than 0.

    Returns:
        Lower and upper cap; None where none was asked for, or no value is left to take it from.

    Raises:
        InputError: A quantile is not between 0 and 1, or the lower one is not below the upper.
    """
    for level in (lower, upper):
        if level is not None and not 0 < level < 1:
            raise InputError(f"a cap's quantile lies between 0 and 1, not {level}")
    if lower is not None and upper is not None and lower >= upper:
        raise InputError(f"the lower cap's quantile, {lower}, must be below the upper one, {upper}")
    pooled = np.sort(np.concatenate([np.asarray(arm, dtype=np.float64) for arm in arms]))
    if ignore_zeros:
        pooled = pooled[pooled != 0]
    if len(pooled) == 0:
        return None, None
    found = [None if level is None else float(np.quantile(pooled, level)) for level in (lower, upper)]
    return found[0], found[1]


def cut(values: Values, caps: tuple[float | None, float | None]) -> Values:
    """Values raised to the lower cap and cut to the upper one."""
    lower, upper = caps
    return values if lower is None and upper is None else np.clip(values, lower, upper)
