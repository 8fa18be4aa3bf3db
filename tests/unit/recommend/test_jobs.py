"""Jobs ``train`` and ``score`` on small worlds, without a lake."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from crossdomain.jobs import score, train
from crossdomain.recommend.champion import POPULAR
from crossdomain.recommend.reasons import decode
from tests.unit.recommend.world import DAY, blocks_world, connect, context, key, tastes_world

CATALOGUE = [
    *[("knowledge", f"k{i:02d}", "off" if i == 2 else "on") for i in range(8)],
    *[("beauty", f"b{i:02d}", "off" if i == 3 else None) for i in range(8)],
]


@pytest.fixture(autouse=True)
def _small_models(monkeypatch):
    settings = {"FACTORS": "4", "REGULARIZATION": "0.5", "POPULARITY_POWER": "0", "ITERATIONS": "15", "TOP_K": "3"}
    settings["RANKER_PEOPLE"] = "0"
    for name, value in settings.items():
        monkeypatch.setenv(f"CROSSDOMAIN_RECOMMEND_{name}", value)


@pytest.fixture
def world():
    """The two tastes, and: a buyer, two who withhold a consent, somebody without behaviour, a refund."""
    events, accounts = blocks_world()
    events += [
        ("buyer", "knowledge", "k00", "view", 3), ("buyer_b", "beauty", "b00", "purchase", 2),
        ("shy", "knowledge", "k01", "view", 3), ("apart", "knowledge", "k01", "view", 3),
        ("back", "knowledge", "k00", "view", 3), ("back_b", "beauty", "b02", "purchase", 4),
        ("back_b", "beauty", "b02", "refund", 1),
    ]  # fmt: skip
    accounts += [
        ("buyer", "knowledge", "buyer", True, True), ("buyer_b", "beauty", "buyer", True, True),
        ("shy", "knowledge", "shy", False, True), ("apart", "knowledge", "apart", True, False),
        ("fresh", "knowledge", "fresh", True, True),
        ("back", "knowledge", "back", True, True), ("back_b", "beauty", "back", True, True),
    ]  # fmt: skip
    return events, accounts


def run(con, home):
    ctx, written = context(con, home)
    train.build(ctx)
    for table in ("champions", "transfer"):
        con.register("now", written[f"serving.{table}"])
        con.execute(f"CREATE OR REPLACE TABLE serving.{table} AS FROM now")
    score.build(ctx)
    return written


def rows_of(written, person, target=None):
    table = written["serving.recommendations"].to_pylist()
    return [r for r in table if r["person"] == key(person) and target in (None, r["target_domain"])]


def test_planted_tastes_are_found_in_both_directions_for_one_sided_people_too(world, tmp_path):
    written = run(connect(*world, CATALOGUE), tmp_path)
    champions = written["serving.champions"].to_pylist()
    assert {row["model"] for row in champions} == {"als"}
    own = [
        int(row["item_id"][1:]) % 2 == int(row["person"][1:4]) % 2
        for row in written["serving.recommendations"].to_pylist()
        if row["person"].startswith(b"p") and row["rank"] == 1
    ]
    assert len(own) == 60 + 48
    assert np.mean(own) == 1
    metrics = {
        (m["direction"], m["segment"], m["model"]): m["value"]
        for m in written["serving.model_metrics"].to_pylist()
        if m["metric"] == "ndcg@10"
    }
    for direction in ("knowledge>beauty", "beauty>knowledge"):
        assert metrics[direction, "warm", "als"] > metrics[direction, "warm", "popularity"] + 0.1


def test_invariants_of_the_rows(world, tmp_path):
    rows = run(connect(*world, CATALOGUE), tmp_path)["serving.recommendations"].to_pylist()
    lists = {}
    for row in rows:
        lists.setdefault((row["person"], row["target_domain"]), []).append(row)
    for listed in lists.values():
        assert [row["rank"] for row in listed] == list(range(1, len(listed) + 1))
        order = [(-row["score"], row["item_id"]) for row in listed]
        assert order == sorted(order)
        assert len(listed) <= 3
    assert not {"k02", "b03"} & {row["item_id"] for row in rows}  # off sale
    assert {row["target_domain"] for row in rows if row["person"] == key("shy")} == {"beauty"}
    assert {row["target_domain"] for row in rows if row["person"] == key("buyer")} == {"beauty", "knowledge"}


def test_nobody_is_shown_what_they_own_or_gave_back(world, tmp_path):
    written = run(connect(*world, CATALOGUE), tmp_path)
    assert "b00" not in {row["item_id"] for row in rows_of(written, "buyer")}
    assert "b02" not in {row["item_id"] for row in rows_of(written, "back")}


def test_without_personalisation_the_list_is_everybodys_and_says_so(world, tmp_path):
    events, accounts = world
    events += [("shy", "knowledge", "k00", "purchase", 1), ("shy_b", "beauty", "b00", "purchase", 1)]
    accounts += [("shy_b", "beauty", "shy", True, True), ("coy", "knowledge", "coy", False, True)]
    written = run(connect(events, accounts, CATALOGUE), tmp_path)
    for target in ("knowledge", "beauty"):
        everybodys = [row for row in written["serving.popular_items"].to_pylist() if row["target_domain"] == target]
        assert len(everybodys) == 3
        rows = rows_of(written, "shy", target)
        assert [(row["rank"], row["item_id"], row["score"]) for row in rows] == [
            (row["rank"], row["item_id"], row["score"]) for row in everybodys
        ], "owned items or not"
        assert {(row["source"], row["model_version"]) for row in rows} == {("unpersonalised", POPULAR)}
        assert {decode(row["reason"]).code for row in rows} == {"popular_with_all"}
    lists = [[row["item_id"] for row in rows_of(written, person, "beauty")] for person in ("shy", "coy")]
    assert lists[0] == lists[1]


def test_without_personalisation_it_does_not_matter_who_did_what(world, tmp_path):
    events, accounts = world
    accounts += [("coy", "knowledge", "coy", False, True)]
    events += [("coy", "knowledge", "k05", "purchase", 9)]
    swapped = [({"shy": "coy", "coy": "shy"}.get(event[0], event[0]), *event[1:]) for event in events]
    assert swapped != events
    one, other = (
        run(connect(rows, accounts, CATALOGUE), tmp_path / str(n)) for n, rows in enumerate((events, swapped))
    )
    assert rows_of(one, "shy")
    for person in ("shy", "coy"):
        assert rows_of(one, person) == rows_of(other, person)


def test_without_consent_to_cross_domain_there_is_no_row_and_no_pair(world, tmp_path):
    written = run(connect(*world, CATALOGUE), tmp_path)
    assert rows_of(written, "apart") == []
    events, accounts = world
    lone = [("linked", "knowledge", "k06", "purchase", 2), ("linked_b", "beauty", "b07", "purchase", 2)]
    people = [("linked", "knowledge", "linked", True, True), ("linked_b", "beauty", "linked", True, False)]
    written = run(connect(events + lone, accounts + people, CATALOGUE), tmp_path / "linked")
    assert rows_of(written, "linked") == []


def test_people_whom_the_model_does_not_know_get_the_fallback(world, tmp_path):
    rows = rows_of(run(connect(*world, CATALOGUE), tmp_path), "fresh")
    assert [row["rank"] for row in rows] == [1, 2, 3]
    assert {row["source"] for row in rows} == {"fallback"}


def test_reasons_are_items_of_the_persons_own_history(world, tmp_path):
    con = connect(*world, CATALOGUE)
    written = run(con, tmp_path)
    met = set(
        con.sql(
            "SELECT person, domain, item_id FROM clean.events JOIN derived.people USING (account, domain)"
        ).fetchall()
    )
    personal = [row for row in written["serving.recommendations"].to_pylist() if row["source"] == "als"]
    assert personal
    for row in personal:
        reason = decode(row["reason"])
        assert reason.code == "because"
        assert {(row["person"], *item) for item in reason.items} <= met


def test_reasons_say_where_their_items_share_a_creator(world, tmp_path):
    catalogue = [(*row, {0: "li", 4: "li", 1: "wu"}.get(int(row[1][1:]))) for row in CATALOGUE]
    creators = {(domain, item): (domain, name) for domain, item, _, name in catalogue if name}
    codes = set()
    for row in run(connect(*world, catalogue), tmp_path)["serving.recommendations"].to_pylist():
        reason = decode(row["reason"])
        if len(reason.items) < 2:
            continue
        of = [creators.get(item) for item in reason.items]
        assert reason.code == ("because_creator" if of[0] is not None and of[0] == of[1] else "because"), reason
        codes.add(reason.code)
    assert codes == {"because", "because_creator"}


def test_running_twice_gives_the_same_rows_and_versions(world, tmp_path):
    first = run(connect(*world, CATALOGUE), tmp_path / "a")
    events, accounts = world
    shuffled = connect(events, accounts[::-1], CATALOGUE[::-1])
    again = run(shuffled, tmp_path / "b")
    for table in first:
        assert first[table].to_pylist() == again[table].to_pylist()
    files = [sorted(p.read_bytes() for p in (tmp_path / side).rglob("*") if p.is_file()) for side in "ab"]
    assert files[0] == files[1]


def test_blocks_do_not_show(world, tmp_path, monkeypatch):
    whole = run(connect(*world, CATALOGUE), tmp_path / "a")["serving.recommendations"]
    monkeypatch.setattr("crossdomain.recommend.score.PEOPLE_BLOCK", 7)
    assert run(connect(*world, CATALOGUE), tmp_path / "b")["serving.recommendations"].to_pylist() == whole.to_pylist()
    keys = [(row["person"], row["target_domain"], row["rank"]) for row in whole.to_pylist()]
    assert keys == sorted(keys), "rows come in the table's order"


def test_a_creator_does_not_fill_a_list(world, tmp_path, monkeypatch):
    """Items 0 to 2 of beauty are one brand's, the others of none."""
    catalogue = [(*row, "brand" if row[1] in ("b00", "b01", "b02") else None) for row in CATALOGUE]
    monkeypatch.setenv("CROSSDOMAIN_RECOMMEND_POPULARITY_POWER", "0")
    free = run(connect(*world, catalogue), tmp_path / "a")
    monkeypatch.setenv("CROSSDOMAIN_RECOMMEND_CREATOR_CAP", "1")
    capped = run(connect(*world, catalogue), tmp_path / "b")

    def most(written):
        counts = {}
        for row in written["serving.recommendations"].to_pylist():
            if row["source"].startswith("als") and row["item_id"] in ("b00", "b01", "b02"):
                counts[row["person"]] = counts.get(row["person"], 0) + 1
        return max(counts.values())

    assert most(free) > 1
    assert most(capped) == 1
    ranks = [row["rank"] for row in rows_of(capped, "p000b", "beauty")]
    assert ranks == [1, 2, 3]


