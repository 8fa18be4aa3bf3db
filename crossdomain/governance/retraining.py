"""Models that learned from people who were erased, and until when they may be in force."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import pyarrow as pa

from crossdomain.storage.lake import Lake
from crossdomain.storage.models import ModelStore
from crossdomain.storage.removal import add_rows
from crossdomain.tables import TableRegistry

RETRAINING = "derived.retraining"
LEARN_FROM_PEOPLE = ("als", "ranker")
"""The kinds of models that learn from people's events; topics learn from items' texts alone."""


def schedule(
    lake: Lake,
    tables: TableRegistry,
    seen: Mapping[str, Sequence[date]],
    *,
    start: date | None,
    ds: date,
    retrain_days: int,
) -> int:
    """Names the models that must give way.

    Args:
        lake: The lake.
        tables: The tables.
        seen: By receipt, the days that held events of the person.
        start: Declared first day, whose partition holds all history before it.
        ds: Business day of the erasure.
        retrain_days: Days until they must be out of force.

    Returns:
        Rows written: one a receipt and model version that may have learned from such a day.
    """
    store = ModelStore(lake.home)
    rows = [
        (receipt, kind, version)
        for receipt, days in sorted(seen.items())
        for kind in LEARN_FROM_PEOPLE
        for version in store.versions(kind)
        if _learned(store.metadata(kind, version), days, start)
    ]
    if rows:
        due = ds + timedelta(days=retrain_days)
        table = pa.table(
            {
                "receipt_id": [receipt for receipt, _, _ in rows],
                "model": [kind for _, kind, _ in rows],
                "model_version": [version for _, _, version in rows],
                "due_ds": pa.array([due] * len(rows), pa.date32()),
            }
        )
        add_rows(lake, tables.get(RETRAINING), {"ds": ds.isoformat()}, table, made_by={"job": "govern"})
    return len(rows)


def _learned(card: Mapping[str, Any], days: Sequence[date], start: date | None) -> bool:
    first, last = date.fromisoformat(card["window_from"]), date.fromisoformat(card["trained_to"])
    return any(day <= last and (day >= first or day == start) for day in days)
