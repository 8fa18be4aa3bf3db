from __future__ import annotations

from datetime import date

import numpy as np
import pyarrow as pa
import pytest
import scipy.sparse as sp

from crossdomain.errors import InputError
from crossdomain.recommend.reranking.promotions import (
    PromotionRules,
    Rule,
    fit_counts,
    keep_room,
    keep_to_rules,
    placed_pins,
    promotions_of,
    read_rules,
    rules_of,
)
from crossdomain.settings import Settings

DOMAINS = ("knowledge", "beauty")
FOLDER = Settings().include / "recommendations"
RULES = """most_share: 0.3
pins:
  - {name: spring, domain: beauty, item_id: b1, from: 2026-01-05, to: 2026-01-07}
boosts:
  - {name: brand, domain: beauty, creator: 某牌, factor: 2}
blocks: []
"""


@pytest.fixture
def read(tmp_path):
    (tmp_path / "rules.schema.json").write_bytes((FOLDER / "rules.schema.json").read_bytes())

    def of(text):
        path = tmp_path / "rules.yaml"
        path.write_text(text, encoding="utf-8")
        return read_rules(path, DOMAINS)

    return of


def test_the_shipped_rules_are_valid_and_empty():
    rules = read_rules(FOLDER / "rules.yaml", DOMAINS)
    assert not rules
    assert 0 < rules.most_share < 1


def test_rules_hold_on_their_days_both_included(read):
    rules = read(RULES)
    assert [bool(rules.on(date(2026, 1, day)).pins) for day in (4, 5, 7, 8)] == [False, True, True, False]
    assert len(rules.on(date(2030, 1, 1)).boosts) == 1


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("most_share: 0.3", "most_share: 1.3", "line 1: most_share: 1.3 is greater than"),
        ("domain: beauty, item_id", "domain: music, item_id", r"line 3: pins\.0\.domain: 'music' is none of"),
        ("item_id: b1", "item_id: 1", r"line 3: pins\.0\.item_id: 1 is a number, not a text: write it in quotes"),
        ("to: 2026-01-07", "to: 2026-01-04", r"line 3: pins\.0\.to: 2026-01-04 lies before from"),
        ("to: 2026-01-07", "to: 2026-02-30", r"line 3: pins\.0\.to: '2026-02-30' is no day"),
        ("factor: 2", "factor: 0", r"line 5: boosts\.0\.factor: 0 is less than"),
        ("factor: 2", "factr: 2", r"line 5: boosts\.0\.factr: unknown key"),
        ("factor: 2", "factor: .nan", r"line 5: boosts\.0\.factor: \.nan is no value: give a number"),
        ("most_share: 0.3", "most_share: .NaN", r"line 1: most_share: \.NaN is no value"),
        ("creator: 某牌, ", "", r"line 5: boosts\.0: give at least one of item_id, creator, type"),
        ("name: brand", "name: 品牌", r"line 5: boosts\.0\.name: '品牌' does not fit: .* a-z, 0-9"),
        ("to: 2026-01-07", "to: 2026-1-7", r"line 3: pins\.0\.to: '2026-1-7' does not fit: Business day"),
        ("name: brand", "name: spring", r"line 5: boosts\.0\.name: 'spring' is the name of pins\.0 already"),
        (
            "boosts:",
            "  - {name: two, domain: beauty, item_id: b1}\nboosts:",
            r"line 4: pins\.1\.item_id: 'b1' is the pin",
        ),
        ("blocks: []", "blocks: []\nblocks: []", "line 7: blocks: the key is given twice"),
        ("blocks: []", "", "blocks: is required"),
        ("pins:", "pins: [", "not YAML"),
    ],
)
def test_what_is_wrong_is_said_with_file_line_and_key(read, old, new, says):
    assert old in RULES
    with pytest.raises(InputError, match=says) as error:
        read(RULES.replace(old, new, 1))
    assert "rules.yaml" in str(error.value)


def test_a_missing_file_is_no_file_without_rules(tmp_path):
    with pytest.raises(InputError, match="there is no such rule file"):
        read_rules(tmp_path / "rules.yaml", DOMAINS)


CATALOGUE = pa.table(
    {
        "domain": ["beauty", "beauty", "beauty", "beauty", "knowledge"],
        "item_id": ["b0", "b1", "b2", "twin of b2", "b1"],
        "creator": ["某牌", "某牌", None, None, "某牌"],
        "type": ["面霜", "小样", "面霜", "面霜", "课"],
        "code": [0, 1, 2, 2, 3],
    }
)


def of(k=10, share=0.3, **rules):
    return promotions_of(PromotionRules(share, **rules), CATALOGUE, 4, k)


def test_rules_fit_by_item_creator_and_type_in_their_domain():
    boosts = (
        Rule("brand", "beauty", creator="某牌", factor=2.0),
        Rule("cream", "beauty", type="面霜", creator="某牌", factor=3.0),
        Rule("sink", "knowledge", type="课", factor=0.5),
    )
    found = of(boosts=boosts, blocks=(Rule("samples", "beauty", type="小样"),))
    assert found.factor.tolist() == [6, 2, 1, 0.5]
    assert found.names == ("brand", "cream"), "what sinks is not promoted"
    assert found.boosted.tolist() == [0, 0, -1, -1]
    assert found.blocked.tolist() == [False, True, False, False]
    assert fit_counts(PromotionRules(0.3, boosts=boosts), CATALOGUE) == {"brand": 2, "cream": 1, "sink": 1}


def test_a_rule_that_names_a_twin_means_the_product_and_pins_end_with_the_room():
    pins = (
        Rule("a", "beauty", item_id="twin of b2"), Rule("b", "beauty", item_id="b2"),
        Rule("c", "beauty", item_id="b0"), Rule("d", "knowledge", item_id="b1"), Rule("e", "beauty", item_id="gone"),
    )  # fmt: skip
    assert of(pins=pins, k=10, share=0.2).pins.tolist() == [2, 0, 3]
    found = of(pins=pins, k=10, share=0.1)
    assert found.pins.tolist() == [2, 3]
    assert found.pinned.tolist() == [-1, -1, 0, 3]
    assert of(pins=pins, k=10, share=0.0).pins.tolist() == []


def test_each_rule_keeps_to_its_share_and_all_to_theirs():
    boosts = (
        Rule("brand", "beauty", creator="某牌", factor=2.0, most_share=0.1),
        Rule("rest", "beauty", item_id="b2", factor=2.0),
    )
    found = of(boosts=boosts, k=10, share=0.2)
    item, score = np.array([[1, 0, 2]]), np.array([[3.0, 2, 1]])
    kept, _ = keep_to_rules(item, score, found)
    assert kept.tolist() == [[1, 2, -1]]
    pins = np.array([[3]])
    listed = np.array([[1, 2, 0]])
    assert keep_room(listed, score, found, pins)[0].tolist() == [[1, -1, -1]], "the pin took one of two places"
    assert keep_room(listed, score, found, np.array([[-1]]))[0].tolist() == [[1, 2, -1]]
    assert rules_of(np.array([[1, 2, 3, -1]]), found).tolist() == [[0, 1, -1, -1]]


def test_nobody_is_pinned_what_they_must_not_be_shown():
    found = of(pins=(Rule("a", "beauty", item_id="b0"), Rule("b", "beauty", item_id="b1")), share=0.5)
    excluded = sp.csr_matrix(np.array([[1, 0, 0, 0], [0, 0, 0, 0]]))
    assert placed_pins(found, found.pins, excluded).tolist() == [[-1, 1], [0, 1]]
