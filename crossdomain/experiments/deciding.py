"""From results to a decision: the rules, in the order in which they are asked, as functions of numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from crossdomain.experiments.design import Design
from crossdomain.experiments.design_parts import Guardrail
from crossdomain.experiments.monitoring import Progress, interval_any_day
from crossdomain.experiments.results import CheckResult, Decision, MetricResult, Verdict
from crossdomain.stats.multiplicity import adjust_p


@dataclass(frozen=True)
class _Answer:
    """What a rule says: the decision (None: none may be made), the rule's name, its numbers."""

    decision: Verdict | None
    rule: str
    detail: str


def decide(
    design: Design, results: Sequence[MetricResult], checks: Sequence[CheckResult], progress: Progress
) -> tuple[Decision, ...]:
    """A decision for each treatment.

    The first rule that applies gives it:

    1. ``check_failed``: a check failed; nothing may be decided automatically.
    2. ``primary_worse`` (harm): the primary metric is significantly worse.
    3. ``guardrail_worse`` (harm): a guardrail's interval lies wholly beyond its margin on the bad side.
    4. ``not_measured``: the primary metric has no test; nothing may be decided.
    5. ``primary_better`` (ship): the primary metric is significantly better, and each guardrail with a margin is
       shown to be no worse than that.
    6. ``guardrail_uncertain`` (continue; stop at the end): better, but a guardrail's margin is not ruled out.
    7. ``effect_too_small`` (stop): the interval leaves out the minimum effect; asked where a look may decide.
    8. ``no_effect_found`` (stop): the planned end is reached without a significant effect.
    9. ``not_finished`` (continue).

    The primary metric's p-value is adjusted over the variants, since only it decides. A fixed analysis may ship or
    stop at its end only; until then harm is judged by always-valid intervals, so that looking costs no error.

    Args:
        design: The design.
        results: Results of its metrics for all variants.
        checks: All its checks.
        progress: Where the experiment is.

    Returns:
        Decisions in the design's order of variants.
    """
    failed = sorted(check.check_name for check in checks if not check.ok)
    by_variant = {
        variant: {result.metric: result for result in results if result.variant == variant}
        for variant in design.treatments
    }
    primary = {variant: found[design.primary_metric] for variant, found in by_variant.items()}
    tested = [variant for variant, result in primary.items() if result.p is not None]
    adjusted = dict(zip(tested, adjust_p([primary[v].p or 0.0 for v in tested], method=design.correction), strict=True))
    decisions = []
    for variant in design.treatments:
        if failed:
            answer = _Answer(None, "check_failed", "failed: " + ", ".join(failed))
        else:
            answer = _judge(design, by_variant[variant], adjusted.get(variant), progress)
        decisions.append(Decision(design.experiment_id, variant, answer.decision, answer.rule, answer.detail))
    return tuple(decisions)


def summarize_decisions(decisions: Sequence[Decision], results: Sequence[MetricResult]) -> Decision | None:
    """One decision for the experiment: ship the best variant that may be shipped, else what most leaves open.

    Args:
        decisions: Decisions of the variants, in order.
        results: Results, for the primary metric's effects.

    Returns:
        The decision of the variant that stands for all: of those to ship the one with the best primary effect (ties:
        the first), else the first that continues, stops, harms or is not decided, in that order. None without any.
    """
    if not decisions:
        return None
    gain = {
        result.variant: (result.estimate or 0.0) * (1 if result.better == "higher" else -1)
        for result in results
        if result.is_primary
    }
    shipped = [one for one in decisions if one.decision == "ship"]
    if shipped:
        return max(shipped, key=lambda one: gain.get(one.variant, -math.inf))
    order: tuple[Verdict | None, ...] = ("continue", "stop", "harm", None)
    return min(decisions, key=lambda one: order.index(one.decision))


