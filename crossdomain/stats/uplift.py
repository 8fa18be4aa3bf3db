"""How well a score orders people by what a treatment does to them: uplift curve, Qini, AUUC.

Source: Radcliffe: Using control groups to target on predicted lift (2007), the Qini curve; Devriendt, Van Belle,
Guns, Verbeke: Learning to rank for uplift modeling (TKDE 2020), definitions compared there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crossdomain.errors import InputError
from crossdomain.stats.comparison import Unmeasurable

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Uplift:
    """Curves over the people taken in falling order of their score; people of one score come together.

    Attributes:
        share: Share of the people taken, from 0 to 1.
        gain: Additional outcome among the treated people taken, per person of all: (Y_t - Y_c n_t / n_c) / N with
            the sums and numbers of treated and control among those taken (Qini curve); before the first control
            person is taken, 0.
        qini: Area between the curve and the straight line to its end.
        auuc: Area under the curve of (Y_t / n_t - Y_c / n_c) (n_t + n_c) / N (area under the uplift curve).
        effect: Mean outcome of all treated minus that of all control.
    """

    share: Floats
    gain: Floats
    qini: float
    auuc: float
    effect: float


def measure_uplift(score: Floats, outcome: Floats, treated: npt.NDArray[np.bool_]) -> Uplift:
    """Curves and areas of a score, from an experiment with two arms.

    Args:
        score: For each person, how much the treatment is expected to help; the greatest is taken first.
        outcome: For each person, what happened (0 or 1, revenue).
        treated: For each person, whether treated.

    Returns:
        The measures; the order of the people changes nothing.

    Raises:
        Unmeasurable: An arm is empty.
        InputError: The columns differ in length, or a value is not finite.
    """
    score, outcome = np.asarray(score, dtype=np.float64), np.asarray(outcome, dtype=np.float64)
    treated = np.asarray(treated, dtype=bool)
    if not len(score) == len(outcome) == len(treated):
        raise InputError(f"columns of {len(score)}, {len(outcome)} and {len(treated)} people do not pair")
    if not (np.isfinite(score).all() and np.isfinite(outcome).all()):
        raise InputError("scores and outcomes must be finite numbers")
    n = len(score)
    if not 0 < treated.sum() < n:
        raise Unmeasurable("too_few_units", "uplift needs people in both arms")
    # Sorted by all columns, so that sums of floats do not depend on the order of the rows.
    order = np.lexsort((outcome, treated, -score))
    score, outcome, treated = score[order], outcome[order], treated[order]
    last = np.flatnonzero(np.append(score[1:] != score[:-1], True))
    n_t, n_c = (np.cumsum(arm)[last].astype(np.float64) for arm in (treated, ~treated))
    y_t, y_c = (np.cumsum(outcome * arm)[last] for arm in (treated, ~treated))
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = np.where(n_c > 0, y_t - y_c * n_t / n_c, 0.0) / n
        uplift = np.where((n_c > 0) & (n_t > 0), (y_t / n_t - y_c / n_c) * (n_t + n_c), 0.0) / n
    share, gain, uplift = (np.concatenate([[0.0], one]) for one in ((last + 1) / n, gain, uplift))
    effect = float(y_t[-1] / n_t[-1] - y_c[-1] / n_c[-1])
    return Uplift(
        share, gain, float(np.trapezoid(gain, share)) - float(gain[-1]) / 2, float(np.trapezoid(uplift, share)), effect
    )
