import inspect
import json
import logging
import re
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from typer.testing import CliRunner

from crossdomain.cli import recommender
from crossdomain.cli.main import app
from crossdomain.errors import InputError
from crossdomain.recommend.offline import training
from crossdomain.recommend.offline.bounds import check_settings
from crossdomain.recommend.offline.evaluation import PRODUCT, Request, evaluate, plan_of
from crossdomain.recommend.offline.features import Features, fit_sources
from crossdomain.recommend.offline.log import make_logs
from crossdomain.recommend.offline.protocols import Choices, make_plan
from crossdomain.recommend.offline.ranker import Ranker, RankerSettings, ranked
from crossdomain.recommend.offline.ranker_search import label_stages, prepared
from crossdomain.recommend.offline.reading import read_events, read_items
from crossdomain.recommend.offline.search import SearchSettings, tune_source
from crossdomain.recommend.offline.sources import SOURCES
from crossdomain.recommend.offline.sources.knn import ItemKnn
from crossdomain.recommend.offline.training import BASELINES, Gate, Recipe
from tests.unit.recommend.offline.logs import blocks, events, log, random_log

QUICK = {name: SOURCES[name]() for name in ("popularity", "item_knn", "als")}
RECIPE = Recipe(QUICK, RankerSettings(rounds=20, least_rows=5, threads=1))


def _request(protocol: str, **choices) -> Request:
    return Request(protocol, Choices(label_stages=1, **choices), recipe=RECIPE, samples=50)


@pytest.mark.parametrize("protocol", ["temporal", "leave-one-out", "domain-cold"])
def test_everybody_gets_the_items_of_the_own_block(protocol) -> None:
    found = evaluate(blocks(items=6), None, None, _request(protocol))
    for domain in ("art", "books"):
        ours = found["models"][PRODUCT][domain]
        assert ours["hr@5"]["value"] > 0.95
        assert ours["hr@5"]["low"] <= ours["hr@5"]["value"] <= ours["hr@5"]["high"]
        assert ours["hr@5"]["value"] > found["models"]["popularity"][domain]["hr@5"]["value"] + 0.2
        paired = found["differences"]["popularity"][domain]["hr@5"]
        assert paired["low"] > 0
        assert paired["value"] == pytest.approx(
            ours["hr@5"]["value"] - found["models"]["popularity"][domain]["hr@5"]["value"], abs=1e-5
        )
    segment = "cold" if protocol == "domain-cold" else "warm"
    assert found["segments"][segment][PRODUCT]


def _known_somewhere() -> pa.Table:
    """Of four people each, one knows art only before the test, one books only, and two both."""
    table = blocks(people=120, items=6)
    cut = max(table["ts"].to_pylist()) + 1 - 90 * 86_400
    gone = {0: "books", 1: "art"}
    keep = [
        ts >= cut or gone.get(int(user[1:]) % 8) != domain
        for user, domain, ts in zip(*(table[name].to_pylist() for name in ("user_id", "domain", "ts")), strict=True)
    ]
    return table.filter(pa.array(keep))


def test_directions_and_segments_add_up_and_have_their_own_differences() -> None:
    table = _known_somewhere()
    found = evaluate(table, None, None, _request("temporal"))
    stage = make_plan("temporal", make_logs([table])[0], Choices(label_stages=1)).test[0]
    for queries in stage.queries:
        domain = stage.train.names.domains[queries.domain]
        met = [
            stage.train.matrix[queries.user][:, stage.train.names.span(side)].sum(axis=1).A1 > 0
            for side in (queries.domain, 1 - queries.domain)
        ]
        wanted = {"other": ~met[0] & met[1], "both": met[0] & met[1], "target": met[0] & ~met[1]}
        for model, everybody in found["models"].items():
            parts = {name: found["directions"][name][model][domain]["ndcg@10"] for name in wanted}
            assert {name: part["n"] for name, part in parts.items()} == {
                name: int(chosen.sum()) for name, chosen in wanted.items()
            }
            total = sum(part["n"] * part["value"] for part in parts.values())
            assert total / len(queries) == pytest.approx(everybody[domain]["ndcg@10"]["value"], abs=1e-5)
            assert parts["other"] == found["segments"]["cold"][model][domain]["ndcg@10"]
        for kind, groups in (("segment", ("warm", "cold")), ("direction", wanted)):
            for name in groups:
                values = found[f"{kind}s"][name]
                paired = found[f"{kind}_differences"][name]["popularity"][domain]["ndcg@10"]
                gain = values[PRODUCT][domain]["ndcg@10"]["value"] - values["popularity"][domain]["ndcg@10"]["value"]
                assert paired["value"] == pytest.approx(gain, abs=2e-6)
                assert paired["low"] <= paired["value"] <= paired["high"]
                assert PRODUCT not in found[f"{kind}_differences"][name]


