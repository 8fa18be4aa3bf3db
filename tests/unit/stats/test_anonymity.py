from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import entropy

from crossdomain.stats.anonymity import Anonymity, measure

# Machanavajjhala et al. 2006, figures 2 (4-anonymous, open to the homogeneity attack) and 3 (3-diverse)
FIGURE_2 = {
    ("130**", "<30"): ["Heart", "Heart", "Viral", "Viral"],
    ("1485*", ">=40"): ["Cancer", "Heart", "Viral", "Viral"],
    ("130**", "3*"): ["Cancer", "Cancer", "Cancer", "Cancer"],
}
FIGURE_3 = {
    ("1305*", "<=40"): ["Heart", "Viral", "Cancer", "Cancer"],
    ("1485*", ">40"): ["Cancer", "Heart", "Viral", "Viral"],
    ("1306*", "<=40"): ["Heart", "Viral", "Cancer", "Cancer"],
}


def measured(table: dict[tuple[str, str], list[str]]) -> Anonymity:
    rows = [(group, value) for group, values in table.items() for value in values]
    return measure([group for group, _ in rows], [value for _, value in rows])


def test_the_published_tables() -> None:
    second, third = measured(FIGURE_2), measured(FIGURE_3)
    assert (second.rows, second.groups, second.k, second.l_distinct) == (12, 3, 4, 1)
    assert second.l_entropy == 1
    assert second.t == pytest.approx(7 / 12), "all Cancer, where 5 of 12 have it"
    assert (third.k, third.l_distinct) == (4, 3)
    assert third.l_entropy == pytest.approx(2**1.5), "shares 1/4, 1/4, 1/2 have 1.5 bits"
    assert third.t == pytest.approx(1 / 6)


def test_everybody_alone_is_no_anonymity() -> None:
    assert measure(range(5), "abcde") == Anonymity(5, 5, 1, 1, 1.0, pytest.approx(0.8))


def test_one_group_tells_nothing_that_the_table_does_not() -> None:
    found = measure([()] * 4, ["a", "b", None, None])
    assert (found.k, found.l_distinct, found.t) == (4, 3, 0)


def test_a_table_without_rows_has_no_measures() -> None:
    assert measure([], []) == Anonymity(0, 0, 0, 0, 0.0, 0.0)


def test_columns_must_be_of_one_length() -> None:
    with pytest.raises(ValueError, match="shorter"):
        measure([1, 2], [1])


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), min_size=1, max_size=60))
def test_the_measures_are_those_of_a_plain_count(rows: list[tuple[int, int]]) -> None:
    found = measure([group for group, _ in rows], [value for _, value in rows])
    values = sorted({value for _, value in rows})
    everyone = [sum(value == one for _, value in rows) / len(rows) for one in values]
    groups = {group: [value for other, value in rows if other == group] for group, _ in rows}
    shares = [[members.count(value) / len(members) for value in values] for members in groups.values()]
    assert found.k == min(len(members) for members in groups.values())
    assert found.l_distinct == min(len(set(members)) for members in groups.values())
    assert math.isclose(found.l_entropy, math.exp(min(entropy(one) for one in shares)), rel_tol=1e-9)
    distances = [sum(abs(a - b) for a, b in zip(one, everyone, strict=True)) / 2 for one in shares]
    assert math.isclose(found.t, max(distances), abs_tol=1e-12)
