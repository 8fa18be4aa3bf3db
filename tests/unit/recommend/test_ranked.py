"""The ranker in the daily jobs: trained, measured, served and explained, on small worlds without a lake."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from crossdomain.jobs import score, train
from crossdomain.jobs.ranking import test_windows as windows_of
from crossdomain.recommend.champion import POPULAR
from crossdomain.recommend.interactions import met
from crossdomain.recommend.list_rows import SOURCES, Encoder, Lists
from crossdomain.recommend.logs import log_of, names_of, within, without
from crossdomain.recommend.offline.answering import Pool
from crossdomain.recommend.ranked import Window, default_recipe, from_files, learn_day, stage_of, to_files
from crossdomain.recommend.reasons import decode
from crossdomain.recommend.settings import RecommendSettings
from crossdomain.storage.home import Home
from crossdomain.storage.models import ModelStore
from tests.unit.recommend.world import DAY, DOMAINS, connect, context, key, read

ITEMS, PEOPLE = 40, 160
CATALOGUE = [
    (domain, f"{domain[0]}{item:02d}", "off" if item == 7 else "on") for domain in DOMAINS for item in range(ITEMS)
]


SMALL = {"RANKER_PEOPLE": "40", "TOP_K": "5", "MIN_TEST_PEOPLE": "5", "FACTORS": "4"}


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    for name, value in SMALL.items():
        monkeypatch.setenv(f"CROSSDOMAIN_RECOMMEND_{name}", value)


def tastes():
    """Two tastes: even people meet even items, odd people odd ones, one a day; each fifth is known in knowledge only.

    Everybody buys the first item of each side on the day before the last.
    """
    rng = np.random.default_rng(4)
    events, accounts = [], []
    for person in range(PEOPLE):
        sides = DOMAINS[:1] if person % 5 == 4 else DOMAINS
        names = {domain: f"p{person:03d}{domain[0]}" for domain in sides}
        for domain in sides:
            accounts.append((names[domain], domain, min(names.values()), True, True))
            own = rng.permutation(np.arange(person % 2, ITEMS, 2))[:15]
            events += [
                (names[domain], domain, f"{domain[0]}{item:02d}", "view", 2 * at + 1) for at, item in enumerate(own)
            ]
            events.append((names[domain], domain, f"{domain[0]}{int(own[-1]):02d}", "purchase", 1))
    return events, accounts


@pytest.fixture(scope="module")
def world():
    return tastes()


@pytest.fixture(scope="module")
def lists(world, tmp_path_factory):
    """Rows of a day on which the ranker is champion, made once for the tests that only look at them."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SMALL.items():
            patch.setenv(f"CROSSDOMAIN_RECOMMEND_{name}", value)
        return served(connect(*world, CATALOGUE), tmp_path_factory.mktemp("ranked"))["serving.recommendations"]


def trained(con, home):
    ctx, written = context(con, home)
    train.build(ctx)
    return ctx, written


def served(con, home, *, serves="ranker", segment="warm"):
    """What the ranker of the day gives where it is champion of both domains."""
    _, written = trained(con, home)
    (version,) = ModelStore(Home(home)).versions("ranker")
    con.execute(
        "CREATE OR REPLACE TABLE serving.champions (target_domain VARCHAR, model VARCHAR, model_version VARCHAR)"
    )
    con.executemany("INSERT INTO serving.champions VALUES (?, 'ranker', ?)", [(name, version) for name in DOMAINS])
    con.register("now", written["serving.transfer"])
    con.execute("CREATE OR REPLACE TABLE serving.transfer AS FROM now WHERE false")
    if serves != "ranker":
        con.executemany(
            "INSERT INTO serving.transfer (target_domain, segment, serves) VALUES (?, ?, ?)",
            [(name, segment, serves) for name in DOMAINS],
        )
    ctx, written = context(con, home)
    score.build(ctx)
    return written


def test_it_is_measured_beside_the_others_and_says_what_it_is_made_of(world, tmp_path):
    _, written = trained(connect(*world, CATALOGUE), tmp_path)
    measured = {(row["model"], row["segment"]) for row in written["serving.model_metrics"].to_pylist()}
    assert {("ranker", "all"), ("ranker", "warm"), ("ranker", "cold"), ("ranker_own_side", "warm")} <= measured
    assert ("ranker_own_side", "cold") not in measured
    values = {
        row["model"]: row["value"]
        for row in written["serving.model_metrics"].to_pylist()
        if (row["target_domain"], row["segment"], row["metric"]) == ("beauty", "all", "ndcg@10")
    }
    assert values["ranker"] > values["decayed_popularity"] + 0.05, "tastes are found"
    store = ModelStore(Home(tmp_path))
    (version,) = store.versions("ranker")
    files = store.load("ranker", version)
    assert b"item_knn" in files["card.md"]
    people = [key(name) for name, *_ in world[1]]
    assert not any(person.rstrip(b"\0") in data for data in files.values() for person in people), "nobody is in it"


