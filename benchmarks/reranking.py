"""What diversity, freshness, caps and rest cost: lists re-ranked by each setting, measured on days that no model saw.

On a synthetic demo world one model is trained up to a cut. On each of the days after it lists are made from what was
known the evening before, as the job makes them, and held against what people met on the day (what they owned left out),
and against what they met for the first time: lists may hold what was looked at before, which can only be the former.
People are split in two by their keys: settings are chosen on one half (validation), the other (test) is reported.
A demo world has no taste for variety or novelty planted in it: it says what re-ranking costs and what it changes in the
lists, not whether people like it better; that takes an experiment.

Usage: python benchmarks/reranking.py [--home HOME] [--people N] [--items N] [--days N]
``--home`` takes a home whose days are built up to ``topics``; without it a world is written and built aside.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from stages import commit, machine

from crossdomain.recommend.als import AlsModel, fit
from crossdomain.recommend.holdings import Held, held_sql
from crossdomain.recommend.interactions import PRODUCTS, Items, Known, Pairs, People, met, taste
from crossdomain.recommend.popularity import decayed_popularity
from crossdomain.recommend.reranking.freshness import fresh_factors
from crossdomain.recommend.reranking.lists import are_in
from crossdomain.recommend.score import Audience, Scorer, Served
from crossdomain.recommend.settings import RecommendSettings

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
OPENING = date(2026, 1, 4)
"""First delivered day, which brings the history."""
DAYS_BEFORE = 7
"""Delivered days up to the cut."""
KINDS = ("met", "new")
BUILT = ("people", "catalogue", "holdings", "topics")
GRID: Sequence[Mapping[str, float]] = (
    {},
    *({"creator_cap": n} for n in (1, 2, 3)),
    *({"topic_cap": n} for n in (1, 2, 3)),
    *({"repeat_days": n} for n in (1, 2, 3)),
    *({"mmr_lambda": n} for n in (0.9, 0.8, 0.7, 0.5, 0.3)),
    *({"fresh_boost": n} for n in (0.25, 0.5, 1.0, 2.0)),
    {"creator_cap": 2, "mmr_lambda": 0.8},
    {"creator_cap": 2, "repeat_days": 2, "mmr_lambda": 0.8},
)
"""Settings that are measured, each against the first, which ranks nothing again."""


def main() -> None:
    """Runs the benchmark and writes one result file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, help="home of a demo world; else one is built")
    parser.add_argument("--people", type=int, default=2000)
    parser.add_argument("--items", type=int, default=800)
    parser.add_argument(
        "--days", type=int, default=14, help="delivered days, the opening one too; those after the first 7 are measured"
    )
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    report: dict[str, Any] = {"machine": machine(), "commit": commit(), "data": "synthetic demo world"}
    report |= {name: getattr(options, name) for name in ("people", "items", "days", "seed")}
    if options.home:
        report |= measure(options.home, options.days)
    else:
        with tempfile.TemporaryDirectory(prefix="crossdomain-bench-") as folder:
            build(Path(folder), options)
            report |= measure(Path(folder), options.days)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"reranking-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    for line in table(report["settings"]):
        print(line)
    print(f"written to {path.relative_to(ROOT)}")


def build(home: Path, options: argparse.Namespace) -> None:
    """Writes a world and builds what the lists need."""
    from crossdomain.demo.world import write_world
    from crossdomain.jobs.registry import job
    from crossdomain.jobs.runner import run_job
    from crossdomain.storage.home import Home
    from crossdomain.storage.keys import create_keys

    settings = settings_of(home)
    create_keys(Home(home), settings.keys)
    first = OPENING + timedelta(days=1)
    write_world(home, users=options.people, items=options.items, days=options.days - 1, start=first, seed=options.seed)
    every = [OPENING + timedelta(days=step) for step in range(options.days)]
    for names in (("ingest",), ("clean",), BUILT):  # all is delivered before a day is cleaned: each is cleaned once
        for day in every:
            for name in names:
                run_job(job(name), day, settings)