def test_items_of_one_topic_give_way_to_others(world, tmp_path, monkeypatch):
    free = run(connect(*world, CATALOGUE), tmp_path / "a")
    con = connect(*world, CATALOGUE)
    con.execute("CREATE TABLE serving.item_topics (domain VARCHAR, item_id VARCHAR, topic INTEGER, weight DOUBLE)")
    # Items 0 to 2 are mostly of topic 5; topic 4 is in all of them too, and the greater weight counts.
    topics = [("beauty", f"b{n:02d}", 5 if n < 3 else n + 10, 0.6) for n in range(8)]
    topics += [("beauty", f"b{n:02d}", 4, 0.4) for n in range(8)]
    con.executemany("INSERT INTO serving.item_topics VALUES (?, ?, ?, ?)", topics)
    monkeypatch.setenv("CROSSDOMAIN_RECOMMEND_TOPIC_CAP", "1")
    capped = run(con, tmp_path / "b")

    def of_topic(written):
        counts = {}
        for row in written["serving.recommendations"].to_pylist():
            if row["source"].startswith("als") and row["item_id"] in ("b00", "b01", "b02"):
                counts[row["person"]] = counts.get(row["person"], 0) + 1
        return max(counts.values())

    assert (of_topic(free), of_topic(capped)) == (2, 1)
    assert [row["rank"] for row in rows_of(capped, "p000b", "beauty")] == [1, 2, 3]