def test_lists_of_a_segment_are_those_of_its_people_alone() -> None:
    found = evaluate(_known_somewhere(), None, None, _request("temporal"))
    for domain in ("art", "books"):
        n = {name: found["segment_lists"][name][PRODUCT][domain]["coverage@10"]["n"] for name in ("warm", "cold")}
        assert n["warm"] + n["cold"] == found["people"][domain]
        whole = found["lists"][PRODUCT][domain]
        for name in n:
            part = found["segment_lists"][name][PRODUCT][domain]
            assert set(part) == set(whole)
            assert 0 < part["coverage@10"]["value"] <= whole["coverage@10"]["value"]
            assert part["novelty@10"]["low"] <= part["novelty@10"]["value"] <= part["novelty@10"]["high"]
        mean = sum(n[name] * found["segment_lists"][name][PRODUCT][domain]["novelty@10"]["value"] for name in n)
        assert mean / sum(n.values()) == pytest.approx(whole["novelty@10"]["value"], abs=1e-5)  # all lists are full
    one = evaluate(random_log(people=80), None, None, _request("leave-one-out"))
    assert one["segment_lists"]["warm"][PRODUCT].keys() == one["lists"][PRODUCT].keys()


def test_the_same_document_twice() -> None:
    request = _request("leave-one-out", negatives=8)
    first, second = (evaluate(random_log(people=80), None, None, request) for _ in range(2))
    del first["seconds"], second["seconds"]
    assert json.dumps(first) == json.dumps(second)


def test_groups_of_moments_are_reported_together() -> None:
    plain = evaluate(random_log(people=80), None, None, _request("leave-one-out"))
    strict = evaluate(random_log(people=80), None, None, _request("leave-one-out", strict=3))
    for domain in ("art", "books"):
        count = strict["models"][PRODUCT][domain]["hr@10"]["n"]
        assert 0.6 * plain["models"][PRODUCT][domain]["hr@10"]["n"] < count == strict["people"][domain]


def test_nothing_is_shown_twice_and_what_was_met_is_not_shown() -> None:
    plan = make_plan("temporal", make_logs([random_log(people=80)])[0], Choices(label_stages=0, test_days=200))
    stage = plan.test[0]
    features = Features(stage, fit_sources(stage, QUICK, seed=7, threads=1), per_source=5)
    for queries in stage.queries:
        found = features.block(queries, slice(0, len(queries)))
        span = stage.train.names.span(queries.domain)
        for row, user in enumerate(queries.user):
            items = found.item[found.indptr[row] : found.indptr[row + 1]]
            assert (np.diff(items) > 0).all()
            assert ((items >= span.start) & (items < span.stop)).all()
            assert not stage.history.matrix[user, items].nnz
        assert found.values.shape == (len(found.item), len(features.names))


def test_features_do_not_depend_on_the_true_item() -> None:
    """Two tests that differ in what is true have the same candidates and features."""
    everything = make_logs([random_log(people=80)])[0]
    stage = make_plan("leave-one-out", everything, Choices(label_stages=0)).test[0]
    queries = stage.queries[0]
    features = Features(stage, fit_sources(stage, QUICK, seed=7, threads=1), per_source=5)
    rows = slice(0, len(queries))
    first = features.block(queries, rows)
    other = type(queries)(queries.domain, queries.user, queries.moment, queries.truth[::-1])
    second = features.block(other, rows)
    assert first.values.tobytes() == second.values.tobytes()
    assert np.array_equal(first.item, second.item)
    assert first.label.sum() != 0


