"""The summary: what it carries, how it reads, and that it survives the way through a table."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import timedelta

from crossdomain.experiments.analysis import analyze
from crossdomain.experiments.history import results_from_rows
from crossdomain.experiments.report import describe, summarize
from tests.unit.experiments.conftest import FIRST, expose, fill, world


def _analysis(con, design):
    exposures, events = world(people=120)
    fill(con, list(exposures.itertuples(index=False)), list(events.itertuples(index=False)))
    return analyze(con, design(), FIRST + timedelta(days=5))


def test_summary_carries_the_results(con, design):
    analysis = _analysis(con, design)
    summary = summarize(analysis.design, analysis.metrics, analysis.checks)
    json.dumps(summary)
    row = summary["metrics"]["revenue"]["treatment"]
    want = next(result for result in analysis.metrics if result.metric == "revenue")
    assert (row["estimate"], row["low"], row["n"], row["p"]) == (want.estimate, want.low, want.n, want.p)
    assert summary["srm"]["ok"] is True
    assert summary["first_ds"] == "2026-01-05"


def test_text_puts_failed_checks_and_the_primary_metric_first(con, design):
    expose(con, b"u" * 16, "blue", 1)
    analysis = _analysis(con, design)
    summary = summarize(analysis.design, analysis.metrics, analysis.checks)
    english = describe(summary).splitlines()
    assert english[0].startswith("Trial (exp), 2026-01-05")
    assert "CHECKS FAILED" in english[1]
    assert any("✗ unknown_variants" in line for line in english[2:5])
    first_metric = next(line for line in english if "treatment: " in line)
    assert "purchase_rate (primary)" in first_metric
    assert "95% interval" in first_metric
    chinese = describe(summary, language="zh")
    assert "检查未通过" in chinese
    assert "主要指标" in chinese


def test_text_says_why_there_is_no_number(con, design):
    expose(con, b"u" * 16, "control", 1)
    analysis = analyze(con, design(), FIRST)
    text = describe(summarize(analysis.design, analysis.metrics, analysis.checks))
    assert "too few units to test; units 0 / 1" in text


def test_rows_of_the_tables_give_the_results_back(con, design):
    analysis = _analysis(con, design)
    metric_rows = [asdict(result) | {"ds": FIRST} for result in analysis.metrics]
    check_rows = [asdict(check) | {"ds": FIRST} for check in analysis.checks]
    other = metric_rows[0] | {"experiment_id": "other"}
    got = results_from_rows([other, *metric_rows], check_rows, "exp")
    assert got == (analysis.metrics, analysis.checks)
