"""Designs: the shipped ones are valid; a bad one is refused with file, line and key."""

from __future__ import annotations

import json
from datetime import date

import pytest
from jsonschema import Draft202012Validator

from crossdomain.errors import InputError
from crossdomain.experiments.design import load_design, load_designs
from crossdomain.experiments.design_parts import Covariate, Guardrail, Layer, MinimumEffect, Selection, Winsorizing
from tests.unit.experiments.conftest import COUNTS, DESIGN, INCLUDE


def test_shipped_designs():
    designs = {design.experiment_id: design for design in load_designs(INCLUDE)}
    assert set(designs) == {"exp_bundle_banner", "free_trial_screener"}
    banner = designs["exp_bundle_banner"]
    assert banner.variants == (("control", 0.5), ("treatment", 0.5))
    assert banner.treatments == ("treatment",)
    assert [metric.name for metric in banner.metrics] == ["click_rate", "purchase_rate", "revenue_per_person"]
    assert designs["free_trial_screener"].sample_ratio_metrics == ("pageviews", "clicks")


def test_examples_are_valid_and_not_run():
    names = ("recommender", "unit_rows", "exposures_and_events", "daily_totals", "switchback")
    designs = {
        name: load_design(INCLUDE / "examples" / f"{name}.yaml", schema=INCLUDE / "design.schema.json")
        for name in names
    }
    full = designs["recommender"]
    assert full.layer == Layer("recommendations", 0.0, 0.5)
    assert full.minimum_effect == MinimumEffect(0.05, relative=True)
    assert full.guardrails == (Guardrail("refund_rate", 0.02),)
    assert (full.analysis, full.looks, full.spending) == ("group_sequential", (7, 14, 21, 28), "obrien_fleming")
    assert full.trigger == Selection(("view",))
    assert full.metric("revenue").winsorize == Winsorizing(upper=0.99)
    assert full.metric("back_in_second_week").numerator == Selection(("view",), days=(7, 13))
    assert full.metric("clicks_per_exposure").denominator == "exposures"
    assert full.segments[0].where == (("activity", ("5-19", "20+")),)
    rows = designs["unit_rows"]
    assert (rows.data, rows.unit, rows.primary_metric, rows.experiment_id) == ("file", "user", "bought", "unit_rows")
    assert rows.metric("revenue").covariate == Covariate("revenue_before")
    assert rows.metric("order_value").denominator == "orders"
    json.dumps([design.as_json() for design in designs.values()])


def test_published_schema_is_one():
    Draft202012Validator.check_schema(json.loads((INCLUDE / "design.schema.json").read_text(encoding="utf-8")))


def test_dates_and_names_are_taken_as_written(design):
    text = DESIGN.replace("variants: {control: 0.5, treatment: 0.5}", "variants: {control: 0.5, on: 0.5}")
    got = design(text + "start: 2026-01-05\nend: 2026-01-19\nalpha: 0.1\n")
    assert (got.start, got.end, got.alpha) == (date(2026, 1, 5), date(2026, 1, 19), 0.1)
    assert got.treatments == ("on",)
    assert got.as_json()["start"] == "2026-01-05"


