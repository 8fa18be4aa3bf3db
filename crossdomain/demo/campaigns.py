"""The joint campaign: its daily costs, messages and coupons; and the daily counts of an experiment of the past."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crossdomain.demo.behaviour import PURCHASE, Market
from crossdomain.demo.clock import Calendar, local_text, midnight, stream
from crossdomain.demo.dirt import DirtBook
from crossdomain.demo.people import ConsentBook
from crossdomain.demo.rows import CAMPAIGN_ID

PAST_EXPERIMENT_ID = "free_trial_screener"
PAST_RATES = {"control": (0.08, 0.21, 0.55), "experiment": (0.08, 0.18, 0.64)}
"""Planted rates of the past experiment: clicks per page view, enrolments per click, payments per enrolment."""
PAST_VIEWS = 5000
"""Mean page views of an arm and day."""

_COST_CHANNELS = ("search", "social", "short_video")
_COUPON_FEN = (1000, 2000, 5000)
VALID_DAYS = 3


def cost_table(day: date, *, seed: int) -> pa.Table:
    """The campaign's costs of a day by channel, in yuan text."""
    amounts = stream(seed, "costs", day).lognormal(6.5, 0.2, len(_COST_CHANNELS))
    return pa.table(
        {
            "campaign_id": [CAMPAIGN_ID] * len(_COST_CHANNELS),
            "day": [day.isoformat()] * len(_COST_CHANNELS),
            "channel": list(_COST_CHANNELS),
            "cost_yuan": [f"{amount:.2f}" for amount in amounts],
        }
    )


def past_counts(day: date, *, seed: int) -> pa.Table:
    """Daily counts of the past experiment: page views, clicks, enrolments and payments by variant."""
    rng = stream(seed, "past", day)
    rows = []
    for variant, (clicked, enrolled, paid) in PAST_RATES.items():
        views = int(rng.poisson(PAST_VIEWS))
        clicks = int(rng.binomial(views, clicked))
        enrollments = int(rng.binomial(clicks, enrolled))
        counts = {
            "pageviews": views,
            "clicks": clicks,
            "enrollments": enrollments,
            "payments": int(rng.binomial(enrollments, paid)),
        }
        rows += [(PAST_EXPERIMENT_ID, variant, day.isoformat(), metric, str(count)) for metric, count in counts.items()]
    columns = ("experiment", "variant", "day", "metric", "count")
    return pa.table({name: [row[place] for row in rows] for place, name in enumerate(columns)})


def send_table(market: Market, book: ConsentBook, day: date, *, seed: int) -> pa.Table:
    """Messages of a day at 10:00 to 2 % of the accounts that agreed to them by mail or else by SMS."""
    rng = stream(seed, f"sends-{market.domain}", day)
    when = midnight(day) + 10 * 3600
    mail, text = book.allows("marketing_email", when), book.allows("marketing_sms", when)
    able = market.accounts.active_on(day) & (market.accounts.registered < midnight(day)) & (mail | text)
    chosen = np.flatnonzero(able & (rng.random(len(able)) < 0.02))
    number = pa.array(np.arange(len(chosen)) + int(day.strftime("%Y%m%d")) * 10**6).cast(pa.string())
    return pa.table(
        {
            "send_id": pc.binary_join_element_wise(f"{market.domain[0]}m", number, ""),
            "campaign_id": _same(CAMPAIGN_ID, len(chosen)),
            "domain": _same(market.domain, len(chosen)),
            "user_id": market.accounts.user_ids.take(pa.array(chosen)),
            "channel": pa.array(["sms", "email"]).take(pa.array(mail[chosen].astype(np.int8))),
            "sent_at": local_text(when + np.arange(len(chosen)) % 3600),
        }
    )