def settings_of(home: Path) -> Any:
    """Deployment settings of the benchmark's home."""
    from crossdomain.settings import Settings

    return replace(Settings.from_env(), home=home, start=OPENING)


@dataclass(frozen=True)
class Evening:
    """What was known when a day began, and what people met on it.

    Attributes:
        day: The day.
        pairs: Pairs of all days before.
        held: What accounts owned or had rejected before.
        decayed: Decayed popularity then.
        truths: By kind persons × items: met on the day with evidence and not owned before; ``new``: for the first time.
        age: Days since each item was listed, -1 where that is not known.
        bought: Persons × items bought on the day, owned before or not.
        due: Persons × items that were due to be bought again.
    """

    day: date
    pairs: Pairs
    held: Held
    decayed: np.ndarray
    truths: Mapping[str, sp.csr_matrix]
    age: np.ndarray
    bought: sp.csr_matrix
    due: sp.csr_matrix


@dataclass
class Histories:
    """Histories of persons from pairs in memory."""

    pairs: Pairs
    held: Held
    people: People
    items: Items
    settings: RecommendSettings

    def of(self, persons: slice) -> Known:
        """What is known of some persons."""
        own, held = (self._of(one, persons) for one in (self.pairs, self.held))
        return Known.of(own, held, self.people, self.items, self.settings, persons)

    def _of(self, rows: Any, persons: slice) -> Any:
        person = self.people.account_person[rows.account]
        chosen = (person >= persons.start) & (person < persons.stop)
        return replace(rows, **{one.name: getattr(rows, one.name)[chosen] for one in fields(rows)})


@dataclass
class Shown:
    """What was in a person's lists on each of the last days."""

    days: int
    lists: list[sp.csr_matrix] = field(default_factory=list)

    def of(self, persons: slice) -> sp.csr_matrix:
        """Persons × items that were shown on each of the days; nothing before so many days were shown."""
        last = self.lists[-self.days :]
        both = last[0][persons]
        for one in last[1:]:
            both = both.multiply(one[persons]).tocsr()
        return both if len(last) == self.days else sp.csr_matrix(both.shape, dtype=both.dtype)


@dataclass(frozen=True)
class World:
    """People and items at the cut, the model, and the evenings after it."""

    people: People
    items: Items
    model: AlsModel
    topic: np.ndarray
    mixtures: np.ndarray
    evenings: list[Evening]


def measure(home: Path, days: int) -> dict[str, Any]:
    """Every setting of ``GRID`` on the days after the cut."""
    base = RecommendSettings()
    world = read_world(home, days, base)
    validation = np.array([person[-1] % 2 == 0 for person in world.people.person.to_pylist()])
    found = []
    reference: Any = None
    for choice in GRID:
        whole = {name: value if isinstance(value, float) else int(value) for name, value in choice.items()}
        settings = replace(base, **whole)
        gains, looks = live(world, settings)
        reference = gains if reference is None else reference
        row: dict[str, Any] = {"setting": dict(choice), **looks}
        for half, members in (("validation", validation), ("test", ~validation)):
            row[half] = compared(reference, gains, members)
        found.append(row)
        print(json.dumps(row), flush=True)
    return {
        "measured_people": len(world.people.person),
        "first_measured": str(world.evenings[0].day),
        "last_measured": str(world.evenings[-1].day),
        "repeat_purchases": repeats(home),
        "buying_again": buying_again(world, base),
        "settings": found,
    }