@pytest.mark.parametrize("days", [1, 2])
def test_what_was_shown_on_each_day_before_comes_last(world, tmp_path, monkeypatch, days):
    free = run(connect(*world, CATALOGUE), tmp_path / "a")
    con = connect(*world, CATALOGUE)
    before = [(row["item_id"], row["source"]) for row in rows_of(free, "p000b", "beauty")]
    con.execute(
        "CREATE TABLE serving.recommendations "
        "(ds DATE, person BLOB, target_domain VARCHAR, item_id VARCHAR, source VARCHAR)"
    )
    for item, shown in ((before[0][0], 2), (before[1][0], 1)):  # the first on two days before, the second on one
        for ago in range(1, shown + 1):
            row = (DAY - timedelta(days=ago), key("p000b"), "beauty", item, "als")
            con.execute("INSERT INTO serving.recommendations VALUES (?, ?, ?, ?, ?)", row)
    if days == 1:
        con.execute("DELETE FROM serving.recommendations WHERE ds < ?", [DAY - timedelta(days=1)])  # as the job reads
    monkeypatch.setenv("CROSSDOMAIN_RECOMMEND_REPEAT_DAYS", str(days))
    rested = run(con, tmp_path / "b")
    now = [row["item_id"] for row in rows_of(rested, "p000b", "beauty")]
    tired = {item for item, _ in before[: 2 if days == 1 else 1]}
    assert not tired & set(now)
    assert now[: 3 - len(tired)] == [item for item, _ in before if item not in tired]
    others = [
        [{**row, "model_version": ""} for row in rows_of(written, "p002b")] for written in (rested, free)
    ]  # a model's version is of its settings too
    assert others[0] == others[1]


