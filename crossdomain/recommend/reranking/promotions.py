"""Promotions: pins, boosts and blocks that people write in ``include/recommendations/rules.yaml``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import scipy.sparse as sp

from crossdomain.checked_file import CheckedFile, read_checked_file
from crossdomain.recommend.interactions import Bools, Floats, Ints
from crossdomain.recommend.reranking.lists import are_in, drop_over

KINDS = ("pins", "boosts", "blocks")
_BY = ("item_id", "creator", "type")


@dataclass(frozen=True)
class Rule:
    """One rule; see ``include/recommendations/rules.schema.json``.

    Attributes:
        name: What reports call it.
        domain: Whose items it is about.
        item_id: The item; None for any.
        creator: Lecturer or brand; None for any.
        type: Kind of item; None for any.
        first: First business day; None for open.
        last: Last business day, included; None for open.
        factor: What the scores are multiplied by.
        most_share: Largest share of a list; None for that of all promotions together.
    """

    name: str
    domain: str
    item_id: str | None = None
    creator: str | None = None
    type: str | None = None
    first: date | None = None
    last: date | None = None
    factor: float = 1.0
    most_share: float | None = None

    def in_force(self, day: date) -> bool:
        """Whether it holds on a business day."""
        return (self.first is None or self.first <= day) and (self.last is None or day <= self.last)


@dataclass(frozen=True)
class PromotionRules:
    """Rules in the order of their file.

    Attributes:
        most_share: Largest share of a list for pins and boosted items together.
        pins: Items that come first.
        boosts: Items whose scores are multiplied.
        blocks: Items that nobody is recommended.
    """

    most_share: float
    pins: tuple[Rule, ...] = ()
    boosts: tuple[Rule, ...] = ()
    blocks: tuple[Rule, ...] = ()

    def on(self, day: date) -> PromotionRules:
        """Those that hold on a business day."""
        held = {kind: tuple(rule for rule in getattr(self, kind) if rule.in_force(day)) for kind in KINDS}
        return PromotionRules(self.most_share, **held)

    def __bool__(self) -> bool:
        return bool(self.pins or self.boosts or self.blocks)

    def as_config(self) -> dict[str, Any]:
        """What rows depend on, as plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Promotions:
    """Rules of a day on the items of a run.

    Attributes:
        names: Names of the pins and boosts in force, those in the order of the file.
        room: Rows of a list that they may take together.
        factor: Factor of each item's score.
        boosted: Per item the first rule that raises it, index into ``names``; -1 for none.
        rule_room: Per rule, rows of a list that it may take.
        pins: Items that come first, in order, one of each.
        pinned: Per item the rule that pins it; -1 for none.
        blocked: Per item, whether nobody is recommended it.
    """

    names: tuple[str, ...]
    room: int
    factor: Floats
    boosted: Ints
    rule_room: Ints
    pins: Ints
    pinned: Ints
    blocked: Bools


def read_rules(path: Path, domains: Sequence[str]) -> PromotionRules:
    """Rules from their file, checked by ``rules.schema.json`` beside it.

    Raises:
        InputError: The file is missing, is no YAML, breaks the schema, names a domain that there is not, gives a name
            or a pin twice, a day that does not exist, or an end before its beginning; file, line and key are named.
    """
    file = read_checked_file(path, schema=path.with_name("rules.schema.json"), what="rule file")
    found = {
        kind: tuple(_rule(file, (kind, place), entry) for place, entry in enumerate(file.content[kind]))
        for kind in KINDS
    }
    seen: dict[tuple[str, ...], str] = {}
    for kind, rules in found.items():
        for place, rule in enumerate(rules):
            if rule.domain not in domains:
                raise file.error((kind, place, "domain"), f"{rule.domain!r} is none of {', '.join(domains)}")
            _only_once(file, seen, (kind, place, "name"), (rule.name,), f"{rule.name!r} is the name")
            if kind == "pins":
                pinned = (rule.domain, str(rule.item_id))
                _only_once(file, seen, (kind, place, "item_id"), pinned, f"{rule.item_id!r} is the pin")
    return PromotionRules(float(file.content["most_share"]), **found)


