"""How the tests are shared out among workers (``pytest -n 2``): files stay whole, and one Airflow runs at a time."""

from __future__ import annotations

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

ALONE = {
    "tests/e2e/test_airflow_chain.py": "airflow",
    "tests/e2e/test_airflow_session.py": "airflow",
    "tests/e2e/test_status_page.py": "airflow",
}
"""Files that go to one worker together: each starts an Airflow of several processes, and two at once starve."""


class ByFile(LoadScopeScheduling):
    """Gives a worker all tests of a file, so that what a module's or session's fixtures made is made once."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return ALONE.get(file, file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    """The scheduler of ``pytest -n``."""
    # In the order of collection: the long end-to-end files come early, and the small ones fill up what is left.
    config.option.loadscopereorder = False
    return ByFile(config, log)