def test_item_times_count_only_what_was_before() -> None:
    day = 86_400
    rows = [("a", "x", "1"), ("b", "x", "1"), ("c", "x", "1"), ("d", "x", "2"), ("d", "x", "3")]
    times = [0, 5 * day, 400 * day, 6 * day, 8 * day]
    stages = make_plan("leave-one-out", log([*rows, ("d", "x", "9")], [*times, 9 * day]), Choices(label_stages=0))
    (stage,) = stages.test
    features = Features(stage, fit_sources(stage, {"popularity": SOURCES["popularity"]()}, seed=7, threads=1))
    (queries,) = stage.queries
    found = features.block(queries, slice(0, 1))
    first = dict(zip(features.names, found.values[found.item == 0][0].tolist(), strict=True))
    assert first["item_total"] == pytest.approx(np.log1p(3))
    assert first["item_before"] == pytest.approx(np.log1p(2))  # that of day 400 is not known on day 9
    assert first["item_age"] == pytest.approx(9)
    assert first["item_quiet"] == pytest.approx(4)
    assert [first[f"item_days_{days}"] for days in (3, 7, 14)] == pytest.approx(np.log1p([0, 1, 2]).tolist())
    assert (first["history"], first["quiet_days"]) == (2, 1)


def test_ragged_ranks_share_ties() -> None:
    ranks, lists = ranked(
        np.array([0, 3, 5]), np.array([2, 4, 7, 1, 3], np.int32), np.array([0.5, 0.5, 0.9, 0.1, 0.2], np.float32),
        np.array([0, 2, 3]), np.array([2, 9, 3], np.int32), 4,
    )  # fmt: skip
    assert ranks.tolist() == [2.5, np.inf, 1]
    assert lists.tolist() == [[7, 2, 4, -1], [3, 1, -1, -1]]


def test_the_gate_falls_back_where_the_ranker_does_not_win() -> None:
    found = evaluate(random_log(people=80), None, None, _request("leave-one-out"))
    for domain, gate in found["gates"].items():
        assert gate["ships"] == (gate["ranker"] > gate["best"])
        assert gate["low"] <= gate["ranker"] - gate["best"] <= gate["high"]
        if not gate["ships"] and gate["best_source"] in found["models"]:
            assert found["models"][PRODUCT][domain] == found["models"][gate["best_source"]][domain]
    assert not Gate(ranker=0.2, best_source="als", best=0.2, rounds=3).ships
    assert Gate(ranker=0.3, best_source="als", best=0.2, rounds=3).ships
    assert not Gate(ranker=0.3, best_source="als", best=0.2, rounds=3, doubt=0.2, most_doubt=0.16).ships


def _gate(monkeypatch, gain: np.ndarray) -> Gate:
    """The gate of a validation on which the ranker gains so much for each person."""
    plan = make_plan("temporal", make_logs([blocks()])[0], Choices(label_stages=0))
    sources = {name: SOURCES[name]() for name in ("popularity", "item_knn")}
    (ready,) = (prepared(stage, sources, RECIPE.ranker) for stage in plan.validation)
    queries = ready.stage.queries[0].take(np.arange(len(gain)))
    ready = replace(ready, stage=replace(ready.stage, queries=(queries,)))
    half = np.full(len(gain), 0.5)
    monkeypatch.setattr(training, "rank_candidates", lambda *given, **options: half + gain)
    monkeypatch.setattr(training, "rank_source", lambda source, *rest, **options: half - (source.name == "popularity"))
    monkeypatch.setattr(training, "per_person", lambda values: {"ndcg@10": values})
    ranker = Ranker(None, (), 0)
    careful = replace(RECIPE.ranker, most_doubt=0.16)
    return training._gates([ready], Recipe(sources, careful), ranker, ())[0]


def test_a_careful_gate_wants_more_than_a_lucky_mean(monkeypatch) -> None:
    noise = np.tile([0.1, -0.1], 20)
    clear, lucky, worse = (_gate(monkeypatch, noise + mean) for mean in (0.05, 0.005, -0.05))
    for gate, mean in ((clear, 0.05), (lucky, 0.005), (worse, -0.05)):
        assert (gate.best_source, gate.best) == ("item_knn", 0.5)
        assert gate.ranker - gate.best == pytest.approx(mean)
        half = 1.96 * noise.std() / np.sqrt(40)
        assert (gate.low, gate.high) == pytest.approx((mean - half, mean + half), abs=0.006)
    assert [gate.ships for gate in (clear, lucky, worse)] == [True, False, False]
    assert clear.doubt < 0.01 < 0.2 < lucky.doubt < 0.5 < worse.doubt


