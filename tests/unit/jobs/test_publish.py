"""Publishing through the lake."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from crossdomain.errors import NotReady
from crossdomain.jobs.registry import job
from crossdomain.jobs.runner import run_job
from crossdomain.settings import Settings
from crossdomain.storage.home import Home
from crossdomain.storage.serving import current, one_publisher, open_current
from tests.unit.jobs.lake_tables import put
from tests.unit.jobs.test_consent_chain import D1, D2

CHAMPION = {
    "target_domain": "beauty", "model_version": "m", "model": "als", "metric": "ndcg@10", "n": 0,
    "decision": "kept", "reason": "none",
}  # fmt: skip


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", start=D1)


def test_nothing_to_publish_is_no_failure_of_the_day(settings: Settings) -> None:
    with pytest.raises(NotReady, match="no serving table has a day"):
        run_job(job("publish"), D1, settings)


def test_who_waited_for_another_publisher_publishes_what_is_newest_then(settings: Settings) -> None:
    put(settings, "serving.champions", D1, [CHAMPION])
    with ThreadPoolExecutor(1) as pool:
        with one_publisher(Home(settings.home)):
            waiting = pool.submit(run_job, job("publish"), D1, settings)
            with pytest.raises(TimeoutError):
                waiting.result(timeout=1)
            assert current(Home(settings.home)) is None
            put(settings, "serving.champions", D1, [{**CHAMPION, "model": "ease"}])
        assert waiting.result(timeout=30).status == "done"
    with open_current(Home(settings.home)) as con:
        assert con.execute("SELECT model FROM champions").fetchall() == [("ease",)]


def test_a_day_that_is_over_changes_nothing(settings: Settings) -> None:
    for day in (D1, D2):
        put(settings, "serving.champions", day, [CHAMPION])
    run_job(job("publish"), D2, settings)
    before = current(Home(settings.home))
    assert [run_job(job("publish"), day, settings).keys for day in (D1, D2)] == [(), ()]
    assert current(Home(settings.home)) == before
