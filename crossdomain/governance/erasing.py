"""Carries erasures out: remember, find, shred, rewrite, write the receipt.

The order makes a kill harmless. Who is to be forgotten is remembered first, so that whatever runs at the same time
suppresses them, and written down sealed, so that the next run can go on. The vault's keys go next. Tables that others
read go before those they are built from, and the request itself goes last.
"""

from __future__ import annotations

import json
import re
import secrets
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path

import pyarrow as pa

from crossdomain.errors import CommitConflict, InputError
from crossdomain.governance import holds, pending, requests, retraining
from crossdomain.governance.landing import FileForm, Searcher
from crossdomain.governance.pending import Pending, Place
from crossdomain.governance.places import PEOPLE, Cleaned, Places, Trace
from crossdomain.governance.settings import GovernanceSettings
from crossdomain.governance.subjects import ERASED, Subject, make_subject, word_pattern
from crossdomain.settings import Settings
from crossdomain.storage import audit, postgres, serving, vault
from crossdomain.storage.collection import collect, unnamed
from crossdomain.storage.home import LONGEST_TASK, write_whole
from crossdomain.storage.keys import Keyring, load_keys
from crossdomain.storage.lake import Lake
from crossdomain.storage.removal import add_rows, rewrite_partition
from crossdomain.tables import TableRegistry, TableSpec

RECEIPTS = "derived.erasure_receipts"
EVENTS = ("clean.events", "raw.events")
"""What models learn from; raw too, since clean drops whoever asks to be forgotten as soon as it is built again."""
REMOVED, STRUCK_OUT = "removed", "struck_out"
BLOCKED_LAYERS = ("serving", "derived", "clean")
"""What a held person's data leaves: all that anybody works with."""

_ORDER = ("serving", "derived", "clean", "raw")
_REPORTS = (".json", ".md", ".html", ".txt", ".csv")
_TRUTH = "truth"
_TRUTH_IDS = ("user_id", "knowledge_user_id", "beauty_user_id")
_TRUTH_FORM = FileForm("parquet", "utf-8", None, {name: name for name in (*_TRUTH_IDS, "domain")}, {}, _TRUTH_IDS)
"""A synthetic world keeps the answers beside its deliveries."""
_ROUNDS = 20
_MADE_BY = {"job": "govern"}


@dataclass(frozen=True)
class Ground:
    """What erasing needs to know of the platform.

    Attributes:
        lake: The lake.
        tables: The tables.
        settings: Deployment settings.
        terms: Governance's settings.
        forms: How each feed's files name people, by feed.
        cleaned: From a raw column to SQL of its text as ingest reads it.
        ds: Business day under which what is done is filed.
    """

    lake: Lake
    tables: TableRegistry
    settings: Settings
    terms: GovernanceSettings
    forms: Mapping[str, FileForm]
    cleaned: Cleaned
    ds: date

    @property
    def keys(self) -> Keyring:
        """The home's keys."""
        return load_keys(self.lake.home, self.settings.keys)

    def subject(self, domain: str, user_id: str) -> Subject:
        """The account that somebody names.

        Raises:
            InputError: There is no such domain, or the id is empty: it would be found nowhere, which proves nothing.
        """
        if domain not in self.settings.domains:
            raise InputError(f"there is no domain {domain!r}; there are {', '.join(self.settings.domains)}")
        return make_subject(self.keys, domain, user_id)


@dataclass(frozen=True)
class Order:
    """An erasure that was ordered: the account as the source names it, when, by whom and why."""

    domain: str
    user_id: str = field(repr=False)
    requested_at: datetime
    asked_by: str
    reason: str