def test_without_a_catalogue_items_come_from_the_events(world, tmp_path):
    written = run(connect(*world), tmp_path)
    assert {row["item_id"][0] for row in written["serving.recommendations"].to_pylist()} == {"k", "b"}


def test_nothing_known_at_all_starts_with_popularity(tmp_path):
    people = [("a", "knowledge", "a", True, True)]
    written = run(connect([], people, CATALOGUE), tmp_path)
    assert {row["model"] for row in written["serving.champions"].to_pylist()} == {POPULAR}
    assert written["serving.recommendations"].num_rows == 0


def test_the_champion_of_yesterday_is_measured_on_todays_test_days(world, tmp_path, monkeypatch):
    monkeypatch.setenv("CROSSDOMAIN_RECOMMEND_MIN_TEST_PEOPLE", "1")
    con = connect(*world, CATALOGUE)
    ctx, written = context(con, tmp_path, DAY - timedelta(days=1))
    train.build(ctx)
    before = written["serving.champions"]
    con.register("before", before)
    con.execute("INSERT INTO previous.champions SELECT target_domain, model, model_version FROM before")
    ctx, written = context(con, tmp_path)
    train.build(ctx)
    measured = {(m["model"], m["model_version"]) for m in written["serving.model_metrics"].to_pylist()}
    old = before.to_pylist()[0]["model_version"]
    assert ("als", old) in measured
    assert len({version for model, version in measured if model == "als"}) == 2
    for row in written["serving.champions"].to_pylist():
        assert (row["decision"] == "promoted") == (row["model_version"] != old)


def cold_lists(con, tmp_path, serves):
    """Lists of beauty for those who are known in knowledge only, when a segment is served so."""
    ctx, written = context(con, tmp_path)
    con.execute("DELETE FROM serving.transfer")
    con.execute("INSERT INTO serving.transfer (target_domain, segment, serves) VALUES ('beauty', 'cold', ?)", [serves])
    score.build(ctx)
    rows = written["serving.recommendations"].to_pylist()
    return written, [row for row in rows if row["target_domain"] == "beauty" and int(row["person"][1:4]) % 5 == 4]


def test_where_the_other_side_does_not_help_it_is_not_used(world, tmp_path):
    con = connect(blocks_world()[0], blocks_world()[1], CATALOGUE)
    run(con, tmp_path)
    _, helped = cold_lists(con, tmp_path, "als")
    written, popular = cold_lists(con, tmp_path, POPULAR)
    assert {row["source"] for row in helped} == {"als"}
    assert {row["source"] for row in popular} == {"popular"}
    everybodys = [row["item_id"] for row in written["serving.popular_items"].to_pylist() if row["item_id"][0] == "b"]
    assert {row["item_id"] for row in popular} <= set(everybodys)
    warm = [row for row in written["serving.recommendations"].to_pylist() if row["target_domain"] == "knowledge"]
    assert {row["source"] for row in warm} == {"als"}, "other directions and segments stay"


