"""The same product under several ids, shops or domains.

Two items are one product when their titles are nearly the same and nothing in them tells variants apart. The
second part is the important one: ``50ml`` and ``100ml``, ``SPF30`` and ``SPF50``, ``01`` and ``02`` differ by a
letter and are different products. So candidates are only looked for among items with the same *marks* (numbers,
sizes, Latin words, colours, listed variant words), and their titles are then compared by character n-grams.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy import sparse

from crossdomain.content.features import Ints, gram_matrix
from crossdomain.text.normalise import normalise

DUPLICATES_SCHEMA = pa.schema(
    [
        ("domain", pa.string()),
        ("item_id", pa.string()),
        ("group_id", pa.string()),
        ("canonical_domain", pa.string()),
        ("canonical_item_id", pa.string()),
    ]
)

_PROMOTION = re.compile(
    r"[\[【(][^\]】)]{0,12}(?:预售|预热|抢|返|折|送|赠|专享|新品|现货|11)[^\]】)]{0,12}[\]】)]|11[.\-]11|双\s*(?:11|12|十一|十二)|618|(?<!\d)20[0-3]\d(?:年|款|新款)?(?!\d)|满\d+(?:元)?[减送]\d*|\d+(?:\.\d+)?折"
    r"|(?:全国)?包邮|正品|专柜|官方|旗舰店?|现货|新品|新款|上市|预售|热卖|爆款|特价|促销|包税|直邮"
)
"""What sellers add and drop around a sale; it names no product."""
_UNITS = {"毫升": "ml", "克": "g", "千克": "kg", "公斤": "kg", "升": "l"}
_NUMBER = re.compile(r"(\d+(?:\.\d+)?)\s*(毫升|千克|公斤|克|升|ml|mg|kg|oz|cm|mm|g|l)?")
_LATIN = re.compile(r"[a-z\u00df-\u00f6\u00f8-\u024f]+[+]*")
_COLOUR = re.compile(r"[^\W上掉显脱变多肤润着彩护染特角]色(?!斑|素|彩|沉)")
_ORDINAL = re.compile(r"[一二三四五六七八九十两]+(?=[季期讲课章册部件支瓶盒片套色号])|第[一二三四五六七八九十]+")
_KEPT = re.compile(r"[^0-9a-z\u00df-\u00f6\u00f8-\u024f\u3400-\u9fff]+")

_LENGTHS = (2,)
"""Two characters: who moves a word breaks as few n-grams as can be."""
_REPLACED = 4
"""Longest piece, in characters, that counts as replaced."""
_HASHES, _BANDS = 64, 16
_PRIME = np.uint64((1 << 61) - 1)
_MOST_IN_BUCKET = 200


@dataclass(frozen=True, kw_only=True)
class DuplicateRules:
    """When two titles name one product.

    Attributes:
        likeness: Least Jaccard index of the titles' character n-grams, for one creator.
        other_creator: The same where the creators differ (another shop).
        least_title: Characters that a title needs for another creator's to be the same product: short titles
            are shared by many.
        price_ratio: Greatest ratio of the prices, where both are known: a pack of three is another product.
    """

    likeness: float = 0.7
    other_creator: float = 0.9
    least_title: int = 12
    price_ratio: float = 2.0


@dataclass(frozen=True)
class Listings:
    """Items to compare, by domain and item id.

    Attributes:
        domain: Domain of each item.
        item_id: Id of each item.
        title: Title as delivered.
        creator: Brand, shop or lecturer; None if not known.
        price: Price, NaN if not known.
        on_sale: Whether the item is on sale.
    """

    domain: Sequence[str]
    item_id: Sequence[str]
    title: Sequence[str | None]
    creator: Sequence[str | None]
    price: npt.NDArray[np.float64]
    on_sale: npt.NDArray[np.bool_]


def plain_title(title: str | None) -> str:
    """The title without what sales add to it, numbers and their units (which are marks), white space, punctuation."""
    return _KEPT.sub("", _NUMBER.sub("", _PROMOTION.sub(" ", normalise(title))))


def marks(title: str | None, variant_words: Collection[str]) -> tuple[str, ...]:
    """What tells variants apart in a title: numbers with their units, Latin words, colours, variant words."""
    plain = _PROMOTION.sub(" ", normalise(title))
    found = {word for word in variant_words if word in plain}
    found.update(_COLOUR.findall(plain))
    found.update(_ORDINAL.findall(plain))
    for number, unit in _NUMBER.findall(plain):
        found.add(f"{float(number):g}{_UNITS.get(unit, unit)}")
    found.update(_LATIN.findall(_NUMBER.sub(" ", plain)))
    return tuple(sorted(found))


def is_variant(first: str, second: str) -> bool:
    """Whether a few characters of one plain title stand in the place of a few others: 清润型 for 丰润型, 有油 for 无油.

    Who writes a title anew adds, drops and moves words; what is replaced in its place names another variant.
    """
    steps = SequenceMatcher(None, first, second, autojunk=False).get_opcodes()
    return any(kind == "replace" and max(a_end - a, b_end - b) <= _REPLACED for kind, a, a_end, b, b_end in steps)


def find_duplicates(items: Listings, *, variant_words: Collection[str], rules: DuplicateRules, seed: int) -> pa.Table:
    """Groups of items that are one product.

    A group is a star: its first item (by domain, then id) and those that are the same product as that one, so that
    groups do not drift along chains. The canonical item is the first of the group that is on sale, else the first.
    Items without a title are in no group.

    Args:
        items: Items by domain and item id.
        variant_words: Words that tell variants apart, besides numbers, Latin words and colours.
        rules: Thresholds.
        seed: Of the hash functions by which candidates are found; a pair as alike as ``rules.likeness`` is missed
            with probability (1 - likeness^4)^16, 0.012 at 0.7.

    Returns:
        ``DUPLICATES_SCHEMA`` by domain and item id; items that are the only one of their kind are left out.
    """
    titles = [plain_title(title) for title in items.title]
    signs = np.unique(["\x1f".join(marks(title, variant_words)) for title in items.title], return_inverse=True)[1]
    first, second = _candidates(titles, signs.ravel().astype(np.uint64), seed)
    kept = _same_product(items, titles, first, second, rules)
    kept = kept[[not is_variant(titles[a], titles[b]) for a, b in zip(first[kept], second[kept], strict=True)]]
    star = _stars(first[kept], second[kept], len(titles))
    return _table(items, star)


def _candidates(titles: Sequence[str], signs: npt.NDArray[np.uint64], seed: int) -> tuple[Ints, Ints]:
    """Pairs with equal marks that share a band of their MinHash signature; first < second, in order."""
    grams = gram_matrix(titles, _LENGTHS).counts
    lengths = np.diff(grams.indptr)
    with_title = np.flatnonzero(lengths > 0)
    if len(with_title) < 2:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    rng = np.random.default_rng(seed)
    starts = grams.indptr[with_title]
    pairs = []
    per_band = _HASHES // _BANDS
    for _ in range(_BANDS):
        key = signs[with_title].copy()
        for _ in range(per_band):
            a, b = rng.integers(1, 1 << 31, size=2, dtype=np.uint64)
            values = (_mixed(np.arange(grams.shape[1], dtype=np.uint64) * a + b))[grams.indices]
            key = _mixed(key * np.uint64(0x9E3779B97F4A7C15) + np.minimum.reduceat(values, starts))
        pairs.append(_in_buckets(with_title, key))
    both = np.unique(np.concatenate(pairs), axis=0)
    return both[:, 0], both[:, 1]


def _mixed(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """splitmix64's finaliser: spreads 64 bits evenly."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _in_buckets(items: Ints, key: npt.NDArray[np.uint64]) -> Ints:
    """Pairs of items with the same key; in a very large bucket each with those next to it only."""
    order = np.lexsort((items, key))
    items, key = items[order], key[order]
    pairs = [np.zeros((0, 2), dtype=np.int64)]
    for step in range(1, _MOST_IN_BUCKET):
        same = np.flatnonzero(key[step:] == key[:-step])
        if not len(same):
            break
        pairs.append(np.stack([items[same], items[same + step]], axis=1))
    return np.concatenate(pairs)


