from __future__ import annotations

import csv
import gzip
import io
import json
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from crossdomain.demo.landing import FORMATS
from crossdomain.demo.truth import WorldTruth
from crossdomain.demo.world import WorldSummary

FEEDS = Path(__file__).parents[3] / "include/feeds"
CANONICAL = {
    "users", "items", "events", "reviews", "consents", "identity_links", "exposures", "experiment_counts",
    "campaign_costs", "coupons", "sends", "support_entries", "erasure_requests",
}  # fmt: skip


def _feed(name: str) -> dict:
    return yaml.safe_load((FEEDS / f"{name}.yaml").read_text(encoding="utf-8"))


def _rows(path: Path, name: str) -> tuple[list[str], int]:
    """Columns and number of rows, read without the writer's own code."""
    feed = _feed(name)
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    if feed["format"] == "parquet":
        table = pq.read_table(io.BytesIO(data))
        return table.column_names, table.num_rows
    text = data.decode(feed["encoding"])
    if feed["format"] == "jsonl":
        records = [json.loads(line) for line in text.splitlines()]
        return list(records[0]), len(records)
    lines = list(csv.reader(io.StringIO(text), delimiter="\t" if feed["format"] == "tsv" else ","))
    assert {len(line) for line in lines} == {len(lines[0])}
    return lines[0], len(lines) - 1


def test_every_canonical_table_has_a_feed() -> None:
    assert {_feed(name)["table"] for name in FORMATS} == CANONICAL


@pytest.mark.parametrize("name", FORMATS)
def test_feed_file_describes_what_is_written(name: str) -> None:
    feed, shape = _feed(name), FORMATS[name]
    assert (feed["feed"], feed["format"]) == (name, shape.format)
    if shape.format != "parquet":
        assert feed["encoding"] == shape.encoding
    sources = [column if isinstance(column, str) else column["from"] for column in feed["columns"].values()]
    named = {source.split(".")[0] for source in sources} | set(feed.get("ignore", []))
    if "version" in feed:
        named.add(feed["version"])
    assert named == set(shape.columns)


@pytest.mark.parametrize("name", FORMATS)
def test_every_feed_has_a_file_every_day_with_the_rows_of_the_truth(
    name: str, folder: Path, world: WorldSummary, truth: WorldTruth
) -> None:
    counted = truth.delivered_rows[truth.delivered_rows.feed == name].set_index("delivery_day").rows
    day = world.first_delivery
    while day <= world.last_delivery:
        [path] = (folder / "landing" / name / day.isoformat()).glob(f"{name}.*")
        columns, rows = _rows(path, name)
        assert columns == list(FORMATS[name].columns)
        assert rows == counted.get(day.isoformat(), 0)
        day += timedelta(days=1)


def test_only_the_history_delivery_says_so(folder: Path, world: WorldSummary) -> None:
    notes = sorted((folder / "landing").glob("*/*/_delivery.yaml"))
    assert len(notes) == len(FORMATS)
    assert {path.parent.name for path in notes} == {world.first_delivery.isoformat()}
    assert yaml.safe_load(notes[0].read_bytes()) == {"history": True, "observed": world.first_delivery}


def test_gzip_bytes_have_no_clock(folder: Path) -> None:
    path = next((folder / "landing/beauty_events").glob("*/*.gz"))
    assert path.read_bytes()[4:8] == bytes(4)
