"""Near-duplicates: what is one product, what is a variant, and planted ones found again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from crossdomain.content.duplicates import DuplicateRules, Listings, find_duplicates, is_variant, marks, plain_title
from crossdomain.settings import Settings
from crossdomain.text.tokens import read_stop_words

WORDS = read_stop_words(Settings().include / "text" / "variant_words.txt")
RULES = DuplicateRules()

BRANDS = ("雅姿", "水之密语", "花间堂", "若水", "青禾", "Lumière")
LINES = (
    "烟酰胺",
    "玻尿酸",
    "神经酰胺",
    "积雪草",
    "维生素",
    "胶原蛋白",
    "红石榴",
    "绿茶籽",
    "竹炭",
    "山茶花",
    "燕麦",
    "鱼子酱",
)
KINDS = ("精华液", "面霜", "爽肤水", "洁面乳", "眼霜", "面膜", "防晒乳", "卸妆油", "唇膏", "粉底液")
CLAIMS = (
    "补水",
    "保湿",
    "提亮",
    "修护",
    "舒缓",
    "紧致",
    "清洁",
    "温和",
    "学生",
    "敏感肌可用",
    "持久",
    "不油腻",
    "通勤",
    "送礼",
)
SIZES = ("15ml", "30ml", "50ml", "100ml", "30g", "50g")
SHADES = ("01", "02", "03", "SPF30", "SPF50")


def listings(titles: Sequence[str | None], **columns: Sequence[object]) -> Listings:
    count = len(titles)
    return Listings(
        domain=columns.get("domain", ["beauty"] * count),  # type: ignore[arg-type]
        item_id=columns.get("item_id", [f"i{number:05}" for number in range(count)]),  # type: ignore[arg-type]
        title=titles,
        creator=columns.get("creator", ["牌子"] * count),  # type: ignore[arg-type]
        price=np.array(columns.get("price", [np.nan] * count), dtype=float),
        on_sale=np.array(columns.get("on_sale", [True] * count), dtype=bool),
    )


def groups(items: Listings, rules: DuplicateRules = RULES) -> list[set[str]]:
    found: dict[str, set[str]] = {}
    for row in find_duplicates(items, variant_words=WORDS, rules=rules, seed=7).to_pylist():
        found.setdefault(row["group_id"], set()).add(row["item_id"])
    return sorted(found.values(), key=min)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("雅姿烟酰胺亮肤精华液 50ml 补水保湿", "【双11预售】雅姿 烟酰胺亮肤精华液50毫升 补水保湿 正品包邮"),
        ("雅姿烟酰胺亮肤精华液50ML补水保湿修护", "雅姿烟酰胺亮肤精华液５０ml 补水保湿修护"),
        ("讲透基金定投：从入门到精通的三十课", "讲透基金定投:从入门到精通的三十课！"),
        ("雅姿烟酰胺亮肤精华液50ml补水保湿修护屏障", "雅姿烟酰胺亮肤精华液50ml保湿补水修护屏障"),
    ],
)
def test_one_product_under_two_titles(first: str, second: str) -> None:
    assert groups(listings([first, second])) == [{"i00000", "i00001"}]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("雅姿烟酰胺亮肤精华液50ml补水保湿修护", "雅姿烟酰胺亮肤精华液100ml补水保湿修护"),
        ("雅姿轻透防晒乳SPF30 50ml 清爽不油腻", "雅姿轻透防晒乳SPF50 50ml 清爽不油腻"),
        ("雅姿丝绒哑光唇釉持久不掉色01", "雅姿丝绒哑光唇釉持久不掉色02"),
        ("雅姿丝绒哑光唇釉持久不沾杯豆沙色", "雅姿丝绒哑光唇釉持久不沾杯正红色"),
        ("雅姿时光锁柔肤水清润型170ml补水保湿紧致", "雅姿时光锁柔肤水丰润型170ml补水保湿紧致"),
        ("雅姿天才黄油有油面霜特供体验装", "雅姿天才黄油无油面霜特供体验装"),
        ("雅姿积雪草修护面霜50g日霜", "雅姿积雪草修护面霜50g晚霜"),
        ("雅姿氨基酸洁面乳温和清洁100g", "雅姿氨基酸洁面乳温和清洁100g两支"),
        ("零基础写作训练营第一期带你写出好文章", "零基础写作训练营第二期带你写出好文章"),
        ("雅姿BB霜自然遮瑕裸妆保湿隔离", "雅姿CC霜自然遮瑕裸妆保湿隔离"),
    ],
)
def test_variants_are_different_products(first: str, second: str) -> None:
    assert groups(listings([first, second])) == []


def test_marks_are_numbers_latin_words_colours_and_listed_words() -> None:
    assert marks("【双11】雅姿 BB 霜 50毫升 SPF50+ 01 象牙色 日霜 2016新款", WORDS) == tuple(
        sorted(["bb", "50ml", "spf", "50", "1", "牙色", "日霜"])
    )
    assert plain_title("【预售】雅姿　面霜，正品包邮！") == "雅姿面霜"


def test_what_is_replaced_in_place_is_a_variant_and_what_moves_is_not() -> None:
    assert is_variant("清润型柔肤水保湿", "丰润型柔肤水保湿")
    assert not is_variant("柔肤水补水保湿", "柔肤水保湿补水")
    assert not is_variant("柔肤水补水保湿", "柔肤水补水保湿紧致")


def test_price_and_creator_speak_against_it() -> None:
    titles = ["雅姿烟酰胺亮肤精华液补水保湿修护", "雅姿烟酰胺亮肤精华液补水保湿修护"]
    assert groups(listings(titles, price=[99, 109])) == [{"i00000", "i00001"}]
    assert groups(listings(titles, price=[99, 297])) == []
    assert groups(listings(titles, creator=["甲店", "乙店"])) == [{"i00000", "i00001"}]
    assert groups(listings(["写作课"] * 2, creator=["老王", "老李"])) == []
    assert groups(listings(["写作课"] * 2, creator=["老王", "老王"])) == [{"i00000", "i00001"}]


def test_the_first_on_sale_stands_for_the_group_across_domains() -> None:
    title = "雅姿烟酰胺亮肤精华液补水保湿修护"
    items = listings(
        [title, title, title],
        domain=["beauty", "beauty", "knowledge"],
        item_id=["a", "b", "c"],
        on_sale=[False, True, True],
    )
    found = find_duplicates(items, variant_words=WORDS, rules=RULES, seed=7).to_pylist()
    assert [(row["domain"], row["item_id"]) for row in found] == [("beauty", "a"), ("beauty", "b"), ("knowledge", "c")]
    assert {(row["canonical_domain"], row["canonical_item_id"]) for row in found} == {("beauty", "b")}
    assert len({row["group_id"] for row in found}) == 1


def test_items_without_a_title_are_in_no_group() -> None:
    assert groups(listings([None, None, "", "！！"])) == []
    assert groups(listings([])) == []


def planted(count: int, seed: int) -> tuple[Listings, set[tuple[str, str]]]:
    """Products, some sold again under a rewritten title, some with variants; and the pairs that are one product."""
    rng = np.random.default_rng(seed)
    titles, product = [], []
    for number in range(count):
        claims = rng.choice(CLAIMS, 7, replace=False).tolist()
        size = SIZES[rng.integers(len(SIZES))]
        shade = SHADES[rng.integers(len(SHADES))] if rng.random() < 0.3 else ""
        name = f"{rng.choice(BRANDS)}{rng.choice(LINES)}{rng.choice(LINES)}{rng.choice(KINDS)}"
        titles.append(f"{name}{size}{shade}{''.join(claims)}")
        product.append(f"{number}")
        if rng.random() < 0.3:  # the same again: two claims swapped, the last one gone, a campaign in front
            swapped = [claims[1], claims[0], *claims[2 : 7 - rng.integers(2)]]
            front = rng.choice(["", "【双11预售】", "【特惠专享】", "正品包邮 "])
            titles.append(f"{front}{name} {size} {shade}{' '.join(swapped)}")
            product.append(f"{number}")
        if rng.random() < 0.3:  # a variant: another size
            other = rng.choice([one for one in SIZES if one != size])
            titles.append(f"{name}{other}{shade}{''.join(claims)}")
            product.append(f"{number} {other}")
    order = rng.permutation(len(titles))
    items = listings([titles[place] for place in order])
    same: dict[str, list[str]] = {}
    for place, item in zip(order, items.item_id, strict=True):
        same.setdefault(product[place], []).append(item)
    return items, {(min(ids), max(ids)) for ids in same.values() if len(ids) == 2}


def test_planted_duplicates_are_found_and_variants_are_not() -> None:
    items, truth = planted(1500, seed=3)
    found = {(min(group), max(group)) for group in groups(items) if len(group) == 2}
    larger = [group for group in groups(items) if len(group) > 2]
    assert len(found & truth) >= 0.95 * (len(found) + len(larger))
    assert len(found & truth) >= 0.85 * len(truth)


def test_the_order_of_ids_alone_decides() -> None:
    items, _ = planted(200, seed=4)
    assert find_duplicates(items, variant_words=WORDS, rules=RULES, seed=7).equals(
        find_duplicates(items, variant_words=list(reversed(WORDS)), rules=RULES, seed=7)
    )
