"""Changing rows of a day that is there: read, change, and commit only if nobody else changed the day meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date

import duckdb
import pyarrow as pa

from crossdomain.errors import CommitConflict
from crossdomain.storage.lake import Lake
from crossdomain.tables import TableSpec

_ATTEMPTS = 50


def rewrite(
    lake: Lake,
    spec: TableSpec,
    day: date,
    change: Callable[[str], str | pa.Table | None],
    *,
    made_by: Mapping[str, object] | None = None,
) -> None:
    """Replaces the rows of one day by what a function makes of them, or leaves them if it gives None.

    The function is asked again where somebody else changed the day before the commit. The file keeps saying which
    inputs it was made from, so that a job that is up to date stays so.

    Args:
        lake: The lake.
        spec: A table partitioned by day.
        day: The day.
        change: From SQL of the day's rows to SQL or Arrow rows in their place.
        made_by: Goes into the footer where the day has no rows yet.

    Raises:
        CommitConflict: Others kept changing the day.
    """
    for _ in range(_ATTEMPTS):
        live = [partition for partition in lake.partitions(spec) if partition.ds == day]
        files = [file for partition in live for file in partition.files]
        try:
            said = [footer.made_by for footer in lake.footers(files).values()]
            rows = change(lake.relation(spec, live))
            if rows is None:
                return
            staged = lake.stage(spec, rows, {"ds": day.isoformat()}, made_by=said[0] if said else made_by or {})
        except duckdb.IOException:
            if all(file.path.exists() for file in files):
                raise
            continue  # replaced, and its old file collected, since it was listed
        try:
            lake.commit(spec, [staged], replace={"ds": [day.isoformat()]}, expect={file.path for file in files})
        except CommitConflict:
            lake.discard([staged])
            continue
        except BaseException:
            lake.discard([staged])
            raise
        return
    raise CommitConflict(f"{spec.full_name} {day}: others kept changing it, {_ATTEMPTS} times; run again")
