"""Variants of experiments in the recommendations, on small worlds without a lake."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from crossdomain.errors import InputError
from crossdomain.experiments.assignment import assign, plan_of
from crossdomain.experiments.design import load_design
from crossdomain.experiments.promoting import Promotion
from crossdomain.jobs import recommendation_variants, score, train
from crossdomain.settings import Settings
from tests.unit.recommend.world import DAY, blocks_world, connect, context, key

DESIGN = """
experiment_id: models
name: {zh: 模型, en: Models}
hypothesis: {zh: 模型更好, en: The model sells more.}
owner: recommend
unit: account
variants: {plain: 0.5, model: 0.5}
control: plain
applies_to: recommendations
parameters: {plain: {model: popularity}, model: {model: als}}
start: 2026-01-05
end: 2026-02-28
primary_metric: bought
metrics: [{name: bought, kind: proportion, events: [purchase]}]
"""
STATE = (
    "CREATE OR REPLACE TABLE derived.experiment_state "
    "(ds DATE, experiment_id VARCHAR, unit BLOB, variant VARCHAR, several BOOLEAN, exposed_ts TIMESTAMPTZ)"
)
WEIGHTS = (
    "CREATE OR REPLACE TABLE serving.experiment_weights (experiment_id VARCHAR, period INTEGER, from_ds DATE, "
    "place INTEGER, variant VARCHAR, weight DOUBLE, best DOUBLE, reason VARCHAR)"
)


@pytest.fixture(autouse=True)
def _small_models(monkeypatch):
    settings = {"FACTORS": "4", "REGULARIZATION": "0.5", "POPULARITY_POWER": "0", "ITERATIONS": "10", "TOP_K": "3"}
    for name, value in settings.items():
        monkeypatch.setenv(f"CROSSDOMAIN_RECOMMEND_{name}", value)


@pytest.fixture
def include(tmp_path):
    folder = tmp_path / "include" / "experiments"
    folder.mkdir(parents=True)
    shutil.copy(Settings().include / "experiments" / "design.schema.json", folder)
    shutil.copytree(Settings().include / "recommendations", tmp_path / "include" / "recommendations")
    return tmp_path / "include"


def lists(include, *designs, home, given=(), weights=(), ds=DAY, champion="als", people=(), unprofiled=()):
    """Recommendations of a world of two tastes under some designs, and the notes of the job."""
    for number, text in enumerate(designs):
        (include / "experiments" / f"d{number}.yaml").write_text(text, encoding="utf-8")
    events, accounts = blocks_world(people=40)
    con = connect(events, [*accounts, *people], ())
    con.execute("ALTER TABLE derived.people ADD COLUMN profiling BOOLEAN DEFAULT true")
    for account in unprofiled:
        con.execute("UPDATE derived.people SET profiling = false WHERE account = ?", [key(account)])
    con.execute(STATE)
    con.execute(WEIGHTS)
    for row in given:
        con.execute("INSERT INTO derived.experiment_state VALUES (?, 'models', ?, ?, ?, ?)", row)
    for row in weights:
        con.execute("INSERT INTO serving.experiment_weights VALUES ('models', ?, ?, ?, ?, ?, NULL, 'design')", row)
    ctx, written = context(con, home, ds)
    ctx.settings = replace(ctx.settings, include=include)
    train.build(ctx)
    for table in ("champions", "transfer", "model_metrics"):
        con.register("now", written[f"serving.{table}"])
        con.execute(f"CREATE OR REPLACE TABLE serving.{table} AS FROM now")
    con.execute("UPDATE serving.transfer SET serves = 'als'")
    if champion != "als":
        con.execute("UPDATE serving.champions SET model = $name, model_version = $name", {"name": champion})
    score.build(ctx)
    return written["serving.recommendations"].to_pylist(), ctx.notes


def design_of(include):
    return load_design(include / "experiments" / "d0.yaml", schema=include / "experiments" / "design.schema.json")


def variants(rows):
    found = {}
    for row in rows:
        found.setdefault(row["person"], set()).add((row["variant"], row["source"]))
    return found


def expected(include, persons):
    return dict(zip(persons, assign(persons, plan_of(design_of(include)), day=DAY).variants, strict=True))


def test_every_person_is_served_by_the_source_of_its_arm_and_every_row_says_so(include, tmp_path):
    rows, notes = lists(include, DESIGN, home=tmp_path)
    found = variants(rows)
    wanted = expected(include, sorted(found))
    source = {"plain": "popular", "model": "als"}
    assert found == {person: {(name, source[name])} for person, name in wanted.items()}
    assert set(wanted.values()) == {"plain", "model"}
    assert sum(notes["variants"].values()) == len(found)
    assert {row["model_version"] for row in rows if row["variant"] == "plain"} == {"decayed_popularity"}


def test_an_arms_lists_are_those_that_its_source_gives_everybody(include, tmp_path):
    mixed, _ = lists(include, DESIGN, home=tmp_path / "a")
    (include / "experiments" / "d0.yaml").unlink()
    plain, notes = lists(include, home=tmp_path / "b")
    assert "variants" not in notes
    assert {row["variant"] for row in plain} == {None}
    without = {(row["person"], row["target_domain"], row["rank"]): row for row in plain}
    of_model = [row for row in mixed if row["variant"] == "model"]
    assert of_model
    for row in of_model:
        assert row == {**without[row["person"], row["target_domain"], row["rank"]], "variant": "model"}


def test_outside_the_days_of_the_design_nothing_changes(include, tmp_path):
    ended = DESIGN.replace("end: 2026-02-28", "end: 2026-01-30")
    rows, _ = lists(include, ended, home=tmp_path / "a")
    (include / "experiments" / "d0.yaml").unlink()
    assert rows == lists(include, home=tmp_path / "b")[0]


def test_what_was_given_stays_by_the_newest_row_of_any_account_of_the_person(include, tmp_path):
    lists(include, DESIGN, home=tmp_path / "a")
    person, joined = key("p000b"), key("p000k")  # the two accounts of one person, the first names it
    other = {"plain": "model", "model": "plain"}
    dealt = expected(include, [person])[person]
    at = datetime(2026, 1, 20, tzinfo=UTC)
    day = date(2026, 1, 20)
    given = [(day, joined, other[dealt], False, at)]
    rows, _ = lists(include, DESIGN, home=tmp_path / "b", given=given)
    assert {name for name, _ in variants(rows)[person]} == {other[dealt]}
    # Seen in several since: nothing was given that could be kept.
    given.append((day + timedelta(days=1), joined, "", True, at))
    rows, _ = lists(include, DESIGN, home=tmp_path / "c", given=given)
    assert {name for name, _ in variants(rows)[person]} == {dealt}


def test_new_units_are_dealt_by_the_weights_of_the_day(include, tmp_path):
    weights = [
        (0, None, 0, "plain", 0.5), (0, None, 1, "model", 0.5),
        (1, DAY, 0, "plain", 0.0), (1, DAY, 1, "model", 1.0),
        (2, DAY + timedelta(days=1), 0, "plain", 1.0), (2, DAY + timedelta(days=1), 1, "model", 0.0),
    ]  # fmt: skip
    rows, _ = lists(include, DESIGN, home=tmp_path, weights=weights)
    assert {row["variant"] for row in rows} == {"model"}


def test_a_model_is_at_hand_where_popularity_is_the_champion(include, tmp_path):
    rows, _ = lists(include, DESIGN, home=tmp_path, champion="decayed_popularity")
    found = {(row["variant"], row["source"], row["model_version"] == "decayed_popularity") for row in rows}
    assert found == {("plain", "popular", True), ("model", "als", False)}


def test_a_list_that_uses_nothing_of_the_person_is_no_variant(include, tmp_path):
    shy = [("shy", "knowledge", "shy", False, True)]
    rows, _ = lists(include, DESIGN, home=tmp_path, people=shy)
    assert variants(rows)[key("shy")] == {(None, "unpersonalised")}


def test_an_audience_by_consent_leaves_out_whoever_did_not_grant_it(include, tmp_path):
    text = DESIGN + "audience: {consent: [profiling]}\n"
    rows, _ = lists(include, text, home=tmp_path, unprofiled=["p000k"])  # one of the two accounts of p000b
    wanted = {**expected(include, sorted(variants(rows))), key("p000b"): None}
    assert {person: name for person, ((name, _),) in variants(rows).items()} == wanted


def test_a_promoted_variant_is_for_everybody_and_no_variant_any_more(include, tmp_path, monkeypatch):
    promoted = [Promotion(DAY - timedelta(days=1), "models", "plain", "li.na", "clear in every week")]
    monkeypatch.setattr(recommendation_variants, "found_promotions", lambda lake, tables: promoted)
    rows, _ = lists(include, DESIGN, home=tmp_path)
    assert {(row["variant"], row["source"]) for row in rows} == {(None, "popular")}


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("{model: als}", "{model: deep}", "parameters.model"),
        ("{model: als}", "{model: als, boost: 2}", "parameters.model"),
        (", model: {model: als}", "", "parameters.model"),
        ("owner: recommend", "owner: recommend\naudience: {segments: [buyers]}", "audience.segments"),
        ("unit: account", "unit: person", "unit"),
    ],
)
def test_what_the_recommender_cannot_do_is_said(include, tmp_path, old, new, says):
    with pytest.raises(InputError, match=says) as error:
        lists(include, DESIGN.replace(old, new), home=tmp_path)
    assert "d0.yaml" in str(error.value)


def test_two_designs_need_parts_of_one_layer(include, tmp_path):
    other = DESIGN.replace("experiment_id: models", "experiment_id: others")
    with pytest.raises(InputError, match="parts of one layer"):
        lists(include, DESIGN, other, home=tmp_path / "a")
    low = DESIGN + "layer: {name: recommendations, from: 0.0, to: 0.5}\n"
    high = other.replace("{plain: 0.5, model: 0.5}", "{flat: 0.5, deep: 0.5}").replace(
        "control: plain", "control: flat"
    )
    high = high.replace("{plain: {model: popularity}, model:", "{flat: {model: als_own_side}, deep:")
    high += "layer: {name: recommendations, from: 0.5, to: 1.0}\n"
    rows, _ = lists(include, low, high, home=tmp_path / "b")
    assert {row["variant"] for row in rows} == {"plain", "model", "flat", "deep"}
    assert all(len({name for name, _ in found}) == 1 for found in variants(rows).values())


def test_twice_the_same_bytes(include, tmp_path):
    one, other = (lists(include, DESIGN, home=tmp_path / name)[0] for name in ("a", "b"))
    assert one == other
