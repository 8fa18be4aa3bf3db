"""A person is erased from a world that the whole chain has built, and does not come back when it is built again."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from crossdomain.governance.erasing import Ground, Order, Receipt, carry_out
from crossdomain.governance.requests import now
from crossdomain.governance.subjects import make_subject
from crossdomain.governance.verifying import Proof, verify
from crossdomain.jobs.erase import opened
from crossdomain.jobs.registry import NAMES, job
from crossdomain.jobs.runner import open_lake, run_job
from crossdomain.settings import Settings
from crossdomain.storage.home import Home
from crossdomain.storage.keys import load_keys
from crossdomain.storage.serving import open_current
from crossdomain.tables import registry
from tests.e2e.conftest import World, checksums

HOLDING = (
    "landing/knowledge_events", "landing/knowledge_users", "landing/consents", "landing/identity_links",
    "lake/raw/events_v1", "lake/raw/users_v1", "lake/raw/consents_v1", "lake/raw/identity_links_v1",
    "lake/clean/events_v1", "lake/clean/users_v1", "lake/clean/consents_v1", "lake/clean/identity_links_v1",
    "lake/derived/accounts_v1", "lake/derived/consents_v1", "lake/derived/account_links_v1", "lake/derived/people_v1",
    "lake/derived/holdings_v1",
    "lake/vault/person_keys_v1", "lake/vault/personal_fields_v1", "lake/serving/recommendations_v1",
    "serving/serving-",
)  # fmt: skip
"""Where somebody who is known on both sides stands before the erasure."""

Rows = dict[str, Counter[tuple[Any, ...]]]


@dataclass(frozen=True)
class Erased:
    """A home after the erasure, and what was there before."""

    settings: Settings
    who: tuple[str, str]
    before: Proof
    receipt: Receipt
    checksums: dict[tuple[str, ...], str]
    rows: Rows


def prove(ground: Ground, who: tuple[str, str]) -> Proof:
    proof = verify(ground, *who)
    assert proof.unreadable == ()
    assert proof.notes == (), "the search was not limited"
    return proof


def all_rows(settings: Settings) -> Rows:
    """Every row of every table but the vault's, whose bytes say nothing."""
    found = {}
    with open_lake(settings) as lake:
        for spec in registry(settings.include):
            if spec.layer != "vault":
                sql = lake.relation(spec, lake.partitions(spec))
                found[spec.full_name] = Counter(tuple(map(repr, row)) for row in lake.con.execute(sql).fetchall())
    return found


def busiest(world: World, settings: Settings) -> tuple[str, str]:
    """Of those whose given link is in force under the name of their knowledge account, the one with the most traces."""
    keys = load_keys(Home(settings.home))
    asked = set(world.truth.erasures["user_id"])
    accounts = {
        keys.account("knowledge", user): user
        for user in world.truth.people["knowledge_user_id"].dropna()
        if user not in asked
    }
    with open_lake(settings) as lake:
        tables = registry(settings.include)
        for name in ("derived.people", "clean.events", "clean.exposures", "clean.identity_links"):
            lake.view(tables.get(name), lake.partitions(tables.get(name)), schema=name.split(".")[0])
        rows = lake.con.execute(
            """
            SELECT p.account FROM derived.people p
            JOIN derived.people other ON other.ds = p.ds AND other.person = p.account AND other.account <> p.account
            JOIN clean.identity_links l ON l.knowledge_account = p.account
            JOIN clean.events e ON e.account = p.account JOIN clean.exposures x ON x.unit = p.account
            GROUP BY p.account ORDER BY count(*) DESC, p.account
            """
        ).fetchall()
    return "knowledge", next(accounts[account] for (account,) in rows if account in accounts)


@pytest.fixture(scope="module")
def erased(world: World, built: Settings, tmp_path_factory: pytest.TempPathFactory) -> Erased:
    home = tmp_path_factory.mktemp("erased") / "home"
    shutil.copytree(built.home, home)
    settings = replace(built, home=home)
    who = busiest(world, settings)
    sums, rows = checksums(settings, ("raw", "clean", "derived", "serving")), all_rows(settings)
    with opened(settings, world.days[-1]) as ground:
        before = prove(ground, who)
        (receipt,) = carry_out(ground, [Order(*who, requested_at=now(), asked_by="dpo", reason="letter")])
    return Erased(settings, who, before, receipt, sums, rows)


