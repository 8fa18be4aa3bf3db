"""Daily behaviour: who does what with which item, when, on one side."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta

import numpy as np
import pyarrow as pa

from crossdomain.demo.catalogue import Catalogue, Shelf
from crossdomain.demo.clock import DAY_SECONDS, Calendar, midnight, stream
from crossdomain.demo.experiment import BannerTest
from crossdomain.demo.people import Accounts
from crossdomain.demo.topics import BEAUTY, KNOWLEDGE, TOPICS, topics_of

KINDS = ("impression", "click", "view", "favorite", "cart", "purchase", "refund", "rating")
IMPRESSION, CLICK, VIEW, FAVORITE, CART, PURCHASE, REFUND, RATING = range(len(KINDS))
CHANNELS = ("app", "web", "mini_program", "h5")
PLACEMENTS = ("home", "search", "category", "recommendation")
EVENTS_AN_EPISODE = 2.2
"""Mean number of events that one interest in one item leaves behind."""

NO_VALUE = -(2**62)
EVENT = np.dtype(
    [
        ("id", "i8"),
        ("account", "i4"),
        ("item", "i4"),
        ("kind", "i1"),
        ("second", "i8"),
        ("value", "i8"),
        ("quantity", "i2"),
        ("channel", "i1"),
        ("session", "i8"),
        ("placement", "i1"),
        ("position", "i2"),
        ("ref", "i8"),
        ("campaign", "i1"),
        ("flaw", "i1"),
    ]
)
"""One event: value in fen (`NO_VALUE` for none); quantity, position, ref and campaign 0 for none; placement -1 for
none; flaw a position in `dirt.FLAWS` (0 for none)."""

_WEEK = (0.95, 0.93, 0.94, 0.97, 1.04, 1.11, 1.06)
_GROWTH = 0.003
_WANDERING = 0.08
_HOURS = np.cumsum([0, 2, 1, 1, 1, 1, 2, 4, 6, 7, 7, 7, 8, 8, 7, 6, 6, 6, 7, 9, 12, 14, 13, 9, 5], dtype=float)
_BUY = {KNOWLEDGE: 0.045, BEAUTY: 0.06}
_REFUNDED, _RATED = 0.03, 0.3


@dataclass
class Market:
    """One side as it lives through the days.

    Attributes:
        accounts, catalogue, shelf: who and what.
        owned: sorted keys `account * items + item` of what is bought for good (knowledge only).
        pending: events that follow from earlier purchases, by business day.
    """

    accounts: Accounts
    catalogue: Catalogue
    shelf: Shelf
    owned: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    pending: dict[date, list[np.ndarray]] = field(default_factory=dict)

    @property
    def domain(self) -> str:
        """`knowledge` or `beauty`."""
        return self.catalogue.domain


@dataclass(frozen=True)
class DayOfEvents:
    """What one side did on one business day.

    Attributes:
        events: `EVENT` rows in the order of time; their ids ascend.
        exposures: exposures of the experiment, or None.
    """

    events: np.ndarray
    exposures: pa.Table | None


def season(day: date, calendar: Calendar) -> float:
    """How busy a day is: the weekday's factor times steady growth of 0.3 % a day; about 1 on average."""
    return _WEEK[day.weekday()] * float(np.exp(_GROWTH * (day - calendar.start).days))


def live(
    market: Market, day: date, *, episodes: int, calendar: Calendar, test: BannerTest | None, seed: int
) -> DayOfEvents:
    """Live one day on one side.

    Args:
        market: the side; its counts, belongings and pending events move on.
        day: business day.
        episodes: how many interests in an item to play.
        calendar: the days.
        test: the experiment, where this side has it.
        seed: seed of the world.

    Returns:
        The day's events and exposures.
    """
    rng = stream(seed, f"behaviour-{market.domain}", day)
    account, item, topic = _choose(market, day, episodes, calendar, rng)
    second = _moments(market.accounts, account, day, rng)
    exposures = test.expose(day, account, second) if test else None
    chance = _purchase_chance(market, account, item, topic)
    if test:
        chance = test.chance(account, second, chance)
    fresh = _play(market, account, item, second, chance, _liking(market, account, topic), rng)
    fresh["session"] += _session_base(market.domain, day)
    events = np.concatenate([fresh, *market.pending.pop(day, [])])
    events = events[np.argsort((events["second"] - midnight(day)).astype(np.int32), kind="stable")]
    events["id"] = first_id(market.domain, day) + np.arange(len(events))
    _remember(market, events, day, rng)
    if test:
        bought = events[events["kind"] == PURCHASE]
        test.close(day, bought["account"], bought["second"])
    return DayOfEvents(events, exposures)