ARMS = "variants: {control: 0.5, treatment: 0.5}"
REFUND = "subtract: [refund], column: value}\n  - {name: units"
CASES = [
    (ARMS, "variants: {control: 0.5, treatment: 0.4}", "line 7: variants: the weights sum to 0.9"),
    (ARMS, "variants: {control: .nan, treatment: 0.5}", "line 7: variants.control: .nan is no value"),
    (ARMS, "variants: {control: 0, treatment: 1}", "variants.treatment: 1 is greater"),
    (ARMS, "variants: {control: half, treatment: 0.5}", "variants.control"),
    (ARMS, "variants: {control: 0.5, control: 0.5}", "line 7: variants.control: the key is given twice"),
    ("control: control", "control: placebo", "line 8: control: 'placebo' is not a variant"),
    ("kind: ratio", "kind: median", "line 16: metrics.4.kind: 'median' is unknown"),
    ("owner: growth", "owner: growth\nteam: x", "line 6: team: unknown key"),
    ("owner: growth\n", "", "owner: is required"),
    ("owner: growth", "owner: growth\nstart: 2026-02-30", "line 6: start: '2026-02-30' is not a day"),
    ("owner: growth", "owner: growth\nstart: 5 January", "line 6: start"),
    (
        "owner: growth",
        "owner: growth\nstart: 2026-01-05\nend: 2026-01-04",
        "line 7: end: 2026-01-04 lies before the start",
    ),
    ("owner: growth", "owner: growth\nalpha: 1", "alpha"),
    ("owner: growth", "owner: growth\nalpha: .nan", "alpha"),
    ("primary_metric: purchase_rate", "primary_metric: profit", "primary_metric: 'profit' is not a metric"),
    ("name: click_rate", "name: revenue", "metrics.2.name: 'revenue' is already"),
    ("events: [click]", "events: [click], numerator: {events: [click]}", "metrics.0.numerator: does not belong"),
    ("events: [click]", "events: [click], column: value", "metrics.0.column: a proportion asks only"),
    (REFUND, REFUND.replace("refund", "purchase"), "metrics.2.subtract: purchase is among"),
    ("    denominator: {events: [purchase]}\n", "", "metrics.4.denominator: is required"),
    (
        "    denominator: {events: [purchase]}",
        "    denominator: orders",
        "metrics.4.denominator: with exposures this is a mapping",
    ),
    ("unit: account", "unit: trial", "unit: trial is the unit of daily counts"),
    ("unit: account", "unit: account\nsample_ratio_metrics: [views]", "sample_ratio_metrics: belongs to daily counts"),
    ("column: quantity, relative: log", "column: quantity, interval: pooled", "metrics.3.interval: does not belong"),
    ("column: quantity, relative: log", "column: price", "metrics.3.column: 'price' is unknown; use one of value"),
    ("placement: home", "shop: home", "metrics.0.where.shop: unknown key; known are campaign_id"),
    ("column: quantity", "column: quantity, cuped: true", "metrics.3.cuped: needs cuped_days"),
    ("column: quantity", "column: quantity, cuped: before", "metrics.3.cuped: over the platform's tables"),
    ("column: quantity", "column: quantity, winsorize: 1.5", "metrics.3.winsorize: 1.5 is greater"),
    ("column: quantity", "column: quantity, winsorize: {lower: 0.9, upper: 0.1}", "metrics.3.winsorize: the lower"),
    (
        "kind: mean, events: [purchase], column: q",
        "kind: quantile, events: [purchase], column: q",
        "3.quantile: is req",
    ),
    (
        ", kind: mean, events: [purchase], subtract",
        ", kind: quantile, events: [purchase], subtract",
        "2.quantile: is req",
    ),
    ("events: [click]", "events: [click], days: [7, 1]", "metrics.0.days: day 1 lies before day 7"),
    ("numerator: {events: [purchase], subtract: [refund], column: value}", "numerator: exposures", "only be a denom"),
    ("owner: growth", "owner: growth\nlooks: [7]", "line 6: looks: belongs to analysis group_sequential"),
    ("owner: growth", "owner: growth\nanalysis: group_sequential", "looks: a group sequential analysis needs"),
    ("owner: growth", "owner: growth\nanalysis: group_sequential\nlooks: [14, 7]", "looks: days of looks must rise"),
    (
        "owner: growth",
        "owner: growth\nanalysis: group_sequential\nlooks: [7, 14]\nstart: 2026-01-05\nend: 2026-01-11",
        "looks: day 14 lies after the end: the experiment has 7 days",
    ),
    ("owner: growth", "owner: growth\nanalysis: peek", "line 6: analysis: 'peek' is unknown"),
    (
        "owner: growth",
        "owner: growth\nguardrails: [{metric: crashes}]",
        "guardrails.0.metric: 'crashes' is not a metric",
    ),
    ("owner: growth", "owner: growth\nguardrails: [{metric: purchase_rate}]", "is the primary metric"),
    ("owner: growth", "owner: growth\nminimum_effect: {relative: 0}", "minimum_effect.relative: 0 is less"),
    ("owner: growth", "owner: growth\nlayer: {name: home, from: 0.5, to: 0.5}", "layer: from 0.5 to 0.5 is no part"),
    (
        "owner: growth",
        "owner: growth\naudience: {consent: [everything]}",
        "audience.consent.0: 'everything' is unknown",
    ),
    ("owner: growth", "owner: growth\nparameters: {third: {model: x}}", "parameters.third: is not a variant"),
    ("owner: growth", "owner: growth\nallocation: {method: thompson, floor: .5001}", "allocation.floor"),
    ("owner: growth", "owner: growth\nsegments: [{name: new, where: {city: [北京]}}]", "is not among the dimensions"),
    (ARMS, "variants: {0: 0.5, 1: 0.5}", "variants"),
]


@pytest.mark.parametrize(("old", "new", "message"), CASES, ids=[case[2][:40] for case in CASES])
def test_bad_designs_are_refused(design, old, new, message):
    assert old in DESIGN
    with pytest.raises(InputError) as refusal:
        design(DESIGN.replace(old, new, 1))
    assert "design.yaml" in str(refusal.value)
    assert message in str(refusal.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("kind: proportion", "kind: mean", "metrics.0.kind: daily counts allow kind proportion only"),
        ("numerator: enrolments", "numerator: {events: [click]}", "metrics.0.numerator: with daily counts"),
        ("sample_ratio_metrics: [views]\n", "", "sample_ratio_metrics: daily counts need"),
        ("unit: trial", "unit: account", "unit: trial is the unit of daily counts"),
    ],
)
def test_bad_designs_over_counts_are_refused(design, old, new, message):
    with pytest.raises(InputError) as refusal:
        design(COUNTS.replace(old, new, 1))
    assert message in str(refusal.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: [1", "not YAML"),
        (b"- 1\n", "a design file is a mapping"),
        (b"", "a design file is a mapping"),
        ("name: 试验".encode("gb18030"), "not UTF-8"),
    ],
)
def test_files_that_are_no_designs(tmp_path, content, message):
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        load_design(path, schema=INCLUDE / "design.schema.json")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.yaml: there is no such design file"):
        load_design(tmp_path / "none.yaml", schema=INCLUDE / "design.schema.json")


