"""Small files put together, old files removed, damage found: beside writers, killed, and twice."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from crossdomain.errors import CrossdomainError, InputError
from crossdomain.settings import Settings
from crossdomain.storage.collection import collect, left_over, sweep, unnamed
from crossdomain.storage.compaction import checkpoint, compact
from crossdomain.storage.engine import connection
from crossdomain.storage.home import LONGEST_TASK, Home
from crossdomain.storage.inspection import inspect
from crossdomain.storage.lake import Lake, Staged
from crossdomain.storage.maintenance import Maintained, maintain
from crossdomain.tables import Column, Compact, TableSpec

LATER = datetime.now(UTC) + 2 * LONGEST_TASK
NOTHING = timedelta()
DAY = {"feed": "shop", "delivered_ds": "2026-01-05"}


@pytest.fixture
def raw(spec: TableSpec) -> TableSpec:
    """A table as raw is: many files a partition, days inside the files, lines that are the rows' places."""
    return replace(
        spec,
        layer="raw",
        columns=(
            Column("order_id", "VARCHAR"),
            Column("ds", "DATE"),
            Column("_line", "BIGINT", otherwise="file_row_number + 2"),
        ),
        partition=("feed", "delivered_ds"),
        key=(),
        order=("ds", "order_id"),
        compact=Compact(files=3, target_mb=1),
        history_hours=24,
    )


def file_of(lake: Lake, spec: TableSpec, name: str, rows: int = 4) -> Staged:
    source = f"""
        SELECT '{name}' || range AS order_id, DATE '2026-01-05' - (range % 2)::INT AS ds, NULL AS _line
        FROM range({rows})"""
    return lake.stage(spec, source, DAY, made_by={"job": "ingest"}, order="")


def deliver(lake: Lake, spec: TableSpec, names: str, rows: int = 4) -> None:
    staged = [file_of(lake, spec, name, rows) for name in names]
    lake.commit(spec, staged, replace={name: [value] for name, value in DAY.items()})


def rows_of(lake: Lake, spec: TableSpec) -> list[tuple[object, ...]]:
    return sorted(lake.con.sql(lake.relation(spec, lake.partitions(spec))).fetchall(), key=str)


def versions_of(lake: Lake, spec: TableSpec) -> list[tuple[str, str]]:
    """(business day, version) as readers of raw take them."""
    footers = lake.footers(file for partition in lake.partitions(spec) for file in partition.files)
    return sorted(
        (part, version)
        for footer in footers.values()
        for part, joined in footer.parts.items()
        for version in joined.split("-")
    )


def put(lake: Lake, spec: TableSpec, rows: int) -> None:
    source = f"SELECT 'o' || range AS order_id, 1 AS amount, NULL AS delivered_ds FROM range({rows})"
    staged = lake.stage(spec, source, {"ds": "2026-01-05"}, made_by={})
    lake.commit(spec, [staged], replace={"ds": ["2026-01-05"]})


# compaction ----------------------------------------------------------------------------------------


def test_small_files_become_one_with_the_same_rows_lines_and_versions(lake: Lake, raw: TableSpec) -> None:
    deliver(lake, raw, "abcdef")
    rows, versions = rows_of(lake, raw), versions_of(lake, raw)
    assert len(versions) == 12
    assert compact(lake, raw) == (6, 1)
    (partition,) = lake.partitions(raw)
    (file,) = partition.files
    assert rows_of(lake, raw) == rows
    assert versions_of(lake, raw) == versions
    assert (str(file.first), str(file.last)) == ("2026-01-04", "2026-01-05")
    assert inspect(lake, raw, deep=True).damage == ()
    assert compact(lake, raw) == (0, 0)


def test_a_partition_of_few_files_and_a_table_that_does_not_ask_are_left(lake: Lake, raw: TableSpec) -> None:
    deliver(lake, raw, "abc")
    assert compact(lake, raw) == (0, 0)
    deliver(lake, raw, "abcd")
    assert compact(lake, replace(raw, compact=None)) == (0, 0)
    assert len(lake.partitions(raw)[0].files) == 4


def test_no_more_is_put_together_than_wanted(lake: Lake, raw: TableSpec) -> None:
    deliver(lake, raw, "abcdef", rows=60_000)
    rows = rows_of(lake, raw)
    sizes = [file.size for file in lake.partitions(raw)[0].files]
    assert max(sizes) < 1_000_000 < sum(sizes)
    merged, into = compact(lake, raw)
    assert sum(sizes) / 1_000_000 <= into < merged <= 6
    assert rows_of(lake, raw) == rows


def test_files_of_different_runs_are_not_mixed(lake: Lake, raw: TableSpec) -> None:
    staged = [file_of(lake, raw, name) for name in "abc"]
    other = lake.stage(raw, "SELECT 'x' AS order_id, DATE '2026-01-05' AS ds, 2 AS _line", DAY, made_by={"job": "new"})
    lake.commit(raw, [*staged, other], replace={name: [value] for name, value in DAY.items()})
    assert compact(lake, raw) == (0, 0)


