"""What to show beside an article or a product: similar items, ranked with popularity, under rules that people edit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from crossdomain.checked_file import read_checked_file
from crossdomain.content.neighbours import COMPONENTS, DIGITS

PAGE_SCHEMA = pa.schema(
    [
        ("item_id", pa.string()),
        ("domain", pa.string()),
        ("rank", pa.int32()),
        ("other_item_id", pa.string()),
        ("other_domain", pa.string()),
        ("score", pa.float64()),
        ("reason", pa.string()),
    ]
)
PINNED = "pinned"
REASONS = dict(zip(COMPONENTS, ("same_words", "same_name", "same_words", "same_topic", "taken_together"), strict=True))
"""Reason by the part of the similarity that gives most of it."""
_KEY = ["domain", "item_id"]
_OTHER = ["other_domain", "other_item_id"]


@dataclass(frozen=True)
class PageRules:
    """Rules of page recommendations; see ``include/pages/rules.schema.json`` for the file's keys.

    Attributes:
        slots: Most items beside one.
        order: ``other_first``, ``mixed`` or ``by_score``.
        other_slots: Most of them from the other domain.
        popularity: Weight of popularity against similarity.
        pins: (domain, item id, other domain, other item id) shown first, in this order.
        blocks: The same that are never shown; domain and item id are None for every page.
    """

    slots: int
    order: str
    other_slots: int
    popularity: float
    pins: tuple[tuple[str, str, str, str], ...] = ()
    blocks: tuple[tuple[str | None, str | None, str, str], ...] = ()


def read_rules(path: Path) -> PageRules:
    """Rules from their file, checked by ``rules.schema.json`` beside it.

    Raises:
        InputError: The file is missing, is no YAML, or breaks the schema; file, line and key are named.
    """
    content = read_checked_file(path, schema=path.with_name("rules.schema.json"), what="rule file").content
    lists = {
        name: tuple(tuple(pair.get(key) for key in (*_KEY, *_OTHER)) for pair in content[name])
        for name in ("pins", "blocks")
    }
    return PageRules(**{**content, **lists})


def page_recommendations(
    similar: pa.Table,
    *,
    weights: Mapping[tuple[str, str], Sequence[float]],
    thetas: dict[tuple[str, str], float | None],
    popularity: pa.Table,
    on_sale: set[tuple[str, str]],
    rules: PageRules,
) -> pa.Table:
    """What to show beside each item.

    A similar item counts from θ of its direction on. Its score is (1 − p) × similarity + p × the share of its domain's
    items that are less popular, with p the rules' weight of popularity. Pins come first with the score 1.

    Args:
        similar: ``similarity.SIMILAR_SCHEMA``; its others are on sale and one of each product.
        weights: Weights of the blend that ``similar`` was made with, by (domain, other domain), for the reasons.
        thetas: θ by (domain, other domain); None: no pair counts.
        popularity: Columns domain, item_id, people; items that are not there have none.
        on_sale: (domain, item id) that may be pinned.
        rules: The rules.

    Returns:
        ``PAGE_SCHEMA`` by domain, item id, rank (from 1 without gaps); equal scores by the other's domain and id.
    """
    found = _scored(similar, weights, thetas, popularity, rules)
    found = pd.concat([_pinned(rules, on_sale), found], ignore_index=True)
    found = found.drop_duplicates([*_KEY, *_OTHER])  # a pinned item that is similar too is there once
    found = found[~_blocked(found, rules)]
    found["elsewhere"] = (found["domain"] != found["other_domain"]).to_numpy()
    order = [*_KEY, "pin", "score", *_OTHER]
    found = found.sort_values(order, ascending=[True, True, True, False, True, True], kind="stable")
    found["within"] = found.groupby([*_KEY, "elsewhere"]).cumcount()
    found = found[~found["elsewhere"] | (found["within"] < rules.other_slots)]
    found["turn"] = {
        "by_score": 0,
        "other_first": np.where(found["elsewhere"], 0, 1),
        "mixed": found["within"] * 2 + np.where(found["elsewhere"], 0, 1),
    }[rules.order]
    found["turn"] = np.where(found["reason"] == PINNED, -1, found["turn"])
    order = [*_KEY, "turn", "pin", "score", *_OTHER]
    found = found.sort_values(order, ascending=[True, True, True, True, False, True, True], kind="stable")
    found["rank"] = found.groupby(_KEY).cumcount() + 1
    found = found[found["rank"] <= rules.slots]
    return pa.Table.from_pandas(found[PAGE_SCHEMA.names], schema=PAGE_SCHEMA, preserve_index=False)


def _scored(
    similar: pa.Table,
    weights: Mapping[tuple[str, str], Sequence[float]],
    thetas: dict[tuple[str, str], float | None],
    popularity: pa.Table,
    rules: PageRules,
) -> pd.DataFrame:
    found = similar.select([*_KEY, *_OTHER, "similarity", *COMPONENTS]).to_pandas()
    for column in (*_KEY, *_OTHER):
        found[column] = found[column].astype(object)
    theta = pd.Series({key: np.inf if value is None else value for key, value in thetas.items()}, dtype=float)
    if len(found):
        found = found[
            found["similarity"] >= theta.loc[list(zip(found["domain"], found["other_domain"], strict=True))].to_numpy()
        ]
    known = popularity.to_pandas().rename(columns={"domain": "other_domain", "item_id": "other_item_id"})
    known["share"] = known.groupby("other_domain")["people"].rank(method="min", pct=True)
    share = found[_OTHER].merge(known, on=_OTHER, how="left")["share"].fillna(0.0).to_numpy()
    by_pair = np.array([weights[key] for key in zip(found["domain"], found["other_domain"], strict=True)])
    part = np.argmax(found[list(COMPONENTS)].to_numpy() * by_pair, axis=1) if len(found) else []
    score = (1 - rules.popularity) * found["similarity"].to_numpy() + rules.popularity * share
    return found[[*_KEY, *_OTHER]].assign(
        score=np.round(score, DIGITS), reason=[REASONS[COMPONENTS[number]] for number in part], pin=len(rules.pins)
    )


def _pinned(rules: PageRules, on_sale: set[tuple[str, str]]) -> pd.DataFrame:
    rows = [
        (*pair, 1.0, PINNED, place)
        for place, pair in enumerate(rules.pins)
        if pair[2:] in on_sale and pair[:2] != pair[2:]
    ]
    return pd.DataFrame(rows, columns=[*_KEY, *_OTHER, "score", "reason", "pin"])


def _blocked(found: pd.DataFrame, rules: PageRules) -> Any:
    everywhere = {pair[2:] for pair in rules.blocks if pair[0] is None}
    somewhere = {pair for pair in rules.blocks if pair[0] is not None}
    others = zip(found["other_domain"], found["other_item_id"], strict=True)
    pairs = zip(*(found[column] for column in (*_KEY, *_OTHER)), strict=True)
    return np.array(
        [other in everywhere or pair in somewhere for other, pair in zip(others, pairs, strict=True)], dtype=bool
    )
