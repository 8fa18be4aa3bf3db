"""The bad-input corpus: every kind of dirt of ``corpus/`` gets its verdict, through the real ingest and clean."""

from __future__ import annotations

import gzip
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from crossdomain.errors import InputError
from crossdomain.jobs.runner import open_lake
from crossdomain.tables import registry
from tests.unit.ingest.conftest import DAY, World, new_world

CORPUS = Path(__file__).parent / "corpus"
FEEDS: dict[str, dict[str, Any]] = {
    feed["feed"]: feed for feed in yaml.safe_load((CORPUS / "feeds.yaml").read_text(encoding="utf-8"))
}
GROUPS: list[dict[str, Any]] = yaml.safe_load((CORPUS / "rows.yaml").read_text(encoding="utf-8"))
FILES: list[dict[str, Any]] = yaml.safe_load((CORPUS / "files.yaml").read_text(encoding="utf-8"))
FILLER = 400
"""Good events beside the bad ones: a day of which too much is bad would be refused as a whole."""
CASES = [(group["file"], case) for group in GROUPS for case in group["cases"]]


def packed(name: str, header: Sequence[Any] | str | None, lines: Sequence[Any], encoding: str = "utf-8") -> bytes:
    """A file of texts, or of cells where its ending says workbook or Parquet."""
    if name.endswith(".xlsx"):
        book = openpyxl.Workbook()
        sheet = book.active
        assert sheet is not None
        for row in ([] if header is None else [header]) + list(lines):
            sheet.append(row)
        saved = io.BytesIO()
        book.save(saved)
        return saved.getvalue()
    if name.endswith(".parquet"):
        columns = {column: [row[place] for row in lines] for place, column in enumerate(header or ())}
        sink = io.BytesIO()
        pq.write_table(pa.table(columns), sink)
        return sink.getvalue()
    return "".join(f"{line}\n" for line in ([] if header is None else [header]) + list(lines)).encode(encoding)


@dataclass(frozen=True)
class Outcome:
    """What became of the corpus' rows."""

    con: duckdb.DuckDBPyConnection
    quarantined: dict[tuple[str, int], tuple[str, str | None]]
    classes: dict[str, int]

    def clean(self, table: str, **values: Any) -> list[Any]:
        """Clean rows that have these values, each as text."""
        wanted = " AND ".join(f"CAST({name} AS VARCHAR) IS NOT DISTINCT FROM ?" for name in values)
        given = [None if value is None else str(value) for value in values.values()]
        return self.con.execute(f"SELECT * FROM clean.{table} WHERE {wanted}", given).fetchall()


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcome]:
    """All rows of the corpus in one delivery."""
    world = new_world(tmp_path_factory.mktemp("corpus"))
    for group in GROUPS:
        feed, _, name = group["file"].partition("/")
        world.feed(FEEDS[feed])
        lines = [line for case in group["cases"] for line in texts(case)]
        world.deliver(feed, name, packed(name, group.get("header"), lines, group.get("encoding", "utf-8")))
    good = [f"good{number},u1,p1,2026-01-05 12:00:00,1" for number in range(FILLER)]
    world.deliver("plain_events", "good.csv", packed("good.csv", "id,user,item,time,amount", good))
    world.run("ingest")
    world.run("clean")
    quarantined = {
        (f"{feed}/{file.partition('#')[0]}", line): (reason, column)
        for feed, file, line, reason, column in world.rows("raw.quarantine", "feed, file, line, reason, column_name")
    }
    with open_lake(world.settings) as lake:
        for table in {feed["table"] for feed in FEEDS.values()}:
            spec = registry(world.settings.include).get(f"clean.{table}")
            lake.view(spec, lake.partitions(spec), schema="clean")
        yield Outcome(lake.con, quarantined, world.classes())


def texts(case: dict[str, Any]) -> list[Any]:
    return case["lines"] if isinstance(case["lines"], list) else [case["lines"]]


def last_lines() -> Iterator[tuple[dict[str, Any], int]]:
    """Every case with the line on which its last record begins."""
    for group in GROUPS:
        line = 0 if group.get("header") is None or group["file"].endswith(".parquet") else 1
        for case in group["cases"]:
            given = texts(case)
            physical = len(given) if isinstance(case["lines"], list) else case["lines"].count("\n") + 1
            begins = line + physical - (1 if '"top\nleft"' in str(case["lines"]) else 0)
            yield case, begins
            line += physical


LINES = {id(case): line for case, line in last_lines()}


@pytest.mark.parametrize(("file", "case"), CASES, ids=[case["name"] for _, case in CASES])
def test_verdict_of_a_row(outcome: Outcome, file: str, case: dict[str, Any]) -> None:
    table = FEEDS[file.partition("/")[0]]["table"]
    verdict = outcome.quarantined.get((file, LINES[id(case)]))
    if "quarantined" in case:
        assert verdict == tuple(case["quarantined"])
        return
    assert verdict is None
    if "clean" in case:
        key = dict(list(case["clean"].items())[:1])
        assert len(outcome.clean(table, **key)) == len(outcome.clean(table, **case["clean"])) == 1
    if "gone" in case:
        assert outcome.clean(table, **case["gone"]) == []


def test_every_row_of_the_corpus_is_in_exactly_one_class(outcome: Outcome) -> None:
    expected: Counter[str] = Counter({"clean": FILLER})
    for _, case in CASES:
        expected += Counter(case.get("also", {}))
        expected["quarantined"] += "quarantined" in case
        expected["clean"] += "clean" in case
    assert outcome.classes == dict(expected)
    assert len(outcome.quarantined) == expected["quarantined"]


def test_the_corpus_holds_many_kinds_and_none_twice() -> None:
    names = [case["name"] for _, case in CASES] + [case["name"] for case in FILES]
    assert len(names) >= 60
    assert [name for name, count in Counter(names).items() if count > 1] == []


@pytest.mark.parametrize("case", FILES, ids=[case["name"] for case in FILES])
def test_verdict_of_a_file(world: World, case: dict[str, Any]) -> None:
    feed, _, name = case["file"].partition("/")
    world.feed(FEEDS[feed])
    if "rows" in case:
        content = packed(name, *([case["rows"][0], case["rows"][1:]] if case["rows"] else [None, []]))
    elif "hex" in case:
        content = bytes.fromhex(case["hex"])
    else:
        content = case["text"].encode(case.get("encoding", "utf-8"))
    content = gzip.compress(content) if case.get("gzip") else content
    path = world.home.landing(feed, DAY) / name
    path.parent.mkdir(parents=True)
    path.write_bytes(content[: len(content) - case.get("cut", 0)])
    if "taken" in case:
        result = world.run("ingest")
        assert {key: result.notes["feeds"][feed][key] for key in case["taken"]} == case["taken"]
        return
    with pytest.raises(InputError) as refused:
        world.run("ingest")
    assert case["refused"] in str(refused.value)
    assert str(path.parent) in str(refused.value)
    assert world.rows(f"raw.{FEEDS[feed]['table']}") == []
