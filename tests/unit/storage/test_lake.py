from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from crossdomain.errors import CrossdomainError
from crossdomain.settings import Settings
from crossdomain.storage.collection import collect, unnamed
from crossdomain.storage.engine import connection
from crossdomain.storage.home import Home
from crossdomain.storage.inspection import inspect
from crossdomain.storage.lake import Lake
from crossdomain.tables import TableSpec

DAY = {"ds": "2026-01-05"}
ROWS = "SELECT 'o' || range AS order_id, range * 1.5 AS amount, DATE '2026-01-05' AS delivered_ds FROM range(100)"


def put(lake: Lake, spec: TableSpec, rows: str | pa.Table, day: str = "2026-01-05", made_by: str = "job") -> bool:
    staged = lake.stage(spec, rows, {"ds": day}, made_by={"job": made_by})
    return lake.commit(spec, [staged], replace={"ds": [day]})


def read(lake: Lake, spec: TableSpec) -> list[tuple[object, ...]]:
    return lake.con.sql(lake.relation(spec, lake.partitions(spec))).fetchall()


def test_a_partition_is_read_back_ordered_and_typed(lake: Lake, spec: TableSpec) -> None:
    put(lake, spec, "SELECT 'b' AS order_id, '2' AS amount, NULL AS delivered_ds UNION ALL SELECT 'a', '10.005', NULL")
    rows = read(lake, spec)
    assert [(str(row[0]), row[1], str(row[2])) for row in rows] == [
        ("2026-01-05", "b", "2.00"),
        ("2026-01-05", "a", "10.01"),
    ]


def test_a_table_that_was_never_written_has_its_columns_and_no_rows(lake: Lake, spec: TableSpec) -> None:
    assert lake.partitions(spec) == []
    empty = lake.con.sql(lake.relation(spec, []))
    assert empty.columns == ["ds", "order_id", "amount", "delivered_ds"]
    assert empty.fetchall() == []


def test_the_same_rows_in_another_order_are_the_same_bytes(lake: Lake, spec: TableSpec) -> None:
    first = lake.stage(spec, ROWS, DAY, made_by={"job": "j"})
    second = lake.stage(spec, f"SELECT * FROM ({ROWS}) ORDER BY hash(order_id)", DAY, made_by={"job": "j"})
    assert first.checksum == second.checksum
    assert first.path.read_bytes() == second.path.read_bytes()


def test_one_other_value_is_another_checksum(lake: Lake, spec: TableSpec) -> None:
    first = lake.stage(spec, ROWS, DAY, made_by={})
    other = lake.stage(spec, ROWS.replace("range * 1.5", "range * 1.5 + (range = 7)::INT"), DAY, made_by={})
    assert first.checksum != other.checksum


def test_committing_the_same_rows_again_changes_nothing(lake: Lake, spec: TableSpec) -> None:
    assert put(lake, spec, ROWS) is True
    assert put(lake, spec, ROWS) is False
    assert put(lake, spec, ROWS, made_by="another") is False, "other inputs, same rows: no news for consumers"
    (partition,) = lake.partitions(spec)
    assert partition.rows == 100
    assert lake.footers(partition.files)[partition.files[0].path].made_by == {"job": "another"}


def test_replacing_a_day_leaves_the_others(lake: Lake, spec: TableSpec) -> None:
    for day in ("2026-01-05", "2026-01-06"):
        put(lake, spec, ROWS, day)
    put(lake, spec, ROWS + " WHERE range < 3", "2026-01-05")
    assert [(p.values["ds"], p.rows) for p in lake.partitions(spec)] == [("2026-01-05", 3), ("2026-01-06", 100)]


def test_an_empty_day_is_there_and_has_no_rows(lake: Lake, spec: TableSpec) -> None:
    put(lake, spec, ROWS + " WHERE false")
    (partition,) = lake.partitions(spec)
    assert partition.rows == 0


def test_the_footer_tells_what_each_delivery_brought(lake: Lake, spec: TableSpec) -> None:
    early = "SELECT 'x' AS order_id, 1 AS amount, DATE '2026-01-05' AS delivered_ds"
    put(lake, spec, early)
    before = lake.footers(lake.partitions(spec)[0].files)
    put(lake, spec, f"{early} UNION ALL SELECT 'late', 2, DATE '2026-01-07'")
    after = lake.footers(lake.partitions(spec)[0].files)
    (old,), (new,) = before.values(), after.values()
    assert new.parts["2026-01-05"] == old.parts["2026-01-05"]
    assert set(new.parts) == {"2026-01-05", "2026-01-07"}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("SELECT NULL AS order_id, 1 AS amount, NULL AS delivered_ds", "required columns hold nulls.*order_id"),
        ("SELECT 'a' AS order_id, 1 AS amount, NULL AS delivered_ds FROM range(2)", "stands 2 times"),
        ("SELECT 'a' AS order_id, 'dear' AS amount, NULL AS delivered_ds", "does not fit its column"),
    ],
)
def test_bad_rows_are_refused_and_leave_nothing(lake: Lake, spec: TableSpec, rows: str, message: str) -> None:
    with pytest.raises(CrossdomainError, match=message):
        lake.stage(spec, rows, DAY, made_by={})
    assert list(lake.home.root.rglob("*.parquet")) == []