def _judge(design: Design, results: Mapping[str, MetricResult], adjusted: float | None, progress: Progress) -> _Answer:
    primary = results[design.primary_metric]
    harm = _harm(design, results, adjusted, progress)
    if harm is not None:
        return harm
    if primary.estimate is None or adjusted is None:
        return _Answer(None, "not_measured", f"{primary.metric}: {primary.verdict}")
    if not progress.is_look:
        return _Answer("continue", "not_finished", "this is no day on which the design decides")
    if adjusted <= design.alpha and _goodness(primary, primary.estimate) > 0:
        return _ship(design, results, adjusted, progress)
    if _best_case(primary) < _least_effect(design, primary):
        return _Answer(
            "stop", "effect_too_small", f"{_interval(primary)} leaves out the minimum effect, {_wanted(design)}"
        )
    if progress.finished:
        return _Answer("stop", "no_effect_found", f"{_interval(primary)}, adjusted p {adjusted:.3g}")
    return _Answer("continue", "not_finished", f"{_interval(primary)}, adjusted p {adjusted:.3g}")


def _harm(
    design: Design, results: Mapping[str, MetricResult], adjusted: float | None, progress: Progress
) -> _Answer | None:
    primary = results[design.primary_metric]
    early = design.analysis == "fixed" and not progress.finished
    if primary.estimate is not None and adjusted is not None and _goodness(primary, primary.estimate) < 0:
        low, high = _bounds(design, primary, early=early)
        worse = _goodness(primary, high if primary.better == "higher" else low) < 0
        if worse and (early or adjusted <= design.alpha):
            return _Answer("harm", "primary_worse", f"{_interval(primary)}, adjusted p {adjusted:.3g}")
    for guardrail in design.guardrails:
        result = results[guardrail.metric]
        if result.estimate is None:
            continue
        low, high = _bounds(design, result, early=early)
        if _goodness(result, high if result.better == "higher" else low) < -_allowed(guardrail, result):
            return _Answer("harm", "guardrail_worse", f"{_interval(result)}, margin {guardrail.margin:.2%}")
    return None


def _ship(design: Design, results: Mapping[str, MetricResult], adjusted: float, progress: Progress) -> _Answer:
    for guardrail in design.guardrails:
        result = results[guardrail.metric]
        if result.estimate is None:
            said = f"{result.metric}: {result.verdict}"
            return _Answer("stop" if progress.finished else "continue", "guardrail_uncertain", said)
        if guardrail.margin and _worst_case(result) < -_allowed(guardrail, result):
            said = f"{_interval(result)} does not rule out a worsening by {guardrail.margin:.2%}"
            return _Answer("stop" if progress.finished else "continue", "guardrail_uncertain", said)
    primary = results[design.primary_metric]
    return _Answer("ship", "primary_better", f"{_interval(primary)}, adjusted p {adjusted:.3g}")


def _goodness(result: MetricResult, value: float) -> float:
    """A value with the sign turned so that more is better."""
    return value if result.better == "higher" else -value


def _bounds(design: Design, result: MetricResult, *, early: bool) -> tuple[float, float]:
    """Interval of a result; before the end of a fixed analysis one that holds on any day."""
    assert result.estimate is not None
    assert result.low is not None
    assert result.high is not None
    if early and result.se:
        return interval_any_day(design, result.estimate, result.se, result.n + result.n_control)
    return result.low, result.high


def _best_case(result: MetricResult) -> float:
    """The most that the interval leaves possible, more being better."""
    assert result.low is not None
    assert result.high is not None
    return max(_goodness(result, result.low), _goodness(result, result.high))


def _worst_case(result: MetricResult) -> float:
    assert result.low is not None
    assert result.high is not None
    return min(_goodness(result, result.low), _goodness(result, result.high))


def _allowed(guardrail: Guardrail, result: MetricResult) -> float:
    """The worsening that is taken as none, in the metric's unit."""
    return guardrail.margin * abs(result.mean_control or 0.0)


def _least_effect(design: Design, result: MetricResult) -> float:
    """The minimum effect in the metric's unit; minus infinity where none is given."""
    wanted = design.minimum_effect
    if wanted is None:
        return -math.inf
    return wanted.value * abs(result.mean_control or 0.0) if wanted.relative else wanted.value


def _wanted(design: Design) -> str:
    wanted = design.minimum_effect
    assert wanted is not None
    return f"{wanted.value:.2%} of the control" if wanted.relative else f"{wanted.value:g}"


def _interval(result: MetricResult) -> str:
    return f"{result.metric} {result.estimate:+.4g} ({result.low:+.4g} to {result.high:+.4g})"