def test_with_few_people_there_is_no_ranker(world, tmp_path, monkeypatch):
    monkeypatch.setenv("CROSSDOMAIN_RECOMMEND_RANKER_PEOPLE", "100000")
    _, written = trained(connect(*world, CATALOGUE), tmp_path)
    assert ModelStore(Home(tmp_path)).versions("ranker") == []
    assert not {row["model"] for row in written["serving.model_metrics"].to_pylist()} & {"ranker", "ranker_own_side"}


def test_lists_are_of_the_planted_taste_new_on_sale_and_without_gaps(world, lists):
    rows = lists.to_pylist()
    assert {row["source"] for row in rows} == {"ranker"}
    known = {}
    for account, domain, item, *_ in world[0]:
        known.setdefault((account[:4], domain), set()).add(item)
    found = {}
    for row in rows:
        person = row["person"].rstrip(b"\0").decode()[:4]
        found.setdefault((person, row["target_domain"]), []).append(row)
        assert row["item_id"] not in known.get((person, row["target_domain"]), ())
        assert row["item_id"] not in ("k07", "b07")
    assert len(found) == PEOPLE + PEOPLE * 4 // 5
    own = []
    for (person, _), listed in found.items():
        assert [row["rank"] for row in listed] == [1, 2, 3, 4, 5]
        order = [(-row["score"], row["item_id"]) for row in listed]
        assert order == sorted(order)
        own += [int(row["item_id"][1:]) % 2 == int(person[1:]) % 2 for row in listed[:1]]
    assert np.mean(own) > 0.9, "also for those who are known on the other side only"


def test_reasons_are_of_the_persons_own_history(world, lists):
    known = {(account[:4], domain, item) for account, domain, item, *_ in world[0]}
    codes = {}
    for row in lists.to_pylist():
        reason = decode(row["reason"])
        codes[reason.code] = codes.get(reason.code, 0) + 1
        person = row["person"].rstrip(b"\0").decode()[:4]
        assert {(person, *item) for item in reason.items} <= known
    assert codes["because"] > 0.5 * sum(codes.values())
    assert set(codes) <= {"because", "taste", "popular"}


def test_running_twice_gives_the_same_rows_and_version_however_many_threads(world, lists, tmp_path, monkeypatch):
    threads = RecommendSettings.from_env
    monkeypatch.setattr(RecommendSettings, "from_env", lambda **given: threads(**(given | {"threads": 1})))
    again = served(connect(*world, CATALOGUE), tmp_path)["serving.recommendations"]
    assert lists.equals(again), "version of the model included"


def test_its_own_side_lists_do_not_depend_on_the_other_side(world, tmp_path):
    con = connect(*world, CATALOGUE)
    written = served(con, tmp_path, serves="ranker_own_side")
    rows = [row for row in written["serving.recommendations"].to_pylist() if row["source"] == "ranker_own_side"]
    assert len(rows) == 2 * 5 * PEOPLE * 4 // 5
    for row in rows:
        assert {domain for domain, _ in decode(row["reason"]).items} <= {row["target_domain"]}


def test_the_champion_of_yesterday_is_measured_again_by_its_twin(world, tmp_path):
    con = connect(*world, CATALOGUE)
    ctx, _ = context(con, tmp_path, DAY - timedelta(days=1))
    train.build(ctx)
    (old,) = ModelStore(Home(tmp_path)).versions("ranker")
    con.executemany("INSERT INTO previous.champions VALUES (?, 'ranker', ?)", [(name, old) for name in DOMAINS])
    _, written = trained(con, tmp_path)
    versions = {
        row["model_version"] for row in written["serving.model_metrics"].to_pylist() if row["model"] == "ranker"
    }
    assert len(versions) == 2
    assert old in versions
    assert {row["model_version"] for row in written["serving.transfer"].to_pylist()} <= versions
    assert {row["without"] for row in written["serving.transfer"].to_pylist()} <= {
        "decayed_popularity",
        "ranker_own_side",
    }


def windows(con, settings, count=2):
    """Windows of the last days, as the job reads them."""
    pairs, people, items = read(con, settings)
    names = names_of(people, items)
    log = log_of(pairs, people, names, settings)
    found, end = [], int(log.ts.max()) + 1
    for number in range(count):
        begin = end - (number + 1) * 7 * 86_400
        known, after = log.where(log.ts < begin), log.where((log.ts >= begin) & (log.ts < begin + 7 * 86_400))
        found.append(Window(known, known.matrix, after.matrix, begin))
    return found, people, items


