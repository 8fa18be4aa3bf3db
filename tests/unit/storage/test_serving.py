from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from crossdomain.errors import MissingInput
from crossdomain.storage.lake import Lake
from crossdomain.storage.serving import current, one_publisher, open_current, publish
from crossdomain.tables import TableSpec
from tests.unit.storage.test_lake import ROWS, put

D5, D6 = date(2026, 1, 5), date(2026, 1, 6)


def out(lake: Lake, spec: TableSpec, ds: date) -> bool:
    with one_publisher(lake.home):
        partition = next(p for p in lake.partitions(spec) if p.ds == ds)
        return publish(lake, [(spec, partition)], ds)[1]


@pytest.fixture
def served(spec: TableSpec) -> TableSpec:
    return replace(spec, layer="serving")


def count(lake: Lake) -> int:
    with open_current(lake.home) as con:
        ((rows,),) = con.execute("SELECT count(*) FROM orders").fetchall()
        return int(rows)


def test_nothing_published_is_said_so(lake: Lake) -> None:
    assert current(lake.home) is None
    with pytest.raises(MissingInput, match="nothing is published"), open_current(lake.home):
        pass


def test_a_publication_is_read_and_replaced_and_never_moves_back(lake: Lake, served: TableSpec) -> None:
    put(lake, served, ROWS, "2026-01-05")
    put(lake, served, ROWS + " WHERE range < 7", "2026-01-06")
    assert out(lake, served, D6) is True
    assert count(lake) == 7
    assert out(lake, served, D5) is False, "CURRENT never moves to an older day"
    assert out(lake, served, D6) is False, "the same partitions are not published twice"
    put(lake, served, ROWS + " WHERE range < 9", "2026-01-06")
    with open_current(lake.home) as reader:
        assert out(lake, served, D6) is True
        assert reader.execute("SELECT count(*) FROM orders").fetchall() == [(7,)], "an open reader is not disturbed"
    assert count(lake) == 9


def test_old_files_go_and_nothing_half_built_stays(lake: Lake, served: TableSpec) -> None:
    for rows in range(1, 7):
        put(lake, served, f"{ROWS} WHERE range < {rows}", "2026-01-05")
        out(lake, served, D5)
    names = sorted(path.name for path in lake.home.serving.iterdir() if not path.name.startswith(".lock"))
    assert "CURRENT" in names
    assert len(names) == 4
    assert not [name for name in names if name.startswith(".")]
