"""What an analysis says: one row per metric and variant, one per check, one decision per variant."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

from crossdomain.experiments.design import Design
from crossdomain.experiments.metrics import Window

Verdict = Literal["ship", "stop", "continue", "harm"]


@dataclass(frozen=True)
class MetricResult:
    """A variant against the control in one metric; fields are columns of the serving table.

    Attributes:
        experiment_id: The experiment.
        metric: Name of the metric.
        variant: The treatment that is compared with the control.
        kind: ``mean``, ``proportion``, ``ratio`` or ``quantile``.
        is_primary: Whether the decision rests on this metric.
        estimate: Treatment minus control (with CUPED adjusted); None where nothing can be tested (see ``verdict``).
        low: Lower end of the interval; at confidence 1 - alpha over all looks of the design's analysis.
        high: Upper end.
        p: Two-sided p-value over all looks, not adjusted for several metrics.
        relative: estimate / mean of the control; None where that is not above zero.
        relative_low: Lower end under ``relative_method``.
        relative_high: Upper end.
        mean: Mean, share, ratio or quantile of the variant, unadjusted; None without units.
        mean_control: The same of the control.
        n: Units (trials) of the variant; 0 where the verdict is ``too_small``, which tells no number.
        n_control: Units (trials) of the control; 0 likewise.
        alpha: One minus the confidence.
        method: Test and interval.
        relative_method: ``delta`` (raw control mean as the base) or ``log``.
        verdict: ``measured``, or why not: ``too_few_units``, ``zero_variance``, ``zero_denominator``,
            ``not_finite``, ``missing_values``, ``weights_changed``, of a part ``too_small``.
        first_ds: First business day that counts; None where a file does not say.
        last_ds: Last business day that counts.
        se: Standard error of the estimate.
        p_adjusted: ``p`` adjusted over all metrics and variants that were measured, by the design's correction.
        nominal_alpha: Level of this look by itself; alpha unless the analysis is sequential.
        better: Which way is good, ``higher`` or ``lower``.
        better_probability: Posterior probability, under a flat prior, that the variant is the better one.
        expected_loss: Posterior mean of what choosing the variant loses, in the metric's unit.
    """

    experiment_id: str
    metric: str
    variant: str
    kind: str
    is_primary: bool
    estimate: float | None
    low: float | None
    high: float | None
    p: float | None
    relative: float | None
    relative_low: float | None
    relative_high: float | None
    mean: float | None
    mean_control: float | None
    n: int
    n_control: int
    alpha: float
    method: str | None
    relative_method: str
    verdict: str
    first_ds: date | None
    last_ds: date | None
    se: float | None = None
    p_adjusted: float | None = None
    nominal_alpha: float | None = None
    better: str = "higher"
    better_probability: float | None = None
    expected_loss: float | None = None


@dataclass(frozen=True)
class CheckResult:
    """A check of the data before its numbers; fields are the columns of the serving table.

    Attributes:
        experiment_id: The experiment.
        check_name: Name of the check, such as ``sample_ratio``.
        ok: Whether the numbers may be trusted as far as this check goes.
        p: p-value, where the check is a test.
        value: What was counted, where the check counts.
        detail: What was found, in words and numbers.
    """

    experiment_id: str
    check_name: str
    ok: bool
    p: float | None
    value: float | None
    detail: str


@dataclass(frozen=True)
class Decision:
    """What to do about a variant.

    Attributes:
        experiment_id: The experiment.
        variant: The variant.
        decision: ``ship``, ``stop``, ``continue`` or ``harm``; None: none may be made automatically.
        rule: Name of the rule that gave it.
        detail: Its numbers, in words.
    """

    experiment_id: str
    variant: str
    decision: Verdict | None
    rule: str
    detail: str


@dataclass(frozen=True)
class Part:
    """Results of a part of the units.

    Attributes:
        kind: ``segment`` (registered beforehand) or ``dimension`` (a value of one).
        name: The segment, or the dimension.
        value: The dimension's value; of a segment empty.
        metrics: Results, adjusted over all parts of the kind and name.
    """

    kind: Literal["segment", "dimension"]
    name: str
    value: str
    metrics: tuple[MetricResult, ...]


@dataclass(frozen=True)
class DailyEffect:
    """The primary metric as it stood at the end of a day.

    Attributes:
        day: The day.
        variant: The variant.
        estimate: Effect of all units up to the day; None where nothing could be tested.
        low: Lower end of the interval at 1 - alpha by itself.
        high: Upper end.
        bound_low: Lower end of the interval that holds over all days or looks.
        bound_high: Upper end.
    """

    day: str
    variant: str
    estimate: float | None
    low: float | None
    high: float | None
    bound_low: float | None
    bound_high: float | None


@dataclass(frozen=True)
class Analysis:
    """Everything that one moment says about one experiment.

    Attributes:
        design: The design.
        window: Days that count; None where a file has no days.
        metrics: Results in the design's order.
        checks: Checks before the numbers.
        units: Analysed units of each variant in the design's order; None for what is known as counts.
        decisions: One a variant; empty where they are made elsewhere.
        parts: Results by segment and dimension.
        daily: The primary metric day by day.
    """

    design: Design
    window: Window | None
    metrics: tuple[MetricResult, ...]
    checks: tuple[CheckResult, ...]
    units: tuple[int, ...] | None = None
    decisions: tuple[Decision, ...] = ()
    parts: tuple[Part, ...] = ()
    daily: tuple[DailyEffect, ...] = ()


@dataclass(frozen=True)
class NoResult:
    """An experiment that has nothing to say on a day, and why."""

    experiment_id: str
    reason: str
