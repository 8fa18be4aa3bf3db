"""What an analysis says: one row per metric and variant, one row per check."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from crossdomain.experiments.design import Design
from crossdomain.experiments.metrics import Window


@dataclass(frozen=True)
class MetricResult:
    """A variant against the control in one metric; fields are the columns of the serving table.

    Attributes:
        experiment_id: The experiment.
        metric: Name of the metric.
        variant: The treatment that is compared with the control.
        kind: ``mean``, ``proportion`` or ``ratio``.
        is_primary: Whether the decision rests on this metric.
        estimate: Treatment minus control; None where nothing can be tested (see ``verdict``).
        low: Lower end of the interval at confidence 1 - alpha.
        high: Upper end.
        p: Two-sided p-value, not adjusted for several metrics.
        relative: (treatment - control) / control; None where the control is not above zero.
        relative_low: Lower end under ``relative_method``.
        relative_high: Upper end.
        mean: Mean, share or ratio of the variant; None without units.
        mean_control: The same of the control.
        n: Units (trials) of the variant.
        n_control: Units (trials) of the control.
        alpha: One minus the confidence.
        method: Test and interval.
        relative_method: ``delta`` (raw control mean as the base) or ``log``.
        verdict: ``measured``, or why not: ``too_few_units``, ``zero_variance``, ``zero_denominator``.
        first_ds: First business day that counts.
        last_ds: Last business day that counts.
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
    first_ds: date
    last_ds: date


@dataclass(frozen=True)
class CheckResult:
    """A check of the data before its numbers; fields are the columns of the serving table.

    Attributes:
        experiment_id: The experiment.
        check_name: ``sample_ratio`` (with ``:count`` for daily counts), ``multiple_exposures``,
            ``unknown_variants``, ``other_exposures`` or ``missing_days``.
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
class Analysis:
    """Everything that one day says about one experiment."""

    design: Design
    window: Window
    metrics: tuple[MetricResult, ...]
    checks: tuple[CheckResult, ...]


@dataclass(frozen=True)
class NoResult:
    """An experiment that has nothing to say on a day, and why."""

    experiment_id: str
    reason: str