def read_world(home: Path, days: int, base: RecommendSettings) -> World:
    """Reads the lake: pairs of each evening, and the model of the first."""
    from crossdomain.jobs.behaviour import first_day, read_behaviour
    from crossdomain.jobs.model import JobContext
    from crossdomain.jobs.runner import open_lake
    from crossdomain.jobs.score import JOB
    from crossdomain.jobs.shown import greatest_topics, topic_mixtures
    from crossdomain.tables import registry

    settings, tables = settings_of(home), registry(settings_of(home).include)
    cut = OPENING + timedelta(days=DAYS_BEFORE - 1)
    measured = [cut + timedelta(days=step) for step in range(1, days - DAYS_BEFORE + 1)]
    with open_lake(settings) as lake:
        ctx = JobContext(JOB, cut, settings, tables, lake, {})
        for name in ("derived.people", "derived.catalogue", "derived.duplicate_items", "serving.item_topics"):
            spec = tables.get(name)
            of_cut = [partition for partition in lake.partitions(spec) if partition.ds == cut]
            lake.view(spec, of_cut, schema=spec.layer)
        for name in ("clean.events", "derived.holdings"):
            spec = tables.get(name)
            lake.view(spec, lake.partitions(spec), schema=spec.layer)
        spans = [(first_day(day, base), day - timedelta(days=1)) for day in measured]
        behaviour = read_behaviour(ctx, base, [*spans, *((day, day) for day in measured)])
        people, items = behaviour.people, behaviour.items
        evenings = [
            evening(ctx, people, items, day, behaviour.pairs[place], behaviour.pairs[len(measured) + place], base)
            for place, day in enumerate(measured)
        ]
        topic, mixtures = greatest_topics(ctx, items), topic_mixtures(ctx, items)
    model = fit(taste(evenings[0].pairs, people, items, base), items, base)
    return World(people, items, model, topic, mixtures, evenings)


def evening(
    ctx: Any, people: People, items: Items, day: date, before: Pairs, on_day: Pairs, base: RecommendSettings
) -> Evening:
    """What was known when a day began, and what people met on it."""
    ages = ctx.con.sql(
        "SELECT domain, item_id, greatest(date_diff('day', coalesce(CAST(timezone($tz, listed_at) AS DATE), first_ds), "
        "$day), 0) AS age FROM derived.catalogue",
        params={"tz": ctx.settings.tz, "day": day},
    ).to_arrow_table()
    place = items.codes(*(ages[name].combine_chunks() for name in ("domain", "item_id")))
    age = np.full(len(items), -1, dtype=np.int64)
    age[place[place >= 0]] = ages["age"].to_numpy()[place >= 0]
    known = by_person(met(before, people, items), people)
    fresh = by_person(met(on_day, people, items, positive_only=True), people)
    held = told(ctx, people, items, held_sql(PRODUCTS), {"last": day - timedelta(days=1)})
    owned = cells(held, people, items)
    truths = {"met": fresh - fresh.multiply(owned > 0), "new": fresh - fresh.multiply(known > 0)}
    return Evening(
        day=day,
        pairs=before,
        held=held,
        decayed=decayed_popularity(before, items, base.popularity_half_life_days),
        truths={name: sp.csr_matrix(truth > 0) for name, truth in truths.items()},
        age=age,
        bought=cells(told(ctx, people, items, _BOUGHT.format(products=PRODUCTS), {"day": day}), people, items),
        due=due_of(ctx, people, items, day - timedelta(days=1), base),
    )


def due_of(ctx: Any, people: People, items: Items, last: date, base: RecommendSettings) -> sp.csr_matrix:
    """Persons × items that are due to be bought again after a day, one of each person and domain: the nearest."""
    from crossdomain.jobs.behaviour import first_day
    from crossdomain.recommend.reranking.buying_again import due_sql

    values = {"first": first_day(last, base), "last": last, "tz": ctx.settings.tz}
    first = "row_number() OVER (PARTITION BY account ORDER BY wait, item_id) = 1"
    due = told(ctx, people, items, f"SELECT * FROM ({due_sql(PRODUCTS)}) QUALIFY {first}", values)
    return cells(due, people, items)