def test_the_search_finds_the_person_in_every_layer_before(erased: Erased) -> None:
    paths = {finding.path for finding in erased.before.findings}
    for place in HOLDING:
        assert any(path.startswith(place) for path in paths), f"a search that misses {place} proves nothing"
    assert {finding.what for finding in erased.before.findings} >= {"the id", "the pseudonym", "a contact's keyed hash"}


def test_nothing_is_found_after(erased: Erased) -> None:
    with opened(erased.settings) as ground:
        assert prove(ground, erased.who).findings == ()


def test_the_receipt_lists_every_row_that_is_gone(erased: Erased) -> None:
    after = all_rows(erased.settings)
    gone = {name: (rows - after[name]).total() for name, rows in erased.rows.items()}
    listed: Counter[str] = Counter()
    for (place, _, _), rows in erased.receipt.found.items():
        listed[place] += rows
    own_books = {"derived.erasures", "derived.erasures_done", "derived.erasure_receipts", "derived.retraining"}
    for name, rows in gone.items():
        if name == "derived.people":  # the person's row, and the linked account's that was renamed
            assert rows == 2 * listed[name], name
        elif name not in own_books:
            assert rows == listed[name], name


def test_everybody_elses_rows_are_as_they_were(erased: Erased) -> None:
    touched = {(place, *partition.split("/")) for place, partition, _ in erased.receipt.found}
    after = checksums(erased.settings, ("raw", "clean", "derived", "serving"))
    for partition, checksum in erased.checksums.items():
        if partition not in touched:
            assert after[partition] == checksum, partition
    rows = all_rows(erased.settings)
    for name, before in erased.rows.items():
        new = rows[name] - before
        if name == "derived.people":
            assert new.total() == 3, "the linked account has a name of its own now, on each of three days"
        elif name not in (
            "derived.erasures",
            "derived.erasures_done",
            "derived.erasure_receipts",
            "derived.retraining",
        ):
            assert new.total() == 0, name


def test_published_aggregates_stay_and_the_person_leaves_the_published_tables(erased: Erased) -> None:
    after = checksums(erased.settings, ("serving",))
    for table in ("serving.experiment_metrics", "serving.experiment_checks", "serving.model_metrics"):
        for partition, checksum in erased.checksums.items():
            assert partition[0] != table or after[partition] == checksum, table
    person = make_subject(load_keys(Home(erased.settings.home)), *erased.who).account
    with open_current(Home(erased.settings.home)) as con:
        assert con.execute("SELECT count(*) FROM recommendations WHERE person = ?", [person]).fetchall() == [(0,)]
        assert con.execute("SELECT count(*) > 0 FROM experiment_metrics").fetchall() == [(True,)]
    assert len(list((erased.settings.home / "serving").glob("*.duckdb"))) == 1, "older publications are gone"


def rebuild(erased: Erased, world: World, home: Path, names: tuple[str, ...]) -> Settings:
    """Builds everything again by force, from what lies in landing."""
    shutil.copytree(erased.settings.home, home)
    settings = replace(erased.settings, home=home)
    for day in world.days:
        run_job(job("ingest"), day, settings, force=True)
    for name in names:
        for day in world.days:
            run_job(job(name), day, settings, force=True)
    return settings


def test_the_person_does_not_come_back_when_all_days_are_built_again(
    erased: Erased, world: World, tmp_path: Path
) -> None:
    settings = rebuild(erased, world, tmp_path / "home", ("clean", "vault", "people"))
    with opened(settings) as ground:
        assert prove(ground, erased.who).findings == ()
    assert checksums(settings, ("clean",)) == checksums(erased.settings, ("clean",)), "rewritten is as good as rebuilt"


@pytest.mark.long
def test_not_even_by_the_whole_chain(erased: Erased, world: World, tmp_path: Path) -> None:
    settings = rebuild(erased, world, tmp_path / "home", NAMES[1:])
    with opened(settings) as ground:
        assert prove(ground, erased.who).findings == ()