def _same_product(items: Listings, titles: Sequence[str], first: Ints, second: Ints, rules: DuplicateRules) -> Ints:
    """Which candidates are one product: alike enough, and no price or creator speaks against it."""
    grams = gram_matrix(titles, _LENGTHS).counts
    has = sparse.csr_matrix((np.ones(grams.nnz), grams.indices, grams.indptr), shape=grams.shape)
    sizes = np.diff(has.indptr)
    shared = np.asarray(has[first].multiply(has[second]).sum(axis=1)).ravel()
    likeness = shared / (sizes[first] + sizes[second] - shared)
    creator = np.array([normalise(name) for name in items.creator], dtype=object)
    known = (creator != "").astype(bool)
    differs = (creator[first] != creator[second]) & known[first] & known[second]
    short = np.array([len(title) for title in titles]) < rules.least_title
    price = np.where(items.price > 0, items.price, np.nan)
    low, high = np.minimum(price[first], price[second]), np.maximum(price[first], price[second])
    dear = np.nan_to_num(high / low, nan=1.0) > rules.price_ratio
    enough = likeness >= np.where(differs, rules.other_creator, rules.likeness)
    return np.flatnonzero(enough & ~dear & ~(differs & (short[first] | short[second])))


def _stars(first: Ints, second: Ints, count: int) -> Ints:
    """Centre of each item: the first item that is not in a star yet takes all its free partners."""
    partners: dict[int, list[int]] = {}
    for a, b in zip(first.tolist(), second.tolist(), strict=True):
        partners.setdefault(a, []).append(b)
    star = np.arange(count)
    taken: set[int] = set()
    for centre in sorted(partners):
        if centre in taken:
            continue
        for partner in partners[centre]:
            if partner not in taken:
                star[partner] = centre
                taken.add(partner)
        taken.add(centre)
    return star


def _table(items: Listings, star: Ints) -> pa.Table:
    rows = list(_rows(items, star))
    return pa.Table.from_pylist(rows, schema=DUPLICATES_SCHEMA)


def _rows(items: Listings, star: Ints) -> Iterator[dict[str, str]]:
    members = np.bincount(star, minlength=len(star))
    chosen: dict[int, int] = {}
    for item in np.flatnonzero(members[star] > 1).tolist():
        centre = int(star[item])
        if centre not in chosen or (items.on_sale[item] and not items.on_sale[chosen[centre]]):
            chosen[centre] = item
    for item in np.flatnonzero(members[star] > 1).tolist():
        centre = int(star[item])
        name = f"{items.domain[centre]}\x1f{items.item_id[centre]}".encode()
        yield {
            "domain": items.domain[item],
            "item_id": items.item_id[item],
            "group_id": "g" + hashlib.sha256(name).hexdigest()[:15],
            "canonical_domain": items.domain[chosen[centre]],
            "canonical_item_id": items.item_id[chosen[centre]],
        }
