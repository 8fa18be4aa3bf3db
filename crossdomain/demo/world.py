"""Writes a whole synthetic world: landing files of every canonical table, and the truth beside them.

The days are lived one after another. Behaviour of `history_days` before the start comes with one history delivery on
the day before the start; every later day has a delivery of its own, which also brings a few late rows and dirt.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa

from crossdomain.demo import campaigns, planted, rows
from crossdomain.demo.behaviour import EVENTS_AN_EPISODE, Market, live, season
from crossdomain.demo.catalogue import (
    Shelf,
    beauty_fixed,
    beauty_snapshot,
    build_catalogues,
    item_lines,
    knowledge_snapshot,
)
from crossdomain.demo.clock import Calendar, midnight, stream
from crossdomain.demo.contacts import ContactBook
from crossdomain.demo.dirt import DirtBook, spoil
from crossdomain.demo.experiment import ArmTruth, BannerTest
from crossdomain.demo.landing import Landing
from crossdomain.demo.people import ConsentBook, People, build_consents, build_people, profile_table
from crossdomain.demo.support import note_contacts, support_table
from crossdomain.demo.topics import BEAUTY, DOMAINS, KNOWLEDGE
from crossdomain.demo.truth import write_truth
from crossdomain.errors import InputError

EVENTS_A_PERSON = 10
"""Mean number of events of a person and day when `events_per_day` is not given."""

_ASIDE = ".world"


@dataclass(frozen=True)
class WorldSummary:
    """What was written.

    Attributes:
        folder: the world's folder, with `landing/` and `truth/`.
        people, items: how many; accounts: by domain; both: people with an account on both sides.
        first_delivery, last_delivery: the history delivery and the last ordinary one.
        events: good events of both sides, delivered or not.
        rows: rows in the landing files by feed.
        dirt: rows by kind of dirt, over all feeds.
        experiment: the truth of the experiment at the last day.
    """

    folder: Path
    people: int
    both: int
    accounts: dict[str, int]
    items: int
    first_delivery: date
    last_delivery: date
    events: int
    rows: dict[str, int]
    dirt: dict[str, int]
    experiment: ArmTruth


def write_world(
    folder: Path,
    *,
    users: int,
    items: int,
    days: int,
    start: date,
    seed: int,
    events_per_day: int | None = None,
    history_days: int = 14,
    experiment_lift: float = 0.8,
) -> WorldSummary:
    """Write a world below a folder: `landing/<feed>/<delivery day>/` and `truth/`.

    The world is written aside and put in place at the end: a run that was killed leaves nothing but a hidden folder,
    which the next one removes.

    Args:
        folder: where; must not hold a world already.
        users: number of people (about 1.35 accounts each); at least 20.
        items: number of items of both domains together; at least 60.
        days: ordinary delivery days from `start` on; at least 1.
        start: first ordinary delivery day; the history delivery lies under the day before.
        seed: the same arguments give the same bytes.
        events_per_day: mean number of events a business day on both sides; ten a person when not given.
        history_days: days of behaviour in the history delivery; at least 1.
        experiment_lift: the purchase chance of treated accounts is multiplied by `1 + experiment_lift` once exposed.

    Returns:
        Counts of what was written.

    Raises:
        InputError: an argument out of range, or a folder that holds a world already.
    """
    _check(folder, users=users, items=items, days=days, history_days=history_days, events=events_per_day, seed=seed)
    per_day = EVENTS_A_PERSON * users if events_per_day is None else events_per_day
    calendar = Calendar(start, days, history_days)
    aside = folder / _ASIDE
    if aside.exists():
        shutil.rmtree(aside)
    run = _Run.begin(aside, calendar, users=users, items=items, seed=seed, lift=experiment_lift)
    for day in calendar.business_days:
        run.live(day, per_day)
        if day >= calendar.history_delivery:
            run.deliver(day)
    parameters = {
        "users": users,
        "items": items,
        "days": days,
        "start": start.isoformat(),
        "seed": seed,
        "events_per_day": per_day,
    }
    write_truth(aside, world=planted.description(run.test, calendar, parameters), tables=run.truth_tables())
    for part in ("truth", "landing"):
        os.replace(aside / part, folder / part)
    aside.rmdir()
    return run.summary(folder)


def _check(
    folder: Path, *, users: int, items: int, days: int, history_days: int, events: int | None, seed: int
) -> None:
    least = {
        "users": (users, 20),
        "items": (items, 60),
        "days": (days, 1),
        "history_days": (history_days, 1),
        "seed": (seed, 0),
        "events_per_day": (1 if events is None else events, 1),
    }
    for name, (value, minimum) in least.items():
        if value < minimum:
            raise InputError(f"{name} is {value}; a world needs at least {minimum}")
    for part in ("landing", "truth"):
        if (folder / part).is_dir() and any((folder / part).iterdir()):
            raise InputError(f"{folder / part}: exists already; remove it or choose another folder for the world")


@dataclass
class _Run:
    """A world while it is written."""

    calendar: Calendar
    seed: int
    people: People
    markets: dict[str, Market]
    consents: dict[str, ConsentBook]
    profiles: dict[str, pa.Table]
    test: BannerTest
    coupons: campaigns.Coupons
    landing: Landing
    lines: list[str]
    fixed: pa.Table
    book: DirtBook
    contacts: ContactBook
    waiting: dict[tuple[str, date], list[np.ndarray]] = field(default_factory=dict)
    business: Counter[tuple[str, date]] = field(default_factory=Counter)
    events: int = 0

    @classmethod
    def begin(cls, folder: Path, calendar: Calendar, *, users: int, items: int, seed: int, lift: float) -> _Run:
        book = DirtBook()
        people = build_people(users=users, calendar=calendar, seed=seed)
        catalogues = build_catalogues(items=items, calendar=calendar, seed=seed)
        markets = {
            domain: Market(people.accounts[domain], catalogues[domain], Shelf.open(catalogues[domain], seed=seed))
            for domain in DOMAINS
        }
        return cls(
            calendar=calendar,
            seed=seed,
            people=people,
            markets=markets,
            consents={d: build_consents(people.accounts[d], calendar=calendar, seed=seed) for d in DOMAINS},
            profiles={d: profile_table(people, d, seed=seed) for d in DOMAINS},
            test=BannerTest(people.accounts[KNOWLEDGE], calendar, lift, seed),
            coupons=campaigns.Coupons(calendar, seed, book),
            book=book,
            contacts=note_contacts(ContactBook()),
            landing=Landing(folder / "landing"),
            lines=item_lines(catalogues[KNOWLEDGE]),
            fixed=beauty_fixed(catalogues[BEAUTY]),
        )

    def live(self, day: date, per_day: int) -> None:
        """Live a business day on both sides, and put its rows where their deliveries will find them."""
        busy = {d: float(np.sum(m.accounts.activity[m.accounts.active_on(day)])) for d, m in self.markets.items()}
        episodes = per_day / EVENTS_AN_EPISODE * season(day, self.calendar)
        delivery = self.calendar.delivered(day)
        for domain, market in self.markets.items():
            market.shelf.turn(market.catalogue, day, seed=self.seed)
            share = busy[domain] / max(sum(busy.values()), 1e-9)
            test = self.test if domain == KNOWLEDGE else None
            lived = live(
                market, day, episodes=round(episodes * share), calendar=self.calendar, test=test, seed=self.seed
            )
            self.landing.add("coupons", delivery, self.coupons.day(market, lived.events, day))
            self._hand_over(market, lived.events, day)
            if lived.exposures is not None:
                self.landing.add("exposures", day, lived.exposures)
            self.landing.add(
                "reviews",
                delivery,
                rows.review_table(
                    lived.events,
                    market,
                    day,
                    seed=self.seed,
                    book=self.book,
                    contacts=self.contacts,
                    delivery=delivery,
                ),
            )
            self.landing.add(
                "sends", delivery, campaigns.send_table(market, self.consents[domain], day, seed=self.seed)
            )
        self.landing.add("campaign_costs", delivery, campaigns.cost_table(day, seed=self.seed))
        if day < self.calendar.start:
            self.landing.add("experiment_counts", delivery, campaigns.past_counts(day, seed=self.seed))

    def _hand_over(self, market: Market, events: np.ndarray, day: date) -> None:
        feed = f"{market.domain}_events"
        rng = stream(self.seed, f"dirt-{market.domain}", day)
        self.events += len(events)
        for when, part in spoil(events, day, feed=feed, calendar=self.calendar, book=self.book, rng=rng):
            if when == self.calendar.delivered(day):
                self._write_events(market, when, part)
            else:
                self.waiting.setdefault((market.domain, when), []).append(part)
        lost = self.book.rows[feed, day, "undelivered"]
        self.business[market.domain, day] += len(events) - lost

    def _write_events(self, market: Market, when: date, part: np.ndarray) -> None:
        self.landing.add(f"{market.domain}_events", when, rows.event_table(part, market))

    def deliver(self, day: date) -> None:
        """Finish a delivery: late rows, the feeds of the day's state, and a file for every feed."""
        first = day == self.calendar.history_delivery
        for domain, market in self.markets.items():
            for part in self.waiting.pop((domain, day), []):
                self._write_events(market, day, part)
            self._deliver_users(domain, day, first=first)
            self.landing.add(
                "consents", day, rows.consent_rows(self.people, domain, self.consents[domain], day, first=first)
            )
            self.landing.add("erasure_requests", day, rows.erasure_rows(self.people, domain, day))
        self.landing.add("identity_links", day, rows.link_rows(self.people, day, first=first))
        self.landing.add("support_entries", day, support_table())
        self._deliver_items(day)
        self.landing.close_day(day, history=first)

    def _deliver_users(self, domain: str, day: date, *, first: bool) -> None:
        """New and changed users; one with a bad date, one without id, one repeated, one in two versions."""
        feed, accounts = f"{domain}_users", self.people.accounts[domain]
        new = accounts.registered_by(day) & (first | (accounts.registered >= midnight(day)))
        moved, self.profiles[domain] = rows.changed_city(self.profiles[domain], day, seed=self.seed, domain=domain)
        one = self._ordinary_account(domain, day)
        moved = moved[accounts.active_on(day)[moved] & ~new[moved] & ~np.isin(moved, one)]
        fresh = np.flatnonzero(new)
        evening = midnight(day) + 20 * 3600
        parts = [
            rows.user_rows(self.profiles[domain], self.people, domain, fresh, accounts.registered[fresh] + 5),
            rows.user_rows(self.profiles[domain], self.people, domain, moved, np.full(len(moved), evening)),
        ]
        self.landing.add(feed, day, pa.concat_tables([*parts, *self._dirty_users(domain, one, day)]))

    def _ordinary_account(self, domain: str, day: date) -> np.ndarray:
        """One account of long standing, another one every day, as an array of one (or none in a tiny world)."""
        accounts = self.people.accounts[domain]
        settled = np.flatnonzero(accounts.active_on(day) & accounts.registered_by(self.calendar.first))
        return settled[[day.toordinal() % len(settled)]] if len(settled) else settled

    def _dirty_users(self, domain: str, one: np.ndarray, day: date) -> list[pa.Table]:
        if not len(one):
            return []
        feed = f"{domain}_users"
        noon = np.full(1, midnight(day) + 12 * 3600)
        before = rows.user_rows(self.profiles[domain], self.people, domain, one, noon)
        after = rows.user_rows(self.profiles[domain], self.people, domain, one, noon + 3600)
        user, when, bad = (
            ("user_id", "registered_at", rows.BAD_TIME) if domain == KNOWLEDGE else ("会员号", "注册日期", "2026/02/30")
        )
        ghost = f"9{day:%Y%m%d}"
        kinds = {
            "superseded": [before, after],
            "exact_duplicate": [after],
            "missing_id": [rows.replaced(after, **{user: None})],
            "bad_date": [rows.replaced(after, **{user: ghost, when: bad})],
        }
        if day == self.calendar.history_delivery:
            # Here the full load has the older row already; a second old one would count twice.
            kinds["superseded"] = [after]
        for kind in kinds:
            self.book.add(feed, day, kind, 1)
        return [table for tables in kinds.values() for table in tables]

    def _deliver_items(self, day: date) -> None:
        """Both snapshots, with one item at a negative price, one without id, one with a bad date, one repeated."""
        for domain in DOMAINS:
            for kind in ("negative_value", "missing_id", "bad_date", "exact_duplicate"):
                self.book.add(f"{domain}_items", day, kind, 1)
        lines = knowledge_snapshot(self.markets[KNOWLEDGE].catalogue, self.markets[KNOWLEDGE].shelf, self.lines, day)
        self.landing.add_lines("knowledge_items", day, lines + _dirty_lines(lines[0]))
        table = beauty_snapshot(self.markets[BEAUTY].catalogue, self.markets[BEAUTY].shelf, self.fixed, day)
        one = table.slice(0, 1)
        self.landing.add(
            "beauty_items",
            day,
            pa.concat_tables(
                [
                    table,
                    rows.replaced(one, 商品编号="699999991", 价格分="-12900"),
                    rows.replaced(one, 商品编号=None),
                    rows.replaced(one, 商品编号="699999992", 上架日期="2026/02/30"),
                    one,
                ]
            ),
        )

    def truth_tables(self) -> Mapping[str, pa.Table]:
        """Every table of `truth.TABLES`."""
        catalogues = {domain: market.catalogue for domain, market in self.markets.items()}
        items = planted.item_truth(catalogues.values())
        return {
            "items": items,
            "people": planted.people_truth(self.people),
            "held_out": planted.held_out_truth(self.people, catalogues, seed=self.seed),
            "bundle_items": planted.bundle_truth(items),
            "experiment": planted.experiment_truth(self.test),
            "dirt": planted.counted(self.book.rows, ("feed", "delivery_day", "kind")),
            "delivered_rows": planted.counted(self.landing.rows, ("feed", "delivery_day")),
            "business_rows": planted.counted(self.business, ("domain", "business_day")),
            "withdrawals": planted.withdrawal_truth(self.people, self.consents),
            "erasures": planted.erasure_truth(self.people),
            "contacts": self.contacts.table(),
        }

    def summary(self, folder: Path) -> WorldSummary:
        """The counts of a finished world."""
        by_feed: Counter[str] = Counter()
        for (feed, _), count in self.landing.rows.items():
            by_feed[feed] += count
        by_kind: Counter[str] = Counter()
        for (_, _, kind), count in self.book.rows.items():
            by_kind[kind] += count
        return WorldSummary(
            folder=folder,
            people=len(self.people),
            both=int((self.people.link > 0).sum()),
            accounts={domain: len(accounts) for domain, accounts in self.people.accounts.items()},
            items=sum(len(market.catalogue) for market in self.markets.values()),
            first_delivery=self.calendar.history_delivery,
            last_delivery=self.calendar.last,
            events=self.events,
            rows=dict(sorted(by_feed.items())),
            dirt=dict(sorted(by_kind.items())),
            experiment=self.test.truth[-1],
        )


def _dirty_lines(line: str) -> list[str]:
    item = json.loads(line)
    ghosts = (
        {**item, "id": "kc999991", "price": "-99.00"},
        {**item, "id": None},
        {**item, "id": "kc999992", "created_at": rows.BAD_TIME},
    )
    return [json.dumps(ghost, ensure_ascii=False) for ghost in ghosts] + [line]
