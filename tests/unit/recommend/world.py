"""Small worlds for the recommender's tests, given as events in an in-memory DuckDB."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from crossdomain.recommend.holdings import HOLDINGS_SQL, Held, held_sql
from crossdomain.recommend.interactions import (
    CATALOGUE_SQL,
    PRODUCTS,
    Items,
    Pairs,
    People,
    pairs_sql,
    people_sql,
    read_items,
    read_pairs,
    read_people,
)
from crossdomain.recommend.settings import RecommendSettings
from crossdomain.settings import Settings
from crossdomain.storage.home import Home
from crossdomain.storage.lake import Lake
from crossdomain.storage.models import ModelStore
from crossdomain.tables import registry

DOMAINS = ("knowledge", "beauty")
DAY = date(2026, 1, 31)

NOBODY = "SELECT NULL::BLOB AS account, NULL::VARCHAR[] AS purposes WHERE false"
"""SQL of no withdrawals."""

Event = tuple[str, str, str, str, int]
"""Account name, domain, item_id, event type, days before DAY."""


def key(name: str) -> bytes:
    """A 16-byte key that sorts like the name."""
    return name.encode().ljust(16, b"\0")


def connect(
    events: Iterable[Event],
    people: Sequence[tuple[str, str, str, bool, bool]],
    catalogue: Sequence[tuple[str | None, ...]] = (),
    duplicates: Sequence[tuple[str, str, str]] = (),
) -> duckdb.DuckDBPyConnection:
    """Views of a job: events and what is held by them, people (account, domain, person, personalisation, cross_domain),
    catalogue, duplicates.

    Catalogue is (domain, item_id, status), maybe with creator and type at the end; duplicates are (domain, item_id,
    group_id). Items were first known on DAY.
    """
    con = duckdb.connect(config={"threads": 2})
    con.execute("SET TimeZone = 'UTC'")
    for schema in ("clean", "derived", "serving", "previous"):
        con.execute(f"CREATE SCHEMA {schema}")
    rows = [
        (*[DAY - timedelta(days=ago)] * 2, key(account), domain, item, kind, _moment(ago, position), None)
        for position, (account, domain, item, kind, ago) in enumerate(events)
    ]
    _fill(
        con,
        "clean.events",
        "ds DATE, delivered_ds DATE, account BLOB, domain VARCHAR, item_id VARCHAR, event_type VARCHAR, "
        "ts TIMESTAMPTZ, value DECIMAL(18,2)",
        rows,
    )
    con.execute("SET VARIABLE tz = 'UTC'")
    con.execute(f"CREATE VIEW derived.holdings AS {HOLDINGS_SQL}")
    _fill(
        con,
        "derived.people",
        "account BLOB, domain VARCHAR, person BLOB, personalisation BOOLEAN, cross_domain BOOLEAN",
        [(key(account), domain, key(person), personal, cross) for account, domain, person, personal, cross in people],
    )
    listed = [(*row, None, None)[:5] for row in catalogue]
    _fill(
        con,
        "derived.catalogue",
        "domain VARCHAR, item_id VARCHAR, status VARCHAR, creator VARCHAR, type VARCHAR",
        listed,
    )
    con.execute("ALTER TABLE derived.catalogue ADD COLUMN listed_at TIMESTAMPTZ")
    con.execute(f"ALTER TABLE derived.catalogue ADD COLUMN first_ds DATE DEFAULT DATE '{DAY}'")
    _fill(con, "derived.duplicate_items", "domain VARCHAR, item_id VARCHAR, group_id VARCHAR", list(duplicates))
    con.execute("CREATE TABLE derived.retraining (model_version VARCHAR, due_ds DATE)")
    con.execute("CREATE TABLE previous.champions (target_domain VARCHAR, model VARCHAR, model_version VARCHAR)")
    con.execute("CREATE TABLE previous.transfer (target_domain VARCHAR, segment VARCHAR, serves VARCHAR)")
    return con


def read(con: duckdb.DuckDBPyConnection, settings: RecommendSettings) -> tuple[Pairs, People, Items]:
    """Pairs of all days up to DAY, people and items."""
    values = {"first": date(2025, 1, 1), "last": DAY, "tz": "UTC"}
    rows = con.sql(pairs_sql(settings), params=values).to_arrow_table()
    people = read_people(con.sql(people_sql(NOBODY)).to_arrow_table(), DOMAINS)
    items = read_items([rows], con.sql(CATALOGUE_SQL).to_arrow_table(), DOMAINS)
    return read_pairs(rows, people, items), people, items


def held(con: duckdb.DuckDBPyConnection, people: People, items: Items, last: date = DAY) -> Held:
    """What accounts own or rejected up to a day."""
    rows = con.sql(f"FROM ({held_sql(PRODUCTS)}) ORDER BY ALL", params={"last": last}).to_arrow_table()
    account = {name: place for place, name in enumerate(people.account.to_pylist())}
    return Held(
        np.array([account[name] for name in rows["account"].to_pylist()], dtype=np.int64),
        items.codes(*(rows[name].combine_chunks() for name in ("domain", "item_id"))),
    )


def blocks_world(people: int = 60, items: int = 8) -> tuple[list[Event], list[tuple[str, str, str, bool, bool]]]:
    """Two tastes: even people meet even items, odd people odd ones, in both domains; nobody meets a whole block.

    Each fifth person is known in knowledge only.
    """
    events, accounts = [], []
    for person in range(people):
        one_sided = person % 5 == 4
        names = {domain: f"p{person:03d}{domain[0]}" for domain in DOMAINS}
        sides = DOMAINS[:1] if one_sided else DOMAINS
        for domain in sides:
            accounts.append((names[domain], domain, min(names[side] for side in sides), True, True))
            for item in range(person % 2, items, 2):
                if (item // 2 + person // 2) % (items // 2):
                    events.append((names[domain], domain, f"{domain[0]}{item:02d}", "view", 1 + (person + item) % 20))
    return events, accounts


def tastes_world(
    *, alike: bool, people: int = 400, tastes: int = 3, items: int = 24, seed: int = 5
) -> tuple[list[Event], list[tuple[str, str, str, bool, bool]]]:
    """People who meet items of their taste, all of it on one side and a third on the other, on any of the last 28 days.

    Even people are at home in knowledge, odd ones in beauty; each fifth is known at home only. One event in nine is of
    another taste.

    Args:
        alike: Whether a person's taste is the same in both domains; else the two have nothing to do with each other.
        people: How many there are.
        tastes: Item n of a domain is of taste ``n % tastes``.
        items: Items of each domain.
        seed: Of all draws.
    """
    rng = np.random.default_rng(seed)
    events, accounts = [], []
    for person in range(people):
        names = {domain: f"p{person:03d}{domain[0]}" for domain in DOMAINS}
        own = rng.integers(tastes, size=2)
        for side, domain in enumerate(DOMAINS):
            home = person % 2 == side
            if not home and person % 5 == 4:
                continue
            accounts.append((names[domain], domain, f"p{person:03d}", True, True))
            taste = own[0 if alike else side]
            for item in rng.permutation(items)[: items if home else items // 3]:
                if item % tastes == taste or rng.random() < 1 / (8 * (tastes - 1)):
                    events.append((names[domain], domain, f"{domain[0]}{item:02d}", "view", 1 + int(rng.integers(28))))
    return events, accounts


def context(con: duckdb.DuckDBPyConnection, home: Path, ds: date = DAY) -> tuple[Any, dict[str, pa.Table]]:
    """Something that a job's function takes for its context, and what it writes."""
    written: dict[str, pa.Table] = {}
    notes: dict[str, Any] = {}

    def write_blocks(table: str, blocks: Iterable[tuple[str, Callable[[], pa.Table]]]) -> int:
        written[table] = pa.concat_tables(make().unify_dictionaries() for _, make in blocks).unify_dictionaries()
        return 0

    def look_at(table: str) -> None:
        con.execute("CREATE SCHEMA IF NOT EXISTS written")
        con.register("just_written", written[table])
        con.execute(f"CREATE OR REPLACE TABLE written.{table.split('.')[1]} AS FROM just_written")

    return SimpleNamespace(
        con=con,
        ds=ds,
        settings=Settings(home=home, tz="UTC", domains=DOMAINS),
        lake=Lake(Home(home), con),
        tables=registry(Settings().include),
        models=ModelStore(Home(home)),
        write=written.__setitem__,
        write_blocks=write_blocks,
        look_at=look_at,
        note=notes.update,
        notes=notes,
    ), written


def _moment(ago: int, position: int) -> datetime:
    day = DAY - timedelta(days=ago)
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(seconds=position % 86_400)


def _fill(con: duckdb.DuckDBPyConnection, table: str, columns: str, rows: Sequence[Sequence[Any]]) -> None:
    con.execute(f"CREATE TABLE {table} ({columns})")
    if rows:
        given = pa.table({str(place): list(values) for place, values in enumerate(zip(*rows, strict=True))})
        con.register("given", given)
        con.execute(f"INSERT INTO {table} FROM given")
        con.unregister("given")