def test_two_files_with_one_id(tmp_path):
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text(DESIGN, encoding="utf-8")
    (tmp_path / "design.schema.json").write_bytes((INCLUDE / "design.schema.json").read_bytes())
    with pytest.raises(InputError, match=r"b\.yaml: experiment_id: exp is already that of .*a\.yaml"):
        load_designs(tmp_path)


ROWS = """
data: {unit: user, variant: arm, covariates: [before]}
variants: {0: 0.5, 1: 0.5}
control: 0
metrics:
  - {name: bought, kind: proportion, column: bought}
  - {name: revenue, kind: mean, column: revenue, cuped: before}
  - {name: 客单价, kind: ratio, numerator: revenue, denominator: orders}
"""


def test_a_design_of_a_file_needs_little(design):
    got = design(ROWS)
    assert (got.variants, got.control, got.treatments) == ((("0", 0.5), ("1", 0.5)), "0", ("1",))
    assert (got.alpha, got.correction, got.analysis) == (0.05, "holm", "fixed")
    assert got.file is not None
    assert got.file.covariates == ("before",)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("variant: arm", "arm: arm", "data.arm: unknown key; known are cluster, covariates"),
        ("cuped: before", "cuped: later", "metrics.1.cuped: 'later' is not among data.covariates"),
        ("cuped: before", "cuped: true", "metrics.1.cuped: with a file this is the name"),
        ("cuped: before", "cuped: {numerator: a, denominator: b}", "a pair of covariates belongs to a ratio"),
        ("column: bought", "events: [purchase]", "metrics.0.events: does not belong"),
        (", denominator: orders", "", "metrics.2.denominator: is required"),
        ("control: 0", "control: A", "control: 'A' is not a variant; the variants are 0, 1"),
        ("control: 0", "control: 0\ntrigger: {events: [view]}", "trigger: belongs to experiments over the platform"),
        ("control: 0", "control: 0\nunit: account", "unit: with a file the column of units is data.unit"),
        ("covariates: [before]", "time: ts", "data: time of exposure and columns of events belong together"),
    ],
)
def test_bad_designs_of_a_file_are_refused(design, old, new, message):
    assert old in ROWS
    with pytest.raises(InputError) as refusal:
        design(ROWS.replace(old, new, 1))
    assert message in str(refusal.value)


@pytest.mark.parametrize(
    ("one", "other", "refused"),
    [
        ("layer: {name: home, to: 0.5}", "layer: {name: home, from: 0.5}", None),
        ("layer: {name: home, to: 0.6}", "layer: {name: home, from: 0.5}", "both use 0.5 to 0.6 of layer 'home'"),
        ("layer: {name: home}", "layer: {name: cart}", None),
        ("layer: {name: home}\nend: 2026-01-05", "layer: {name: home}\nstart: 2026-01-06", None),
        ("layer: {name: home}\nend: 2026-01-05", "layer: {name: home}\nstart: 2026-01-05", "at the same time"),
        ("layer: {name: home}\nstart: 2026-01-05", "layer: {name: home}\nend: 2026-01-04", None),
    ],
)
def test_experiments_of_a_layer_share_no_unit(tmp_path, one, other, refused):
    for name, more in (("a", one), ("b", other)):
        text = DESIGN.replace("experiment_id: exp", f"experiment_id: {name}") + more
        (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
    (tmp_path / "design.schema.json").write_bytes((INCLUDE / "design.schema.json").read_bytes())
    if refused is None:
        assert len(load_designs(tmp_path)) == 2
        return
    with pytest.raises(InputError) as refusal:
        load_designs(tmp_path)
    assert refused in str(refusal.value)
    assert "a.yaml" in str(refusal.value)
    assert "b.yaml" in str(refusal.value)


def test_a_design_of_a_file_does_not_run_daily(tmp_path):
    (tmp_path / "mine.yaml").write_text(ROWS, encoding="utf-8")
    (tmp_path / "design.schema.json").write_bytes((INCLUDE / "design.schema.json").read_bytes())
    with pytest.raises(InputError, match="belong to `crossdomain experiment analyze`"):
        load_designs(tmp_path)


def test_exposures_need_a_unit_to_join_their_events(design):
    text = (INCLUDE / "examples" / "exposures_and_events.yaml").read_text(encoding="utf-8")
    with pytest.raises(InputError, match=r"data\.unit: is required to join"):
        design(text.replace("{unit: user, variant", "{variant"))