def test_the_search_keeps_the_best_and_repeats() -> None:
    plan = make_plan("leave-one-out", make_logs([blocks()])[0], Choices(label_stages=0))
    settings = SearchSettings(trials=6, threads=1)
    first, second = (tune_source("item_knn", plan.validation, settings) for _ in range(2))
    assert first.source == second.source
    assert first.trials == 6
    one = tune_source("item_knn", plan.validation, SearchSettings(trials=1, threads=1))
    assert one.source == ItemKnn()
    assert first.value >= one.value
    assert (
        tune_source(
            "vector_mapping",
            make_plan("leave-one-out", log([("a", "x", str(n)) for n in range(9)]), Choices()).validation,
            settings,
        )
        is None
    )


def test_costly_settings_are_tried_for_the_best_only_and_not_on_long_logs(monkeypatch) -> None:
    plan = make_plan("leave-one-out", make_logs([random_log(people=80)])[0], Choices(label_stages=0))
    settings = SearchSettings(trials=2, threads=1)
    found = tune_source("als", plan.validation, settings)
    assert found.trials == 3
    monkeypatch.setattr("crossdomain.recommend.offline.search.MOST_FOR_COSTLY", 10)
    short = tune_source("als", plan.validation, settings)
    assert (short.trials, short.source.starts) == (2, 1)
    assert found.value >= short.value
    assert tune_source("als", plan.validation, SearchSettings(trials=1, threads=1)).trials == 1


def test_settings_files_survive_a_round_trip_and_bad_ones_are_refused() -> None:
    document = json.loads(json.dumps(RECIPE.as_document()))
    assert Recipe.from_document(document, where="x") == RECIPE


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (None, "no settings file"),
        ([], "no settings file"),
        ({}, "no settings file"),
        ({"sources": {"magic": {}}}, "no settings file.*magic"),
        ({"sources": {"als": {"depth": 3}}}, "no settings file.*depth"),
        ({"sources": {"als": {"factors": -3}}}, "s.json: sources.als.factors is -3: give a whole number, 1 or more"),
        ({"sources": {"als": {"factors": 8.5}}}, "sources.als.factors is 8.5: give a whole number"),
        ({"sources": {"als": {"factors": "many"}}}, "sources.als.factors is 'many': give a whole number"),
        ({"sources": {"als": {"regularization": 0}}}, "regularization is 0: give a number, more than 0"),
        ({"sources": {"als": {"place_decay": 1.5}}}, "place_decay is 1.5: give a number, more than 0 and at most 1"),
        ({"sources": {"als": {"alpha": float("nan")}}}, "alpha is nan: give a number"),
        ({"sources": {"als": {"alpha": True}}}, "alpha is True: give a number"),
        ({"sources": {"item_knn": {"neighbours": -1}}}, "neighbours is -1: give a whole number, 0 or more"),
        ({"sources": {"popularity": {}}, "ranker": {"leaves": 1}}, "s.json: ranker.leaves is 1: give .* 2 or more"),
        ({"sources": {"popularity": {}}, "ranker": {"per_source": 0}}, "ranker.per_source is 0"),
        ({"sources": {"popularity": {}}, "ranker": {"threads": 0}}, "ranker.threads is 0"),
        ({"sources": {"popularity": {}}, "ranker": {"seed": -1}}, "ranker.seed is -1: give a whole number, 0 or more"),
        ({"sources": {"popularity": {}}, "metric": "ndgc@10"}, "metric is 'ndgc@10': give one of hr@5"),
        ({"sources": {"popularity": {}}, "validation": {"als": "x"}}, "validation.als is 'x'"),
        ({"sources": {"popularity": {}}, "rankr": {}}, "s.json: rankr is no part"),
    ],
)
def test_bad_settings_files_are_refused_by_key(document, message) -> None:
    with pytest.raises(InputError, match=message):
        Recipe.from_document(document, where="s.json")


