"""From the arms' samples to metric results: which test a kind of metric takes."""

from __future__ import annotations

from collections.abc import Mapping

from crossdomain.experiments.design import Design
from crossdomain.experiments.design_parts import Metric
from crossdomain.experiments.metrics import Sample, Window
from crossdomain.experiments.results import MetricResult
from crossdomain.stats.comparison import Comparison, Unmeasurable
from crossdomain.stats.means import compare_means
from crossdomain.stats.moments import Moments, PairMoments
from crossdomain.stats.proportions import Successes, compare_proportions
from crossdomain.stats.ratios import compare_ratios


def compare_samples(control: Sample, treatment: Sample, metric: Metric, *, alpha: float) -> Comparison:
    """A treatment against the control by the test that the metric's kind takes.

    Raises:
        Unmeasurable: The samples allow no test; its verdict says why.
        TypeError: The samples are not those of the metric's kind.
    """
    if isinstance(control, Successes) and isinstance(treatment, Successes):
        return compare_proportions(control, treatment, alpha=alpha, interval=metric.interval, relative=metric.relative)
    if isinstance(control, Moments) and isinstance(treatment, Moments):
        return compare_means(control, treatment, alpha=alpha, relative=metric.relative)
    if isinstance(control, PairMoments) and isinstance(treatment, PairMoments):
        return compare_ratios(control, treatment, alpha=alpha, relative=metric.relative)
    raise TypeError(f"{metric.name}: the arms' samples differ in kind")


def compare_all(design: Design, samples: Mapping[tuple[str, str], Sample], window: Window) -> tuple[MetricResult, ...]:
    """Every metric of the design, every variant against the control, in the design's order.

    Args:
        design: The design.
        samples: (metric, variant) to sample, for every metric and variant of the design.
        window: The days that the samples cover.

    Returns:
        Results; one that cannot be tested has its verdict and no estimate.
    """
    return tuple(
        _result(design, metric, variant, samples[metric.name, design.control], samples[metric.name, variant], window)
        for metric in design.metrics
        for variant in design.treatments
    )


def _result(
    design: Design, metric: Metric, variant: str, control: Sample, treatment: Sample, window: Window
) -> MetricResult:
    found: Comparison | None = None
    try:
        found = compare_samples(control, treatment, metric, alpha=design.alpha)
        verdict = "measured"
    except Unmeasurable as reason:
        verdict = reason.verdict
    relative = found.relative if found else None
    return MetricResult(
        experiment_id=design.experiment_id,
        metric=metric.name,
        variant=variant,
        kind=metric.kind,
        is_primary=metric.name == design.primary_metric,
        estimate=found.estimate if found else None,
        low=found.low if found else None,
        high=found.high if found else None,
        p=found.p if found else None,
        relative=relative.estimate if relative else None,
        relative_low=relative.low if relative else None,
        relative_high=relative.high if relative else None,
        mean=_mean(treatment),
        mean_control=_mean(control),
        n=treatment.n,
        n_control=control.n,
        alpha=design.alpha,
        method=found.method if found else None,
        relative_method=metric.relative,
        verdict=verdict,
        first_ds=window.first,
        last_ds=window.last,
    )


def _mean(sample: Sample) -> float | None:
    if sample.n == 0:
        return None
    if isinstance(sample, Successes):
        return sample.share
    if isinstance(sample, Moments):
        return sample.mean
    return None if sample.y == 0 else sample.ratio
