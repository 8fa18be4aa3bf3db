"""Writes input tables of a job straight into a lake, as the job before would have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import pyarrow as pa

from crossdomain.jobs.runner import open_lake
from crossdomain.settings import Settings
from crossdomain.tables import registry


def put(settings: Settings, table: str, day: date, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes a partition; columns that the rows leave out are null, ``delivered_ds`` is the day."""
    spec = registry(settings.include).get(table)
    with open_lake(settings) as lake:
        columns = ", ".join(f"CAST(NULL AS {column.type}) AS {column.name}" for column in spec.columns)
        schema = lake.con.sql(f"SELECT {columns} WHERE false").to_arrow_table().schema
        filled = [{"delivered_ds": day, "feed": "test", **row} for row in rows]
        data = pa.Table.from_pylist([{name: row.get(name) for name in schema.names} for row in filled], schema=schema)
        staged = lake.stage(spec, data, {"ds": day.isoformat()}, made_by={"job": "test", "rows": str(filled)})
        lake.commit(spec, [staged], replace={"ds": [day.isoformat()]})


def read(settings: Settings, table: str, day: date) -> list[dict[str, Any]]:
    """Rows of a partition in file order."""
    spec = registry(settings.include).get(table)
    with open_lake(settings) as lake:
        partitions = [partition for partition in lake.partitions(spec) if partition.ds == day]
        rows: list[dict[str, Any]] = lake.con.sql(lake.relation(spec, partitions)).to_arrow_table().to_pylist()
        return rows
