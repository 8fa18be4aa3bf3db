"""Designs: the shipped ones are valid; a bad one is refused with file, line and key."""

from __future__ import annotations

import json
from datetime import date

import pytest
from jsonschema import Draft202012Validator

from crossdomain.errors import InputError
from crossdomain.experiments.design import load_design, load_designs
from tests.unit.experiments.conftest import COUNTS, DESIGN, INCLUDE


def test_shipped_designs():
    designs = {design.experiment_id: design for design in load_designs(INCLUDE)}
    assert set(designs) == {"exp_bundle_banner", "free_trial_screener"}
    banner = designs["exp_bundle_banner"]
    assert banner.variants == (("control", 0.5), ("treatment", 0.5))
    assert banner.treatments == ("treatment",)
    assert [metric.name for metric in banner.metrics] == ["click_rate", "purchase_rate", "revenue_per_person"]
    assert designs["free_trial_screener"].sample_ratio_metrics == ("pageviews", "clicks")


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
    (ARMS, "variants: {control: .nan, treatment: 0.5}", "variants: the weights sum to nan"),
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
        (b"- 1\n", "a design is a mapping"),
        (b"", "a design is a mapping"),
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
