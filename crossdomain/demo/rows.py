"""Turns the world's arrays into the rows of each feed, with the source's column names."""

from __future__ import annotations

from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crossdomain.demo.behaviour import CHANNELS, KINDS, NO_VALUE, PLACEMENTS, RATING, Market
from crossdomain.demo.clock import DAY_SECONDS, local_date_text, local_text, midnight, stream
from crossdomain.demo.contacts import ContactBook
from crossdomain.demo.dirt import BAD_DATE, MISSING_ID, DirtBook
from crossdomain.demo.people import LINK_KINDS, PURPOSES, ConsentBook, People
from crossdomain.demo.topics import BEAUTY, DOMAINS, KNOWLEDGE, TOPICS, topics_of

CAMPAIGN_ID = "camp_bundle_season"
BAD_TIME = "2026-02-30 12:00:00"
_BAD_EPOCH = "not-a-time"

_REVIEW_OPENINGS = {
    1: ("很失望，", "踩雷了，", "不推荐，"),
    2: ("不太满意，", "一般偏下，", "期待落空，"),
    3: ("中规中矩，", "还行吧，", "没有惊喜，"),
    4: ("挺好的，", "比较满意，", "值得试试，"),
    5: ("太喜欢了，", "超出预期，", "强烈推荐，"),
}
_REVIEW_BODIES = {
    KNOWLEDGE: ("老师讲{0}很清楚，{1}部分最有收获", "听完对{0}和{1}有了新的认识", '{0}的案例不少，"{1}"还可以再深入'),
    BEAUTY: ("{0}的效果和描述差不多，{1}也不错", "用了两周，{0}改善了，{1}看个人", "包装完好, {0}合适，{1}没有问题"),
}
_BAD_BODIES = {
    KNOWLEDGE: ("{0}讲得太浅，{1}一带而过", "内容拼凑，{0}和{1}都没讲透"),
    BEAUTY: ("{0}几乎没有效果，{1}还有点刺激", "和图片不符，{0}和{1}都让人失望"),
}
_TAILS = ("", "。", "，会回购。", "！物流很快。", "，推荐给朋友了。")


def event_table(events: np.ndarray, market: Market) -> pa.Table:
    """Events as rows of their feed: knowledge with local time text and yuan, beauty with epoch seconds and fen."""
    flaw = events["flaw"]
    broken = np.where(flaw == MISSING_ID, events["id"] % 3, -1)
    shared = [
        pa.array(events["id"], mask=broken == 0),
        _taken(market.accounts.user_ids, events["account"], broken == 1),
        _taken(market.catalogue.ids, events["item"], broken == 2),
        pa.array(KINDS).take(pa.array(events["kind"])),
    ]
    tail = [
        pa.array(events["quantity"], mask=events["quantity"] == 0),
        pa.array(CHANNELS).take(pa.array(events["channel"])),
        pa.array([None, CAMPAIGN_ID]).take(pa.array(events["campaign"])),
        pa.array(events["session"]),
        _taken(pa.array(PLACEMENTS), np.maximum(events["placement"], 0), events["placement"] < 0),
        pa.array(events["position"], mask=events["position"] == 0),
        pa.array(events["ref"], mask=events["ref"] == 0),
    ]
    bad = pa.array(flaw == BAD_DATE)
    blank = events["value"] == NO_VALUE
    if market.domain == KNOWLEDGE:
        time = pc.if_else(bad, BAD_TIME, local_text(events["second"]))
        value = pa.array(events["value"] / 100, mask=blank)
        columns = [
            "event_id",
            "user_id",
            "item_id",
            "event",
            "time",
            "amount",
            "quantity",
            "channel",
            "campaign",
            "session",
            "placement",
            "position",
            "ref_event",
        ]
    else:
        time = pc.if_else(bad, _BAD_EPOCH, pa.array(events["second"]).cast(pa.string()))
        value = pa.array(events["value"], mask=blank)
        columns = [
            "id",
            "member",
            "sku",
            "action",
            "ts",
            "amount_fen",
            "num",
            "channel",
            "campaign",
            "session",
            "slot",
            "pos",
            "origin_id",
        ]
    return pa.table([*shared, time, value, *tail], names=columns)


