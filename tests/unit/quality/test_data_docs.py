"""The Data Docs: what they show, that they need nothing but themselves, and that data cannot become markup."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from html.parser import HTMLParser
from pathlib import Path

import duckdb
import pytest

from crossdomain.quality.data_docs import PAGE_NAME, folder, page_days, write_data_docs, write_watch_docs
from crossdomain.quality.drift_results import Drift
from crossdomain.quality.gate import check_partition
from crossdomain.quality.measures import NULL_SHARE, ROWS, Key
from crossdomain.quality.overrides import Override, overridden
from crossdomain.quality.results import GateResult, RuleResult
from crossdomain.settings import Settings
from crossdomain.storage.home import Home

DAY = date(2026, 1, 5)
HOSTILE = "<script src=https://evil.example/x.js></script>"
MakeDay = Callable[..., duckdb.DuckDBPyRelation]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "家 with space")


class Seen(HTMLParser):
    """What a browser would load, and the text it would show."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.tags: set[str] = set()
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.loads += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "style")]

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


def read(path: Path) -> Seen:
    return Seen(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("frame_rows", [1_000_000, -1], ids=["loaded", "counted"])
def test_a_page_shows_every_rule_as_it_is_recorded(
    home: Home, make_day: MakeDay, settings: Settings, frame_rows: int
) -> None:
    spoilt = make_day("clean.events", replace="CASE WHEN i = 1 THEN 'finance' ELSE domain END AS domain")
    result = check_partition("clean.events", DAY, spoilt, may_be_empty=False, settings=settings, frame_rows=frame_rows)
    page = read(write_data_docs(home, DAY, [result]))
    assert "结论 Verdict: 拒绝 refused" in page.text
    assert all(rule.rule_id in page.text and rule.reason in page.text for rule in result.rules)
    assert "expect_column_values_to_be_in_set" in page.text
    assert "value_set=['beauty', 'knowledge']" in page.text
    assert ("Counted by: duckdb" in page.text) is (frame_rows < 0)
    assert ("Counted by: Great Expectations 1." in page.text) is (frame_rows > 0)
    assert page.text.index("events.domain.known") < page.text.index("events.account.filled"), "broken rules first"


def test_pages_load_nothing_but_their_own_style(home: Home) -> None:
    rule = RuleResult("events.x", "fail", False, HOSTILE, 1, 2, HOSTILE)
    drift = Drift(Key(NULL_SHARE, HOSTILE, HOSTILE), 0.5, 0.1, 0.05, 0.2, 9, 40, "alarm", HOSTILE)
    write_data_docs(home, DAY, [GateResult("clean.events", DAY, 2, (rule,))])
    write_watch_docs(home, DAY, {"clean.events": [drift]}, [("clean.events", rule)])
    pages = sorted(folder(home).glob("*.html"))
    assert [page.name for page in pages] == ["index.html", "rules-2026-01-05.html", "watch-2026-01-05.html"]
    for path in pages:
        page = read(path)
        own = {"data_docs.css", "index.html", "rules-2026-01-05.html", "watch-2026-01-05.html"}
        assert set(page.loads) <= own
        assert not page.tags & {"script", "img", "iframe", "object", "style"}
        assert path.name == "index.html" or HOSTILE in page.text
    assert "url(" not in (folder(home) / "data_docs.css").read_text()


def test_an_overridden_day_names_who_let_it_through(home: Home) -> None:
    results = [GateResult("clean.events", DAY, 2, (RuleResult("events.x", "fail", False, "1 of 2", 1, 2, "Why."),))]
    through = overridden(results, [Override("events.x", "li.na", "a good reason", 1)])
    page = read(write_data_docs(home, DAY, through))
    assert "人工放行 let through by a person" in page.text
    assert "✕ li.na" in page.text


def test_the_watch_page_shows_alarms_first_and_numbers_as_people_write_them(home: Home) -> None:
    drifts = {
        "clean.events": [
            Drift(Key(NULL_SHARE, "value"), 0.153, 0.1, 0.08, 0.12, 9000, 40, "alarm", "above"),
            Drift(Key(ROWS), 9000, 9100.4, 8000, 10300, 9000, 40, "ok", "as expected"),
            Drift(Key("level", "value"), 3.1, None, None, None, 10, 3, "learning", "3 quiet days so far"),
        ]
    }
    broken = RuleResult("events.item_id.exists_in.items", "warn", False, "5 of 9 rows", 5, 9, "No item.")
    page = read(write_watch_docs(home, DAY, drifts, [("clean.events", broken)]))
    assert "指标 Measures: 3. 异常 Alarms: 1 . 学习中 Learning: 1." in page.text
    assert "15.30 % 10.00 % 8.00 % 12.00 %" in page.text
    assert "9,000 9,100 8,000 10,300" in page.text
    assert "events.item_id.exists_in.items" in page.text


def test_the_index_lists_days_newest_first_with_what_was_found(home: Home) -> None:
    good = GateResult("clean.users", DAY, 2, (RuleResult("users.x", "fail", True, "0 of 2", 0, 2, "Why."),))
    for day in (7, 5, 6):
        write_data_docs(home, date(2026, 1, day), [good])
    write_watch_docs(home, date(2026, 1, 6), {}, [])
    index = read(folder(home) / "index.html")
    days = re.findall(r"2026-01-0\d", index.text)
    assert days == ["2026-01-07", "2026-01-06", "2026-01-05"]
    assert "1 rules, 0 broken" in index.text
    assert [name for name in index.loads if name.startswith("watch-")] == ["watch-2026-01-06.html"]
    assert page_days(home) == [date(2026, 1, day) for day in (5, 6, 7)]


def test_the_same_results_give_the_same_bytes(home: Home) -> None:
    result = GateResult("clean.users", DAY, 2, (RuleResult("users.x", "warn", False, "1 of 2", 1, 2, "Why."),))
    write_data_docs(home, DAY, [result])
    before = {path.name: path.read_bytes() for path in folder(home).glob("*.*")}
    write_data_docs(home, DAY, [result])
    assert {path.name: path.read_bytes() for path in folder(home).glob("*.*")} == before


@pytest.mark.parametrize("name", ["../quality/2026-01-05.json", ".lock", "rules-2026-01-05.html.bak", "x.html", ""])
def test_other_names_are_no_pages(name: str) -> None:
    assert PAGE_NAME.match(name) is None