def test_every_setting_that_a_search_may_try_can_be_read() -> None:
    for kind in (*SOURCES.values(), RankerSettings):
        for name, values in {**kind.space, **getattr(kind, "costly", {})}.items():
            for value in values:
                check_settings(replace(kind(), **{name: value}), kind.__name__)


def test_label_stages_with_too_few_people_for_a_source_are_left_out() -> None:
    """A log that begins with three people: the groups of ``segment_popularity`` cannot be made of them."""
    early = [(f"u{person}", "art", f"art-{(person + 1) % 4}-{item}") for person in range(3) for item in range(4)]
    table = pa.concat_tables([blocks(people=60, items=6), events(early, [-86_400] * len(early))])
    sources = {name: SOURCES[name]() for name in ("popularity", "segment_popularity")}
    request = Request("temporal", Choices(test_days=100), recipe=Recipe(sources, RECIPE.ranker), samples=50)
    plan = plan_of(table, None, None, request)
    assert [[source.applies(stage.train) for source in sources.values()] for (stage,) in plan.labels][-1] == [
        True,
        False,
    ]
    assert len(label_stages(plan, sources)) == len(plan.labels) - 1
    assert evaluate(table, None, None, request)["models"][PRODUCT]


def test_what_nobody_can_learn_from_is_said() -> None:
    day = 86_400
    rows = [(f"u{person}", "x", f"{month}-{item}") for person in range(8) for month in range(4) for item in range(3)]
    times = [month * 30 * day + item for _ in range(8) for month in range(4) for item in range(3)]
    request = Request("temporal", Choices(test_days=30), recipe=RECIPE)
    with pytest.raises(InputError, match="no true item of the validation is among the candidates"):
        evaluate(events(rows, times), None, None, request)
    with pytest.raises(InputError, match="content of --settings cannot learn from these events"):
        evaluate(
            blocks(), None, None, replace(request, recipe=Recipe({"content": SOURCES["content"]()}, RECIPE.ranker))
        )
    with pytest.raises(InputError, match="the settings name no source: give one of popularity"):
        evaluate(blocks(), None, None, replace(request, recipe=Recipe({}, RECIPE.ranker)))
    with pytest.raises(InputError, match="--without item_aeg: there is no such feature; there are popularity_all"):
        evaluate(blocks(), None, None, replace(request, without=("item_age", "item_aeg")))


def test_interactions_after_the_question_stop_the_evaluation() -> None:
    rows = [(f"u{person}", "x", str(item)) for person in range(4) for item in range(4)]
    test = [(f"u{person}", "x", "9") for person in range(4)]
    with pytest.raises(
        InputError, match=r"16 interactions happened after the moment of the question .u0 x:0 10;.*last"
    ):
        evaluate(events(rows, [10] * 16), None, events(test, [5] * 4), Request("given", recipe=RECIPE))


def test_the_commands_tune_and_evaluate(tmp_path) -> None:
    table = blocks(people=60, items=6).drop_columns(["weight"])
    pyarrow.csv.write_csv(table, tmp_path / "events.csv")
    out = tmp_path / "settings.json"
    base = ["--events", str(tmp_path / "events.csv"), "--protocol", "temporal"]
    run = CliRunner().invoke(app, ["tune", *base, "--out", str(out), "--trials", "1"])
    assert run.exit_code == 0, run.output
    lines = [line for line in run.stderr.splitlines() if line.split()[1] in SOURCES]
    assert [line.split()[1] for line in lines] == list(SOURCES)
    assert all(
        "cannot be used" in line or re.search(r"ndcg@10 0\.\d+, \d settings in \d+\.\d s", line) for line in lines
    )
    assert not re.search("of 14|ranker:", run.stdout)
    written = json.loads(out.read_text())
    assert set(written["validation"]) == {*written["sources"], "ranker"}
    run = CliRunner().invoke(app, ["evaluate", "recommender", *base, "--settings", str(out), "--json"])
    assert run.exit_code == 0, run.output
    assert "sources learned" in run.stderr
    assert not logging.getLogger("crossdomain").handlers
    found = json.loads(run.stdout)
    assert found["settings"] == written
    assert set(found["models"][PRODUCT]) == {"art", "books"}
    assert set(found["models"]) == {PRODUCT, *BASELINES}
    assert {"value", "low", "high"} <= set(found["models"][PRODUCT]["art"]["ndcg@10"])
    assert set(found["lists"][PRODUCT]["art"]) >= {
        "coverage@10",
        "novelty@10",
        "diversity@10",
        "gini@10",
        "calibration@10",
    }
    ours, theirs = (found["lists"][model]["art"]["coverage@10"] for model in (PRODUCT, "popularity"))
    paired = found["list_differences"]["popularity"]["art"]["coverage@10"]
    assert paired["value"] == pytest.approx(ours["value"] - theirs["value"], abs=2e-6)
    assert paired["low"] <= paired["value"] <= paired["high"]