def test_a_folder_that_cannot_be_written_is_a_clear_error(lake: Lake, spec: TableSpec) -> None:
    put(lake, spec, ROWS)
    blocked = lake.home.table(spec) / "ds=2026-01-06"
    blocked.write_text("a file where the folder should be")
    with pytest.raises(CrossdomainError, match=r"cannot create folder .*ds=2026-01-06"):
        put(lake, spec, ROWS, "2026-01-06")
    assert len(read(lake, spec)) == 100


def test_orphans_are_found_and_collected_and_never_read(lake: Lake, spec: TableSpec) -> None:
    put(lake, spec, ROWS)
    orphan = lake.stage(spec, ROWS + " WHERE range < 5", DAY, made_by={})
    assert len(read(lake, spec)) == 100
    assert [one.path for one in unnamed(lake, spec)] == [orphan.path]
    removed = collect(lake, spec, history=timedelta(), grace=timedelta())
    assert [one.path for one in removed] == [orphan.path]
    assert unnamed(lake, spec) == []
    assert len(read(lake, spec)) == 100


def test_inspection_tells_of_a_missing_file(lake: Lake, spec: TableSpec) -> None:
    put(lake, spec, ROWS)
    lake.partitions(spec)[0].files[0].path.unlink()
    assert [one.why for one in inspect(lake, spec).damage] == ["is missing"]


def _write_days(root: Path, spec: TableSpec, days: list[str], value: int) -> None:
    home = Home(root)
    with home.scratch() as scratch, connection(Settings(home=root, threads=1), scratch) as con:
        lake = Lake(home, con)
        for day in days:
            put(
                lake,
                spec,
                f"SELECT 'o' || range AS order_id, {value} AS amount, NULL AS delivered_ds FROM range(50)",
                day,
            )


def test_many_writers_of_the_same_and_of_other_days_leave_one_right_partition_each(home: Home, spec: TableSpec) -> None:
    days = [f"2026-01-{day:02d}" for day in range(1, 9)]
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:  # delta-rs does not survive a fork
        jobs = [
            pool.submit(_write_days, home.root, spec, days[::step], value) for value, step in enumerate((1, -1, 1, -1))
        ]
        for job in jobs:
            job.result()
    with home.scratch() as scratch, connection(Settings(home=home.root), scratch) as con:
        partitions = Lake(home, con).partitions(spec)
        assert [partition.values["ds"] for partition in partitions] == days
        for partition in partitions:
            assert len(partition.files) == 1
            values = duckdb.sql(f"SELECT count(*), count(DISTINCT amount) FROM '{partition.files[0].path}'").fetchall()
            assert values == [(50, 1)]


KILLED = """
    import sys
    from pathlib import Path
    from tests.unit.storage.test_lake import _write_days
    import pickle
    spec = pickle.loads(bytes.fromhex(sys.argv[2]))
    print("ready", flush=True)
    for value in range(10_000):
        _write_days(Path(sys.argv[1]), spec, ["2026-01-05"], value % 7)
"""


def test_a_writer_killed_at_any_time_leaves_a_whole_partition(home: Home, spec: TableSpec) -> None:
    import pickle

    root = Path(__file__).parents[3]
    _write_days(home.root, spec, ["2026-01-05"], 0)
    for number in range(6):
        child = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(KILLED), str(home.root), pickle.dumps(spec).hex()],
            cwd=root,
            env={**os.environ, "PYTHONPATH": str(root)},
            stdout=subprocess.PIPE,
        )
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(0.02 + 0.037 * number)
        child.send_signal(signal.SIGKILL)
        child.wait()
        with home.scratch() as scratch, connection(Settings(home=home.root), scratch) as con:
            lake = Lake(home, con)
            values = [row[2] for row in read(lake, spec)]
            assert len(values) == 50
            assert len(set(values)) == 1
            assert inspect(lake, spec, deep=True).damage == ()