_BOUGHT = """
SELECT DISTINCT account, domain, coalesce(product, item_id) AS item_id
FROM derived.holdings LEFT JOIN ({products}) USING (domain, item_id)
WHERE day = $day AND bought_at > coalesce(rejected_at, '-infinity')
"""
"""SQL of what accounts bought on a day and did not give back on it."""


def told(ctx: Any, people: People, items: Items, sql: str, values: dict[str, Any]) -> Held:
    """Accounts and items of the rows (account, domain, item_id) of a query."""
    rows = ctx.con.sql(sql, params=values).to_arrow_table()
    item = items.codes(*(rows[name].combine_chunks() for name in ("domain", "item_id")))
    place = {key: place for place, key in enumerate(people.account.to_pylist())}
    account = np.array([place.get(key, -1) for key in rows["account"].to_pylist()], dtype=np.int64)
    here = (account >= 0) & (item >= 0)
    return Held(account[here], item[here])


def cells(held: Held, people: People, items: Items) -> sp.csr_matrix:
    """Persons × items, 1 where one of the person's accounts has the item."""
    shape = (len(people.person), len(items))
    ones = np.ones(len(held.item), dtype=np.float32)
    found = sp.csr_matrix((ones, (people.account_person[held.account], held.item)), shape=shape)
    return sp.csr_matrix(found > 0, dtype=np.float32)


def by_person(units: sp.csr_matrix, people: People) -> sp.csr_matrix:
    """Rows of joined persons of a matrix of units."""
    return units[: len(people.person)]


def live(world: World, settings: RecommendSettings) -> tuple[dict[str, Any], dict[str, float]]:
    """Makes the lists of every measured day and holds them against it.

    Returns:
        Per person the mean NDCG@10 and recall@10 over its days and directions with something to find, NaN without; and
        what the lists look like. ``unlike`` in the table: one minus the mean similarity of two items of a list.
    """
    persons, looks = len(world.people.person), []
    sums = {f"{metric}@10 {kind}": np.zeros(persons) for kind in KINDS for metric in ("ndcg", "recall")}
    asked = {kind: np.zeros(persons) for kind in KINDS}
    shown = Shown(settings.repeat_days)
    for one in world.evenings:
        lists = lists_of(world, one, settings, shown if settings.repeat_days and shown.lists else None)
        before = shown.lists[-1] if shown.lists else None
        shown.lists.append(as_matrix(lists, persons, len(world.items)))
        looks.append(look_of(world, lists, shown.lists[-1], before))
        for target in (0, 1):
            item = lists[target]
            for kind, found in one.truths.items():
                size = np.diff(found[:, world.items.span(target)].indptr)
                rows = np.flatnonzero((size > 0) & (item[:, 0] >= 0))
                ndcg, recall = gains(found, item, rows, size)
                asked[kind][rows] += 1
                sums[f"ndcg@10 {kind}"][rows] += ndcg
                sums[f"recall@10 {kind}"][rows] += recall
    means = {}
    for name, value in sums.items():
        times = asked[name.rpartition(" ")[2]]
        means[name] = np.where(times > 0, value / np.maximum(times, 1), np.nan)
    return means, {name: round(float(np.nanmean([look[name] for look in looks])), 5) for name in looks[0]}


def lists_of(world: World, one: Evening, settings: RecommendSettings, shown: Shown | None) -> list[np.ndarray]:
    """Lists of the model of one evening: for each domain persons × top_k item positions, -1 where there is none."""
    fresh = (
        fresh_factors(one.age, settings.fresh_boost, settings.fresh_half_life_days) if settings.fresh_boost else None
    )
    audience = Audience(
        people=world.people,
        items=world.items,
        histories=Histories(one.pairs, one.held, world.people, world.items, settings),
        decayed=one.decayed,
        topic=world.topic if settings.topic_cap else None,
        shown=shown,
        mixtures=world.mixtures if settings.mmr_lambda < 1 else None,
        fresh=fresh,
    )
    names = world.items.domains
    scorer = Scorer(audience, {name: Served("model", world.model) for name in names}, settings)
    places = {key: place for place, key in enumerate(world.people.person.to_pylist())}
    lists = [np.full((len(world.people.person), settings.top_k), -1, dtype=np.int64) for _ in names]
    for block in scorer.blocks():
        rows = scorer.rows(block)
        rows = rows.filter(np.asarray(rows["source"].to_pylist()) == "als")
        code = world.items.codes(*(rows[name].cast("string").combine_chunks() for name in ("target_domain", "item_id")))
        at = np.array([places[key] for key in rows["person"].to_pylist()])
        target = world.items.domain[code]
        for domain in (0, 1):
            own = target == domain
            lists[domain][at[own], rows["rank"].to_numpy()[own] - 1] = code[own]
    return lists


