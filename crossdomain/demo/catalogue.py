"""The catalogue: items of both domains with planted topics, and how price, state and counts move by day."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa

from crossdomain.demo import names
from crossdomain.demo.clock import DAY_SECONDS, Calendar, local_date_text, local_text, midnight, stream
from crossdomain.demo.topics import BEAUTY, DOMAINS, KNOWLEDGE, TOPICS, Topic, topics_of

OFF_TOPIC_WORDS = 0.08
"""Share of an item's words that come from another topic."""

_ZIPF = 0.6
_COURSE_TYPES = (("专栏", 1.0), ("课程", 1.6), ("电子书", 0.2), ("音频", 0.4))

_COURSE_SENTENCES = (
    "第一讲从{0}说起，再谈{1}和{2}，帮你把{3}看明白。",
    "很多人在{0}上花了钱，却忽略了{1}与{2}的关系。",
    "我们用真实案例拆开{0}、{1}和{2}，每一步都能照着做。",
    "学完以后，面对{0}和{1}你会有自己的判断，不再被{2}困住。",
    "关于{0}的误区很多，本节结合{1}、{2}逐条说清。",
    "作业是记录一周的{0}，对照{1}与{2}做一次调整。",
    "{0}不是越多越好，先弄懂{1}，再决定{2}和{3}。",
    "附赠一份{0}清单，涵盖{1}、{2}以及{3}。",
)
_PRODUCT_SENTENCES = (
    "以{0}为核心，搭配{1}与{2}，日常使用也安心。",
    "针对{0}的烦恼，特别加入{1}，兼顾{2}和{3}。",
    "{0}细腻，{1}到位，通勤和周末都合适。",
    "同系列还有{0}和{1}，一起用{2}更出彩。",
    "设计师反复调整{0}与{1}，只为更好的{2}。",
    "喜欢{0}的你，可以先从{1}和{2}试起。",
    "小贴士：注意{0}，避免{1}，{2}会更持久。",
    "老顾客说{0}很惊喜，{1}也比想象中好，{2}值得回购。",
)
_COURSE_DESCRIPTIONS = (
    "讲透{0}、{1}与{2}，适合零基础。",
    "一套关于{0}和{1}的实用方法，附{2}练习。",
    "从{0}到{1}，陪你走完{2}的每一步。",
)
_PRODUCT_DESCRIPTIONS = ("{0}与{1}兼得，{2}党放心选。", "主打{0}，照顾{1}，{2}也在线。", "一件解决{0}和{1}，{2}加分。")
_SIZES = ("30ml", "50ml", "100ml", "轻享装", "礼盒装", "家庭装", "新款", "经典款", "升级版", "限定款")


@dataclass(frozen=True)
class Catalogue:
    """The items of one domain; every array is in item order.

    Attributes:
        domain: `knowledge` or `beauty`.
        ids: item ids as text.
        topic: position in `topics_of(domain)`.
        weight: popularity within the topic (Zipf), positive.
        price: price in fen on the first delivery.
        listed: epoch seconds of the listing.
        quality: mean of the stars that buyers give.
        title, kind, description, text, tags, creator: texts as delivered.
    """

    domain: str
    ids: pa.Array
    topic: np.ndarray
    weight: np.ndarray
    price: np.ndarray
    listed: np.ndarray
    quality: np.ndarray
    title: list[str]
    kind: list[str]
    description: list[str]
    text: list[str]
    tags: list[str]
    creator: list[str]

    def __len__(self) -> int:
        return len(self.topic)

    def listed_by(self, day: date) -> np.ndarray:
        """Mask of the items listed before the end of a day."""
        return np.asarray(self.listed < midnight(day) + DAY_SECONDS)


@dataclass
class Shelf:
    """The state of one domain's catalogue that moves from day to day.

    Attributes:
        price: price in fen today.
        on: whether the item is on sale.
        sales, comments: running counts.
    """

    price: np.ndarray
    on: np.ndarray
    sales: np.ndarray
    comments: np.ndarray

    @classmethod
    def open(cls, catalogue: Catalogue, *, seed: int) -> Shelf:
        """The state before the first day: everything on sale, with counts from the time before."""
        rng = stream(seed, f"shelf-{catalogue.domain}")
        sales = np.round(catalogue.weight / catalogue.weight.mean() * 300 * rng.lognormal(0, 0.3, len(catalogue)))
        return cls(
            catalogue.price.copy(),
            np.ones(len(catalogue), bool),
            sales.astype(np.int64),
            (sales * 0.08).astype(np.int64),
        )

    def turn(self, catalogue: Catalogue, day: date, *, seed: int) -> None:
        """Start a day: about 1 % of the prices change, 0.2 % of the items go off sale, some come back."""
        rng = stream(seed, f"shelf-{catalogue.domain}", day)
        chance = rng.random((2, len(catalogue)))
        changed = chance[0] < 0.01
        steps = rng.choice([0.8, 0.9, 1.1, 1.0 / 0.9], len(catalogue))
        self.price = np.where(changed, np.maximum(np.round(self.price * steps / 10) * 10, 100), self.price).astype(
            np.int64
        )
        self.on = np.where(self.on, chance[1] >= 0.002, chance[1] < 0.1)