@pytest.mark.parametrize(
    ("out", "message"), [("none/s.json", "there is no folder"), (".", "is no file: give the name")]
)
def test_where_settings_cannot_be_written_is_said_before_the_search(tmp_path, monkeypatch, out, message) -> None:
    pyarrow.csv.write_csv(blocks(people=20, items=6).drop_columns(["weight"]), tmp_path / "e.csv")
    monkeypatch.setattr(training, "search", None)
    run = CliRunner().invoke(app, ["tune", "--events", str(tmp_path / "e.csv"), "--out", str(tmp_path / out)])
    assert isinstance(run.exception, InputError)
    assert message in str(run.exception)
    assert [one.name for one in tmp_path.iterdir()] == ["e.csv"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{,", "s.json:1:2: no JSON"),
        (b"\xff\xfe{", "s.json cannot be read"),
        (None, "s.json is missing: write it with"),
    ],
)
def test_settings_files_that_cannot_be_read_are_named(tmp_path, content, message) -> None:
    pyarrow.csv.write_csv(blocks(people=20, items=6).drop_columns(["weight"]), tmp_path / "e.csv")
    if content is not None:
        (tmp_path / "s.json").write_bytes(content)
    given = ["--events", str(tmp_path / "e.csv"), "--settings", str(tmp_path / "s.json")]
    run = CliRunner().invoke(app, ["evaluate", "recommender", *given])
    assert isinstance(run.exception, InputError)
    assert message in str(run.exception)


def test_both_commands_ask_for_a_log_in_the_same_way() -> None:
    shared = inspect.signature(recommender._question, eval_str=True).parameters
    for command, own in ((recommender.tune, {"out", "json"}), (recommender.evaluate, {"settings", "without", "json"})):
        found = inspect.signature(command).parameters
        assert set(found) == {*shared, *own}
        assert all(found[name] == shared[name] for name in shared)
    run = CliRunner().invoke(app, ["tune", "--out", "x.json"])
    assert run.exit_code == 2
    assert "--events" in run.output


@pytest.mark.parametrize(("stages", "learned"), [(0, 1), (1, 2)])
def test_label_stages_are_asked_for(tmp_path, monkeypatch, stages, learned) -> None:
    pyarrow.csv.write_csv(blocks(people=60, items=6).drop_columns(["weight"]), tmp_path / "events.csv")
    (tmp_path / "settings.json").write_text(json.dumps(RECIPE.as_document()))
    asked = []
    monkeypatch.setattr(training, "prepared", lambda stage, *rest: asked.append(stage) or prepared(stage, *rest))
    options = ["--events", tmp_path / "events.csv", "--settings", tmp_path / "settings.json", "--label-stages", stages]
    run = CliRunner().invoke(app, ["evaluate", "recommender", *map(str, options), "--json"])
    assert run.exit_code == 0, run.output
    assert json.loads(run.stdout)["choices"]["label_stages"] == stages
    assert len(asked) == learned  # the validation, and what labels