@dataclass(frozen=True)
class Receipt:
    """What one erasure did.

    Attributes:
        receipt_id: Names it.
        subject: How the audit log names the account.
        domain: Side of the business.
        found: Rows or records by (place, partition, action).
        status: ``done``, ``held`` (blocked, the evidence stays) or ``planned`` (a dry run).
        models: Model versions that learned from the person.
        left: Files that a running task may still commit; the next run looks at them again.
    """

    receipt_id: str
    subject: str
    domain: str
    found: Mapping[Place, int]
    status: str
    models: int = 0
    left: int = 0

    @property
    def rows(self) -> int:
        """Rows and records in all places."""
        return sum(self.found.values())


def plan(ground: Ground, order: Order) -> Receipt:
    """What an erasure would find, without changing anything.

    Raises:
        InputError: The domain does not exist, or the id is empty.
    """
    subject = ground.subject(order.domain, order.user_id)
    held = subject.erased in {hold.held for hold in holds.in_force(ground.lake, ground.tables)}
    found = _find(ground, [subject], blocked_only=held)
    return Receipt("", subject.name, subject.domain, found.get(subject.name, {}), "planned")


def carry_out(ground: Ground, orders: Sequence[Order]) -> list[Receipt]:
    """Erases people, together with what an earlier run left unfinished.

    Args:
        ground: The platform.
        orders: Whom; an account that is under way already is finished, not begun again.

    Returns:
        One receipt a person, in the order of the receipts' names.

    Raises:
        InputError: A domain does not exist, or an id is empty.
    """
    for order in orders:
        ground.subject(order.domain, order.user_id)
    keys = ground.keys
    under_way = _begin(ground, orders, keys)
    subjects = {one.receipt_id: make_subject(keys, one.domain, one.user_id) for one in under_way}
    under_way = _still_to_do(ground, under_way, subjects)
    held = {hold.held for hold in holds.in_force(ground.lake, ground.tables)}
    free = [one for one in under_way if subjects[one.receipt_id].erased not in held]
    blocked = [one for one in under_way if subjects[one.receipt_id].erased in held]
    receipts = _erase(ground, free, subjects, keys) if free else []
    receipts += _block(ground, blocked, subjects) if blocked else []
    return sorted(receipts, key=lambda receipt: receipt.receipt_id)


def orders_waiting(ground: Ground) -> tuple[list[Order], int]:
    """Requests that wait and whose ids are known, and how many have no id anywhere in raw any more.

    A held account's request waits for the hold to be released.
    """
    asked = requests.waiting(ground.lake, ground.tables)
    under_way = {
        make_subject(ground.keys, one.domain, one.user_id).erased for one in pending.load(ground.lake.home, ground.keys)
    }
    wanted = asked.keys() - under_way
    known = requests.known_ids(ground.lake, ground.tables, ground.keys, wanted, ground.settings.domains, ground.cleaned)
    orders = [
        Order(known[erased].domain, known[erased].user_id, asked[erased].requested_at, asked[erased].feed, "request")
        for erased in sorted(known)
    ]
    return orders, len(wanted) - len(known)


def orders_returned(ground: Ground) -> list[Order]:
    """Accounts that were erased and stand in the deliveries of the day again."""
    erased = requests.done(ground.lake, ground.tables)
    asked = requests.remembered(ground.lake, ground.tables)
    found: dict[bytes, Subject] = {}
    for spec in (spec for spec in ground.tables if spec.layer == "raw"):
        of_day = [one for one in ground.lake.partitions(spec) if one.values.get("delivered_ds") == str(ground.ds)]
        for subject in requests.people_in(
            ground.lake, spec, of_day, ground.keys, ground.settings.domains, ground.cleaned, erased
        ):
            found[subject.erased] = subject
    return [
        Order(subject.domain, subject.user_id, asked[key].requested_at, "returned", "delivered again after erasure")
        for key, subject in sorted(found.items())
        if key in asked
    ]


