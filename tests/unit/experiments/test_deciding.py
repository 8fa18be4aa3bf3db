"""Rules of decision, one by one and in their order; progress and levels of looks."""

from __future__ import annotations

from dataclasses import replace

import pytest
from scipy import stats

from crossdomain.experiments.deciding import decide, summarize_decisions
from crossdomain.experiments.monitoring import FINAL, Progress, level_now, measure_progress, p_now
from crossdomain.experiments.results import CheckResult, MetricResult

TEXT = """
data: {unit: user, variant: arm}
variants: {A: 0.5, B: 0.5}
control: A
minimum_effect: {relative: 0.1}
guardrails: [{metric: refunds, margin: 0.05}]
metrics:
  - {name: revenue, kind: mean, column: revenue}
  - {name: refunds, kind: mean, column: refunds, better: lower}
"""
OK = (CheckResult("exp", "sample_ratio", True, 0.5, None, ""),)
OPEN = Progress((0.5,), is_look=True, finished=False)
WAITING = Progress((0.5,), is_look=False, finished=False)


def result(metric: str, estimate: float | None, se: float = 0.1, *, variant: str = "B", better: str = "higher"):
    p = None if estimate is None else float(2 * stats.norm.sf(abs(estimate / se)))
    ends = (None, None) if estimate is None else (estimate - 1.96 * se, estimate + 1.96 * se)
    return MetricResult(
        experiment_id="exp", metric=metric, variant=variant, kind="mean", is_primary=metric == "revenue",
        estimate=estimate, low=ends[0], high=ends[1], p=p, relative=None, relative_low=None, relative_high=None,
        mean=None, mean_control=10.0, n=1000, n_control=1000, alpha=0.05, method=None, relative_method="delta",
        verdict="measured" if estimate is not None else "zero_variance", first_ds=None, last_ds=None,
        se=None if estimate is None else se, better=better,
    )  # fmt: skip


def refunds(estimate: float | None, se: float = 0.1):
    return result("refunds", estimate, se, better="lower")


FINE = refunds(0.0)


@pytest.mark.parametrize(
    ("results", "progress", "decision", "rule"),
    [
        ((result("revenue", 0.5), FINE), FINAL, "ship", "primary_better"),
        ((result("revenue", 0.5), FINE), OPEN, "ship", "primary_better"),
        ((result("revenue", 0.5), FINE), WAITING, "continue", "not_finished"),
        ((result("revenue", -0.5), FINE), FINAL, "harm", "primary_worse"),
        ((result("revenue", 0.5), refunds(1.0)), FINAL, "harm", "guardrail_worse"),
        ((result("revenue", 0.5), refunds(-1.0)), FINAL, "ship", "primary_better"),
        ((result("revenue", 0.5), refunds(0.4, 0.3)), FINAL, "stop", "guardrail_uncertain"),
        ((result("revenue", 0.5), refunds(0.4, 0.3)), OPEN, "continue", "guardrail_uncertain"),
        ((result("revenue", 0.5), refunds(None)), FINAL, "stop", "guardrail_uncertain"),
        ((result("revenue", 0.1, 0.8), FINE), FINAL, "stop", "no_effect_found"),
        ((result("revenue", 0.1, 0.8), FINE), OPEN, "continue", "not_finished"),
        ((result("revenue", 0.1), FINE), OPEN, "stop", "effect_too_small"),
        ((result("revenue", None), FINE), FINAL, None, "not_measured"),
        ((result("revenue", None), refunds(1.0)), FINAL, "harm", "guardrail_worse"),
    ],
)
def test_rules(design, results, progress, decision, rule):
    sequential = design(TEXT + "analysis: always_valid\n")
    (got,) = decide(sequential, results, OK, progress)
    assert (got.decision, got.rule) == (decision, rule)
    assert got.detail


def test_a_failed_check_stops_every_decision(design):
    failed = CheckResult("exp", "sample_ratio", False, 1e-9, None, "")
    (got,) = decide(design(TEXT), (result("revenue", 5.0), FINE), (*OK, failed), FINAL)
    assert (got.decision, got.rule, got.detail) == (None, "check_failed", "failed: sample_ratio")


