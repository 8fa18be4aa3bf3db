"""Contacts planted in the free text of a synthetic world, and what masking makes of them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from crossdomain.demo.contacts import DECOY, KINDS, ContactBook
from crossdomain.demo.truth import WorldTruth
from crossdomain.text.masking import find, mask

LINES = 4000


def _texts(folder: Path) -> dict[tuple[str, str, str], str]:
    """Free texts of the world as delivered, by (feed, domain, row id)."""
    found = {}
    for path in (folder / "landing/reviews").glob("*/reviews.csv"):
        for row in pd.read_csv(path, dtype=str).itertuples():
            found["reviews", row.domain, row.review_id] = row.text
    for path in (folder / "landing/support_entries").glob("*/support_entries.csv"):
        for row in pd.read_csv(path, dtype=str).itertuples():
            found["support_question", row.domain, row.entry_id] = row.question
            found["support_answer", row.domain, row.entry_id] = row.answer
    return found


@pytest.fixture(scope="module")
def planted() -> tuple[list[str], list[str], ContactBook]:
    """Many texts before and after planting, with the notes."""
    book = ContactBook()
    before = ["太喜欢了，口红的效果和描述差不多。", "挺好的，老师讲表达很清楚"] * (LINES // 2)
    ids = [f"r{place}" for place in range(LINES)]
    after = book.plant(before, domain="beauty", ids=ids, feed="reviews", rng=np.random.default_rng(11))
    return before, after, book


def test_the_truth_says_where_each_contact_stands(folder: Path, truth: WorldTruth) -> None:
    texts = _texts(folder)
    assert len(truth.contacts) > 20
    assert {"reviews", "support_question", "support_answer"} == set(truth.contacts.feed)
    for row in truth.contacts.itertuples():
        text = texts[row.feed, row.domain, row.row_id]
        assert text[row.start : row.start + len(row.value)] == row.value


def test_masking_leaves_no_planted_contact_and_touches_nothing_else(folder: Path, truth: WorldTruth) -> None:
    texts, contacts = _texts(folder), truth.contacts[truth.contacts.kind != DECOY]
    for row in contacts.itertuples():
        assert row.value not in mask(texts[row.feed, row.domain, row.row_id])
    held = {(row.feed, row.domain, row.row_id) for row in contacts.itertuples()}
    # the review with a broken date is a copy of one of the others under an id of its own
    others = {key: text for key, text in texts.items() if key not in held and not key[2].endswith("x")}
    assert [text for text in others.values() if mask(text) != text] == []


def test_recall_and_precision_on_planted_text(planted: tuple[list[str], list[str], ContactBook]) -> None:
    _, after, book = planted
    truth = {(int(row_id[1:]), start, start + len(value), kind) for _, _, row_id, kind, value, start in book.rows}
    truth = {row for row in truth if row[3] != DECOY}
    found = {(place, *span) for place, text in enumerate(after) for span in find(text)}
    assert set(Counter(row[3] for row in truth)) == set(KINDS)
    assert len(truth) >= 100
    assert len(truth & found) >= 0.98 * len(truth), sorted(truth - found)[:5]
    assert len(truth & found) >= 0.95 * len(found), sorted(found - truth)[:5]
    print(f"synthetic: recall {len(truth & found)}/{len(truth)}, precision {len(truth & found)}/{len(found)}")


def test_planting_keeps_the_text_and_draws_by_its_own_stream(planted: tuple[list[str], list[str], ContactBook]) -> None:
    before, after, book = planted
    assert all(new.startswith(old) for old, new in zip(before, after, strict=True))
    changed = sum(new != old for old, new in zip(before, after, strict=True))
    assert changed == len(book.rows)
    assert 0.05 * LINES < changed < 0.11 * LINES
    assert sum(row[3] == DECOY for row in book.rows) > 0.3 * changed
