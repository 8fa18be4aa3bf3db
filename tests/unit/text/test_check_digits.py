from __future__ import annotations

import json
from pathlib import Path

import pytest

from crossdomain.text.check_digits import id_card_check_valid, id_card_plausible, luhn_valid
from crossdomain.text.masking import find

VECTORS = Path(__file__).parents[4] / "shared" / "vectors" / "14_privacy.json"


def test_luhn() -> None:
    assert luhn_valid("4111111111111111")
    assert luhn_valid("79927398713")
    assert not luhn_valid("79927398710")
    assert not luhn_valid("")


def test_every_digit_but_one_fails_luhn() -> None:
    assert [digit for digit in range(10) if luhn_valid(f"7992739871{digit}")] == [3]


def test_id_card_check_character() -> None:
    assert id_card_check_valid("11010519491231002X")
    assert id_card_check_valid("11010519491231002x")
    assert id_card_check_valid("440524188001010014")
    assert not id_card_check_valid("110105194912310021")
    assert not id_card_check_valid("440524188001010015")
    assert not id_card_check_valid("１１０１０５19491231002X")
    assert not id_card_check_valid("1101051949123100")


def test_every_swap_of_neighbours_breaks_an_id_card() -> None:
    number = "11010519491231002X"
    for place in range(16):
        if number[place] != number[place + 1]:
            swapped = number[:place] + number[place + 1] + number[place] + number[place + 2 :]
            assert not id_card_check_valid(swapped)


@pytest.mark.parametrize(
    ("number", "plausible"),
    [
        ("11010519491231002X", True),
        ("110105194902310021", False),  # no 31 February
        ("100105194912310021", False),  # no such province
        ("11010520501231002X", False),
        ("110105491231002", True),
        ("110105491331002", False),
        ("110105", False),
    ],
)
def test_plausible_id_cards(number: str, plausible: bool) -> None:
    assert id_card_plausible(number) is plausible


@pytest.mark.skipif(not VECTORS.exists(), reason=f"{VECTORS} is not here")
def test_published_vectors() -> None:
    cases = {case["name"]: case for case in json.loads(VECTORS.read_text("utf-8"))["cases"]}
    for name, check in (("cn_id_check_GB11643", id_card_check_valid), ("luhn", luhn_valid)):
        assert all(map(check, cases[name]["valid"]))
        assert not any(map(check, cases[name]["invalid"]))
    mobiles = cases["cn_mobile"]
    for text in mobiles["match"]:
        assert [span.kind for span in find(text)] == ["mobile"], text
    for text in mobiles["no_match"]:
        assert not find(text), text
