"""Tables of people that may leave: every cell holds at least k of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossdomain.errors import CrossdomainError, InputError
from crossdomain.people.generalise import ANY, HIERARCHIES, Released, Step, release

TYPES = {
    "gender": pa.string(),
    "birth_year": pa.int32(),
    "province": pa.string(),
    "city": pa.string(),
    "sides": pa.string(),
}
TYPES["consents"] = pa.string()
COLUMNS = ("gender", "birth_year", "city")
PLACES = [("浙江", "杭州"), ("浙江", "宁波"), ("广东", "广州"), (None, None)]


@pytest.fixture(scope="module")
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as con:
        yield con


def _released(con: duckdb.DuckDBPyConnection, people: list[dict[str, Any]], *columns: str, **options: Any) -> Released:
    rows = {name: pa.array([one.get(name) for one in people], kind) for name, kind in TYPES.items()}
    con.register("rows", pa.table(rows))
    con.execute("CREATE OR REPLACE TEMP TABLE people AS FROM rows")
    return release(con, "people", columns or COLUMNS, **options)


def _coarse(column: str, step: int, one: Mapping[str, Any]) -> str | None:
    """A value after a step, by plain Python: the oracle."""
    last = len(HIERARCHIES[column]) - 1
    if step == last:
        return ANY
    value = one[column]
    if column == "birth_year" and value is not None and step:
        years = (5, 10)[step - 1]
        return f"{value // years * years}-{value // years * years + years - 1}"
    if column == "city":
        return one["province"] if step else (None if value is None else f"{one['province']} {value}")
    return None if value is None else str(value)


def _best_by_brute_force(
    people: list[dict[str, Any]], k: int, share: float
) -> tuple[int, Counter[tuple[str | None, ...]]]:
    """Least discernibility and the cells kept, over all combinations of steps."""
    best: tuple[int, int, tuple[int, ...]] | None = None
    cells: Counter[tuple[str | None, ...]] = Counter()
    for at in product(*(range(len(HIERARCHIES[column])) for column in COLUMNS)):
        counts = Counter(tuple(_coarse(c, step, one) for c, step in zip(COLUMNS, at, strict=True)) for one in people)
        left_out = sum(count for count in counts.values() if count < k)
        cost = sum(count * count if count >= k else count * len(people) for count in counts.values())
        if left_out <= int(share * len(people)) and (best is None or (cost, sum(at), at) < best):
            best = cost, sum(at), at
            cells = Counter({cell: count for cell, count in counts.items() if count >= k})
    assert best is not None
    return best[0], cells


PEOPLE = st.lists(
    st.builds(
        lambda gender, born, place, said: {
            "gender": gender, "birth_year": born, "province": place[0], "city": place[1], "consents": said,
        },
        st.sampled_from(["female", "male", None]),
        st.one_of(st.none(), st.integers(1985, 2004)),
        st.sampled_from(PLACES),
        st.sampled_from(["yes", "no"]),
    ),
    min_size=6,
    max_size=60,
)  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(people=PEOPLE, k=st.integers(2, 6), share=st.sampled_from([0.0, 0.05, 0.3]))
def test_every_cell_has_k_people_and_the_best_combination_is_taken(
    people: list[dict[str, Any]], k: int, share: float, con: duckdb.DuckDBPyConnection
) -> None:
    result = _released(con, people, k=k, most_suppressed=share, sensitive="consents")
    cells = Counter(zip(*(result.rows[column].to_pylist() for column in COLUMNS), strict=True))
    _, expected = _best_by_brute_force(people, k, share)
    assert cells == expected
    assert min(cells.values()) >= k
    assert result.anonymity.k == min(cells.values())
    assert result.suppressed == len(people) - result.rows.num_rows <= share * len(people)
    said = {cell: set() for cell in cells}
    for *cell, consents in zip(*(column.to_pylist() for column in result.rows.columns), strict=True):
        said[tuple(cell)].add(consents)
    assert result.anonymity.l_distinct == min(len(values) for values in said.values())


def test_nothing_is_lost_where_cells_are_large(con: duckdb.DuckDBPyConnection) -> None:
    people = [{"gender": "female", "birth_year": 1990 + n % 2, "province": "浙江", "city": "杭州"} for n in range(40)]
    result = _released(con, people, k=20)
    assert result.steps == {"gender": "exact", "birth_year": "exact", "city": "exact"}
    assert result.suppressed == 0
    assert set(result.rows["city"].to_pylist()) == {"浙江 杭州"}


def test_years_become_bands_before_anybody_is_left_out(con: duckdb.DuckDBPyConnection) -> None:
    people = [{"birth_year": 1990 + n % 5} for n in range(25)] + [{"birth_year": 2000 + n % 5} for n in range(25)]
    result = _released(con, people, "birth_year", k=20, most_suppressed=0)
    assert Counter(result.rows["birth_year"].to_pylist()) == {"1990-1994": 25, "2000-2004": 25}
    assert result.steps == {"birth_year": "5 years"}


def test_a_small_cell_is_left_out_where_that_keeps_the_others_fine(con: duckdb.DuckDBPyConnection) -> None:
    people = [{"province": name} for name in ["浙江"] * 50 + ["广东"] * 50 + ["西藏"] * 2]
    result = _released(con, people, "province", k=20)
    assert result.steps == {"province": "exact"}
    assert (result.people, result.suppressed) == (102, 2)
    assert "西藏" not in result.rows["province"].to_pylist()
    strict = _released(con, people, "province", k=20, most_suppressed=0)
    assert strict.steps == {"province": "any"}
    assert set(strict.rows["province"].to_pylist()) == {ANY}


def test_rows_come_in_an_order_that_tells_nothing(con: duckdb.DuckDBPyConnection) -> None:
    people = [{"province": name, "consents": str(n % 3)} for n, name in enumerate(["浙江", "广东"] * 30)]
    forth = _released(con, people, "province", k=5, sensitive="consents")
    back = _released(con, people[::-1], "province", k=5, sensitive="consents")
    assert forth.rows.equals(back.rows)


def test_too_few_people_never_leave(con: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(CrossdomainError, match="19 people are fewer than k = 20"):
        _released(con, [{"gender": "female"}] * 19, "gender", k=20)
    with pytest.raises(CrossdomainError, match="0 people"):
        _released(con, [], "gender", k=2)


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        (("account",), {"k": 5}, "'account' cannot be released"),
        (("gender", "gender"), {"k": 5}, "each once"),
        (("gender",), {"k": 1}, "hides nobody"),
        (("gender",), {"k": 5, "most_suppressed": 1.5}, "give 0 to 1"),
        (("gender",), {"k": 5, "sensitive": "gender"}, "not both"),
        (("gender",), {"k": 5, "hierarchies": {"gender": [Step("any", "'*'")] * 501}}, "501 combinations"),
    ],
)
def test_wrong_wishes_are_refused(
    columns: tuple[str, ...], options: dict[str, Any], message: str, con: duckdb.DuckDBPyConnection
) -> None:
    with pytest.raises(InputError, match=message):
        _released(con, [{"gender": "female"}] * 30, *columns, **options)