def first_id(domain: str, day: date) -> int:
    """The first event id of a domain and business day: a domain digit, the day, seven digits."""
    return ((1 if domain == KNOWLEDGE else 2) * 10**8 + int(day.strftime("%Y%m%d"))) * 10**7 + 1


def _session_base(domain: str, day: date) -> int:
    return ((1 if domain == KNOWLEDGE else 2) * 10**8 + int(day.strftime("%Y%m%d"))) * 10**8


def _choose(
    market: Market, day: date, episodes: int, calendar: Calendar, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Accounts by activity, topics by taste and trend (8 % by the crowd's taste), items by popularity."""
    accounts, catalogue = market.accounts, market.catalogue
    active = np.cumsum(accounts.activity * accounts.active_on(day))
    account = _draw(active, rng.random(episodes))
    order = np.argsort(catalogue.topic, kind="stable")
    for_sale = catalogue.weight * (market.shelf.on & (catalogue.listed < midnight(day)))
    running = np.concatenate([[0.0], np.cumsum(for_sale[order])])
    ends = np.searchsorted(catalogue.topic[order], np.arange(accounts.taste.shape[1] + 1))
    low, high = running[ends[:-1]], running[ends[1:]]
    trend = np.exp(np.array([TOPICS[n].drift for n in topics_of(market.domain)]) * (day - calendar.start).days)
    trend = trend * (high > low)
    topic = _draw_topics(accounts.taste * trend, account, rng)
    crowd = np.cumsum(accounts.taste.mean(axis=0) * trend)
    wandering = rng.random(episodes) < _WANDERING
    topic[wandering] = _draw(crowd, rng.random(int(wandering.sum())))
    place = np.searchsorted(running[1:], low[topic] + rng.random(episodes) * (high - low)[topic], side="right")
    item = order[np.clip(place, ends[topic], ends[topic + 1] - 1)]
    return account, item, topic


def _draw(running: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    return np.asarray(np.minimum(np.searchsorted(running, uniform * running[-1], side="right"), len(running) - 1))


def _draw_topics(weights: np.ndarray, account: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A topic an episode, by the weights of its account's row."""
    running = np.cumsum(weights, axis=1)
    running = (running / running[:, -1:]).astype(np.float32)
    uniform = rng.random(len(account), np.float32)
    topic = np.zeros(len(account), np.int64)
    for column in range(weights.shape[1] - 1):
        topic += uniform >= running[:, column][account]
    return topic


def _moments(accounts: Accounts, account: np.ndarray, day: date, rng: np.random.Generator) -> np.ndarray:
    """Times by the hour's habit, at most 23:40, and never before the registration."""
    start = midnight(day)
    within = np.interp(rng.random(len(account)), _HOURS / _HOURS[-1], np.arange(25) * 3600.0) * (85_200 / DAY_SECONDS)
    second = start + within.astype(np.int64) + 10
    registered = accounts.registered[account]
    early = second <= registered + 60
    second[early] = registered[early] + 60 + (within[early] * 0.6).astype(np.int64)
    return np.asarray(np.minimum(second, start + 85_210))


def _liking(market: Market, account: np.ndarray, topic: np.ndarray) -> np.ndarray:
    """How much an account likes the topic it looks at, from 0.4 (not at all) to 1.6."""
    taste = market.accounts.taste[account, topic]
    return np.asarray(0.4 + 1.2 * np.minimum(taste * 2, 1))


def _purchase_chance(market: Market, account: np.ndarray, item: np.ndarray, topic: np.ndarray) -> np.ndarray:
    """Chance to buy: base times liking times price; nothing for what is owned already."""
    price = np.log(market.shelf.price[item] / np.median(market.catalogue.price))
    affordable = np.clip(np.exp(-market.accounts.thrift[account] * price), 0.3, 2.0)
    chance = np.minimum(_BUY[market.domain] * _liking(market, account, topic) * affordable, 0.5)
    if market.domain == KNOWLEDGE and len(market.owned):
        key = account * len(market.catalogue) + item
        place = np.minimum(np.searchsorted(market.owned, key), len(market.owned) - 1)
        chance[market.owned[place] == key] = 0.0
    return np.asarray(chance)


def _play(
    market: Market,
    account: np.ndarray,
    item: np.ndarray,
    second: np.ndarray,
    chance: np.ndarray,
    liking: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Turn episodes into events: a funnel from impression to purchase within a few minutes."""
    count = len(account)
    draw = rng.random((5, count), np.float32)
    buys = draw[0] < chance
    if market.domain == KNOWLEDGE:
        buys = _first_only(account, item, buys, len(market.catalogue))
    happens = {
        IMPRESSION: draw[1] < 0.35,
        CLICK: buys | (draw[2] < 0.5),
        VIEW: np.ones(count, bool),
        FAVORITE: draw[3] < 0.08 * liking,
        CART: buys | (draw[4] < 0.1 * liking),
        PURCHASE: buys,
    }
    delay = {IMPRESSION: -3, CLICK: 2, VIEW: 4, FAVORITE: 45, CART: 70, PURCHASE: 180}
    quantity = np.where(rng.random(count) < 0.15, 2, 1) if market.domain == BEAUTY else np.ones(count, int)
    source = rng.integers(0, 80, count)
    parts = []
    for kind, mask in happens.items():
        chosen = np.flatnonzero(mask)
        part = np.zeros(len(chosen), EVENT)
        part["account"], part["item"], part["kind"] = account[chosen], item[chosen], kind
        part["second"] = second[chosen] + delay[kind]
        part["channel"] = (account[chosen] * 7 + source[chosen] // 60) % len(CHANNELS)
        part["session"] = account[chosen] * 10 + (second[chosen] + 8 * 3600) % DAY_SECONDS // (6 * 3600)
        part["value"], part["placement"] = NO_VALUE, -1
        if kind in (IMPRESSION, CLICK):
            part["placement"], part["position"] = source[chosen] % len(PLACEMENTS), 1 + source[chosen] // 4
        if kind in (CART, PURCHASE):
            part["quantity"] = quantity[chosen]
        if kind == PURCHASE:
            part["value"] = market.shelf.price[item[chosen]] * quantity[chosen]
        parts.append(part)
    return np.concatenate(parts)


def _first_only(account: np.ndarray, item: np.ndarray, buys: np.ndarray, items: int) -> np.ndarray:
    """Keep the first purchase of an account and item: a course is bought once."""
    chosen = np.flatnonzero(buys)
    _, first = np.unique(account[chosen] * items + item[chosen], return_index=True)
    kept = np.zeros(len(buys), bool)
    kept[chosen[first]] = True
    return kept


def _remember(market: Market, events: np.ndarray, day: date, rng: np.random.Generator) -> None:
    """Count the sales, note what is owned, and plan refunds and ratings of the following days."""
    bought = events[events["kind"] == PURCHASE]
    items = len(market.catalogue)
    market.shelf.sales = market.shelf.sales + np.bincount(
        bought["item"], weights=bought["quantity"], minlength=items
    ).astype(np.int64)
    if market.domain == KNOWLEDGE:
        keys = bought["account"].astype(np.int64) * items + bought["item"]
        market.owned = np.union1d(market.owned, keys)
    draw = rng.random(len(bought))
    lag = rng.integers(1, 6, len(bought))
    hour = rng.integers(9 * 3600, 22 * 3600, len(bought))
    stars = np.clip(np.round(market.catalogue.quality[bought["item"]] + rng.normal(0, 0.7, len(bought))), 1, 5)
    for kind, mask in ((REFUND, draw < _REFUNDED), (RATING, draw > 1 - _RATED)):
        for days in range(1, 6):
            chosen = mask & (lag == days)
            _plan(market, day + timedelta(days=days), kind, bought[chosen], hour[chosen], stars[chosen])


def _plan(market: Market, day: date, kind: int, bought: np.ndarray, hour: np.ndarray, stars: np.ndarray) -> None:
    alive = market.accounts.erased[bought["account"]] >= midnight(day)
    rows = bought[alive].copy()
    rows["kind"], rows["ref"] = kind, bought["id"][alive]
    rows["second"] = midnight(day) + hour[alive]
    rows["session"] = _session_base(market.domain, day) + rows["account"].astype(np.int64) * 10 + 9
    rows["campaign"] = 0
    if kind == RATING:
        rows["value"], rows["quantity"] = stars[alive].astype(np.int64) * 100, 0
    market.pending.setdefault(day, []).append(rows)
