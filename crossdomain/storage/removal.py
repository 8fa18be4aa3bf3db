"""Taking rows out of the lake, and putting a few in; ``collection.collect`` takes from disk what older versions hold.

Every change is one commit of one partition, refused where somebody else changed the partition meanwhile and then
tried again on what is there now. Whoever was killed is simply run again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import duckdb
import pyarrow as pa

from crossdomain.errors import CommitConflict
from crossdomain.storage.lake import Lake, Partition, Staged
from crossdomain.tables import TableSpec

_ATTEMPTS = 50


def rewrite_partition(
    lake: Lake,
    spec: TableSpec,
    values: Mapping[str, str],
    change: Callable[[str], str | pa.Table],
    *,
    order: str | None = None,
) -> bool:
    """Replaces each file of a partition by what a function makes of its rows.

    The files keep saying which job and inputs made them, and an emptied file stays, so that a delivery or a day that
    was there still is.

    Args:
        lake: The lake.
        spec: The table.
        values: Value of each partition column.
        change: From SQL of a file's rows (partition columns first) to SQL or Arrow rows in their place.
        order: As for ``Lake.stage``: "" if the change keeps the order of the rows that it keeps.

    Returns:
        Whether any row changed.

    Raises:
        CommitConflict: Others kept changing the partition.
    """

    def changed(live: Sequence[Partition]) -> Iterator[Staged]:
        files = [file for one in live for file in one.files]
        footers = lake.footers(files)
        for file in files:
            rows = change(lake.relation(spec, [Partition(file.values, (file,))]))
            yield lake.stage(spec, rows, values, made_by=footers[file.path].made_by, order=order)

    return bool(_of(lake, spec, values)) and _replace(lake, spec, values, changed)


def add_rows(
    lake: Lake, spec: TableSpec, values: Mapping[str, str], rows: pa.Table, *, made_by: Mapping[str, object]
) -> None:
    """Adds rows to a partition, which becomes one file; a row with the key of one that is there takes its place.

    Raises:
        CommitConflict: Others kept changing the partition.
    """
    key = ", ".join(f'"{name}"' for name in spec.key)

    def with_added(live: Sequence[Partition]) -> Iterator[Staged]:
        kept = f"FROM ({lake.relation(spec, live)}) ANTI JOIN added_rows USING ({key})"
        source = f"SELECT * FROM ({kept}) UNION ALL BY NAME FROM added_rows"  # noqa: S608 - quoted
        yield lake.stage(spec, source, values, made_by=made_by)

    lake.con.register("added_rows", rows)
    try:
        _replace(lake, spec, values, with_added)
    finally:
        lake.con.unregister("added_rows")


def _replace(
    lake: Lake,
    spec: TableSpec,
    values: Mapping[str, str],
    stage: Callable[[Sequence[Partition]], Iterator[Staged]],
) -> bool:
    """Commits what is staged in place of what is there, again from the start where somebody else was faster."""
    for _ in range(_ATTEMPTS):
        live = _of(lake, spec, values)
        files = [file for one in live for file in one.files]
        staged: list[Staged] = []
        try:
            for one in stage(live):
                staged.append(one)  # one by one: what was staged before a failure is discarded
            return lake.commit(spec, staged, replace=_selecting(values), expect=[file.path for file in files])
        except CommitConflict:
            lake.discard(staged)
        except duckdb.IOException:
            lake.discard(staged)
            if all(file.path.exists() for file in files):
                raise
            # else replaced, and the old file collected, since it was listed
        except BaseException:
            lake.discard(staged)
            raise
    raise CommitConflict(f"{spec.full_name} {dict(values)}: others kept changing it, {_ATTEMPTS} times; run again")


def drop_partitions(lake: Lake, spec: TableSpec, partitions: Sequence[Partition]) -> None:
    """Removes partitions, each by a commit of nothing; one that changed since it was listed stays.

    Raises:
        CommitConflict: Other writers won the race for too long.
    """
    for partition in partitions:
        expect = [file.path for file in partition.files]
        lake.commit(spec, [], replace=_selecting(partition.values), expect=expect)


def _of(lake: Lake, spec: TableSpec, values: Mapping[str, str]) -> list[Partition]:
    return [partition for partition in lake.partitions(spec) if dict(partition.values) == dict(values)]


def _selecting(values: Mapping[str, str]) -> dict[str, list[str]]:
    return {name: [value] for name, value in values.items()}
