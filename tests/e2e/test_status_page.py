"""The status page in a real Airflow, seen by a real browser: behind the login, and with the lake's days on it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from crossdomain.content.plots import DayShare, Histogram, TopicMark, similarity_distribution, topic_map, topic_shares
from crossdomain.content.report import write_plots
from crossdomain.content.topic_layout import hellinger_distances
from crossdomain.demo.airflow_session import AirflowSession
from crossdomain.experiments.design import load_designs
from crossdomain.experiments.history import analysis_from_rows
from crossdomain.experiments.page import render_page
from crossdomain.experiments.page_files import write_page
from crossdomain.jobs.runner import open_lake
from crossdomain.quality.data_docs import write_data_docs
from crossdomain.quality.results import GateResult, RuleResult, to_quality_rows
from crossdomain.settings import Settings
from crossdomain.storage.home import Home
from crossdomain.storage.models import ModelStore
from crossdomain.tables import registry

if TYPE_CHECKING:
    from playwright.sync_api import Page

REPOSITORY = Path(__file__).resolve().parents[2]
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
FIRST = date(2026, 1, 5)
QUOTE = "'"
HOSTILE = "<img src=x onerror=document.title='hacked'>"

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium on the PATH: install the system's package `chromium`"),
]


def gate_rows(day: int, *, holds: bool) -> pa.Table:
    rule = RuleResult("events.value.at_least", "fail", holds, f"3 of 9 rows {HOSTILE}", 3, 9, "No negative sales.")
    return to_quality_rows([GateResult("clean.events", date(2026, 1, day), 9, (rule,))])


CHAMPIONS = (
    "SELECT 'beauty' AS target_domain, 'als-0123' AS model_version, 'als' AS model, 'ndcg@10' AS metric, "
    "0.125 AS value, NULL AS challenger_version, NULL AS challenger_value, 40 AS n, 'first' AS decision, "
    "'the first model' AS reason"
)
MODEL_DRIFT = (
    "SELECT 'beauty' AS target_domain, 'all' AS segment, 'als' AS source, 'scores' AS measure, 1.5 AS value, "
    "0.5 AS before, 0.75 AS drift, 0.25 AS threshold, 'alarm' AS status, 5000 AS n, NULL AS model_version, "
    "'0.750 is more than 0.25' AS reason"
)
ALARM = (
    "SELECT 'clean.events' AS table_name, 'null_share' AS measure, 'value' AS column_name, '' AS category, "
    "0.31 AS observed, 0.25 AS expected, 0.24 AS low, 0.262 AS high, 9 AS rows, 40 AS quiet_days, 'alarm' AS status, "
    f"'above {HOSTILE.replace(QUOTE, QUOTE * 2)}' AS reason"
)
BROKEN_REFERENCE = (
    "SELECT 'clean.events' AS table_name, 'events.item_id.exists_in.items' AS rule_id, 'warn' AS severity, "
    "false AS success, '5 of 9 rows' AS observed, 5 AS unexpected_rows, 9 AS rows, 'No item.' AS reason"
)
DELIVERED = "SELECT 'events' AS table_name, 'v' AS version, 1 AS files, 12 AS rows_read, 3 AS rows_replaced"
COUNTED = (
    "SELECT 'events' AS table_name, 'shop' AS feed, DATE '2026-01-07' AS delivered_ds, 'clean' AS class, 9 AS rows "
    "UNION ALL SELECT 'events', 'shop', DATE '2026-01-07', 'quarantined', 1"
)
EXPERIMENT = (
    "SELECT 'exp_bundle_banner' AS experiment_id, 'purchase_rate' AS metric, 'treatment' AS variant, "
    "'proportion' AS kind, true AS is_primary, 0.021 AS estimate, 0.008 AS low, 0.034 AS high, 0.0016 AS p, "
    "0.3 AS relative, 0.1 AS relative_low, 0.5 AS relative_high, 0.091 AS mean, 0.07 AS mean_control, 4000 AS n, "
    "4000 AS n_control, 0.05 AS alpha, 'z_delta' AS method, 'delta' AS relative_method, 'measured' AS verdict, "
    "DATE '2026-01-05' AS first_ds, DATE '2026-01-07' AS last_ds, 0.0066 AS se, 0.0016 AS p_adjusted, "
    "0.05 AS nominal_alpha, 'higher' AS better, 0.999 AS better_probability, 0.0 AS expected_loss"
)
BUNDLE = (
    "SELECT 'b1' AS bundle_id, 1 AS topic, '面霜、屏障：护肤课 × 面霜' AS title, '围绕“面霜”\nAround “面霜”' AS blurb, "
    f"'双方都讲到\n{HOSTILE.replace(QUOTE, QUOTE * 2)}' AS reason, ['k1'] AS knowledge_items, ['b1'] AS beauty_items, "
    "0.5 AS strength, ['面霜'] AS shared_words, 'k1' AS strongest_knowledge_item, 'b1' AS strongest_beauty_item, "
    "0.5 AS strongest_similarity, 99 AS price_min, 129.5 AS price_max, 228.5 AS price_sum, ['林'] AS lecturers, "
    "['某牌'] AS brands"
)
DAG = """
from airflow.sdk import dag

