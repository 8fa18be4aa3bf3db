from __future__ import annotations

import os
import subprocess
import sys
from datetime import date
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from crossdomain.demo.dirt import NOT_CLEAN
from crossdomain.demo.truth import WorldTruth, read_truth
from crossdomain.demo.world import WorldSummary, write_world
from crossdomain.errors import InputError, MissingInput

SMALL = {"users": 60, "items": 60, "days": 2, "start": date(2026, 3, 1), "seed": 9, "history_days": 2}


def _bytes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest() for path in files}


def _events(folder: Path, domain: str) -> pd.DataFrame:
    """Delivered events of a side with common names, the delivery day and local time."""
    frames = []
    for path in sorted((folder / f"landing/{domain}_events").glob("*/*.csv*")):
        frame = pd.read_csv(path, dtype=str, encoding="utf-8-sig").assign(delivery=path.parent.name)
        frames.append(frame)
    events = pd.concat(frames, ignore_index=True).rename(
        columns={"id": "event_id", "member": "user_id", "sku": "item_id", "action": "event", "amount_fen": "amount"}
    )
    if domain == "knowledge":
        events["at"] = pd.to_datetime(events.time, errors="coerce")
    else:
        seconds = pd.to_numeric(events.ts, errors="coerce")
        events["at"] = pd.to_datetime(seconds + 8 * 3600, unit="s")
    return events


def _cleaned(events: pd.DataFrame, first_delivery: str) -> pd.DataFrame:
    """The good rows by plain rules: complete, dated, positive, in time, the newest version once."""
    good = events.dropna(subset=["event_id", "user_id", "item_id", "at"])
    good = good[~(pd.to_numeric(good.amount) < 0)]
    late = (pd.to_datetime(good.delivery) - good["at"].dt.normalize()).dt.days
    good = good[(late >= 0) & ((late <= 3) | (good.delivery == first_delivery))]
    return good.drop_duplicates("event_id", keep="last")


def test_same_seed_same_bytes_in_another_process(tmp_path: Path) -> None:
    write_world(tmp_path / "one", **SMALL)
    code = (
        "from datetime import date; from pathlib import Path; from crossdomain.demo.world import write_world;"
        f"write_world(Path({str(tmp_path / 'two')!r}), **{SMALL!r})".replace("datetime.date(", "date(")
    )
    environment = {**os.environ, "PYTHONHASHSEED": "77", "TZ": "America/New_York"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, cwd=Path(__file__).parents[3])
    assert _bytes(tmp_path / "one") == _bytes(tmp_path / "two")


def test_another_seed_gives_another_world(tmp_path: Path) -> None:
    write_world(tmp_path / "one", **SMALL)
    write_world(tmp_path / "two", **{**SMALL, "seed": 10})
    one, two = _bytes(tmp_path / "one"), _bytes(tmp_path / "two")
    assert one.keys() == two.keys()
    assert one["truth/people.parquet"] != two["truth/people.parquet"]


@pytest.mark.parametrize("domain", ["knowledge", "beauty"])
def test_good_events_are_those_of_the_truth(domain: str, folder: Path, truth: WorldTruth, world: WorldSummary) -> None:
    clean = _cleaned(_events(folder, domain), world.first_delivery.isoformat())
    counted = clean["at"].dt.strftime("%Y-%m-%d").value_counts().sort_index()
    expected = truth.business_rows[truth.business_rows.domain == domain].set_index("business_day").rows
    assert counted.to_dict() == expected.to_dict()


@pytest.mark.parametrize("domain", ["knowledge", "beauty"])
def test_rows_are_clean_or_counted_as_dirt(domain: str, truth: WorldTruth) -> None:
    feed = f"{domain}_events"
    delivered = truth.delivered_rows.query("feed == @feed").rows.sum()
    dirty = truth.dirt[(truth.dirt.feed == feed) & truth.dirt.kind.isin(NOT_CLEAN)]
    assert delivered == truth.business_rows.query("domain == @domain").rows.sum() + dirty.rows.sum()
    assert set(dirty.kind) == set(NOT_CLEAN)
    assert dirty.rows.sum() < 0.02 * delivered


