"""The plugin's page of an experiment: behind the login, as it was written, and with nothing in it that runs."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from types import ModuleType

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from crossdomain.experiments.page_files import write_page
from crossdomain.storage.home import Home

PLUGIN = Path(__file__).resolve().parents[2] / "plugins" / "crossdomain_status.py"
ADDRESS = "/experiments/exp/2026-01-06.html"

pytestmark = pytest.mark.airflow


@pytest.fixture(scope="module")
def plugin() -> ModuleType:
    spec = importlib.util.spec_from_file_location("crossdomain_status", PLUGIN)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def app(plugin: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    """The plugin's application over a home with the pages of two days."""
    monkeypatch.setenv("CROSSDOMAIN_HOME", str(tmp_path))
    for day in (5, 6):
        write_page(Home(tmp_path), "exp", date(2026, 1, day), f"<!doctype html><title>试验 {day}</title>")
    made: FastAPI = plugin.build_app()
    return made


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    """Somebody who may see the plugins: the page's own check of the login is answered with yes."""
    for route in app.routes:
        for dependency in getattr(route, "dependencies", ()):
            app.dependency_overrides[dependency.dependency] = lambda: None
    with TestClient(app) as client:
        yield client


def test_a_page_is_served_as_it_was_written(client: TestClient) -> None:
    answer = client.get(ADDRESS)
    assert (answer.status_code, answer.text) == (200, "<!doctype html><title>试验 6</title>")
    assert answer.headers["content-type"].startswith("text/html")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy, "what default-src refuses is not allowed again"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["exp/2026-01-07", "other/2026-01-06", "..%2Fexperiments%2Fexp/2026-01-06", "exp/x"])
def test_what_is_not_there_is_not_found(client: TestClient, path: str) -> None:
    assert client.get(f"/experiments/{path}.html").status_code == 404


def test_the_overview_names_the_pages_newest_first(client: TestClient) -> None:
    assert client.get("/overview.json?days=14").json()["experiment_pages"] == {"exp": ["2026-01-06", "2026-01-05"]}
    assert client.get("/overview.json?days=1").json()["experiment_pages"] == {"exp": ["2026-01-06"]}


def test_nobody_sees_a_page_without_login(app: FastAPI) -> None:
    with TestClient(app) as stranger:
        for address in (ADDRESS, "/experiments/exp/2026-01-07.html"):
            answer = stranger.get(address)
            assert answer.status_code == 401
            assert "试验" not in answer.text
