"""What similarities depend on beside the items: term weights, weights of the blend, and what is taken together."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Self

import numpy as np
import pyarrow as pa
from scipy import sparse

from crossdomain.content.blending import Learned, learn_blend
from crossdomain.content.features import Features, Floats, TermWeights
from crossdomain.content.item_rows import rows_of_items
from crossdomain.content.neighbours import COMPONENTS, score_pairs

WEIGHTS_SCHEMA = pa.schema(
    [
        ("domain", pa.string()),
        ("other_domain", pa.string()),
        ("part", pa.string()),
        ("weight", pa.float64()),
        ("stated_weight", pa.float64()),
        ("why", pa.string()),
        ("learned_from", pa.int64()),
        ("checked_on", pa.int64()),
        ("stated_right", pa.float64()),
        ("learned_right", pa.float64()),
        ("learned_ds", pa.date32()),
        ("model_version", pa.string()),
    ]
)
_PAIR = ("domain", "item_id", "other_domain", "other_item_id", "behaviour")
_BEHAVIOUR = len(COMPONENTS) - 1

Direction = tuple[str, str]


@dataclass(frozen=True)
class SimilarityModel:
    """Everything that was learned for the similarity on one day.

    Attributes:
        terms: Term weights.
        blends: Weights of the blend by (domain, other domain), the same both ways.
        pairs: Pairs that are taken together: domain, item_id, other_domain, other_item_id, behaviour.
    """

    terms: TermWeights
    blends: Mapping[Direction, tuple[float, ...]]
    pairs: pa.Table

    def to_files(self) -> dict[str, bytes]:
        """The model as files."""
        blends = {"|".join(direction): weights for direction, weights in sorted(self.blends.items())}
        return {
            **self.terms.to_files(),
            "blends.json": json.dumps(blends, ensure_ascii=False, indent=1).encode(),
            "together.arrow": _arrow(self.pairs),
        }

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Self:
        """The model back from its files."""
        blends = {tuple(name.split("|")): tuple(found) for name, found in json.loads(files["blends.json"]).items()}
        with pa.ipc.open_file(pa.BufferReader(files["together.arrow"])) as reader:
            return cls(TermWeights.from_files(files), blends, reader.read_all())

    def behaviour(self, data: Features) -> sparse.csr_matrix | None:
        """Co-behaviour of the items as (items, items); None where there is none."""
        return behaviour_matrix(data, self.pairs)


def behaviour_matrix(data: Features, pairs: pa.Table) -> sparse.csr_matrix | None:
    """Co-behaviour as (items, items) of the pairs whose items are there; None without any.

    Args:
        data: The items.
        pairs: Columns domain, item_id, other_domain, other_item_id, behaviour.
    """
    first = rows_of_items(data.domains, data.item_ids, pairs, ("domain", "item_id"))
    second = rows_of_items(data.domains, data.item_ids, pairs, ("other_domain", "other_item_id"))
    there = (first >= 0) & (second >= 0)
    if not there.any():
        return None
    values = pairs["behaviour"].to_numpy()[there]
    matrix = sparse.csr_matrix((values, (first[there], second[there])), shape=(len(data), len(data)))
    matrix.sort_indices()
    return matrix


def kept_pairs(together: pa.Table) -> pa.Table:
    """The columns of ``derived.taken_together`` that scores need."""
    return together.select(_PAIR).combine_chunks()


def learn_blends(
    data: Features,
    choices: pa.Table,
    *,
    domains: Sequence[str],
    stated: Sequence[float],
    least: int,
    folds: tuple[str, str],
    threads: int,
) -> dict[Direction, Learned]:
    """Weights of the blend by direction, both ways the same, from people's choices.

    Args:
        data: Features of the items.
        choices: ``derived.later_choices``; choices of items that are not there do not count.
        domains: Domains in their order.
        stated: Stated weights.
        least: Choices needed; see ``learn_blend``.
        folds: Names of the fold to learn from and of the one to check on.
        threads: Threads; without influence on the result.
    """
    found: dict[Direction, Learned] = {}
    for place, domain in enumerate(domains):
        for other in domains[place:]:
            sides = {(domain, other), (other, domain)}
            mine = choices.filter(_directions(choices, sides))
            learn, check = (choice_differences(data, mine.filter(_is(mine, "fold", fold)), threads) for fold in folds)
            learned = learn_blend(learn, check, stated, least=least)
            found |= dict.fromkeys(sides, learned)
    return found


def _is(table: pa.Table, column: str, value: str) -> pa.Array:
    return pa.array(np.asarray(table[column].to_numpy(zero_copy_only=False) == value, dtype=np.bool_))


def _directions(table: pa.Table, sides: set[Direction]) -> pa.Array:
    pairs = zip(table["domain"].to_pylist(), table["other_domain"].to_pylist(), strict=True)
    return pa.array([pair in sides for pair in pairs], pa.bool_())


def choice_differences(data: Features, choices: pa.Table, threads: int) -> Floats:
    """(choices, parts): of the item taken less those of the one passed over."""
    rows = [
        rows_of_items(data.domains, data.item_ids, choices, columns)
        for columns in (
            ("domain", "item_id"),
            ("other_domain", "taken_item_id"),
            ("other_domain", "passed_item_id"),
        )
    ]
    there = np.flatnonzero(np.min(rows, axis=0, initial=0) >= 0)
    first, taken, passed = (row[there] for row in rows)
    sides = []
    equal = [1.0 / len(COMPONENTS)] * len(COMPONENTS)
    for other, name in ((taken, "taken_behaviour"), (passed, "passed_behaviour")):
        scores = score_pairs(data, first, other, weights=equal, threads=threads)
        parts = np.stack([scores.part(component) for component in COMPONENTS], axis=1)
        parts[:, _BEHAVIOUR] = choices[name].to_numpy()[there]
        sides.append(parts)
    return np.asarray(sides[0] - sides[1], dtype=np.float64)


def weights_table(learned: Mapping[Direction, Learned], *, stated: Sequence[float], ds: date, version: str) -> pa.Table:
    """``WEIGHTS_SCHEMA`` by direction and part."""
    rows = [
        {
            "domain": domain,
            "other_domain": other,
            "part": part,
            "weight": weight,
            "stated_weight": by_settings,
            "why": found.why,
            "learned_from": found.learned_from,
            "checked_on": found.checked_on,
            "stated_right": found.stated_right,
            "learned_right": found.learned_right,
            "learned_ds": ds,
            "model_version": version,
        }
        for (domain, other), found in sorted(learned.items())
        for part, weight, by_settings in zip(COMPONENTS, found.weights, stated, strict=True)
    ]
    return pa.Table.from_pylist(rows, schema=WEIGHTS_SCHEMA)


def blends_of(learned: Mapping[Direction, Learned]) -> dict[Direction, tuple[float, ...]]:
    """The weights in force by direction."""
    return {direction: found.weights for direction, found in learned.items()}


def _arrow(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()