def test_a_delivery_that_comes_during_compaction_wins(
    lake: Lake, raw: TableSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(lake, raw, "abcdef")
    swap = lake.swap

    def beaten(*arguments: object) -> None:
        deliver(lake, raw, "xyz")
        swap(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(lake, "swap", beaten)
    assert compact(lake, raw) == (0, 0)
    assert {str(row[2])[0] for row in rows_of(lake, raw)} == {"x", "y", "z"}
    assert all(one.replaced for one in unnamed(lake, raw)), "what was put together in vain is gone"


def test_another_partition_that_is_written_meanwhile_is_no_conflict(
    lake: Lake, raw: TableSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(lake, raw, "abcdef")
    swap = lake.swap

    def beside(*arguments: object) -> None:
        other = {**DAY, "delivered_ds": "2026-01-06"}
        source = "SELECT 'other' AS order_id, DATE '2026-01-06' AS ds, NULL AS _line"
        lake.commit(
            raw,
            [lake.stage(raw, source, other, made_by={})],
            replace={"feed": ["shop"], "delivered_ds": ["2026-01-06"]},
        )
        swap(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(lake, "swap", beside)
    assert compact(lake, raw) == (6, 1)
    assert [len(partition.files) for partition in lake.partitions(raw)] == [1, 1]


def test_long_logs_are_closed_by_a_checkpoint_once(lake: Lake, spec: TableSpec) -> None:
    for number in range(50):
        put(lake, spec, 1 + number % 2)
    assert checkpoint(lake, spec, dry_run=True)
    assert checkpoint(lake, spec)
    assert not checkpoint(lake, spec)
    assert (lake.home.table(spec) / "_delta_log" / "_last_checkpoint").exists()
    assert len(rows_of(lake, spec)) == 2


# collection ----------------------------------------------------------------------------------------


def test_replaced_files_stay_for_the_history_and_go_after_it(lake: Lake, spec: TableSpec) -> None:
    put(lake, spec, 1)
    (old,) = lake.partitions(spec)[0].files
    put(lake, spec, 2)
    assert collect(lake, spec, history=timedelta(hours=1)) == []
    assert old.path.exists()
    assert [one.path for one in collect(lake, spec, history=NOTHING, dry_run=True)] == [old.path]
    assert old.path.exists()
    assert [one.path for one in collect(lake, spec, history=NOTHING)] == [old.path]
    assert not old.path.exists()
    assert collect(lake, spec, history=NOTHING) == [], "what is gone is not told again"
    assert len(rows_of(lake, spec)) == 2


def test_what_a_running_task_has_staged_stays_and_can_be_committed(lake: Lake, spec: TableSpec) -> None:
    put(lake, spec, 1)
    staged = lake.stage(
        spec, "SELECT 'o' AS order_id, 1 AS amount, NULL AS delivered_ds", {"ds": "2026-01-06"}, made_by={}
    )
    assert collect(lake, spec, history=NOTHING) == []
    lake.commit(spec, [staged], replace={"ds": ["2026-01-06"]})
    assert len(rows_of(lake, spec)) == 2
    assert collect(lake, spec, history=NOTHING, now=LATER) == []


def test_what_a_kill_left_goes_when_no_task_can_be_that_slow(lake: Lake, spec: TableSpec) -> None:
    put(lake, spec, 1)
    torn = lake.home.table(spec) / "ds=2026-01-05" / "staging-0.parquet"
    torn.write_bytes(b"PAR1 and no end")
    half = lake.home.table(spec) / "_delta_log" / "00000000000000000009.json#1"
    half.write_text("{")
    (found, log) = sorted(unnamed(lake, spec), key=lambda one: one.path.name, reverse=True)
    assert (found.path, log.path, found.size, found.replaced) == (torn, half, 15, False)
    assert collect(lake, spec, history=NOTHING) == []
    assert {one.path for one in collect(lake, spec, history=NOTHING, now=LATER)} == {torn, half}
    assert unnamed(lake, spec) == []
    assert len(rows_of(lake, spec)) == 1


def test_a_table_that_a_kill_left_before_its_first_commit_is_emptied(lake: Lake, spec: TableSpec) -> None:
    staged = lake.stage(
        spec, "SELECT 'o' AS order_id, 1 AS amount, NULL AS delivered_ds", {"ds": "2026-01-06"}, made_by={}
    )
    assert [one.path for one in collect(lake, spec, history=NOTHING, now=LATER)] == [staged.path]


def test_what_kills_left_outside_the_lake_is_swept(lake: Lake) -> None:
    root = lake.home.root
    name = "0123456789abcdef0123456789abcdef"
    left = [root / "tmp" / name, root / "serving" / f".{name}.duckdb", root / "models" / "als" / f".v1.{name}"]
    left += [root / "reports" / "quality" / f".day.json.{name}", root / "serving" / f".CURRENT.{name}"]
    kept = [root / "serving" / "CURRENT", root / "serving" / ".lock", root / "landing" / "feed" / f".file.{name}"]
    for path in (left[0] / "duckdb" / "spilled", left[2] / "model.npz", left[1], *left[3:], *kept):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"12345")
    running = {path for path in (root / "tmp").iterdir() if path != left[0]}
    assert {one.path for one in left_over(lake.home)} == set(left) | running
    assert sum(one.size for one in left_over(lake.home) if one.path == left[0]) >= 5
    assert sweep(lake.home) == []
    assert {one.path for one in sweep(lake.home, now=LATER, dry_run=True)} == set(left) | running
    for path in left:
        past = (datetime.now(UTC) - 2 * LONGEST_TASK).timestamp()
        for file in (path, *path.rglob("*")):
            os.utime(file, (past, past))
    assert {one.path for one in sweep(lake.home)} == set(left)
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in (*kept, *running)), "a running task keeps its folder"


# damage --------------------------------------------------------------------------------------------


def test_a_whole_table_has_no_damage(lake: Lake, spec: TableSpec) -> None:
    put(lake, spec, 3)
    found = inspect(lake, spec, deep=True)
    assert (found.files, found.compared, found.damage, found.unnamed) == (1, 1, (), ())
    assert inspect(lake, spec).compared == 0


@pytest.mark.parametrize(
    ("harm", "shallow", "why"),
    [
        ("missing", True, "is missing"),
        ("cut", True, "bytes; .* were committed"),
        ("scrambled", False, "cannot be read"),
        ("other rows", False, "holds other rows"),
    ],
)
def test_damage_is_found_and_named(lake: Lake, spec: TableSpec, harm: str, shallow: bool, why: str) -> None:
    put(lake, spec, 3)
    put_other = "SELECT 'p' || range AS order_id, 1 AS amount, NULL AS delivered_ds FROM range(3)"
    other = lake.stage(spec, put_other, {"ds": "2026-01-05"}, made_by={})
    (file,) = lake.partitions(spec)[0].files
    content = bytearray(file.path.read_bytes())
    if harm == "missing":
        file.path.unlink()
    elif harm == "cut":
        file.path.write_bytes(content[:-1])
    elif harm == "scrambled":
        content[-6] ^= 0x55
        file.path.write_bytes(content)
    else:
        assert other.path.stat().st_size == file.size
        other.path.replace(file.path)
    assert bool(inspect(lake, spec).damage) is shallow
    (damage,) = inspect(lake, spec, deep=True).damage
    assert (damage.table, damage.file) == (spec.full_name, file)
    assert re.search(why, damage.why)


# all of it -----------------------------------------------------------------------------------------


def test_maintenance_does_what_the_metadata_says_and_then_nothing(lake: Lake, raw: TableSpec, spec: TableSpec) -> None:
    deliver(lake, raw, "abcdef")
    put(lake, spec, 1)
    put(lake, spec, 2)
    tables = [raw, replace(spec, history_hours=0)]
    expected = [Maintained("raw.orders", merged=6, into=1), ("clean.orders", 1)]
    dry = maintain(lake, tables, dry_run=True)
    assert len(lake.partitions(raw)[0].files) == 6
    for done in (dry, maintain(lake, tables)):
        assert done[0] == expected[0]
        assert (done[1].table, done[1].removed) == expected[1]
        assert done[1].freed > 0
        assert done[2] == Maintained("home")
    assert not any(one.did_something for one in maintain(lake, tables))
    assert len(unnamed(lake, raw)) == 6, "kept for the table's history"


# where a home may lie ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a%20b", "100%25", "back\\slash", "new\nline", "bell\x07"])
def test_a_home_that_delta_would_look_for_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"CROSSDOMAIN_HOME=.* cannot be used because of"):
        Home(tmp_path / name)


@pytest.mark.parametrize(
    "name", ["家 目录 100% 'x'", 'q"uote', "semi;#?frag", "[glob]*{a}", "e\u0301", "+&=@:!$~`^|<>"]
)
def test_a_home_may_have_any_other_name(tmp_path: Path, spec: TableSpec, name: str) -> None:
    home = Home(tmp_path / name)
    with home.scratch() as scratch, connection(Settings(home=home.root), scratch) as con:
        lake = Lake(home, con)
        put(lake, spec, 1)
        put(lake, spec, 2)
        assert len(rows_of(lake, spec)) == 2
        assert inspect(lake, spec, deep=True).damage == ()
        assert len(collect(lake, spec, history=NOTHING)) == 1
    assert [path.name for path in tmp_path.iterdir() if path.name != "家 with spaces"] == [name]


def test_a_file_where_the_folder_should_be_names_the_remedy(home: Home) -> None:
    home.root.mkdir()
    (home.root / "tmp").write_text("")
    with (
        pytest.raises(CrossdomainError, match=r"cannot create folder .*/tmp/.*a file stands where a folder should be"),
        home.scratch(),
    ):
        pass