@dag(schedule=None)
def content_daily():
    pass

content_daily()
"""


TOPIC = """
    SELECT 1 AS topic, '面霜' AS label, ['面霜'] AS words, 0.1 AS coherence, 3 AS items, 1.0 AS share,
        0.5 AS knowledge_share, true AS shared, 0.0 AS shared_p, DATE '2026-01-05' AS trained_ds,
        '{version}' AS model_version
"""


def pictures(days: list[date]) -> dict[str, bytes]:
    """Pictures of three topics, one of them with a label that would be markup."""
    words = np.array([[0.6, 0.3, 0.1], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]])
    labels = ["面霜、屏障、保湿", HOSTILE, "基金、理财、定投"]
    marks = [
        TopicMark(n + 1, label, share, part)
        for n, (label, share, part) in enumerate(zip(labels, (0.5, 0.3, 0.2), (0.5, 0.1, 1.0), strict=True))
    ]
    shares = [DayShare(day, mark.topic, mark.label, mark.share) for day in days for mark in marks]
    bins = Histogram("知识 knowledge → 美妆 beauty", (0.0, 0.1, 0.2, 0.3), (900, 50, 40), (940, 20, 0), 0.2, 40)
    return {
        "topic_map": topic_map(marks, hellinger_distances(words), caption="2026-01-07"),
        "topic_shares": topic_shares(shares, caption="2026-01-05 … 2026-01-07"),
        "similarity": similarity_distribution([bins], caption="2026-01-07"),
    }


@pytest.fixture(scope="module")
def lake_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose lake has two complete days and a refused one between them."""
    home = tmp_path_factory.mktemp("家 with space")
    settings = Settings(home=home)
    tables = registry(settings.include)
    models = ModelStore(Home(home))
    version = models.save("topics", {"names.json": b"{}"}, {})
    models.save_pictures("topics", version, {"topic_map": pictures([FIRST])["topic_map"]})
    written = [("serving.quality_results", day, gate_rows(day, holds=day != 6)) for day in (5, 6, 7)]
    decided = [
        ("serving.champions", 7, CHAMPIONS),
        ("serving.recommendation_drift", 7, MODEL_DRIFT),
        ("serving.experiment_metrics", 7, EXPERIMENT),
        ("serving.drift_results", 7, ALARM),
        ("serving.consistency_results", 7, BROKEN_REFERENCE),
        ("derived.row_counts", 7, COUNTED),
        ("serving.bundles", 7, BUNDLE),
        ("serving.topics", 7, TOPIC.format(version=version)),
    ]
    with open_lake(settings) as lake:
        for name, day, rows in [*written, *decided]:
            values = {"ds": f"2026-01-{day:02}"}
            staged = lake.stage(tables.get(name), rows, values, made_by={})
            lake.commit(tables.get(name), [staged], replace={"ds": [values["ds"]]})
        design = next(one for one in load_designs(settings.include / "experiments") if one.data == "exposures")
        spec = tables.get("serving.experiment_metrics")
        results = lake.con.sql(lake.relation(spec, lake.partitions(spec))).to_arrow_table().to_pylist()
        shown = analysis_from_rows(design, date(2026, 1, 7), results, [], [])
        assert shown is not None
        write_page(Home(home), design.experiment_id, date(2026, 1, 7), render_page(shown))
        spec, values = tables.get("derived.deliveries"), {"feed": "shop", "ds": "2026-01-07"}
        lake.commit(spec, [lake.stage(spec, DELIVERED, values, made_by={})], replace={"ds": [values["ds"]]})
    days = [date(2026, 1, day) for day in (5, 6, 7)]
    for place, day in enumerate(days[1:], start=2):
        write_plots(Home(home), day, pictures(days[:place]))
    rule = RuleResult("events.value.at_least", "fail", False, HOSTILE, 3, 9, "No negative sales.")
    write_data_docs(Home(home), date(2026, 1, 6), [GateResult("clean.events", date(2026, 1, 6), 9, (rule,))])
    return home


