"""Legal holds: people whose data must be kept as evidence, whatever they or the retention terms ask for.

A held account that asks to be forgotten is blocked: it leaves every table that anybody works with, and stays in
landing, raw, quarantine and the vault until the hold is released; then the erasure goes on by itself. Raw deliveries
that hold a held person do not expire. Holds are kept as HMACs under the erasure key.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime

import pyarrow as pa

from crossdomain.errors import InputError
from crossdomain.governance.subjects import Subject
from crossdomain.storage import audit
from crossdomain.storage.lake import Lake
from crossdomain.storage.removal import add_rows
from crossdomain.tables import TableRegistry

HOLDS = "derived.legal_holds"


@dataclass(frozen=True)
class Hold:
    """A hold in force.

    Attributes:
        held: HMAC of the account under the erasure key.
        subject: How the audit log names the account.
        domain: Side of the business.
        since: When it was placed (UTC).
        said_by: Who placed it.
        reason: Case or order.
    """

    held: bytes
    subject: str
    domain: str
    since: datetime
    said_by: str
    reason: str


def in_force(lake: Lake, tables: TableRegistry, *, until: date | None = None) -> list[Hold]:
    """Holds whose last word places them, by account; with ``until``, as of the end of that business day."""
    spec = tables.get(HOLDS)
    partitions = [one for one in lake.partitions(spec) if until is None or one.ds <= until]
    rows = lake.con.execute(
        "SELECT held, subject, domain, said_at, said_by, reason "  # noqa: S608 - quoted
        f"FROM (SELECT * FROM ({lake.relation(spec, partitions)}) "
        "QUALIFY row_number() OVER (PARTITION BY held ORDER BY said_at DESC) = 1) WHERE in_force ORDER BY subject"
    ).fetchall()
    return [Hold(*row) for row in rows]


def place(lake: Lake, tables: TableRegistry, subject: Subject, *, ds: date, by: str, reason: str) -> None:
    """Places a hold on an account; one that is there stays as it is.

    Raises:
        InputError: No name or no reason is given.
    """
    _check(by, reason)
    if subject.erased in {hold.held for hold in in_force(lake, tables)}:
        return
    audit.record(lake.home, "hold.place", by=by, reason=reason, subject=subject.name)
    _say(lake, tables, subject, ds=ds, by=by, reason=reason, held=True)


def release(lake: Lake, tables: TableRegistry, subject: Subject, *, ds: date, by: str, reason: str) -> None:
    """Releases an account's hold.

    Raises:
        InputError: The account is not held, or no name or reason is given.
    """
    _check(by, reason)
    if subject.erased not in {hold.held for hold in in_force(lake, tables)}:
        raise InputError(f"this account of {subject.domain} is not under legal hold")
    audit.record(lake.home, "hold.release", by=by, reason=reason, subject=subject.name)
    _say(lake, tables, subject, ds=ds, by=by, reason=reason, held=False)


def _say(lake: Lake, tables: TableRegistry, subject: Subject, *, ds: date, by: str, reason: str, held: bool) -> None:
    word = {
        "held": [subject.erased],
        "subject": [subject.name],
        "domain": [subject.domain],
        "in_force": [held],
        "said_at": pa.array([datetime.now(UTC)], pa.timestamp("us", tz="UTC")),
        "said_by": [by],
        "reason": [reason],
    }
    rows = pa.table({**word, "held": pa.array([subject.erased], pa.binary())})
    add_rows(lake, tables.get(HOLDS), {"ds": ds.isoformat()}, rows, made_by={"job": "govern"})


def _check(by: str, reason: str) -> None:
    if not by.strip() or not reason.strip():
        raise InputError("a legal hold needs a name (--by) and a reason (--reason): the audit log keeps both")
