"""Rows taken out of partitions and files while others write the same ones."""

from pathlib import Path

import pyarrow as pa
import pytest

from crossdomain.errors import CommitConflict, CrossdomainError
from crossdomain.storage.lake import Lake
from crossdomain.storage.removal import add_rows, drop_partitions, rewrite_partition
from crossdomain.storage.replacing import replacing
from crossdomain.tables import TableSpec

DAY = {"ds": "2026-01-05"}


def write(lake: Lake, spec: TableSpec, *orders: str, values: dict[str, str] = DAY, append: bool = False) -> None:
    rows = pa.table({"order_id": list(orders), "amount": [1] * len(orders), "delivered_ds": [None] * len(orders)})
    staged = lake.stage(spec, rows, values, made_by={"job": "orders", "inputs": {"a": "b"}})
    lake.commit(spec, [staged], replace={"ds": ["1999-01-01"] if append else [values["ds"]]})


def orders(lake: Lake, spec: TableSpec) -> list[str]:
    rows = lake.con.execute(f"SELECT order_id FROM ({lake.relation(spec, lake.partitions(spec))}) ORDER BY ALL")
    return [order for (order,) in rows.fetchall()]


def without(order: str):
    return lambda rows: f"SELECT * FROM ({rows}) WHERE order_id <> '{order}'"


def test_each_file_keeps_what_it_says_of_itself(lake: Lake, spec: TableSpec) -> None:
    write(lake, spec, "a", "b")
    write(lake, spec, "c", append=True)
    assert rewrite_partition(lake, spec, DAY, without("b"))
    (partition,) = lake.partitions(spec)
    assert sorted(file.rows for file in partition.files) == [1, 1]
    made = [footer.made_by for footer in lake.footers(partition.files).values()]
    assert made == [{"job": "orders", "inputs": {"a": "b"}}] * 2
    assert orders(lake, spec) == ["a", "c"]


def test_an_emptied_day_is_still_a_day(lake: Lake, spec: TableSpec) -> None:
    write(lake, spec, "a")
    assert rewrite_partition(lake, spec, DAY, without("a"))
    (partition,) = lake.partitions(spec)
    assert (partition.rows, partition.values) == (0, DAY)
    assert not rewrite_partition(lake, spec, DAY, without("a")), "nothing to change any more"
    assert not rewrite_partition(lake, spec, {"ds": "2026-01-06"}, without("a")), "no such day"


def test_what_another_task_writes_meanwhile_is_rewritten_too(lake: Lake, spec: TableSpec) -> None:
    write(lake, spec, "a", "b")
    asked = []

    def change(rows: str) -> str:
        asked.append(rows)
        if len(asked) == 1:
            write(lake, spec, "a", "b", "c")
        return without("b")(rows)

    assert rewrite_partition(lake, spec, DAY, change)
    assert len(asked) == 2
    assert orders(lake, spec) == ["a", "c"]


def test_who_is_always_beaten_gives_up_and_leaves_nothing(lake: Lake, spec: TableSpec) -> None:
    write(lake, spec, "a")

    def change(rows: str) -> str:
        write(lake, spec, "a")
        return rows

    with pytest.raises(CommitConflict, match="others kept changing it"):
        rewrite_partition(lake, spec, DAY, change)
    live = {file.path for partition in lake.partitions(spec) for file in partition.files}
    assert len(live) == 1


def test_added_rows_take_the_place_of_their_key(lake: Lake, spec: TableSpec) -> None:
    for rows in (["a", "b"], ["b", "c"]):
        table = pa.table({"order_id": rows, "amount": [len(rows)] * 2, "delivered_ds": [None, None]})
        add_rows(lake, spec, DAY, table, made_by={})
    assert orders(lake, spec) == ["a", "b", "c"]
    (partition,) = lake.partitions(spec)
    assert len(partition.files) == 1


def test_only_the_partitions_that_were_seen_are_dropped(lake: Lake, spec: TableSpec) -> None:
    write(lake, spec, "a")
    write(lake, spec, "b", values={"ds": "2026-01-06"})
    first, second = lake.partitions(spec)
    drop_partitions(lake, spec, [first])
    assert orders(lake, spec) == ["b"]
    write(lake, spec, "new", values={"ds": "2026-01-06"})
    with pytest.raises(CommitConflict):
        drop_partitions(lake, spec, [second])
    assert orders(lake, spec) == ["new"]


def swap(path: Path, content: bytes, failure: Exception | None = None, meanwhile: bytes | None = None) -> None:
    with replacing(path) as aside:
        aside.write_bytes(content)
        if meanwhile is not None:
            path.write_bytes(meanwhile)
        if failure is not None:
            raise failure


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(b"old")
    with replacing(path) as aside:
        assert aside.name.startswith(".")
        assert aside.suffix == ".gz"
        aside.write_bytes(b"new")
    assert path.read_bytes() == b"new"
    with pytest.raises(KeyError):
        swap(path, b"half", KeyError())
    with replacing(path):
        pass
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_was_delivered_again_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"old")
    with pytest.raises(CommitConflict, match="written by somebody else"):
        swap(path, b"mine", meanwhile=b"delivered again")
    assert path.read_bytes() == b"delivered again"
    with pytest.raises(CrossdomainError, match="cannot write"):
        swap(path, b"half", OSError(28, "No space left on device"))
    assert path.read_bytes() == b"delivered again"