def gains(found: sp.csr_matrix, item: np.ndarray, rows: np.ndarray, size: np.ndarray) -> tuple[Any, Any]:
    """NDCG@10 and recall@10 of the lists of some persons."""
    truth = found[rows]
    hits = are_in(item[rows], sp.csr_matrix(truth))
    weight = 1 / np.log2(np.arange(2, 2 + item.shape[1]))
    ideal = np.cumsum(weight)[np.minimum(size[rows], item.shape[1]) - 1]
    return (hits * weight).sum(axis=1) / ideal, hits.sum(axis=1) / size[rows]


def as_matrix(lists: list[np.ndarray], persons: int, items: int) -> sp.csr_matrix:
    """Persons × items that are in one of the person's lists."""
    parts = [(np.nonzero(item >= 0)[0], item[item >= 0]) for item in lists]
    row, column = (np.concatenate([part[place] for part in parts]) for place in (0, 1))
    return sp.csr_matrix((np.ones(len(row), dtype=np.float32), (row, column)), shape=(persons, items))


def look_of(
    world: World, lists: list[np.ndarray], now: sp.csr_matrix, before: sp.csr_matrix | None
) -> dict[str, float]:
    """What the lists of a day look like, over both directions."""
    shown = np.asarray(now.sum(axis=0)).ravel()
    selling = world.items.on_sale
    parts: dict[str, list[float]] = {
        name: [] for name in ("intra_list_diversity", "topics_a_list", "creator_gini", "creators_a_list")
    }
    for domain, item in enumerate(lists):
        full = item[(item >= 0).all(axis=1)]
        parts["intra_list_diversity"].append(1 - likeness(world.mixtures[full]))
        parts["topics_a_list"].append(distinct(world.topic[full]))
        creator = np.full(len(world.items), -1) if world.items.creator is None else world.items.creator
        parts["creators_a_list"].append(distinct(creator[full]))
        span = world.items.span(domain)
        own, rows = creator[span], shown[span]
        every = np.unique(own[selling[span] & (own >= 0)])
        parts["creator_gini"].append(gini(np.array([rows[own == one].sum() for one in every])))
    means = {name: float(np.mean(values)) for name, values in parts.items()}
    return {
        **means,
        "catalogue_share": float((shown[selling] > 0).mean()),
        "shown_the_day_before": np.nan if before is None else float(now.multiply(before).sum() / max(now.sum(), 1)),
    }


def likeness(vectors: np.ndarray) -> float:
    """Mean similarity of two items of a list."""
    product = np.einsum("ijk,ilk->ijl", vectors, vectors)
    k = vectors.shape[1]
    return float((product.sum((1, 2)) - np.trace(product, axis1=1, axis2=2)).mean() / (k * k - k))


def distinct(groups: np.ndarray) -> float:
    """Mean number of different groups in a row; -1 counts as none."""
    ordered = np.sort(groups, axis=1)
    new = np.concatenate([ordered[:, :1] >= 0, (ordered[:, 1:] != ordered[:, :-1]) & (ordered[:, 1:] >= 0)], axis=1)
    return float(new.sum(axis=1).mean())


