"""The disk refuses one call, whichever: a clear error, the old stays, nothing half written, and again it works."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from crossdomain.errors import CrossdomainError
from crossdomain.settings import Settings
from crossdomain.storage.collection import left_over, unnamed
from crossdomain.storage.compaction import compact
from crossdomain.storage.engine import connection
from crossdomain.storage.home import Home, write_whole
from crossdomain.storage.inspection import inspect
from crossdomain.storage.lake import Lake, Staged
from crossdomain.storage.models import ModelStore
from crossdomain.storage.serving import current, one_publisher, publish
from crossdomain.tables import TableSpec
from tests.faults.points import Point, Refusal, install, read_points
from tests.unit.storage.test_maintenance import deliver, put, raw, rows_of, versions_of

__all__ = ["raw"]
DAY = {"ds": "2026-01-05"}


@dataclass(frozen=True)
class Act:
    """Something that is written, what comes before it, and how it shows to readers."""

    prepare: Callable[[Lake, TableSpec], object]
    do: Callable[[Lake, TableSpec], object]
    shown: Callable[[Lake, TableSpec], object]


def publish_day(lake: Lake, spec: TableSpec) -> None:
    with one_publisher(lake.home):
        publish(lake, [(spec, lake.partitions(spec)[0])], date(2026, 1, 5))


def publish_and_grow(lake: Lake, spec: TableSpec) -> None:
    put(lake, spec, 2)
    publish_day(lake, spec)
    put(lake, spec, 3)


def published(lake: Lake, spec: TableSpec) -> object:
    publication = current(lake.home)
    if publication is None:
        return None
    with duckdb.connect(str(publication.path), read_only=True) as con:
        return con.sql(f"SELECT count(*) FROM {spec.name}").fetchall()


def two_days(lake: Lake, spec: TableSpec) -> None:
    staged: list[Staged] = []
    try:
        for day in ("2026-01-05", "2026-01-06"):
            source = f"SELECT 'n' AS order_id, 1 AS amount, DATE '{day}' AS delivered_ds"
            staged.append(lake.stage(spec, source, {"ds": day}, made_by={}))
        lake.commit(spec, staged, replace={"ds": ["2026-01-05", "2026-01-06"]})
    except BaseException:
        lake.discard(staged)
        raise


ACTS = {
    "a new table": Act(lambda lake, spec: None, two_days, rows_of),
    "another day": Act(lambda lake, spec: put(lake, spec, 2), two_days, rows_of),
    "small files": Act(
        lambda lake, spec: deliver(lake, spec, "abcd"),
        compact,
        lambda lake, spec: (rows_of(lake, spec), versions_of(lake, spec)),
    ),
    "a model": Act(
        lambda lake, spec: ModelStore(lake.home).save("als", {"old": b"1"}, {}),
        lambda lake, spec: ModelStore(lake.home).save("als", {"new": b"2", "more": b"3"}, {}),
        lambda lake, spec: sorted(path.name for path in lake.home.models("als").glob("[!.]*/*")),
    ),
    "a publication": Act(publish_and_grow, publish_day, published),
    "a report": Act(
        lambda lake, spec: write_whole(lake.home.report("quality/day.json"), b"old"),
        lambda lake, spec: write_whole(lake.home.report("quality/day.json"), b"new"),
        lambda lake, spec: lake.home.report("quality/day.json").read_bytes(),
    ),
}


@contextmanager
def lake_of(root: Path) -> Any:
    home = Home(root)
    with home.scratch() as scratch, connection(Settings(home=root, threads=1), scratch) as con:
        yield Lake(home, con)


def undisturbed(act: Act, spec: TableSpec, root: Path, log: Path) -> tuple[list[Point], object]:
    """The first of each kind of call that can be refused, and what is shown at the end."""
    with lake_of(root) as lake:
        act.prepare(lake, spec)
        with pytest.MonkeyPatch.context() as patched:
            install(root, log, None, patch=patched.setattr)
            act.do(lake, spec)
        after = act.shown(lake, spec)
    kinds = {re.sub(r"2026-01-0\d", "DAY", point.name): point for point in reversed(read_points(log))}
    return [point for point in kinds.values() if point.can_be_refused], after


@pytest.mark.parametrize("name", ACTS)
def test_whichever_call_is_refused_the_old_content_stays(
    tmp_path: Path, spec: TableSpec, raw: TableSpec, name: str
) -> None:
    act, table = ACTS[name], raw if name == "small files" else spec
    points, after = undisturbed(act, table, tmp_path / "undisturbed", tmp_path / "log")
    assert len(points) >= 4
    for point in points:
        with lake_of(tmp_path / f"refused-{point.number}") as lake:
            act.prepare(lake, table)
            before = act.shown(lake, table)
            root, refusal = lake.home.root, Refusal(point.number, errno.ENOSPC)
            with pytest.MonkeyPatch.context() as patched:
                install(root, tmp_path / "log", refusal, patch=patched.setattr)
                said = ""
                try:
                    act.do(lake, table)
                except CrossdomainError as error:
                    said = str(error)
            may_do_without = point.tidies or point.call == "mkdir"  # of a folder that is there
            if said or not may_do_without:
                assert "No space left on device" in said, f"{point}: {said!r}"
                assert "free space" in said, f"{point}: {said!r}"
                assert act.shown(lake, table) == before, point
                assert [one.path for one in unnamed(lake, table, history=timedelta(hours=1))] == [], point
                assert [one.path for one in left_over(lake.home) if one.path.parent.name != "tmp"] == [], point
            assert inspect(lake, table, deep=True).damage == (), point
        with lake_of(tmp_path / f"refused-{point.number}") as lake:
            act.do(lake, table)
            assert act.shown(lake, table) == after, point


def test_what_is_committed_is_never_discarded(tmp_path: Path, spec: TableSpec) -> None:
    with lake_of(tmp_path) as lake:
        staged = [
            lake.stage(spec, "SELECT 'o' AS order_id, 1 AS amount, NULL AS delivered_ds", {"ds": day}, made_by={})
            for day in ("2026-01-05", "2026-01-06")
        ]
        lake.commit(spec, staged[:1], replace={"ds": ["2026-01-05"]})
        lake.discard(staged)  # as a job does that fails at its second table
        assert [file.path.exists() for file in staged] == [True, False]
        assert inspect(lake, spec, deep=True).damage == ()


def test_a_commit_whose_checkpoint_fails_is_done(tmp_path: Path, spec: TableSpec) -> None:
    """As delta-rs does at every hundredth commit on a disk that is almost full."""
    transaction = DeltaTable.create_write_transaction

    def without_checkpoint(*arguments: Any, **options: Any) -> None:
        transaction(*arguments, **options)
        raise DeltaError("Unable to copy data to file: No space left on device (os error 28)")

    with lake_of(tmp_path) as lake, pytest.MonkeyPatch.context() as patched:
        put(lake, spec, 2)
        patched.setattr(DeltaTable, "create_write_transaction", without_checkpoint)
        put(lake, spec, 3)
        assert len(rows_of(lake, spec)) == 3


def test_a_staged_file_that_somebody_removed_is_told(tmp_path: Path, spec: TableSpec) -> None:
    with lake_of(tmp_path) as lake:
        staged = lake.stage(spec, "SELECT 'o' AS order_id, 1 AS amount, NULL AS delivered_ds", DAY, made_by={})
        staged.path.unlink()
        with pytest.raises(CrossdomainError, match="was removed before it was committed; run the job again"):
            lake.commit(spec, [staged], replace={"ds": ["2026-01-05"]})
        assert lake.partitions(spec) == []