def test_a_stored_ranker_scores_as_it_did(world):
    settings = RecommendSettings(ranker_people=40)
    found, _, _ = windows(connect(*world, CATALOGUE), settings)
    nobody = np.zeros(0, dtype=np.int64)
    learned = learn_day(found, (nobody, nobody), default_recipe(settings), settings)
    again = from_files("model", to_files("model", learned.model), settings)
    features = learned.tested.features(per_source=50)
    (queries, *_) = learned.tested.stage.queries
    values = features.block(queries, slice(0, 50)).values
    for domain in (0, 1):
        assert np.array_equal(again.ranker.score(values, domain), learned.model.ranker.score(values, domain))
    assert again.gates == learned.model.gates
    assert from_files("twin", to_files("model", learned.model), settings) is None


def test_hidden_people_are_asked_about_what_they_did_as_if_they_were_new(world):
    settings = RecommendSettings()
    (window, *_), _, _ = windows(connect(*world, CATALOGUE), settings)
    everybody = stage_of(window, (np.zeros(0, np.int64), np.zeros(0, np.int64)), 7)
    hidden = everybody.queries[1].user[:10].astype(np.int64)
    stage = stage_of(window, (np.zeros(0, np.int64), hidden), 7)
    assert set(hidden) <= set(stage.queries[1].user)
    span = stage.train.names.span(1)
    assert stage.train.matrix[hidden][:, span].nnz == 0
    assert stage.train.matrix[hidden].nnz > 0
    assert len(without(window.known, hidden, 1)) == len(window.known) - window.known.matrix[hidden][:, span].nnz
    assert set(within(window.known, 1).domain) == {1}


def test_a_log_has_the_consented_pairs_in_order_of_time(world):
    settings = RecommendSettings(max_items=5)
    events = [
        ("a", "knowledge", "k01", "view", 9), ("a", "knowledge", "k02", "view", 3),
        ("a", "knowledge", "k01", "view", 1), ("shy", "beauty", "b01", "view", 2), ("a", "knowledge", "k03", "view", 4),
        ("a", "knowledge", "k03", "hide", 2),
    ]  # fmt: skip
    people = [("a", "knowledge", "a", True, True), ("shy", "beauty", "shy", False, True)]
    pairs, who, items = read(connect(events, people, CATALOGUE), settings)
    log = log_of(pairs, who, names_of(who, items), settings)
    assert items.item_id.take(pa.array(log.item)).to_pylist() == ["k02", "k01"], (
        "the last time counts; refusals take back"
    )
    assert len(log_of(pairs, who, names_of(who, items), RecommendSettings(max_items=1))) == 1


def test_windows_end_where_what_is_known_before_the_next_ends():
    settings = RecommendSettings(test_days=7, gap_days=1, window_days=30, patience=0)
    first, second, *rest = windows_of(DAY - timedelta(days=29), DAY, settings, 5)
    assert first == (
        (DAY - timedelta(days=29), DAY - timedelta(days=8)),
        (DAY - timedelta(days=29), DAY - timedelta(days=7)),
        (DAY - timedelta(days=6), DAY),
    )
    assert second[2] == (DAY - timedelta(days=14), DAY - timedelta(days=8))
    assert len(rest) == 1, "a fourth would leave nothing that is known before"


def test_the_best_of_a_pool_are_its_best():
    pool = Pool(
        np.array([0, 0, 0, 2]), np.array([3, 5, 6, 1]), np.array([1.0, 2.0, 2.0, 0.5]), np.array([0, 1, 1, 0]), 3
    )
    item, value = pool.best(np.ones(4, dtype=bool), 2)
    assert item.tolist() == [[5, 6], [-1, -1], [1, -1]]
    assert value.tolist() == [[2.0, 2.0], [-np.inf, -np.inf], [0.5, -np.inf]]
    assert pool.source_of(item, 10).tolist() == [[1, 1], [-1, -1], [0, -1]]


def test_names_are_those_of_the_run(world):
    con = connect(*world, CATALOGUE)
    pairs, people, items = read(con, RecommendSettings())
    names = names_of(people, items)
    assert names.span(1) == items.span(1)
    assert met(pairs, people, items).shape == (len(names.users), len(names.item_ids))


def test_a_row_names_the_version_that_scored_it_also_beside_an_experiment_on_another_model(world):
    _, people, items = read(connect(*world, CATALOGUE), RecommendSettings())
    encoder = Encoder(
        person=people.person, items=items, versions=["als beauty", "als"], rankers=["ranks beauty", "ranks"]
    )
    lists = Lists.empty(1, 2, 5)
    lists.item[:] = 0
    wanted = ("ranker", "als", "ranker_own_side", "als_own_side", "popular")
    lists.source[0, :] = [SOURCES.index(name) for name in wanted]
    rows = encoder.table(slice(0, 1), lists).to_pylist()
    assert [row["source"] for row in rows] == [*wanted, *wanted]
    assert [row["model_version"] for row in rows] == [
        "ranks beauty", "als beauty", "ranks beauty", "als beauty", POPULAR, "ranks", "als", "ranks", "als", POPULAR
    ]  # fmt: skip
