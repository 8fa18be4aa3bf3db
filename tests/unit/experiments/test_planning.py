"""Plans: published sizes, arms and looks, and rehearsals that keep what the plan says."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from crossdomain.cli.experiment import app
from crossdomain.errors import InputError
from crossdomain.experiments.planning import make_plan
from crossdomain.experiments.simulating import rehearse
from crossdomain.stats.power import units_for_means, units_for_proportions

PLAN = """
data: {variant: arm}
variants: {A: 0.5, B: 0.5}
control: A
minimum_effect: {absolute: 0.01}
expected: {mean: 0.20625, units_per_day: 1000}
metrics: [{name: gross, kind: proportion, column: bought}]
"""
MEAN = PLAN.replace("{mean: 0.20625,", "{mean: 10, deviation: 20,").replace("absolute: 0.01", "relative: 0.1")
MEAN = MEAN.replace("kind: proportion", "kind: mean")


def test_two_arms_need_what_the_formula_says(design):
    plan = make_plan(design(PLAN))
    n = units_for_proportions(0.20625, 0.01)
    assert plan.units_per_variant == {"A": pytest.approx(n, abs=1), "B": pytest.approx(n, abs=1)}
    assert n == pytest.approx(25_835, rel=0.015)  # the published number, whose null variance is the baseline's
    assert plan.days == -(-plan.units // 1000)
    assert plan.relative_effect == pytest.approx(0.01 / 0.20625)
    curve = dict(plan.curve)
    assert curve[plan.effect] == pytest.approx(0.8)
    assert curve[0.0] == pytest.approx(0.025)


def test_unequal_arms_several_arms_and_looks_need_more(design):
    base = make_plan(design(MEAN)).units
    assert base == pytest.approx(2 * units_for_means(20, 1), abs=2)
    assert make_plan(design(MEAN.replace("{A: 0.5, B: 0.5}", "{A: 0.8, B: 0.2}"))).units == pytest.approx(
        base / (4 * 0.8 * 0.2), rel=1e-3
    )
    three = make_plan(design(MEAN.replace("{A: 0.5, B: 0.5}", "{A: 0.5, B: 0.25, C: 0.25}")))
    assert three.alpha == 0.025
    assert three.units > 1.3 * base
    looks = "analysis: group_sequential\nlooks: [1, 2, 3, 4, 5]\nspending: pocock\n"
    assert make_plan(design(MEAN + looks)).units == pytest.approx(base * 1.212, rel=0.02)
    always = make_plan(design(MEAN + "analysis: always_valid\n"))
    assert 1.5 * base < always.units < 2.5 * base
    assert dict(always.curve)[always.effect] == pytest.approx(0.8)
    cuped = MEAN.replace("deviation: 20,", "deviation: 20, correlation: 0.6,").replace(
        "column: bought", "column: bought, cuped: before"
    )
    assert make_plan(design(cuped)).units == pytest.approx(base * 0.64, rel=1e-3)
    assert make_plan(design(cuped)).fixed_units == pytest.approx(base, abs=2)


@pytest.mark.parametrize("more", ["", "analysis: group_sequential\nlooks: [7, 14, 21]\n", "analysis: always_valid\n"])
def test_a_rehearsal_keeps_the_plan(design, more):
    got = rehearse(design(PLAN + more), experiments=4000, seed=3)
    assert got.false_positives <= 0.06
    assert got.power >= 0.78
    assert got.mean_units <= got.plan.units
    if more != "analysis: always_valid\n":
        assert got.power == pytest.approx(0.8, abs=0.02)
    assert got == rehearse(design(PLAN + more), experiments=4000, seed=3)


def test_a_rehearsal_of_skewed_means(design):
    got = rehearse(design(MEAN.replace("relative: 0.1", "relative: 0.3")), experiments=400, seed=4)
    assert got.power == pytest.approx(0.8, abs=0.06)
    with pytest.raises(InputError, match="take too long"):
        rehearse(design(MEAN.replace("relative: 0.1", "relative: 0.01")), experiments=10_000, seed=4)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("expected: {mean: 0.20625, units_per_day: 1000}\n", "", "expected: is required for a plan"),
        ("minimum_effect: {absolute: 0.01}\n", "", "minimum_effect: is required"),
        ("mean: 0.20625", "mean: 2", "expected.mean: 2 is no proportion"),
        ("kind: proportion", "kind: mean", "expected.deviation: is required"),
        ("absolute: 0.01", "absolute: 0.9", "must lie between 0 and 1"),
    ],
)
def test_what_cannot_be_planned_is_said(design, old, new, message):
    with pytest.raises(InputError, match=message):
        make_plan(design(PLAN.replace(old, new)))


def test_commands(tmp_path):
    path = tmp_path / "plan.yaml"
    path.write_text(PLAN, encoding="utf-8")
    plot = tmp_path / "power.svg"
    got = CliRunner().invoke(
        app, ["plan", "--design", str(path), "--plot", str(plot), "--json"], catch_exceptions=False
    )
    document = json.loads(got.stdout)
    assert document["units_per_variant"]["A"] == pytest.approx(25_985, rel=0.01)
    assert plot.read_text(encoding="utf-8").startswith("<svg")
    text = CliRunner().invoke(app, ["plan", "--design", str(path)], catch_exceptions=False)
    assert "days: 52" in text.stdout or "days: 53" in text.stdout
    run = CliRunner().invoke(
        app, ["simulate", "--design", str(path), "--experiments", "500", "--json"], catch_exceptions=False
    )
    assert json.loads(run.stdout)["power"] == pytest.approx(0.8, abs=0.06)
