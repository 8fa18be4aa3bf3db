"""The page: whole and repeatable, failed checks on top, both languages, charts that are well formed."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest

from crossdomain.experiments.file_analysis import analyze_rows
from crossdomain.experiments.page import render_page
from crossdomain.experiments.plots import draw_days, draw_effects, draw_split
from crossdomain.experiments.results import CheckResult

SVG = "{http://www.w3.org/2000/svg}"
DESIGN = """
data: {unit: user, variant: arm, day: day}
name: {zh: 横幅 <试验>, en: "Banner & more"}
hypothesis: {zh: 更多, en: More}
variants: {A: 0.5, B: 0.5}
control: A
dimensions: [city]
metrics:
  - {name: revenue, kind: mean, column: revenue}
  - {name: bought, kind: proportion, column: bought}
  - {name: alike, kind: mean, column: alike}
"""


@pytest.fixture
def analysis(design):
    rng = np.random.default_rng(1)
    n = 600
    arm = np.array(["A", "B"] * (n // 2))
    revenue = rng.gamma(2, 5, n) + (arm == "B") * 4
    table = pa.table(
        {
            "user": list(range(n)), "arm": arm.tolist(), "city": rng.choice(["北京", "上海"], n).tolist(),
            "day": [f"2026-01-{5 + i // 2 % 10:02d}" for i in range(n)], "revenue": revenue,
            "bought": (revenue > 10).astype(int), "alike": np.ones(n),
        }
    )  # fmt: skip
    return analyze_rows(design(DESIGN), table, ZoneInfo("Asia/Shanghai"))


def test_the_page_is_whole_and_repeatable(analysis):
    page = render_page(analysis)
    assert page == render_page(analysis)
    assert "横幅 &lt;试验&gt;" in page
    assert "Banner &amp; more" in page
    for text in (
        "上线",
        "ship",
        "检查全部通过"[:2],
        "没有差异，无法检验",
        "no variation to test",
        "北京",
        "primary_better",
    ):
        assert text in page
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "<script" not in page

    class Balanced(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.open: list[str] = []

        def handle_starttag(self, tag, attrs):
            if tag not in ("meta",):
                self.open.append(tag)

        def handle_startendtag(self, tag, attrs):
            pass

        def handle_endtag(self, tag):
            assert self.open.pop() == tag

    checked = Balanced()
    checked.feed(page)
    assert checked.open == []


def test_a_failed_check_stands_on_top(analysis):
    failed = CheckResult("exp", "sample_ratio", False, 1e-9, None, "lost units")
    page = render_page(replace(analysis, checks=(*analysis.checks, failed)))
    assert page.index("检查未通过") < page.index("<table>")
    assert page.index("CHECKS FAILED") < page.rindex("lost units")


def _drawn(picture: bytes, name: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(picture).iter(SVG + name))  # noqa: S314 - our own text


def test_charts_are_well_formed(analysis):
    assert len(_drawn(draw_effects(analysis.metrics), "circle")) == 2  # the metric without variance has none
    assert len(_drawn(draw_days(analysis.daily, "B"), "circle")) == 10
    assert len(_drawn(draw_split(analysis, language="zh"), "rect")) == 3
    assert "没有" in draw_days((), "B", language="zh").decode()


def test_daily_bounds_hold_the_day_by_day_intervals(analysis):
    assert analysis.daily[0].day == "2026-01-05"
    for one in analysis.daily:
        assert one.bound_low < one.low < one.estimate < one.high < one.bound_high
    last = analysis.daily[-1]
    assert last.estimate == analysis.metrics[0].estimate


def test_warnings_stand_above_the_results_in_both_languages(analysis):
    warned = CheckResult("exp", "skewness:revenue", False, None, 0.21, "the difference has <0.2>")
    page = render_page(replace(analysis, warnings=(warned,)))
    assert "注意 · revenue: 数值偏度很大" in page
    assert "Note · revenue: the values are so skewed" in page
    assert "the difference has &lt;0.2&gt;" in page
    english = page[page.index('<section lang="en">') :]
    assert english.index("Note · revenue") < english.index("<h2>Results</h2>")