def _begin(ground: Ground, orders: Sequence[Order], keys: Keyring) -> list[Pending]:
    """Writes down and remembers whom it is about; what an earlier run began is among them."""
    ordered = {(order.domain, order.user_id.strip()) for order in orders}
    under_way = [
        replace(one, done_at=None) if (one.domain, one.user_id) in ordered else one
        for one in pending.load(ground.lake.home, keys)
    ]
    begun = {(one.domain, one.user_id) for one in under_way}
    for order in orders:
        subject = make_subject(keys, order.domain, order.user_id)
        if (order.domain, subject.user_id) in begun:
            continue
        begun.add((order.domain, subject.user_id))
        one = Pending(
            secrets.token_hex(8), order.domain, subject.user_id, order.requested_at, order.asked_by, order.reason
        )
        audit.record(
            ground.lake.home,
            "erasure.begin",
            by=order.asked_by,
            reason=order.reason,
            subject=subject.name,
            receipt=one.receipt_id,
        )
        pending.keep(ground.lake.home, keys, one)
        under_way.append(one)
    asked = {make_subject(keys, one.domain, one.user_id): one.requested_at for one in under_way}
    requests.remember(ground.lake, ground.tables, asked, ground.ds)
    return under_way


def _still_to_do(ground: Ground, under_way: Sequence[Pending], subjects: Mapping[str, Subject]) -> list[Pending]:
    """Leaves out what is done, unless a task that began before has written the person since."""
    left = [one for one in under_way if one.done_at is None]
    for moment in sorted({one.done_at for one in under_way if one.done_at is not None}):
        together = [one for one in under_way if one.done_at == moment]  # one look for those of one run
        written = _written(ground, [subjects[one.receipt_id] for one in together], since=moment - LONGEST_TASK)
        for one in together:
            if subjects[one.receipt_id].name in written:
                left.append(one)
            elif requests.now() - moment > LONGEST_TASK:
                pending.forget(ground.lake.home, one)
    return left


def _written(ground: Ground, people: Sequence[Subject], *, since: datetime) -> set[str]:
    """Names of those who stand in files that were written since then."""
    places = Places(ground.lake, ground.tables, people, ground.settings.domains, ground.cleaned)
    tables = _ordered(ground.tables, (*_ORDER, "vault"))
    return {trace.name for spec in tables for trace in places.find(spec, since=since)}


def _erase(
    ground: Ground, under_way: Sequence[Pending], subjects: Mapping[str, Subject], keys: Keyring
) -> list[Receipt]:
    began = requests.now()
    people = [subjects[one.receipt_id] for one in under_way]
    found = _find(ground, people, blocked_only=False)
    noted = [one.with_found(found.get(subjects[one.receipt_id].name, {})) for one in under_way]
    for one in noted:
        pending.keep(ground.lake.home, keys, one)
    vault.shred(ground.lake, ground.tables, [person.account for person in people])
    places = Places(ground.lake, ground.tables, people, ground.settings.domains, ground.cleaned)
    left = _rewrite(ground, places, _ordered(ground.tables, _ORDER))
    _republish(ground)
    _clean_files(ground, people)
    return [_finish(ground, one, subjects[one.receipt_id], left, began) for one in noted]


def _block(ground: Ground, under_way: Sequence[Pending], subjects: Mapping[str, Subject]) -> list[Receipt]:
    people = [subjects[one.receipt_id] for one in under_way]
    found = _find(ground, people, blocked_only=True)
    for one in under_way:
        pending.keep(ground.lake.home, ground.keys, one.with_found(found.get(subjects[one.receipt_id].name, {})))
    places = Places(ground.lake, ground.tables, people, ground.settings.domains, ground.cleaned)
    left = _rewrite(ground, places, _ordered(ground.tables, BLOCKED_LAYERS))
    _republish(ground)
    receipts = []
    for one in under_way:
        person = subjects[one.receipt_id]
        now = found.get(person.name, {})
        receipt = Receipt(one.receipt_id, person.name, person.domain, now, "held", left=left)
        if receipt.rows:
            audit.record(
                ground.lake.home,
                "erasure.blocked",
                by=one.asked_by,
                reason=one.reason,
                subject=person.name,
                receipt=one.receipt_id,
                rows=receipt.rows,
            )
        receipts.append(receipt)
    return receipts