def test_corrections_follow_what_they_correct(folder: Path, truth: WorldTruth) -> None:
    events = _events(folder, "beauty").dropna(subset=["event_id"])
    twice = events[events.duplicated("event_id", keep=False) & ~events.duplicated(keep=False)]
    amounts = (
        twice.drop_duplicates(["event_id", "amount"]).groupby("event_id").amount.apply(lambda a: a.astype(int).tolist())
    )
    assert all(older == 10 * newer for older, newer in amounts)
    corrected = truth.dirt.query("feed == 'beauty_events' and kind == 'corrected'").rows.sum()
    assert len(amounts) == corrected > 0


def test_items_of_the_truth_are_delivered_and_speak_of_their_topic(
    folder: Path, truth: WorldTruth, world: WorldSummary
) -> None:
    path = folder / f"landing/beauty_items/{world.last_delivery}/beauty_items.csv"
    items = pd.read_csv(path, dtype=str, encoding="gb18030").dropna(subset=["商品编号"])
    planted = truth.items.query("domain == 'beauty'").set_index("item_id")
    assert set(planted.index) <= set(items.商品编号)
    words = {topic["key"]: topic["words"] for topic in truth.world["topics"]}
    found = items.drop_duplicates("商品编号").set_index("商品编号").loc[planted.index]
    own = [sum(text.count(word) for word in words[key]) for text, key in zip(found.详情, planted.topic, strict=True)]
    assert min(own) >= 10
    assert (pd.to_numeric(found.价格分) > 0).all()


def test_about_a_third_is_known_on_both_sides(truth: WorldTruth) -> None:
    both = truth.people.knowledge_user_id.notna() & truth.people.beauty_user_id.notna()
    assert both.mean() == pytest.approx(0.35, abs=0.08)
    assert (truth.people.link != "none").tolist() == both.tolist()
    assert set(truth.people.link) == {"none", "listed", "contact", "late"}
    assert (truth.people.knowledge_user_id.notna() | truth.people.beauty_user_id.notna()).all()


def test_links_arrive_on_the_day_the_truth_says(folder: Path, truth: WorldTruth, world: WorldSummary) -> None:
    paths = (folder / "landing/identity_links").glob("*/*.csv")
    links = pd.concat(pd.read_csv(path, dtype=str).assign(delivery=path.parent.name) for path in paths)
    planted = truth.people.dropna(subset=["linked_at"])
    found = links.merge(planted, on=["knowledge_user_id", "beauty_user_id"], how="outer", indicator=True)
    assert (found._merge == "both").all()
    late = found[found.link == "late"]
    assert (late.delivery == late.linked_at_y.str[:10]).all()
    assert (found[found.link == "listed"].delivery == world.first_delivery.isoformat()).all()


def test_only_people_linked_by_contact_share_it(folder: Path, truth: WorldTruth, world: WorldSummary) -> None:
    day = world.first_delivery
    left = pd.read_csv(folder / f"landing/knowledge_users/{day}/knowledge_users.csv", dtype=str)
    right = pd.read_csv(folder / f"landing/beauty_users/{day}/beauty_users.csv", dtype=str, encoding="gb18030")
    pairs = (
        left.dropna(subset=["user_id"])
        .drop_duplicates("user_id")
        .merge(right.dropna(subset=["会员号"]).drop_duplicates("会员号"), left_on="phone", right_on="手机")
    )
    planted = truth.people[truth.people.link == "contact"]
    expected = set(zip(planted.knowledge_user_id, planted.beauty_user_id, strict=True))
    found = set(zip(pairs.user_id, pairs.会员号, strict=True))
    assert found <= expected
    assert len(found) >= 0.8 * len(expected)
    assert left.email.str.endswith("@example.com").all()