def test_own_side_lists_do_not_depend_on_the_other_side(tmp_path):
    events, accounts = blocks_world()
    con = connect(events, accounts, CATALOGUE)
    run(con, tmp_path)

    def lists():
        ctx, written = context(con, tmp_path)
        con.execute("DELETE FROM serving.transfer")
        con.execute(
            "INSERT INTO serving.transfer (target_domain, segment, serves) VALUES ('beauty', 'warm', 'als_own_side')"
        )
        score.build(ctx)
        return {
            (row["person"], row["rank"]): (row["item_id"], row["score"], row["reason"])
            for row in written["serving.recommendations"].to_pylist()
            if row["target_domain"] == "beauty" and row["source"] == "als_own_side"
        }

    first = lists()
    assert len(first) == 48 * 3
    assert {decode(reason).items[0][0] for _, _, reason in first.values()} == {"beauty"}
    con.execute("DELETE FROM clean.events WHERE domain = 'knowledge' AND hash(item_id) % 2 = 0")
    assert lists() == first


def test_who_falls_back_is_counted(world, tmp_path):
    con = connect(*world, CATALOGUE)
    written = run(con, tmp_path)
    rows = written["serving.recommendations"].to_pylist()
    found = written["serving.recommendation_coverage"].to_pylist()
    assert sum(row["rows"] for row in found) == len(rows)
    for target in ("knowledge", "beauty"):
        for segment in ("warm", "cold"):
            shares = [r["share"] for r in found if (r["target_domain"], r["segment"]) == (target, segment)]
            assert not shares or sum(shares) == pytest.approx(1, abs=1e-5)
        for source in ("als", "fallback", "unpersonalised"):
            people = {row["person"] for row in rows if (row["target_domain"], row["source"]) == (target, source)}
            counted = [r for r in found if (r["target_domain"], r["source"]) == (target, source)]
            assert sum(r["people"] for r in counted) == len(people)
            assert all(r["falls_back"] is (source != "als") for r in counted)
    at_home = {(key(person), domain) for name, domain, person, _, _ in world[1] if name in {e[0] for e in world[0]}}
    at_home.remove((key("back"), "beauty"))  # what was given back is no evidence
    for one in found:
        chosen = [
            row
            for row in rows
            if (row["target_domain"], row["source"]) == (one["target_domain"], one["source"])
            and ((row["person"], row["target_domain"]) in at_home) == (one["segment"] == "warm")
        ]
        assert one["people"] == len({row["person"] for row in chosen})
        assert one["items"] == len({row["item_id"] for row in chosen})
        assert one["catalogue_share"] == pytest.approx(one["items"] / 7, abs=1e-6)
        assert one["mean_score"] == pytest.approx(np.mean([row["score"] for row in chosen]), abs=1e-5)


def transferred(tmp_path, *, alike):
    """Rows of ``serving.transfer`` by target and segment, and the sources that people of each are served from."""
    catalogue = [(domain, f"{domain[0]}{item:02d}", "on") for domain in ("knowledge", "beauty") for item in range(24)]
    events, accounts = tastes_world(alike=alike)
    written = run(connect(events, accounts, catalogue), tmp_path)
    found = {(row["target_domain"], row["segment"]): row for row in written["serving.transfer"].to_pylist()}
    assert set(found) == {(target, segment) for target in ("knowledge", "beauty") for segment in ("warm", "cold")}
    for (target, _), row in found.items():
        assert row["direction"].endswith(f">{target}")
        assert row["n"] >= 10, row
    at_home, sources = {(key(name[:4]), domain) for name, domain, *_ in events}, {}
    for row in written["serving.recommendations"].to_pylist():
        segment = "warm" if (row["person"], row["target_domain"]) in at_home else "cold"
        sources.setdefault((row["target_domain"], segment), set()).add(row["source"])
    return found, sources


def test_planted_transfer_is_shown_and_serves(tmp_path):
    """People have one taste in both domains: who is known in the other one only is helped by far."""
    found, sources = transferred(tmp_path, alike=True)
    for (target, segment), row in found.items():
        assert sources[target, segment] == {row["serves"]}
        if segment == "cold":
            assert (row["without"], row["verdict"], row["serves"]) == (POPULAR, "helps", "als")
            assert row["value"] > 1.5 * row["value_without"]
        else:
            assert row["verdict"] != "does_not_help"