# finding -----------------------------------------------------------------------------------------


def _find(ground: Ground, people: Sequence[Subject], *, blocked_only: bool) -> dict[str, dict[Place, int]]:
    """Rows by person and place."""
    places = Places(ground.lake, ground.tables, people, ground.settings.domains, ground.cleaned)
    found: dict[str, Counter[Place]] = {}
    layers = BLOCKED_LAYERS if blocked_only else _ORDER
    for spec in _ordered(ground.tables, layers):
        for trace in places.find(spec):
            found.setdefault(trace.name, Counter())[_place(trace)] += trace.rows
    if blocked_only:
        return {name: dict(counts) for name, counts in found.items()}
    for person in people:
        for rows in vault.held(ground.lake, ground.tables, [person.account]):
            found.setdefault(person.name, Counter())[rows.table, rows.ds.isoformat(), REMOVED] += rows.rows
    search = Searcher(ground.lake.con, people, ground.settings.domains)
    for path, form in landed_files(ground):
        for (name, verdict), count in search.find(path, form).counts.items():
            action = REMOVED if verdict == "own" else STRUCK_OUT
            partition = path.relative_to(ground.lake.home.landing()).as_posix()
            found.setdefault(name, Counter())["landing", partition, action] += count
    return {name: dict(counts) for name, counts in found.items()}


def landed_files(ground: Ground) -> Iterable[tuple[Path, FileForm]]:
    """Delivered files of all feeds that are described, in order."""
    for feed, form in sorted(ground.forms.items()):
        for path in sorted(ground.lake.home.landing(feed).glob("????-??-??/*")):
            if path.is_file() and path.name[0] not in "._":
                yield path, form


def _place(trace: Trace) -> Place:
    return trace.table, "/".join(trace.values), REMOVED if trace.own else STRUCK_OUT


def _ordered(tables: TableRegistry, layers: Sequence[str]) -> list[TableSpec]:
    """Tables in the order in which they are cleaned; who belonged to whom goes after what rests on it."""
    return sorted(
        (spec for spec in tables if spec.layer in layers),
        key=lambda spec: (
            layers.index(spec.layer), spec.full_name == PEOPLE, spec.full_name == requests.REQUESTS, spec.full_name
        ),
    )  # fmt: skip


# changing ----------------------------------------------------------------------------------------


def _rewrite(ground: Ground, places: Places, specs: Sequence[TableSpec]) -> int:
    """Rewrites what holds the people, until nothing does; returns the number of files left to running tasks."""
    left = 0
    for spec in specs:
        if not places.holding(spec):
            continue
        for _ in range(_ROUNDS):
            values = sorted({trace.values for trace in places.find(spec)})
            if not values:
                break
            for one in values:
                rewrite_partition(
                    ground.lake,
                    spec,
                    dict(zip(spec.partition, one, strict=True)),
                    lambda rows, spec=spec: places.without(spec, rows),  # type: ignore[misc]
                    order="" if places.keeps_order(spec) else None,
                )
        else:
            raise CommitConflict(f"{spec.full_name}: other tasks keep writing people who are being erased; run again")
        collect(ground.lake, spec, history=timedelta())
        left += len(unnamed(ground.lake, spec))
    return left


def _republish(ground: Ground) -> None:
    """Publishes the rewritten serving tables and deletes every older publication."""
    home = ground.lake.home
    with serving.one_publisher(home):
        before = serving.current(home)
        if before is None:
            return
        found = serving.to_publish(ground.lake, ground.tables, before.ds)
        serving.publish(ground.lake, found, before.ds)
        serving.forget_others(home)
        if ground.settings.publish_dsn:
            postgres.publish(ground.lake, found, ground.settings.publish_dsn)