def _taken(values: pa.Array, places: np.ndarray, blank: np.ndarray) -> pa.Array:
    return values.take(pa.array(places, mask=blank))


def review_table(
    events: np.ndarray,
    market: Market,
    day: date,
    *,
    seed: int,
    book: DirtBook,
    contacts: ContactBook,
    delivery: date,
) -> pa.Table:
    """Reviews of three in five rating events of a day, with the dirt of the day: at most a bad date and a duplicate.

    A few of them carry a contact that should not be kept; see :mod:`crossdomain.demo.contacts`.

    Args:
        events: the clean events of the business day.
        market: their side.
        day: business day.
        seed: seed of the world.
        book: takes the counts of dirt.
        contacts: plants contacts and notes them.
        delivery: delivery day of the reviews (reviews are never late).

    Returns:
        Rows of the reviews feed; empty when nobody rated.
    """
    rng = stream(seed, f"reviews-{market.domain}", day)
    rated = events[events["kind"] == RATING]
    rated = rated[rng.random(len(rated)) < 0.6]
    count = len(rated)
    ids = [f"r{number}" for number in rated["id"].tolist()]
    texts = contacts.plant(
        _review_texts(rated, market, rng),
        domain=market.domain,
        ids=ids,
        feed="reviews",
        rng=stream(seed, f"contacts-{market.domain}", day),
    )
    table = pa.table(
        {
            "review_id": pa.array(ids, pa.string()),
            "domain": pa.array([market.domain] * count, pa.string()),
            "user_id": market.accounts.user_ids.take(pa.array(rated["account"])),
            "item_id": market.catalogue.ids.take(pa.array(rated["item"])),
            "rating": pa.array(rated["value"] // 100),
            "text": pa.array(texts, pa.string()),
            "created_at": local_text(rated["second"] + 60),
        }
    )
    # At most one of each, and at most 2 % on average: a small world has them now and then, a large one every day.
    if not rng.random() < 0.02 * count:
        return table
    book.add("reviews", delivery, "bad_date", 1)
    book.add("reviews", delivery, "exact_duplicate", 1)
    broken = replaced(table.slice(0, 1), review_id=f"r{rated['id'][0]}x", created_at=BAD_TIME)
    return pa.concat_tables([table, broken, table.slice(count - 1)])


def replaced(table: pa.Table, **values: str | None) -> pa.Table:
    """The table with some columns filled with one value each."""
    for name, value in values.items():
        place = table.schema.get_field_index(name)
        kind = table.schema.field(name).type
        table = table.set_column(place, name, pa.array([value] * table.num_rows, kind))
    return table


def _review_texts(rated: np.ndarray, market: Market, rng: np.random.Generator) -> list[str]:
    topics = [TOPICS[number] for number in topics_of(market.domain)]
    draw = rng.integers(0, 1 << 20, (len(rated), 3))
    texts = []
    for row, (first, second, form) in zip(rated, draw.tolist(), strict=True):
        stars = int(row["value"]) // 100
        words = topics[market.catalogue.topic[row["item"]]].words
        bodies = (_BAD_BODIES if stars <= 2 else _REVIEW_BODIES)[market.domain]
        body = bodies[form % len(bodies)].format(words[first % len(words)], words[second % len(words)])
        tail = _TAILS[form // 8 % len(_TAILS)] if stars >= 4 else "。"
        texts.append(_REVIEW_OPENINGS[stars][form // 64 % 3] + body + tail)
    return texts


def user_rows(profiles: pa.Table, people: People, domain: str, chosen: np.ndarray, updated: np.ndarray) -> pa.Table:
    """User rows of chosen accounts, as their feed has them; `updated` is epoch seconds in the same order."""
    accounts = people.accounts[domain]
    part = profiles.take(pa.array(chosen))
    registered = accounts.registered[chosen]
    if domain == KNOWLEDGE:
        openid = pc.binary_join_element_wise("wx", pa.array(chosen * 7919 % 1_000_003).cast(pa.string()), "")
        columns = {
            "user_id": accounts.user_ids.take(pa.array(chosen)),
            "nickname": part["name"],
            "phone": part["phone"],
            "email": part["email"],
            "gender": part["gender"],
            "birth_year": part["birth_year"],
            "province": part["province"],
            "city": part["city"],
            "registered_at": local_text(registered),
            "updated_at": local_text(updated),
            "wechat_openid": openid,
        }
    else:
        columns = {
            "会员号": accounts.user_ids.take(pa.array(chosen)),
            "姓名": part["name"],
            "手机": part["phone"],
            "邮箱": part["email"],
            "性别": part["gender"],
            "出生年": part["birth_year"],
            "省份": part["province"],
            "城市": part["city"],
            "注册日期": local_date_text(registered, pattern="%Y/%m/%d"),
            "更新时间": local_text(updated),
        }
    return pa.table(columns)


def changed_city(profiles: pa.Table, day: date, *, seed: int, domain: str) -> tuple[np.ndarray, pa.Table]:
    """Accounts that move on a day (0.2 %) and the profiles with the new province and city."""
    rng = stream(seed, f"moves-{domain}", day)
    moved = np.flatnonzero(rng.random(profiles.num_rows) < 0.002)
    donor = rng.integers(0, profiles.num_rows, profiles.num_rows)
    source = np.arange(profiles.num_rows)
    source[moved] = donor[moved]
    for name in ("province", "city"):
        place = profiles.schema.get_field_index(name)
        profiles = profiles.set_column(place, name, profiles[name].take(pa.array(source)))
    return moved, profiles


def consent_rows(people: People, domain: str, book: ConsentBook, day: date, *, first: bool) -> pa.Table:
    """Consent rows of a delivery: answers of the newly registered (on `first`: of all), and withdrawals of the day."""
    accounts = people.accounts[domain]
    begin, end = midnight(day), midnight(day) + DAY_SECONDS
    new = (accounts.registered < end) & (first | (accounts.registered >= begin))
    account, purpose = np.nonzero(np.broadcast_to(new[:, None], book.granted.shape))
    gone_account, gone_purpose = np.nonzero((book.withdrawn >= begin) & (book.withdrawn < end))
    seconds = np.concatenate([accounts.registered[account] + 20, book.withdrawn[gone_account, gone_purpose]])
    granted = np.concatenate([book.granted[account, purpose], np.zeros(len(gone_account), bool)])
    who = np.concatenate([account, gone_account])
    return pa.table(
        {
            "domain": pa.array([domain]).take(pa.array(np.zeros(len(who), np.int8))),
            "user_id": accounts.user_ids.take(pa.array(who)),
            "purpose": pa.array(PURPOSES).take(pa.array(np.concatenate([purpose, gone_purpose]))),
            "granted": pa.array(["false", "true"]).take(pa.array(granted.astype(np.int8))),
            "changed_at": local_text(seconds),
        }
    )


def link_rows(people: People, day: date, *, first: bool) -> pa.Table:
    """Identity links of a delivery (on `first`: all so far), in person order."""
    end = midnight(day) + DAY_SECONDS
    begin = 0 if first else midnight(day)
    person = np.flatnonzero((people.linked >= begin) & (people.linked < end))
    late = people.link[person] == LINK_KINDS.index("late")
    ids = {
        domain: people.accounts[domain].user_ids.take(pa.array(people.account_of[domain][person])) for domain in DOMAINS
    }
    return pa.table(
        {
            "knowledge_user_id": ids[KNOWLEDGE],
            "beauty_user_id": ids[BEAUTY],
            "linked_at": local_text(people.linked[person]),
            "method": pa.array(["single_sign_on", "member_card"]).take(pa.array(late.astype(np.int8))),
        }
    )


def erasure_rows(people: People, domain: str, day: date) -> pa.Table:
    """Erasure requests of a day."""
    accounts = people.accounts[domain]
    begin = midnight(day)
    chosen = np.flatnonzero((accounts.erased >= begin) & (accounts.erased < begin + DAY_SECONDS))
    return pa.table(
        {
            "domain": pa.array([domain] * len(chosen), pa.string()),
            "user_id": accounts.user_ids.take(pa.array(chosen)),
            "requested_at": local_text(accounts.erased[chosen]),
        }
    )