@dataclass
class Coupons:
    """Coupons from issue to redemption; a redeemed coupon is delivered again with the event that used it."""

    calendar: Calendar
    seed: int
    book: DirtBook
    _open: dict[str, pa.Table] = field(default_factory=dict)

    def day(self, market: Market, events: np.ndarray, day: date) -> pa.Table:
        """Redeem outstanding coupons with today's purchases, then issue new ones to 1 % of the accounts at 11:00.

        Args:
            market: the side.
            events: today's clean events; redeeming purchases get the campaign's id (changed in place).
            day: business day; coupons exist from the last history day on.

        Returns:
            Rows of the coupons feed: redemptions first, then new coupons.
        """
        if day < self.calendar.history_delivery:
            return _coupon_rows(market, [], np.zeros(0, int), np.zeros(0, int), np.zeros(0, int), None)
        redeemed = self._redeem(market, events, day)
        issued = self._issue(market, day)
        previous = self._open.get(market.domain)
        self._open[market.domain] = issued if previous is None else pa.concat_tables([previous, issued])
        return pa.concat_tables([redeemed, issued.drop(["account"])])

    def _issue(self, market: Market, day: date) -> pa.Table:
        rng = stream(self.seed, f"coupons-{market.domain}", day)
        able = market.accounts.active_on(day) & (market.accounts.registered < midnight(day))
        chosen = np.flatnonzero(able & (rng.random(len(able)) < 0.01))
        amount = rng.choice(_COUPON_FEN, len(chosen))
        ids = [f"{market.domain[0]}q{day:%Y%m%d}{number:06d}" for number in range(len(chosen))]
        when = np.full(len(chosen), midnight(day) + 11 * 3600)
        rows = _coupon_rows(market, ids, chosen, when, amount, None)
        return rows.append_column("account", pa.array(chosen, pa.int64()))

    def _redeem(self, market: Market, events: np.ndarray, day: date) -> pa.Table:
        """Every second account with an open coupon that buys today uses it for its first purchase.

        A coupon is valid for three days after its issue; its older row is superseded.
        """
        outstanding = self._open.get(market.domain)
        empty = _coupon_rows(market, [], np.zeros(0, int), np.zeros(0, int), np.zeros(0, int), None)
        if outstanding is None:
            return empty
        oldest = (day - timedelta(days=VALID_DAYS)).isoformat()
        outstanding = outstanding.filter(pc.greater_equal(outstanding["issued_at"], oldest))
        if not outstanding.num_rows:
            return empty
        buys = np.flatnonzero(events["kind"] == PURCHASE)
        buyers, first = np.unique(events["account"][buys], return_index=True)
        holders = outstanding["account"].to_numpy()
        using = np.flatnonzero(np.isin(holders, buyers[buyers % 2 == 0]))
        _, single = np.unique(holders[using], return_index=True)
        using = using[single]
        event = buys[first[np.searchsorted(buyers, holders[using])]]
        events["campaign"][event] = 1
        rows = outstanding.take(pa.array(using)).drop(["account", "redeemed_event_id"])
        for issued in pc.utf8_slice_codeunits(rows["issued_at"], 0, 10).to_pylist():
            self.book.add("coupons", date.fromisoformat(issued), "superseded", 1)
        self._open[market.domain] = outstanding.take(pa.array(np.setdiff1d(np.arange(len(holders)), using)))
        return rows.append_column("redeemed_event_id", pa.array(events["id"][event]).cast(pa.string()))


def _coupon_rows(
    market: Market, ids: list[str], account: np.ndarray, second: np.ndarray, fen: np.ndarray, event: str | None
) -> pa.Table:
    count = len(ids)
    return pa.table(
        {
            "coupon_id": pa.array(ids, pa.string()),
            "campaign_id": _same(CAMPAIGN_ID, count),
            "domain": _same(market.domain, count),
            "user_id": market.accounts.user_ids.take(pa.array(account, pa.int64())),
            "issued_at": local_text(second) if count else pa.array([], pa.string()),
            "amount_fen": pa.array(fen, pa.int64()).cast(pa.string()),
            "redeemed_event_id": pa.array([event] * count, pa.string()),
        }
    )


def _same(value: str, count: int) -> pa.Array:
    return pa.array([value] * count, pa.string())