@pytest.fixture(scope="module")
def session(lake_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowSession]:
    """An Airflow with one empty DAG and this project's plugins, looking at that home."""
    folder = tmp_path_factory.mktemp("airflow")
    (folder / "dags").mkdir()
    (folder / "dags" / "content_daily.py").write_text(DAG, encoding="utf-8")
    env = {"CROSSDOMAIN_HOME": str(lake_home), "CROSSDOMAIN_START": FIRST.isoformat()}
    with AirflowSession(folder / "dags", REPOSITORY / "plugins", folder / "home", env) as session:
        yield session


def test_plugin_imports_nothing_heavy(tmp_path: Path) -> None:
    """Every Airflow process loads every plugin."""
    code = (
        "import sys; sys.path.insert(0, 'plugins'); import crossdomain_status; "
        "print([name for name in ('fastapi', 'duckdb', 'deltalake', 'pandas', 'crossdomain') if name in sys.modules])"
    )
    environment = {**os.environ, "AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, env=environment, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1:] == ["[]"], done.stdout + done.stderr


def status_of(address: str) -> int:
    request = urllib.request.Request(address)  # noqa: S310 - our own loopback address
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.parametrize(
    "path",
    [
        "", "overview.json", "page.js", "words.js", "elements.js", "page.css", "data-docs/index.html", "content.html",
        "content.js", "content.json", "content/2026-01-07/topic_map.svg", "models/topics/x/topic_map.svg",
        "experiments/exp_bundle_banner/2026-01-07.html",
    ],
)  # fmt: skip
def test_nobody_sees_the_page_without_login(session: AirflowSession, path: str) -> None:
    assert status_of(f"{session.address}/crossdomain-status/{path}") == 401


@pytest.mark.parametrize("path", ["docs", "openapi.json", "../crossdomain_status.py"])
def test_nothing_else_is_served(session: AirflowSession, path: str) -> None:
    assert status_of(f"{session.address}/crossdomain-status/{path}") == 404


@contextmanager
def signed_in(session: AirflowSession) -> Iterator[tuple[Page, list[str]]]:
    """A page of a browser that is signed in, and the errors that scripts on it raise."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=60_000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=FLAGS)
        page = browser.new_page(viewport={"width": 1440, "height": 1000}, locale="en-GB")
        page.set_default_timeout(60_000)
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        user, password = session.login
        page.goto(session.address)
        page.locator("input[name=username]").fill(user)
        page.locator("input[name=password]").fill(password)
        page.locator("button[type=submit]").click()
        page.wait_for_url(lambda address: "/login" not in address)
        yield page, problems
        browser.close()


def open_from_menu(page: Page, item: str, address: str) -> None:
    """Opens a page of Airflow's menu; on a busy machine a click may meet a menu that is just drawn anew."""
    from playwright.sync_api import TimeoutError as TimedOut

    for last in (False, False, True):
        page.get_by_role("button", name="Browse").click()
        page.get_by_role("menuitem", name=item).click()
        try:
            return page.wait_for_url(address, timeout=60_000 if last else 15_000)
        except TimedOut:
            if last:
                raise
            page.keyboard.press("Escape")
    return None


def test_page_shows_the_days_of_the_lake(session: AirflowSession, tmp_path: Path) -> None:
    from playwright.sync_api import expect

    with signed_in(session) as (page, problems):
        open_from_menu(page, "Data status", "**/plugin/crossdomain-status")
        status = page.frame_locator("iframe")
        cells = status.locator("td[data-table='serving.quality_results']")
        expect(cells).to_have_count(3)
        events = status.locator("td[data-table='clean.events']")
        assert [events.nth(n).get_attribute("data-state") for n in range(3)] == ["missing", "refused", "missing"]
        expect(status.locator("#gate")).to_contain_text("2026-01-06 refused")
        expect(status.locator("#gate")).to_contain_text(HOSTILE)
        expect(status.locator("#champions")).to_contain_text("als-0123")
        expect(status.locator("#model-drift")).to_contain_text("2026-01-07: 1 measures, 1 alarms")
        expect(status.locator("#model-drift td.alarm")).to_have_text("0.75")
        expect(status.locator("#experiments")).to_contain_text("0.008 … 0.034 (95 %)")
        expect(status.locator("#experiments svg.bar")).to_have_count(1)
        expect(status.locator("#watch")).to_contain_text("2026-01-07: 1 measures, 1 alarms")
        expect(status.locator("#watch td.alarm")).to_have_text("31 %")
        expect(status.locator("#watch")).to_contain_text("24 % … 26.2 %")
        expect(status.locator("#watch")).to_contain_text("events.item_id.exists_in.items")
        expect(status.locator("#deliveries")).to_contain_text(
            "Delivery of 2026-01-07: 15 rows read, 9 clean, 2 waiting"
        )
        expect(status.locator("#experiments ul.pages a")).to_have_text(["2026-01-07"])
        row = status.locator("#deliveries tbody tr td")
        assert row.all_text_contents() == ["events", "shop", "15", "9", "1", "·", "·", "3", "·", "2"]
        status.locator("#language").click()
        expect(status.locator("#gate")).to_contain_text("2026-01-06 被拒绝")
        page.screenshot(path=tmp_path / "page.png", full_page=True)

        page.goto(f"{session.address}/crossdomain-status/")
        expect(page.locator("body[data-ready=yes]")).to_have_count(1)
        assert page.title() == "数据状态"

        page.locator("#gate a").first.click()
        expect(page.locator("h1")).to_have_text("质量规则 Quality rules · 2026-01-06")
        expect(page.locator("body")).to_contain_text(HOSTILE)
        page.goto(f"{session.address}/crossdomain-status/data-docs/index.html")
        expect(page.locator("body")).to_contain_text("1 rules, 1 broken")
        for name in ("..%2Fquality%2F2026-01-06.json", ".lock", "rules-2026-01-05.html"):
            assert page.request.get(f"{session.address}/crossdomain-status/data-docs/{name}").status == 404, name
        page.goto(f"{session.address}/crossdomain-status/experiments/exp_bundle_banner/2026-01-07.html")
        expect(page.locator("section[lang=en] h2").first).to_have_text("Checks")
        assert page.locator("body").evaluate("body => getComputedStyle(body).maxWidth") == "900px"
        page.screenshot(path=tmp_path / "experiment.png", full_page=True)
        assert problems == []


def test_content_page_is_a_tab_of_the_dag(session: AirflowSession, tmp_path: Path) -> None:
    from playwright.sync_api import expect

    with signed_in(session) as (page, problems):
        page.goto(f"{session.address}/dags/content_daily")
        page.get_by_role("link", name="内容图表 Content").click()
        page.wait_for_url("**/dags/content_daily/plugin/crossdomain-content")
        content = page.frame_locator("iframe")
        expect(content.locator("body[data-ready=yes]")).to_have_count(1)
        expect(content.locator("#summary")).to_have_text("Content of 2026-01-07, made by content_daily.")
        for name in ("topic_map", "topic_shares", "similarity"):
            image = content.locator(f"img[data-plot={name}]")
            expect(image).to_have_attribute("src", f"content/2026-01-07/{name}.svg")
            image.evaluate("image => image.decode()")
            assert image.evaluate("image => image.naturalWidth") == 1080
        saved = content.locator("p.saved[data-plot=topic_map] a")
        expect(saved).to_contain_text("trained on 2026-01-05")
        expect(content.locator("p.saved[data-plot=similarity] a")).to_have_count(0)
        kept = page.request.get(f"{session.address}/crossdomain-status/{saved.get_attribute('href')}")
        assert (kept.status, kept.body()[:4]) == (200, b"<svg")
        expect(content.locator("#bundles td").first).to_have_text("面霜、屏障：护肤课 × 面霜")
        expect(content.locator("#bundles")).to_contain_text(HOSTILE)
        expect(content.locator("#bundles")).to_contain_text("99.00 … 129.50")
        content.locator("#day").select_option("2026-01-06")
        expect(content.locator("#bundles")).to_contain_text("No bundle on this day")
        content.locator("#language").click()
        expect(content.locator("#summary")).to_have_text("2026-01-06 的内容，由 content_daily 生成。")
        page.screenshot(path=tmp_path / "tab.png", full_page=True)

        page.goto(f"{session.address}/crossdomain-status/content.html?dag=clean_daily")
        expect(page.locator("#summary")).to_contain_text("不是此 DAG 的产物，而是 content_daily 的")
        page.screenshot(path=tmp_path / "content.png", full_page=True)
        assert page.title() == "内容：主题、相似度与组合"
        for name in ("2026-01-09/topic_map", "2026-01-07/..%2Fsimilarity", "..%2F2026-01-07/topic_map", "2026-01-07/x"):
            assert page.request.get(f"{session.address}/crossdomain-status/content/{name}.svg").status == 404, name
        for name in ("topics/x/topic_map", "topics/..%2F..%2Fx/topic_map", "..%2Fmodels/x/topic_map"):
            assert page.request.get(f"{session.address}/crossdomain-status/models/{name}.svg").status == 404, name
        assert problems == []
