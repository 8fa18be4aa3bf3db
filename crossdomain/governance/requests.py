"""Who asked to be forgotten: remembered for ever as HMACs, matched with ids as long as an id is there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

import pyarrow as pa

from crossdomain.governance.places import Cleaned
from crossdomain.governance.subjects import Subject, make_subject
from crossdomain.storage.engine import identifier, literal
from crossdomain.storage.keys import Keyring
from crossdomain.storage.lake import Lake, Partition
from crossdomain.storage.removal import add_rows
from crossdomain.tables import TableRegistry, TableSpec

ERASURES = "derived.erasures"
DONE = "derived.erasures_done"
REQUESTS = "raw.erasure_requests"
COMMAND = "cli"
"""Feed name of erasures that were ordered here; also of those that a feed asked for, once they are carried out."""


@dataclass(frozen=True)
class Request:
    """A request to be forgotten.

    Attributes:
        erased: HMAC of the account under the erasure key.
        requested_at: The first time it was asked for (UTC).
        feed: Who asked.
        ds: Business day of the first delivery that asked.
    """

    erased: bytes
    requested_at: datetime
    feed: str
    ds: date


def remembered(lake: Lake, tables: TableRegistry, *, until: date | None = None) -> dict[bytes, Request]:
    """Every account that was ever to be forgotten; with ``until``, by deliveries up to that day."""
    spec = tables.get(ERASURES)
    partitions = [one for one in lake.partitions(spec) if until is None or one.ds <= until]
    rows = lake.con.execute(
        "SELECT erased, min(requested_at), arg_min(feed, (requested_at, feed = 'cli', feed)), min(ds) "  # noqa: S608
        f"FROM ({lake.relation(spec, partitions)}) GROUP BY erased ORDER BY erased"
    ).fetchall()
    return {row[0]: Request(*row) for row in rows}


def done(lake: Lake, tables: TableRegistry, *, until: date | None = None) -> dict[bytes, datetime]:
    """When each account was erased, the last time (UTC)."""
    spec = tables.get(DONE)
    partitions = [one for one in lake.partitions(spec) if until is None or one.ds <= until]
    rows = lake.con.execute(
        f"SELECT erased, max(done_at) FROM ({lake.relation(spec, partitions)}) GROUP BY erased"  # noqa: S608
    ).fetchall()
    return dict(rows)


def waiting(lake: Lake, tables: TableRegistry) -> dict[bytes, Request]:
    """Requests that are not carried out yet."""
    carried_out = done(lake, tables)
    return {erased: request for erased, request in remembered(lake, tables).items() if erased not in carried_out}


def remember(lake: Lake, tables: TableRegistry, subjects: Mapping[Subject, datetime], ds: date) -> None:
    """Remembers accounts before anything is erased, so that whatever runs at the same time suppresses them.

    What a feed asked for is remembered here too: its own rows go when its delivery is read again without the request.

    Args:
        lake: The lake.
        tables: The tables.
        subjects: The accounts, and when it was asked for.
        ds: Business day of those that no feed asked for.
    """
    spec = tables.get(ERASURES)
    live = [one for one in lake.partitions(spec) if one.values["feed"] == COMMAND]
    known = {erased for (erased,) in lake.con.execute(f"SELECT erased FROM ({lake.relation(spec, live)})").fetchall()}  # noqa: S608
    asked = remembered(lake, tables)
    by_day: dict[date, list[tuple[bytes, datetime]]] = {}
    for one, moment in subjects.items():
        if one.erased not in known:
            day = asked[one.erased].ds if one.erased in asked else ds
            by_day.setdefault(day, []).append((one.erased, moment))
    for day, new in sorted(by_day.items()):
        rows = pa.table(
            {
                "erased": pa.array([erased for erased, _ in new], pa.binary()),
                "requested_at": pa.array([moment for _, moment in new], pa.timestamp("us", tz="UTC")),
            }
        )
        values = {"feed": COMMAND, "ds": day.isoformat()}
        add_rows(lake, spec, values, rows, made_by={"job": "govern"})


def known_ids(
    lake: Lake, tables: TableRegistry, keys: Keyring, wanted: Iterable[bytes], domains: Sequence[str], cleaned: Cleaned
) -> dict[bytes, Subject]:
    """Ids of remembered accounts, from the requests as delivered.

    An account whose request is no longer in raw is looked for in the other raw tables.
    """
    left = set(wanted)
    specs = [tables.get(REQUESTS), *(one for one in tables if one.layer == "raw" and one.full_name != REQUESTS)]
    found: dict[bytes, Subject] = {}
    for spec in specs:
        if not left:
            break
        for subject in people_in(lake, spec, lake.partitions(spec), keys, domains, cleaned, left):
            found[subject.erased] = subject
            left.discard(subject.erased)
    return found


def people_in(
    lake: Lake,
    spec: TableSpec,
    partitions: Sequence[Partition],
    keys: Keyring,
    domains: Sequence[str],
    cleaned: Cleaned,
    wanted: Iterable[bytes],
) -> list[Subject]:
    """Those of some accounts, given as HMACs under the erasure key, whose ids stand in partitions of a raw table."""
    columns = {
        "user_id": "lower({})".format(cleaned("domain")),
        "unit_id": "lower({})".format(cleaned("domain")),
        "first_user_id": literal(domains[0]),
        "second_user_id": literal(domains[1]),
    }
    selects = [
        f"SELECT {columns[column.identifies]} AS domain, {cleaned(column.name)} AS user_id "  # noqa: S608 - quoted
        f"FROM ({lake.relation(spec, partitions)})"
        for column in spec.columns
        if column.identifies in columns
    ]
    targets = set(wanted)
    if not selects or not partitions or not targets:
        return []
    listed = ", ".join(literal(domain) for domain in domains)
    pairs = lake.con.execute(
        f"SELECT DISTINCT domain, user_id FROM ({' UNION ALL '.join(selects)}) "  # noqa: S608 - quoted
        f"WHERE {identifier('domain')} IN ({listed}) AND user_id IS NOT NULL ORDER BY ALL"
    ).fetchall()
    return [make_subject(keys, *pair) for pair in pairs if keys.erased(*pair) in targets]


def now() -> datetime:
    """This moment."""
    return datetime.now(UTC)