def test_texts_of_a_catalogue_in_all_formats(tmp_path) -> None:
    rows = [
        {"item_id": "1", "domain": "a", "title": "Soap", "description": "Mild <br>", "tags": "skin、bath"},
        {"item_id": "2", "domain": "a", "title": None, "description": None, "tags": None},
    ]
    pa.csv.write_csv(pa.Table.from_pylist(rows), tmp_path / "i.csv")
    assert read_items(tmp_path / "i.csv")["text"].to_pylist() == ["Soap\nMild <br>\nskin、bath", ""]
    listed = [{**rows[0], "tags": ["skin", "bath"]}, rows[1]]
    pa.parquet.write_table(pa.Table.from_pylist(listed), tmp_path / "i.parquet")
    assert read_items(tmp_path / "i.parquet")["text"].to_pylist() == ["Soap\nMild <br>\nskin bath", ""]
    (tmp_path / "i.jsonl").write_text('{"item_id": "1", "domain": "a"}')
    assert read_items(tmp_path / "i.jsonl").column_names == ["item_id", "domain"]


def test_texts_reach_the_recommender_through_the_catalogue(tmp_path) -> None:
    """Every item is described by its kind: the content source finds the block without any behaviour."""
    table = blocks(people=60, items=6)
    pairs = sorted(set(zip(table["domain"].to_pylist(), table["item_id"].to_pylist(), strict=True)))
    words = [f"kind{item.split('-')[1]} item{number}" for number, (_, item) in enumerate(pairs)]
    domain, item = zip(*pairs, strict=True)
    pa.parquet.write_table(pa.table({"item_id": item, "domain": domain, "title": words}), tmp_path / "i.parquet")
    sources = {name: SOURCES[name]() for name in ("popularity", "content")}
    request = replace(_request("leave-one-out"), recipe=Recipe(sources, RECIPE.ranker))
    found = evaluate(table, read_items(tmp_path / "i.parquet"), None, request)
    for name in ("art", "books"):
        assert found["models"][PRODUCT][name]["hr@5"]["value"] > 0.95


def test_events_from_all_formats_are_the_same(tmp_path) -> None:
    table = pa.table({"user_id": [1, 2], "domain": ["a", "b"], "item_id": [7, 8], "ts": ["2024-01-02", "2024-01-03"]})
    pa.csv.write_csv(table, tmp_path / "e.csv")
    pa.parquet.write_table(table, tmp_path / "e.parquet")
    (tmp_path / "e.jsonl").write_text("\n".join(json.dumps(row) for row in table.to_pylist()))
    found = [read_events(tmp_path / f"e.{kind}").to_pylist() for kind in ("csv", "parquet", "jsonl")]
    assert found[0] == found[1] == found[2]
    assert found[0][0] == {"user_id": "1", "domain": "a", "item_id": "7", "ts": 1704153600, "weight": 1.0}


def test_rejections_stay_and_types_weigh(tmp_path) -> None:
    rows = ["1,purchase,,1", "1,refund,,2", "2,view,,1", "3,impression,,1", "4,rating,5,1", "5,rating,1,1"]
    rows += ["6,refund,,1", "6,purchase,,2"]
    text = "\n".join(["user_id,domain,item_id,event_type,value,ts", *(f"u,d,{row}" for row in rows)])
    (tmp_path / "e.csv").write_text(text)
    table = read_events(tmp_path / "e.csv")
    found = [(row["item_id"], round(row["weight"], 3), row["rejects"]) for row in table.to_pylist()]
    assert found == [
        ("1", 1.0, False), ("1", 0.0, True), ("2", 0.2, False), ("4", 0.8, False), ("5", 0.0, True),
        ("6", 0.0, True), ("6", 1.0, False),
    ]  # fmt: skip
    known = make_logs([table])[0]
    assert [known.names.item_ids[int(item)].as_py() for item in known.standing().item] == ["2", "4", "6"]
    others = read_events(tmp_path / "e.csv", {"view": 0.0, "purchase": 0.7})
    found = {row["item_id"]: round(row["weight"], 3) for row in others.to_pylist() if not row["rejects"]}
    assert found == {"1": 0.7, "4": 0.8, "6": 0.7}


@pytest.mark.parametrize(
    ("text", "message"),
    [("user_id,domain\n1,a\n", "lacks the column item_id"), ("user_id,domain,item_id\n1,a,\n", "row 1 has no item_id")],
)
def test_bad_files_are_named(tmp_path, text, message) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_events(path)
    with pytest.raises(InputError, match="is missing"):
        read_items(tmp_path / "none.csv")