@pytest.mark.parametrize(("people", "model"), [("0", "als"), ("100", "ranker")])
def test_where_none_is_planted_nothing_is_transferred(tmp_path, monkeypatch, people, model):
    """Tastes of the two domains have nothing to do with each other: what is known in the other one misleads."""
    monkeypatch.setenv("CROSSDOMAIN_RECOMMEND_RANKER_PEOPLE", people)
    found, sources = transferred(tmp_path, alike=False)
    for (target, segment), row in found.items():
        if segment == "cold":
            assert row["verdict"] != "helps"
            assert row["serves"] == POPULAR
            assert sources[target, segment] == {"popular"}
        else:
            assert row["verdict"] in ("does_not_help", "unclear")
            assert row["serves"] == f"{model}_own_side"
            assert sources[target, segment] == {f"{model}_own_side"}


def test_sweeps_are_chosen_on_days_that_neither_twin_nor_test_see(world, tmp_path, monkeypatch):
    con = connect(*world, CATALOGUE)
    run(con, tmp_path / "all")
    monkeypatch.setenv("CROSSDOMAIN_RECOMMEND_PATIENCE", "1")
    ctx, written = context(con, tmp_path / "few")
    train.build(ctx)
    (version,) = {row["model_version"] for row in written["serving.champions"].to_pylist()}
    assert 1 <= ctx.models.metadata("als", version)["iterations"] < 15
    assert ctx.notes["iterations"] == ctx.models.metadata("als", version)["iterations"]


def test_days_without_training_keep_the_champion(world, tmp_path, monkeypatch):
    monkeypatch.setenv("CROSSDOMAIN_RECOMMEND_TRAIN_EVERY_DAYS", "3")
    day = next(DAY - timedelta(days=i) for i in range(3) if (DAY - timedelta(days=i)).toordinal() % 3 == 1)
    con = connect(*world, CATALOGUE)
    con.execute("INSERT INTO previous.champions VALUES ('knowledge', 'als', 'v1'), ('beauty', 'als', 'v1')")
    ctx, written = context(con, tmp_path, day)
    train.build(ctx)
    assert written["serving.model_metrics"].num_rows == 0
    champions = written["serving.champions"].to_pylist()
    assert [(row["model_version"], row["decision"]) for row in champions] == [("v1", "kept")] * 2


def test_a_champion_that_learned_from_the_erased_is_replaced_on_its_day_whatever_the_rhythm(
    world, tmp_path, monkeypatch
):
    monkeypatch.setenv("CROSSDOMAIN_RECOMMEND_TRAIN_EVERY_DAYS", "3")
    day = next(DAY - timedelta(days=i) for i in range(3) if (DAY - timedelta(days=i)).toordinal() % 3 == 1)
    con = connect(*world, CATALOGUE)
    ctx, written = context(con, tmp_path, day - timedelta(days=1))
    train.build(ctx)
    con.register("before", written["serving.champions"])
    con.execute("INSERT INTO previous.champions SELECT target_domain, model, model_version FROM before")
    old = con.execute("SELECT model_version FROM before LIMIT 1").fetchall()[0][0]
    con.execute("INSERT INTO derived.retraining VALUES (?, ?)", [old, day + timedelta(days=1)])
    ctx, written = context(con, tmp_path, day)
    train.build(ctx)
    assert {row["model_version"] for row in written["serving.champions"].to_pylist()} == {old}, "a day remains"
    con.execute("UPDATE derived.retraining SET due_ds = ?", [day])
    ctx, written = context(con, tmp_path, day)
    train.build(ctx)
    champions = written["serving.champions"].to_pylist()
    assert all(row["model_version"] != old and row["decision"] == "promoted" for row in champions)


def test_rows_fit_their_tables():
    from crossdomain.recommend.list_rows import SCHEMA
    from crossdomain.settings import Settings
    from crossdomain.tables import registry

    tables = registry(Settings().include)
    assert tables.get("serving.recommendations").column_names == tuple(SCHEMA.names)
    for job in (train.JOB, score.JOB):
        assert {tables.get(name).job for name in job.outputs} == {job.name}
    assert isinstance(SCHEMA.field("person").type, pa.DataType)
