"""A key that comes first must not be lost: whatever a job needs starts it, or came before something that does."""

from __future__ import annotations

import pytest

from crossdomain.jobs.registry import DUTIES, NAMES, job
from crossdomain.settings import Settings
from crossdomain.tables import registry
from tests.wiring import starters

STARTED = sorted({*NAMES, *DUTIES} - {"ingest"})


def needs(name: str) -> set[str]:
    """Jobs whose tables a job cannot do without on its own day."""
    tables = registry(Settings().include)
    return {tables.get(wanted.table).job for wanted in job(name).inputs if not wanted.optional} - {name}


def known_by(name: str) -> set[str]:
    """Jobs that have surely run for a day when a job's key is told: what it needs, and what those need."""
    found, open_ = {name}, [name]
    while open_:
        more = needs(open_.pop()) - found
        found |= more
        open_ += more
    return found


def test_every_job_is_started_by_keys() -> None:
    assert sorted(starters()) == STARTED


@pytest.mark.parametrize("name", STARTED)
def test_the_last_of_what_a_job_needs_starts_it(name: str) -> None:
    started_by = starters()[name]
    for needed in needs(name):
        assert any(needed in known_by(starter) for starter in started_by), (
            f"{name} needs {needed}, which may come after {sorted(started_by)} have started {name} in vain"
        )