def gini(counts: np.ndarray) -> float:
    """Gini coefficient of counts."""
    x = np.sort(counts.astype(float))
    return float(2 * (np.arange(1, len(x) + 1) * x).sum() / (len(x) * x.sum()) - (len(x) + 1) / len(x))


def compared(reference: Mapping[str, np.ndarray], own: Mapping[str, np.ndarray], members: np.ndarray) -> dict[str, Any]:
    """Means over the people of a half, and the paired difference to no re-ranking with its 95 % interval."""
    from crossdomain.stats.paired import compare_pairs

    found: dict[str, Any] = {}
    for name, values in own.items():
        here = members & ~np.isnan(values)
        difference = compare_pairs(reference[name][here], values[here])
        found[name] = {
            "people": int(here.sum()),
            "value": round(float(values[here].mean()), 5),
            "difference": round(difference.estimate, 5),
            "low": round(difference.low, 5),
            "high": round(difference.high, 5),
        }
    return found


def buying_again(world: World, base: RecommendSettings) -> dict[str, dict[str, float]]:
    """What a row for an item that is due is bought, beside the last row of the same list, whose place it would take."""
    counts = {name: {"lists": 0, "due_bought": 0, "last_bought": 0} for name in world.items.domains}
    for one in world.evenings:
        lists = lists_of(world, one, base, None)
        for domain, name in enumerate(world.items.domains):
            due = one.due[:, world.items.span(domain)].tocsr()
            persons = np.flatnonzero((np.diff(due.indptr) > 0) & (lists[domain][:, -1] >= 0))
            nearest = world.items.span(domain).start + np.array(
                [due.indices[due.indptr[p]] for p in persons], dtype=int
            )
            counts[name]["lists"] += len(persons)
            for kind, item in (("due_bought", nearest), ("last_bought", lists[domain][persons, -1])):
                counts[name][kind] += int(are_in(item[:, None], one.bought[persons]).sum())
    return counts


def repeats(home: Path) -> dict[str, Any]:
    """By domain: pairs of account and item that were bought, and those bought on two days or more."""
    from crossdomain.jobs.runner import open_lake
    from crossdomain.tables import registry

    settings = settings_of(home)
    with open_lake(settings) as lake:
        spec = registry(settings.include).get("clean.events")
        rows = lake.con.execute(
            "SELECT domain, count(*), count(*) FILTER (days > 1) FROM (SELECT domain, account, item_id, "
            f"count(DISTINCT ts::DATE) AS days FROM ({lake.relation(spec, lake.partitions(spec))}) "
            "WHERE event_type = 'purchase' GROUP BY ALL) GROUP BY ALL ORDER BY ALL"
        ).fetchall()
    return {domain: {"bought": n, "bought_again": again} for domain, n, again in rows}


def table(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The measured settings as a Markdown table, of the test half."""
    yield "| setting | NDCG@10 of what was met | of what was new | unlike | topics | creators | Gini | items | again |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    for row in rows:
        name = ", ".join(f"`{key}` {value}" for key, value in row["setting"].items()) or "none"
        spans = [spanned(row["test"][f"ndcg@10 {kind}"], first=not row["setting"]) for kind in KINDS]
        looks = " | ".join(
            f"{row[key]:.{digits}f}"
            for key, digits in (
                ("intra_list_diversity", 3), ("topics_a_list", 2), ("creators_a_list", 2), ("creator_gini", 3),
                ("catalogue_share", 3), ("shown_the_day_before", 3),
            )
        )  # fmt: skip
        yield f"| {name} | {spans[0]} | {spans[1]} | {looks} |"


def spanned(measured: Mapping[str, float], *, first: bool) -> str:
    """A value, and how it differs from no re-ranking."""
    if first:
        return f"{measured['value']:.4f}"
    return f"{measured['difference']:+.4f} ({measured['low']:+.4f} to {measured['high']:+.4f})"


if __name__ == "__main__":
    main()
