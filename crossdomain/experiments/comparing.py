"""From the arms' samples to metric results: which test a kind of metric takes, at which level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from crossdomain.experiments.design import Design
from crossdomain.experiments.design_parts import Metric
from crossdomain.experiments.metrics import Window
from crossdomain.experiments.monitoring import FINAL, Progress, level_now, p_now
from crossdomain.experiments.results import MetricResult
from crossdomain.experiments.samples import NoSample, Sample, sample_mean, sample_units
from crossdomain.stats.bayes import normal_posterior
from crossdomain.stats.blocks import BlockedSums, compare_blocks
from crossdomain.stats.clusters import ClusteredMean, compare_clustered_means
from crossdomain.stats.comparison import Comparison, Unmeasurable
from crossdomain.stats.cuped import (
    ClusteredAndCovariate,
    MeanAndCovariate,
    RatioAndCovariate,
    compare_adjusted_means,
    compare_adjusted_ratios,
)
from crossdomain.stats.means import compare_means
from crossdomain.stats.moments import Moments, PairMoments
from crossdomain.stats.multiplicity import adjust_p
from crossdomain.stats.proportions import Successes, compare_proportions
from crossdomain.stats.quantiles import Quantile, compare_quantiles
from crossdomain.stats.ratios import compare_ratios


def compare_samples(control: Sample, treatment: Sample, metric: Metric, *, alpha: float) -> Comparison:
    """A treatment against the control by the test that the samples take.

    Raises:
        Unmeasurable: The samples allow no test; its verdict says why.
        TypeError: The samples differ in kind.
    """
    for sample in (control, treatment):
        if isinstance(sample, NoSample):
            raise Unmeasurable(sample.verdict, f"{metric.name} cannot be measured: {sample.verdict}")
    relative = metric.relative
    match control, treatment:
        case Successes(), Successes():
            return compare_proportions(control, treatment, alpha=alpha, interval=metric.interval, relative=relative)
        case Moments(), Moments():
            return compare_means(control, treatment, alpha=alpha, relative=relative)
        case PairMoments(), PairMoments():
            return compare_ratios(control, treatment, alpha=alpha, relative=relative)
        case MeanAndCovariate(), MeanAndCovariate():
            return compare_adjusted_means(control, treatment, alpha=alpha, relative=relative)
        case RatioAndCovariate(), RatioAndCovariate():
            return compare_adjusted_ratios(control, treatment, alpha=alpha, relative=relative)
        case ClusteredAndCovariate(), ClusteredAndCovariate():
            return compare_adjusted_ratios(control, treatment, alpha=alpha, relative=relative)
        case ClusteredMean(), ClusteredMean():
            return compare_clustered_means(control, treatment, alpha=alpha, relative=relative)
        case BlockedSums(), BlockedSums():
            return compare_blocks(control, treatment, alpha=alpha, relative=relative)
        case Quantile(), Quantile():
            return compare_quantiles(control, treatment, alpha=alpha, relative=relative)
    raise TypeError(f"{metric.name}: the arms' samples differ in kind")


def compare_all(
    design: Design,
    samples: Mapping[tuple[str, str], Sample],
    window: Window | None,
    *,
    progress: Progress = FINAL,
) -> tuple[MetricResult, ...]:
    """Every metric of the design, every variant against the control, in the design's order.

    Args:
        design: The design.
        samples: (metric, variant) to sample, for every metric and variant of the design.
        window: The days that the samples cover.
        progress: Where the experiment is; matters for sequential analyses.

    Returns:
        Results, p-values adjusted over all that could be tested; one that cannot has its verdict and no estimate.
    """
    found = tuple(
        _result(
            design,
            metric,
            variant,
            (samples[metric.name, design.control], samples[metric.name, variant]),
            window,
            progress,
        )
        for metric in design.metrics
        for variant in design.treatments
    )
    return adjust(found, design)


def adjust(results: Sequence[MetricResult], design: Design) -> tuple[MetricResult, ...]:
    """The results with p-values adjusted over all of them that were measured, by the design's correction."""
    adjusted = iter(adjust_p([one.p for one in results if one.p is not None], method=design.correction))
    return tuple(one if one.p is None else replace(one, p_adjusted=next(adjusted)) for one in results)


def _result(
    design: Design,
    metric: Metric,
    variant: str,
    arms: tuple[Sample, Sample],
    window: Window | None,
    progress: Progress,
) -> MetricResult:
    control, treatment = arms
    units = sample_units(control) + sample_units(treatment)
    level = level_now(design, progress, units)
    empty = MetricResult(
        experiment_id=design.experiment_id,
        metric=metric.name,
        variant=variant,
        kind=metric.kind,
        is_primary=metric.name == design.primary_metric,
        estimate=None,
        low=None,
        high=None,
        p=None,
        relative=None,
        relative_low=None,
        relative_high=None,
        mean=sample_mean(treatment),
        mean_control=sample_mean(control),
        n=sample_units(treatment),
        n_control=sample_units(control),
        alpha=design.alpha,
        method=None,
        relative_method=metric.relative,
        verdict="measured",
        first_ds=window.first if window else None,
        last_ds=window.last if window else None,
        nominal_alpha=level,
        better=metric.better,
    )
    try:
        found = compare_samples(control, treatment, metric, alpha=level)
    except Unmeasurable as reason:
        return replace(empty, verdict=reason.verdict)
    posterior = normal_posterior(found.estimate, found.se)
    higher = metric.better == "higher"
    return replace(
        empty,
        estimate=found.estimate,
        low=found.low,
        high=found.high,
        p=p_now(design, progress, found.p, units),
        relative=found.relative.estimate,
        relative_low=found.relative.low,
        relative_high=found.relative.high,
        method=found.method if design.analysis == "fixed" else f"{found.method}_{design.analysis}",
        se=found.se,
        better_probability=posterior.better if higher else 1 - posterior.better,
        expected_loss=posterior.loss_treatment if higher else posterior.loss_control,
    )
