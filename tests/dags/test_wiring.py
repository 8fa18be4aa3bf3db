"""A key that comes first must not be lost: whatever a job needs starts it, or came before something that does."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from crossdomain.jobs.registry import DUTIES, NAMES, job
from crossdomain.settings import Settings
from crossdomain.tables import registry
from tests.wiring import starters

STARTED = sorted({*NAMES, *DUTIES} - {"ingest"})


def needs(name: str) -> set[str]:
    """Jobs whose tables a job cannot do without on its own day."""
    return _makers(wanted.table for wanted in job(name).inputs if not wanted.optional) - {name}


def reads_daily(name: str) -> set[str]:
    """Tables that a job cannot do without on its own day, and deliveries that it reads."""
    return {wanted.table for wanted in job(name).inputs if not wanted.optional or wanted.table.startswith("raw.")}


def _makers(names: Iterable[str]) -> set[str]:
    tables = registry(Settings().include)
    return {tables.get(table).job for table in names}


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


def heard_through(name: str) -> set[str]:
    """Tables whose changes surely start a job: directly, or by way of one that tells whatever it builds of them."""
    found: set[str] = set()
    for starter in starters().get(name, set()):
        found |= set(job(starter).outputs)
        if job(starter).tells_unchanged:
            found |= heard_through(starter) & reads_daily(starter)
    return found


@pytest.mark.parametrize("name", STARTED)
def test_what_a_job_reads_cannot_change_unheard(name: str) -> None:
    """A withdrawal that changes the people of a day but not its model must reach the day's recommendations.

    So must a new phone number, which changes no clean row, reach the vault.
    """
    unheard = reads_daily(name) - heard_through(name) - set(job(name).outputs)
    assert not unheard, f"{name} does not hear of changes of {sorted(unheard)}"


def test_every_serving_table_that_changes_is_published() -> None:
    written = {spec.full_name for spec in registry(Settings().include) if spec.layer == "serving"}
    assert not written - heard_through("publish")
