from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pytest

from crossdomain.content.documents import TermMatrix, term_matrix

Planted = Callable[..., tuple[pa.Table, dict[tuple[str, str], int]]]


@pytest.fixture
def terms_of() -> Callable[[dict[tuple[str, str], Sequence[str]]], TermMatrix]:
    """Term matrix of (domain, item id) → words."""

    def build(items: dict[tuple[str, str], Sequence[str]]) -> TermMatrix:
        rows = [{"domain": d, "item_id": i, "tokens": list(words)} for (d, i), words in items.items()]
        schema = pa.schema([("domain", pa.string()), ("item_id", pa.string()), ("tokens", pa.list_(pa.string()))])
        return term_matrix(pa.Table.from_pylist(rows, schema=schema))

    return build


@pytest.fixture
def planted() -> Planted:
    """Items of two domains with one topic each; words are drawn from the topic with some noise."""

    def build(
        items: int = 600, *, topics: int = 10, words: int = 30, length: int = 25, noise: float = 0.2, seed: int = 1
    ) -> tuple[pa.Table, dict[tuple[str, str], int]]:
        rng = np.random.default_rng(seed)
        rows, truth = [], {}
        for number in range(items):
            topic = int(rng.integers(topics))
            # The first topics are sold on both sides, the last on one only.
            domain = ("knowledge", "beauty")[number % 2 if topic < topics - 4 else topic % 2]
            source = np.where(rng.random(length) < noise, rng.integers(topics, size=length), topic)
            place = (rng.random(length) ** 1.5 * words).astype(int)
            tokens = [f"词{t:02}{w:02}" for t, w in zip(source, place, strict=True)]
            rows.append({"domain": domain, "item_id": f"i{number:04}", "tokens": tokens})
            truth[domain, f"i{number:04}"] = topic
        return pa.Table.from_pylist(rows), truth

    return build