def build_catalogue(domain: str, *, items: int, calendar: Calendar, seed: int) -> Catalogue:
    """Make the items of a domain.

    Args:
        domain: `knowledge` or `beauty`.
        items: how many; at least two a topic.
        calendar: the days; about 4 % of the items are listed on ordinary days, the rest before the behaviour begins.
        seed: seed of the world.

    Returns:
        The catalogue; the same arguments give the same catalogue.
    """
    rng = stream(seed, f"catalogue-{domain}")
    positions = topics_of(domain)
    prior = np.sqrt([TOPICS[number].prior for number in positions])
    topic = np.concatenate(
        [
            np.tile(np.arange(len(positions)), 2),
            rng.choice(len(positions), items - 2 * len(positions), p=prior / prior.sum()),
        ]
    )
    rng.shuffle(topic)
    writer = _Writer(domain, topic, rng)
    return Catalogue(
        domain=domain,
        ids=_ids(domain, items),
        topic=topic,
        weight=_popularity(topic, rng),
        price=writer.prices(),
        listed=_listed(items, calendar, rng),
        quality=np.clip(rng.normal(4.2, 0.4, items), 2.5, 5.0),
        **writer.texts(),
    )


def _ids(domain: str, items: int) -> pa.Array:
    first, prefix = (100_001, "kc") if domain == KNOWLEDGE else (600_000_001, "")
    return pa.array([f"{prefix}{first + number}" for number in range(items)])