def test_a_fixed_analysis_tells_of_harm_early_only_by_an_interval_that_holds_on_any_day(design):
    fixed = design(TEXT)
    early = Progress((0.5,), is_look=False, finished=False)
    weak, strong = result("revenue", -0.25), result("revenue", -0.8)
    assert weak.high < 0
    assert decide(fixed, (weak, FINE), OK, early)[0].decision == "continue"
    assert decide(fixed, (strong, FINE), OK, early)[0].rule == "primary_worse"
    assert decide(fixed, (weak, FINE), OK, FINAL)[0].rule == "primary_worse"


def test_of_several_variants_the_best_is_shipped_and_only_the_primary_counts_as_family(design):
    three = design(TEXT.replace("{A: 0.5, B: 0.5}", "{A: 0.4, B: 0.3, C: 0.3}"))
    better, best = result("revenue", 0.5), result("revenue", 0.9, variant="C")
    guards = (FINE, replace(FINE, variant="C"))
    got = decide(three, (better, best, *guards), OK, FINAL)
    assert [one.decision for one in got] == ["ship", "ship"]
    assert summarize_decisions(got, (better, best)).variant == "C"
    border = (result("revenue", 0.2), result("revenue", 0.01, variant="C"))
    assert border[0].p < 0.05 < 2 * border[0].p
    assert decide(three, (*border, *guards), OK, FINAL)[0].decision == "stop"
    assert summarize_decisions((), ()) is None
    mixed = decide(three, (result("revenue", -0.9), result("revenue", 0.1, 0.8, variant="C"), *guards), OK, OPEN)
    assert summarize_decisions(mixed, ()).decision == "continue"


def test_progress_of_looks(design):
    looks = design(TEXT + "analysis: group_sequential\nlooks: [7, 14, 28]\n")
    assert measure_progress(looks, units=0, day=7) == Progress((0.25,), is_look=True, finished=False)
    assert measure_progress(looks, units=0, day=10).is_look is False
    assert measure_progress(looks, units=0, day=14).information == pytest.approx((0.25, 0.5))
    assert measure_progress(looks, units=0, day=28) == Progress((0.25, 0.5, 1.0), is_look=True, finished=True)
    assert measure_progress(looks, units=0, day=99).finished
    counted = design(TEXT + "analysis: group_sequential\nlooks: [7, 14]\nplanned_units: 1000\n")
    assert measure_progress(counted, units=400, day=7).information == (0.4,)
    assert measure_progress(counted, units=800, day=None).information == (0.5, 0.8)
    assert measure_progress(counted, units=2000, day=None).finished


def test_progress_of_fixed_and_always_valid_analyses(design):
    assert measure_progress(design(TEXT), units=5, day=None) == FINAL
    dated = TEXT + "start: 2026-01-05\nend: 2026-01-11\n"
    assert measure_progress(design(dated), units=5, day=6).finished is False
    assert measure_progress(design(dated), units=5, day=7) == FINAL
    always = design(TEXT + "analysis: always_valid\n")
    assert measure_progress(always, units=5, day=3).finished is False
    assert measure_progress(design(TEXT + "analysis: always_valid\nplanned_units: 5\n"), units=5, day=3).finished


def test_levels_of_looks(design):
    assert level_now(design(TEXT), FINAL, 100) == 0.05
    looks = design(TEXT + "analysis: group_sequential\nlooks: [1, 2, 3, 4, 5]\n")
    last = level_now(looks, Progress((0.2, 0.4, 0.6, 0.8, 1.0), is_look=True, finished=True), 100)
    assert last == pytest.approx(2 * stats.norm.sf(2.0310), rel=1e-3)
    assert p_now(looks, Progress((0.2,), is_look=True, finished=False), 0.01, 100) > 0.05
    always = design(TEXT + "analysis: always_valid\nplanned_units: 1000\n")
    level = level_now(always, OPEN, 1000)
    assert level < 0.01
    assert p_now(always, OPEN, level, 1000) == pytest.approx(0.05, rel=1e-6)
    assert p_now(design(TEXT), FINAL, 0.3, 10) == 0.3