def _clean_files(ground: Ground, people: Sequence[Subject]) -> None:
    """Takes people out of delivered files, the requests last, and strikes their ids out of reports."""
    search = Searcher(ground.lake.con, people, ground.settings.domains)
    files = sorted(landed_files(ground), key=lambda entry: "requested_at" in entry[1].sources)
    for path, form in files:
        search.take_out(path, form)
    for path in sorted((ground.lake.home.root / _TRUTH).glob("*.parquet")):
        search.take_out(path, _TRUTH_FORM)
    words = sorted({person.user_id for person in people if person.distinctive})
    if not words:
        return
    pattern = re.compile(word_pattern(words).encode())
    for path in sorted(ground.lake.home.report("").rglob("*")):
        if path.is_file() and path.suffix in _REPORTS:
            content = path.read_bytes()
            if pattern.search(content):
                write_whole(path, pattern.sub(ERASED.encode(), content))


def _finish(ground: Ground, one: Pending, person: Subject, left: int, began: datetime) -> Receipt:
    """Writes the receipt, then that the erasure is done; then it is only watched."""
    lake, values = ground.lake, {"ds": ground.ds.isoformat()}
    days = [date.fromisoformat(partition.split("/")[-1]) for place, partition, _ in one.found if place in EVENTS]
    models = retraining.schedule(
        lake,
        ground.tables,
        {one.receipt_id: days},
        start=ground.settings.start,
        ds=ground.ds,
        retrain_days=ground.terms.retrain_days,
    )
    receipt = Receipt(one.receipt_id, person.name, person.domain, one.found, "done", models, left)
    _write_receipt(ground, receipt, one)
    done = pa.table(
        {
            "receipt_id": [one.receipt_id],
            "erased": pa.array([person.erased], pa.binary()),
            "subject": [person.name],
            "domain": [person.domain],
            "requested_at": pa.array([one.requested_at], pa.timestamp("us", tz="UTC")),
            "done_at": pa.array([requests.now()], pa.timestamp("us", tz="UTC")),
            "asked_by": [one.asked_by],
            "rows": [receipt.rows],
        }
    )
    add_rows(lake, ground.tables.get(requests.DONE), values, done, made_by=_MADE_BY)
    audit.record(
        lake.home,
        "erasure.done",
        by=one.asked_by,
        reason=one.reason,
        subject=person.name,
        receipt=one.receipt_id,
        rows=receipt.rows,
    )
    pending.keep(lake.home, ground.keys, replace(one, done_at=began))
    return receipt


def _write_receipt(ground: Ground, receipt: Receipt, one: Pending) -> None:
    rows = [(place, partition, action, count) for (place, partition, action), count in sorted(receipt.found.items())]
    table = pa.table(
        {
            "receipt_id": pa.array([receipt.receipt_id] * len(rows), pa.string()),
            "subject": pa.array([receipt.subject] * len(rows), pa.string()),
            "place": pa.array([row[0] for row in rows], pa.string()),
            "partition": pa.array([row[1] for row in rows], pa.string()),
            "action": pa.array([row[2] for row in rows], pa.string()),
            "rows": pa.array([row[3] for row in rows], pa.int64()),
        }
    )
    values = {"ds": ground.ds.isoformat()}
    add_rows(ground.lake, ground.tables.get(RECEIPTS), values, table, made_by=_MADE_BY)
    document = {
        "receipt_id": receipt.receipt_id,
        "subject": receipt.subject,
        "domain": receipt.domain,
        "requested_at": one.requested_at.isoformat(),
        "asked_by": one.asked_by,
        "ds": ground.ds.isoformat(),
        "models_to_retrain": receipt.models,
        "files_left_to_running_tasks": receipt.left,
        "rows": receipt.rows,
        "places": [
            {"place": place, "partition": partition, "action": action, "rows": count}
            for place, partition, action, count in rows
        ],
    }
    path = ground.lake.home.report(f"erasures/{receipt.receipt_id}.json")
    write_whole(path, json.dumps(document, ensure_ascii=False, indent=1).encode())