def promotions_of(rules: PromotionRules, catalogue: pa.Table, items: int, k: int) -> Promotions:
    """Rules of a day on the items of a run.

    Args:
        rules: Those in force.
        catalogue: Columns domain, item_id, creator, type and code: the position of the item, or of the one that stands
            for its product; -1 for items that are not in the run. A rule that names any id of a product means it.
        items: How many items the run has.
        k: Length of the lists.

    Returns:
        Rules that fit no item do nothing; of more pins of a domain than there is room for the first ones count.
    """
    columns = {name: np.array(catalogue[name].to_pylist(), dtype=object) for name in ("domain", *_BY)}
    code = catalogue["code"].to_numpy()
    raising = [rule for rule in rules.boosts if rule.factor > 1]
    promoting = (*rules.pins, *raising)
    room = int(rules.most_share * k + 1e-9)
    factor, boosted = np.ones(items), np.full(items, -1, dtype=np.int64)
    pinned, blocked = boosted.copy(), np.zeros(items, dtype=bool)
    for rule in rules.boosts:
        fitting = _fitting(rule, columns, code)
        factor[fitting] *= rule.factor
        if rule.factor > 1:
            free = fitting[boosted[fitting] < 0]
            boosted[free] = promoting.index(rule)
    pins, taken = [], dict.fromkeys((rule.domain for rule in rules.pins), 0)
    for rule in rules.pins:
        for item in _fitting(rule, columns, code):
            if pinned[item] < 0 and taken[rule.domain] < room:
                pinned[item] = promoting.index(rule)
                taken[rule.domain] += 1
                pins.append(int(item))
    for rule in rules.blocks:
        blocked[_fitting(rule, columns, code)] = True
    shares = [rules.most_share if rule.most_share is None else rule.most_share for rule in promoting]
    return Promotions(
        names=tuple(rule.name for rule in promoting),
        room=room,
        factor=factor,
        boosted=boosted,
        rule_room=np.array([int(share * k + 1e-9) for share in shares], dtype=np.int64),
        pins=np.array(pins, dtype=np.int64),
        pinned=pinned,
        blocked=blocked,
    )


def fit_counts(rules: PromotionRules, catalogue: pa.Table) -> dict[str, int]:
    """How many items of the run each rule fits, by name: what people look at when a rule does nothing."""
    columns = {name: np.array(catalogue[name].to_pylist(), dtype=object) for name in ("domain", *_BY)}
    code = catalogue["code"].to_numpy()
    return {rule.name: len(_fitting(rule, columns, code)) for kind in KINDS for rule in getattr(rules, kind)}


def keep_to_rules(item: Ints, score: Floats, promotions: Promotions) -> tuple[Ints, Floats]:
    """Lists of raised items without what is over a rule's own share.

    Args:
        item: People × n item positions, best first; -1 for none, at the end.
        score: Their scores.
        promotions: The rules.
    """
    by = np.where(item >= 0, promotions.boosted[np.maximum(item, 0)], -1)
    for rule in np.unique(by[by >= 0]):
        room = np.full(len(item), promotions.rule_room[rule])
        item, score = drop_over(item, score, by == rule, room)
        by = np.where(item >= 0, promotions.boosted[np.maximum(item, 0)], -1)
    return item, score


def placed_pins(promotions: Promotions, pins: Ints, excluded: sp.csr_matrix) -> Ints:
    """The pins of each person.

    Args:
        promotions: The rules.
        pins: Pinned items that may be listed, in order.
        excluded: People × items; a stored cell is an item that the person must not be shown.

    Returns:
        People × pins; -1 where the person must not be shown it.
    """
    placed = np.broadcast_to(pins, (excluded.shape[0], len(pins)))
    return np.where(are_in(placed, excluded), -1, placed)


def keep_room(item: Ints, score: Floats, promotions: Promotions, pins: Ints) -> tuple[Ints, Floats]:
    """Lists with no more raised items than the pins leave room for.

    Args:
        item: People × pool item positions, best first; -1 for none, at the end.
        score: Their scores.
        promotions: The rules.
        pins: People × n pins, as ``placed_pins`` gives them.
    """
    room = promotions.room - (pins >= 0).sum(axis=1)
    raised = (item >= 0) & (promotions.boosted[np.maximum(item, 0)] >= 0)
    pinned = (item[:, :, None] == pins[:, None, :]).any(axis=2)
    return drop_over(item, score, raised & ~pinned, room)


def rules_of(item: Ints, promotions: Promotions) -> Ints:
    """The rule that each item of a list owes its place to, a pin before a boost; -1 for none."""
    here = np.maximum(item, 0)
    rule = np.where(promotions.pinned[here] >= 0, promotions.pinned[here], promotions.boosted[here])
    return np.where(item >= 0, rule, -1)


def _rule(file: CheckedFile, key: tuple[str | int, ...], entry: Mapping[str, Any]) -> Rule:
    first, last = (_day(file, (*key, end), entry.get(end)) for end in ("from", "to"))
    if first is not None and last is not None and last < first:
        raise file.error((*key, "to"), f"{last} lies before from, {first}")
    given = {name: entry[name] for name in ("name", "domain", *_BY, "factor", "most_share") if name in entry}
    return Rule(**given, first=first, last=last)


def _day(file: CheckedFile, key: tuple[str | int, ...], text: str | None) -> date | None:
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError as error:
        raise file.error(key, f"{text!r} is no day: {error}") from error


def _only_once(
    file: CheckedFile, seen: dict[tuple[str, ...], str], key: tuple[str | int, ...], what: tuple[str, ...], said: str
) -> None:
    place = ".".join(str(part) for part in key[:2])
    if what in seen:
        raise file.error(key, f"{said} of {seen[what]} already")
    seen[what] = place


def _fitting(rule: Rule, columns: Mapping[str, Any], code: Ints) -> Ints:
    """Positions of the items that a rule is about, ascending, each once."""
    fits = columns["domain"] == rule.domain
    for name in _BY:
        wanted = getattr(rule, name)
        if wanted is not None:
            fits = fits & (columns[name] == wanted)
    return np.unique(code[fits.astype(bool) & (code >= 0)])