def _popularity(topic: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Zipf weights by a random rank within each topic, adding up to 1 a topic."""
    weight = np.empty(len(topic))
    for number in np.unique(topic):
        members = np.flatnonzero(topic == number)
        zipf = (1.0 + rng.permutation(len(members))) ** -_ZIPF
        weight[members] = zipf / zipf.sum()
    return weight


def _listed(items: int, calendar: Calendar, rng: np.random.Generator) -> np.ndarray:
    """Listing times: up to 700 days before the behaviour; 4 % at 00:00-08:00 of an ordinary day."""
    before = midnight(calendar.first) - rng.integers(1, 700 * DAY_SECONDS, items)
    new = (
        midnight(calendar.start)
        + rng.integers(0, calendar.days, items) * DAY_SECONDS
        + rng.integers(0, 8 * 3600, items)
    )
    return np.where(rng.random(items) < 0.04, new, before)


class _Writer:
    """Writes the texts of a domain's items from their topics."""

    def __init__(self, domain: str, topic: np.ndarray, rng: np.random.Generator) -> None:
        self.domain = domain
        self.topics = [TOPICS[number] for number in topics_of(domain)]
        self.topic = topic
        self.rng = rng
        count = len(topic)
        self.form = rng.integers(0, 1 << 30, count)
        self.kind = rng.choice(len(_COURSE_TYPES), count, p=[0.45, 0.25, 0.15, 0.15])

    def prices(self) -> np.ndarray:
        """Prices in fen: log-normal around the topic's median, by type for courses, ending in 9 yuan."""
        side = 0 if self.domain == KNOWLEDGE else 1
        median = np.array([topic.price[side] for topic in self.topics], float)[self.topic]
        if self.domain == KNOWLEDGE:
            median = median * np.array([factor for _, factor in _COURSE_TYPES])[self.kind]
        yuan = median * self.rng.lognormal(0, 0.35, len(median))
        return np.asarray((np.maximum(np.round(yuan / 10) * 10 - 1, 9) * 100).astype(np.int64))

    def texts(self) -> dict[str, list[str]]:
        """Every text column, in item order."""
        sentences = _COURSE_SENTENCES if self.domain == KNOWLEDGE else _PRODUCT_SENTENCES
        descriptions = _COURSE_DESCRIPTIONS if self.domain == KNOWLEDGE else _PRODUCT_DESCRIPTIONS
        count = len(self.topic)
        words = self._words(count, 40)
        picked = self.rng.permuted(np.tile(np.arange(len(sentences)), (count, 1)), axis=1)
        columns: dict[str, list[str]] = {
            name: [] for name in ("title", "kind", "description", "text", "tags", "creator")
        }
        for item in range(count):
            topic, own, form = self.topics[self.topic[item]], words[item], int(self.form[item])
            title, kind, creator = (
                self._course(item, topic, own, form) if self.domain == KNOWLEDGE else self._product(topic, own, form)
            )
            body = [sentences[place].format(*own[4 + 4 * n : 8 + 4 * n]) for n, place in enumerate(picked[item])]
            columns["title"].append(title)
            columns["kind"].append(kind)
            columns["description"].append(descriptions[form % 3].format(own[36], own[37], own[38]))
            columns["text"].append("".join(body))
            columns["tags"].append("、".join(dict.fromkeys((topic.name, own[0], own[2]))))
            columns["creator"].append(creator)
        return columns

    def _words(self, count: int, each: int) -> list[list[str]]:
        """Topic words of every item; early words of a topic are more typical and come more often."""
        vocabulary = [topic.words for topic in self.topics]
        length = min(len(words) for words in vocabulary)
        place = (self.rng.random((count, each)) ** 1.3 * length).astype(int)
        for column in range(each):
            # The four words of a sentence differ: a repeated one makes way for its neighbour.
            for _ in range(column % 4):
                taken = (place[:, column - column % 4 : column] == place[:, [column]]).any(axis=1)
                place[taken, column] = (place[taken, column] + 1) % length
        source = np.broadcast_to(self.topic[:, None], (count, each)).copy()
        stray = self.rng.random((count, each)) < OFF_TOPIC_WORDS
        source[stray] = self.rng.integers(0, len(vocabulary), int(stray.sum()))
        # A title keeps to its topic.
        source[:, :4] = self.topic[:, None]
        table = np.array([words[:length] for words in vocabulary], dtype=object)
        return [list(row) for row in table[source, place]]

    def _course(self, item: int, topic: Topic, own: list[str], form: int) -> tuple[str, str, str]:
        surname = names.SURNAMES[form % len(names.SURNAMES)]
        given = names.GIVEN_FIRST[form // 31 % 20] + names.GIVEN_SECOND[form // 620 % 20]
        course = topic.courses[form // 7 % len(topic.courses)]
        lecturer = f"{surname}{given}"
        role = names.LECTURER_TITLES[form % len(names.LECTURER_TITLES)]
        title = f"{lecturer}{role}·{course}：{own[0]}与{own[1]}"
        return title, _COURSE_TYPES[self.kind[item]][0], lecturer

    def _product(self, topic: Topic, own: list[str], form: int) -> tuple[str, str, str]:
        # A brand lives in few topics, so the brand itself says something about the taste.
        brand = names.BRANDS[(form % 6 * 7 + self.topics.index(topic) * 3) % len(names.BRANDS)]
        product = topic.products[form // 7 % len(topic.products)]
        title = f"{brand} {own[0]}{product} {own[1]} {_SIZES[form // 11 % len(_SIZES)]}"
        return title, product, brand


def item_lines(catalogue: Catalogue) -> list[str]:
    """The part of a knowledge item's JSON line that never changes, without its closing brace."""
    created = local_text(catalogue.listed).to_pylist()
    lines = []
    for item, item_id in enumerate(catalogue.ids.to_pylist()):
        fixed = {
            "id": item_id,
            "title": catalogue.title[item],
            "type": catalogue.kind[item],
            "description": catalogue.description[item],
            "sample_text": catalogue.text[item],
            "tags": catalogue.tags[item],
            "owner": {"name": catalogue.creator[item]},
            "created_at": created[item],
        }
        lines.append(json.dumps(fixed, ensure_ascii=False)[:-1])
    return lines


def knowledge_snapshot(catalogue: Catalogue, shelf: Shelf, lines: list[str], day: date) -> list[str]:
    """The knowledge items of a day as JSON lines, in item order, without dirt."""
    out = []
    for item in np.flatnonzero(catalogue.listed_by(day)):
        state = "on" if shelf.on[item] else "off"
        out.append(
            f'{lines[item]}, "price": "{shelf.price[item] / 100:.2f}", "status": "{state}", '
            f'"num": {{"readers": {shelf.sales[item]}, "comments": {shelf.comments[item]}}}}}'
        )
    return out


def beauty_snapshot(catalogue: Catalogue, shelf: Shelf, fixed: pa.Table, day: date) -> pa.Table:
    """The beauty items of a day as a table with the source's Chinese column names, in item order, without dirt."""
    shown = pa.array(np.flatnonzero(catalogue.listed_by(day)))
    table = fixed.append_column("价格分", pa.array(shelf.price).cast(pa.string()))
    table = table.append_column("状态", pa.array(np.where(shelf.on, "on", "off").tolist()))
    table = table.append_column("销量", pa.array(shelf.sales).cast(pa.string()))
    return table.append_column("评论数", pa.array(shelf.comments).cast(pa.string())).take(shown)


def beauty_fixed(catalogue: Catalogue) -> pa.Table:
    """The columns of the beauty items that never change."""
    return pa.table(
        {
            "商品编号": catalogue.ids,
            "标题": catalogue.title,
            "类目": catalogue.kind,
            "描述": catalogue.description,
            "详情": catalogue.text,
            "标签": catalogue.tags,
            "品牌": catalogue.creator,
            "上架日期": local_date_text(catalogue.listed, pattern="%Y/%m/%d"),
        }
    )


def build_catalogues(*, items: int, calendar: Calendar, seed: int) -> dict[str, Catalogue]:
    """Both catalogues: half of the items each, the odd one on the beauty side."""
    counts = {KNOWLEDGE: items // 2, BEAUTY: items - items // 2}
    return {domain: build_catalogue(domain, items=counts[domain], calendar=calendar, seed=seed) for domain in DOMAINS}