def test_withdrawals_and_erasures_are_delivered(folder: Path, truth: WorldTruth) -> None:
    assert set(truth.withdrawals.purpose) == {"personalisation", "cross_domain"}
    for row in truth.withdrawals.itertuples():
        rows = pd.read_csv(folder / f"landing/consents/{row.delivery_day}/consents.csv", dtype=str)
        assert ((rows.user_id == row.user_id) & (rows.purpose == row.purpose) & (rows.granted == "false")).any()
    assert set(truth.erasures.domain) == {"knowledge", "beauty"}
    for row in truth.erasures.itertuples():
        rows = pd.read_csv(folder / f"landing/erasure_requests/{row.delivery_day}/erasure_requests.csv", dtype=str)
        assert row.user_id in set(rows.user_id)
        after = _events(folder, row.domain).query("user_id == @row.user_id")
        assert (after["at"].dt.strftime("%Y-%m-%d") <= row.delivery_day).all() or len(after) == 0


@pytest.mark.parametrize("domain", ["knowledge", "beauty"])
def test_people_behave_by_their_taste(domain: str, folder: Path, truth: WorldTruth) -> None:
    keys = truth.world[f"{domain}_topics"]
    people = truth.people.dropna(subset=[f"{domain}_user_id"]).set_index(f"{domain}_user_id")
    favourite = people[f"{domain}_taste"].map(lambda taste: keys[int(np.argmax(taste))])
    topic = truth.items[truth.items.domain == domain].set_index("item_id").topic
    bought = _events(folder, domain).dropna(subset=["user_id", "item_id"]).query("event == 'purchase'")
    hits = bought.user_id.map(favourite) == bought.item_id.map(topic)
    assert hits.mean() > 0.5


@pytest.mark.parametrize("target", ["knowledge", "beauty"])
def test_taste_predicts_the_other_side_far_better_than_popularity(target: str, truth: WorldTruth) -> None:
    held_out = truth.held_out[truth.held_out.target_domain == target]
    taken = held_out.groupby("person").item_id.apply(set)
    items = truth.items[truth.items.domain == target]
    keys = truth.world[f"{target}_topics"]
    taste = np.vstack(truth.people.set_index("person").loc[taken.index, f"{target}_taste"])
    appeal = taste[:, [keys.index(topic) for topic in items.topic]] * items.weight.to_numpy()
    ids = items.item_id.to_numpy()
    popular = set(ids[np.argsort(-appeal.mean(axis=0), kind="stable")[:10]])
    best = [set(ids[np.argsort(-row, kind="stable")[:10]]) for row in appeal]
    by_taste = np.mean([len(own & took) / len(took) for own, took in zip(best, taken, strict=True)])
    by_popularity = np.mean([len(popular & took) / len(took) for took in taken])
    assert by_taste > 2 * by_popularity


def test_tastes_are_distributions(truth: WorldTruth) -> None:
    for domain in ("knowledge", "beauty"):
        np.testing.assert_allclose(np.vstack(truth.people[f"{domain}_taste"]).sum(axis=1), 1)


def test_weekends_are_busier(truth: WorldTruth) -> None:
    rows = truth.business_rows.groupby("business_day").rows.sum()
    weekday = pd.to_datetime(rows.index).day_of_week
    assert rows[weekday == 5].mean() > rows[weekday == 1].mean()


def test_an_existing_world_is_not_written_over(folder: Path) -> None:
    with pytest.raises(InputError, match="exists already"):
        write_world(folder, **SMALL)


def test_what_a_killed_run_left_is_replaced(tmp_path: Path) -> None:
    (tmp_path / ".world/landing/reviews").mkdir(parents=True)
    (tmp_path / ".world/landing/reviews/half.csv").write_text("half", "utf-8")
    write_world(tmp_path, **SMALL)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["landing", "truth"]
    assert not list(tmp_path.rglob("half.csv"))


@pytest.mark.parametrize(
    "wrong", [{"users": 5}, {"items": 10}, {"days": 0}, {"history_days": 0}, {"seed": -1}, {"events_per_day": 0}]
)
def test_a_world_too_small_is_refused(wrong: dict[str, int], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        write_world(tmp_path / "world", **{**SMALL, **wrong})
    assert not (tmp_path / "world").exists()


def test_reading_where_no_world_is_says_so(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match=r"world\.json"):
        read_truth(tmp_path)
