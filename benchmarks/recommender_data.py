"""Writes real behaviour files in the canonical columns, for ``crossdomain evaluate recommender``.

The files are read where they lie and written where you say: nothing of them belongs into the repository.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

Rows = list[dict[str, object]]


def write_set(name: str, data: Path, out: Path) -> dict[str, Path]:
    """The files of one set: ``events`` and maybe ``items`` and ``test``."""
    tables = {
        "beauty_electronics": beauty_electronics,
        "phone_sport": phone_sport,
        "mooc": mooc,
        "douban": douban,
        "douban_held_out": douban_held_out,
    }[name](data)
    out.mkdir(parents=True, exist_ok=True)
    paths = {}
    for kind, rows in tables.items():
        paths[kind] = out / f"{name}_{kind}.parquet"
        pq.write_table(pa.Table.from_pylist(rows), paths[kind])
    return paths


def beauty_electronics(data: Path) -> dict[str, Rows]:
    """People known in both domains, with times."""
    folder = data / "behaviour_beauty_electronics"
    with gzip.open(folder / "items.csv.gz", "rt") as file:
        items: Rows = [dict(row) for row in csv.DictReader(file)]
    domain = {row["item_id"]: row["domain"] for row in items}
    events: Rows = []
    for user, *steps in _lines(folder / "sequences.txt.gz"):
        for step in steps:
            item, ts = step.split("|")
            events.append({"user_id": user, "domain": domain[item], "item_id": item, "ts": int(ts)})
    return {"events": events, "items": items}


def phone_sport(data: Path) -> dict[str, Rows]:
    """Two domains, one held-out item a person in each."""
    folder = data / "behaviour_phone_sport"
    out: dict[str, Rows] = {"events": [], "test": []}
    for domain in ("phone", "sport"):
        for kind, file in (("events", "train"), ("test", "test_original")):
            for user, item, _ in _lines(folder / f"{domain}_{file}.tsv.gz"):
                out[kind].append({"user_id": user, "domain": domain, "item_id": item})
    return out


def mooc(data: Path) -> dict[str, Rows]:
    """Courses in the order of enrolment, one held-out course a person.

    The last number of a training line is no course and is left out: it is a function of the held-out course (each of
    these always has the same number, 467 numbers for 3,069 courses), so it would give away part of the answer.
    """
    out: dict[str, Rows] = {}
    for kind, file, end in (("events", "train", -1), ("test", "test", None)):
        out[kind] = [
            {"user_id": user, "domain": "knowledge", "item_id": item}
            for user, *items in _lines(data / "behaviour_mooc" / f"{file}.txt.gz")
            for item in items[:end]
        ]
    return out


def douban(data: Path) -> dict[str, Rows]:
    """Rated books and music, in each person's order of time."""
    events: Rows = []
    for domain, file in (("books", "book"), ("music", "music")):
        for user, item, _ in _lines(data / "behaviour_douban" / f"{file}_ratings.tsv.gz"):
            events.append({"user_id": user, "domain": domain, "item_id": item})
    return {"events": events}


def douban_held_out(data: Path) -> dict[str, Rows]:
    """The same without each person's last item of each domain, which is the test: no order is known across domains.

    Whoever has one item in a domain keeps it.
    """
    rows = douban(data)["events"]
    last = {(row["user_id"], row["domain"]): at for at, row in enumerate(rows)}
    first = {(row["user_id"], row["domain"]): at for at, row in reversed(list(enumerate(rows)))}
    held = {at for key, at in last.items() if first[key] != at}
    return {
        "events": [row for at, row in enumerate(rows) if at not in held],
        "test": [row for at, row in enumerate(rows) if at in held],
    }


def _lines(path: Path) -> Iterator[list[str]]:
    with gzip.open(path, "rt") as file:
        for line in file:
            if parts := line.split():
                yield parts
