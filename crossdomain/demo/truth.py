"""The truth beside the landing files, and how to read it back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from crossdomain.errors import MissingInput

TABLES = (
    "items",
    "people",
    "held_out",
    "bundle_items",
    "experiment",
    "dirt",
    "delivered_rows",
    "business_rows",
    "withdrawals",
    "erasures",
    "contacts",
)


@dataclass(frozen=True)
class WorldTruth:
    """What was planted in a world.

    Attributes:
        world: parameters, topics (key, name, domains, words), carry-over matrix, experiment, dirt rates and meanings.
        items: a row an item: domain, item_id, topic (key), weight (popularity within the topic), price (yuan),
            quality (mean stars).
        people: a row a person: person, knowledge_user_id, beauty_user_id (null where unknown), link (none, listed,
            contact, late), linked_at (local text or null), knowledge_taste and beauty_taste (lists in the order of
            `world["knowledge_topics"]`, `world["beauty_topics"]`; also where the person has no account).
        held_out: what one-sided people would take on the other side: person, known_domain, user_id, target_domain,
            item_id, place (1 to 10, drawn independently like their behaviour would be).
        bundle_items: the items of the topics that both domains sell: topic, domain, item_id, weight.
        experiment: a row a day, all exposed accounts so far: see `experiment.ArmTruth`.
        dirt: feed, delivery_day, kind, rows.
        delivered_rows: feed, delivery_day, rows (without headers).
        business_rows: domain, business_day, rows: good events of the day that were delivered by the end.
        withdrawals: domain, user_id, purpose, withdrawn_at (local text), delivery_day.
        erasures: domain, user_id, requested_at (local text), delivery_day.
        contacts: contacts in free text that must be masked: feed, domain, row_id (review or support entry), kind (of
            `crossdomain.text.spans`, or `decoy` for a sentence that must stay), value, start (position in the text).
    """

    world: Mapping[str, Any]
    items: pd.DataFrame
    people: pd.DataFrame
    held_out: pd.DataFrame
    bundle_items: pd.DataFrame
    experiment: pd.DataFrame
    dirt: pd.DataFrame
    delivered_rows: pd.DataFrame
    business_rows: pd.DataFrame
    withdrawals: pd.DataFrame
    erasures: pd.DataFrame
    contacts: pd.DataFrame


def write_truth(folder: Path, *, world: Mapping[str, Any], tables: Mapping[str, pa.Table]) -> None:
    """Write `folder/truth/world.json` and one Parquet file a table of `TABLES`."""
    target = folder / "truth"
    target.mkdir(parents=True, exist_ok=True)
    text = json.dumps(world, ensure_ascii=False, indent=1) + "\n"
    (target / "world.json").write_bytes(text.encode())
    for name in TABLES:
        pq.write_table(tables[name], target / f"{name}.parquet", compression="zstd")


def read_truth(folder: Path) -> WorldTruth:
    """Read the truth of a world.

    Args:
        folder: the folder given to `write_world`.

    Returns:
        The truth; days are ISO text.

    Raises:
        MissingInput: the folder holds no world.
    """
    source = folder / "truth"
    if not (source / "world.json").is_file():
        raise MissingInput(f"{source / 'world.json'}: no such file; write a world first: crossdomain demo world")
    frames = {name: pd.read_parquet(source / f"{name}.parquet") for name in TABLES}
    return WorldTruth(world=json.loads((source / "world.json").read_text("utf-8")), **frames)
