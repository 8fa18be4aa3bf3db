"""The vault: personal fields, each encrypted under a key of its person.

``read_people`` (``read_person`` for one of them) is the one function that decrypts them, and it writes to the audit
log before it does.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import duckdb
import pyarrow as pa

from crossdomain.errors import InputError
from crossdomain.settings import Settings
from crossdomain.storage import audit
from crossdomain.storage.collection import collect
from crossdomain.storage.encryption import Sealer, Tampered
from crossdomain.storage.keys import add_vault_key, destroy_vault_key, list_keys, load_keys
from crossdomain.storage.lake import Lake
from crossdomain.storage.locks import exclusive
from crossdomain.storage.person_keys import (
    BATCH,
    PERSON_KEYS,
    KeyWrapper,
    ensure_keys,
    key_rows,
    record_batch,
    rewrap,
    wrapped_by,
)
from crossdomain.storage.rewrite import rewrite
from crossdomain.tables import TableRegistry, TableSpec, registry

PERSONAL_FIELDS = "vault.personal_fields"
FIELDS = ("user_id", "phone", "email", "name")
"""What the vault keeps of an account."""

GRACE = timedelta(days=1)
"""A task that began before a rotation may go on wrapping under the old key: it is kept for so long."""

_TABLES = (PERSON_KEYS, PERSONAL_FIELDS)
_ATTEMPTS = 10
_SCHEMA = pa.schema(
    [
        ("account", pa.binary()),
        ("field", pa.string()),
        ("key_id", pa.binary()),
        ("nonce", pa.binary()),
        ("ciphertext", pa.binary()),
    ]
)


@dataclass(frozen=True)
class Held:
    """Rows of some people in one day of a table."""

    table: str
    ds: date
    rows: int


@dataclass(frozen=True)
class Rotation:
    """What a rotation did: the version in force, whether it was made now, and how many keys were wrapped again."""

    version: int
    made: bool
    rewrapped: int


def encrypt_people(lake: Lake, tables: TableRegistry, wrapper: KeyWrapper, day: date, people: str) -> pa.Table:
    """Encrypts the fields of a day's people, each under their own key; who has no key gets one at once.

    Args:
        lake: The lake.
        tables: The registry.
        wrapper: The vault's keys.
        day: The day.
        people: SQL with ``account`` (unique) and the columns ``FIELDS``, text or null.

    Returns:
        Rows for the day's partition of ``vault.personal_fields``; other bytes each time, since nonces are fresh.
    """
    ensure_keys(lake, tables, wrapper, day, people)
    fields = ", ".join(FIELDS)
    lake.con.execute(
        f"CREATE OR REPLACE TEMP TABLE in_clear AS SELECT account, {fields}, key_id, kek_version, nonce, wrapped "  # noqa: S608
        f"FROM ({people}) JOIN ({key_rows(lake, tables)}) USING (account)"
    )
    try:
        reader = lake.con.sql("FROM in_clear").to_arrow_reader(BATCH)
        return pa.Table.from_batches([_encrypted(batch, wrapper) for batch in reader], _SCHEMA)
    finally:
        lake.con.execute("DROP TABLE IF EXISTS in_clear")


def read_person(
    lake: Lake, settings: Settings, account: bytes, fields: Sequence[str] = FIELDS, *, by: str, reason: str
) -> dict[str, str]:
    """An account's personal fields as last delivered; what was never delivered, or was shredded, is left out.

    The audit log says who read which fields of whom, and why, before anything is decrypted.

    Args:
        lake: The lake.
        settings: Where the tables are declared and, perhaps, the keys.
        account: The account key (``Keyring.account``).
        fields: Some of ``FIELDS``; ask for no more than is needed.
        by: The person who reads, or the task.
        reason: What for.

    Raises:
        InputError: There is no such field, or ``by`` or ``reason`` is empty.
        Tampered: A row was changed.
    """
    found = {field: value for _, field, value in read_people(lake, settings, [account], fields, by=by, reason=reason)}
    return {field: found[field] for field in fields if field in found}


def read_people(
    lake: Lake, settings: Settings, accounts: Collection[bytes], fields: Sequence[str], *, by: str, reason: str
) -> Iterator[tuple[bytes, str, str]]:
    """Personal fields of many accounts: (account, field, value), in no order; see :func:`read_person`.

    The audit log gets one line before anything is decrypted: whose fields they are where it is one account, how many
    accounts where they are more.

    Raises:
        InputError: There is no such field, or ``by`` or ``reason`` is empty.
        Tampered: A row was changed.
    """
    if unknown := [field for field in fields if field not in FIELDS]:
        raise InputError(f"the vault has no field {unknown[0]!r}; it has {', '.join(FIELDS)}")
    if not reason.strip():
        raise InputError("say what the person's data is read for; the audit log keeps the reason")
    wanted = list(accounts)
    keys = load_keys(lake.home, settings.keys)
    if len(wanted) == 1:
        audit.record(
            lake.home, "vault.read", by=by, reason=reason, subject=keys.subject(wanted[0]), fields=list(fields)
        )
    else:
        audit.record(lake.home, "vault.read_many", by=by, reason=reason, accounts=len(wanted), fields=list(fields))
    return _read(lake, settings, wanted, fields)


def _read(
    lake: Lake, settings: Settings, accounts: Sequence[bytes], fields: Sequence[str]
) -> Iterator[tuple[bytes, str, str]]:
    tables = registry(settings.include)
    for begin in range(0, len(accounts), BATCH):
        rows = _newest_rows(lake, tables, accounts[begin : begin + BATCH], fields)
        if not rows:
            continue
        keys = load_keys(lake.home, settings.keys)  # after the rows: a rotation makes its key before it wraps with it
        wrapper = KeyWrapper(keys.vault)
        for account, field, key_id, nonce, ciphertext, version, key_nonce, wrapped in rows:
            sealer = Sealer(wrapper.unwrap(account, key_id, version, key_nonce, wrapped))
            try:
                value = sealer.open(nonce, ciphertext, _bound_to(account, field, key_id)).decode()
            except Tampered as error:
                subject = keys.subject(account)
                raise Tampered(
                    f"{PERSONAL_FIELDS}: the {field} of {subject} was changed or moved: restore it"
                ) from error
            yield account, field, value


def held(lake: Lake, tables: TableRegistry, accounts: Collection[bytes]) -> list[Held]:
    """Rows of accounts in the vault's tables, by table and day."""
    return [one for name in _TABLES for one in _held(lake, tables.get(name), accounts)]


def shred(lake: Lake, tables: TableRegistry, accounts: Collection[bytes]) -> list[Held]:
    """Removes the keys and fields of accounts for ever: from the tables, and from disk every older version.

    The keys go first: from that commit on nobody can read the fields. Killed, run it again. Who calls it writes the
    audit log.

    Returns:
        What was removed, by table and day.
    """
    removed = []
    for name in _TABLES:
        spec = tables.get(name)
        for one in _held(lake, spec, accounts):
            rewrite(lake, spec, one.ds, lambda live: _without(lake, live, accounts))
            removed.append(one)
    for name in _TABLES:
        collect(lake, tables.get(name), history=timedelta())
    return removed


def drop_superseded(lake: Lake, tables: TableRegistry) -> list[Held]:
    """Removes values of fields for which a later day holds a newer one: what nobody needs is not kept."""
    spec = tables.get(PERSONAL_FIELDS)
    older = f"""
        SELECT ds, account, field FROM ({lake.relation(spec, lake.partitions(spec))})
        QUALIFY row_number() OVER (PARTITION BY account, field ORDER BY ds DESC) > 1
    """  # noqa: S608 - quoted
    lake.con.execute(f"CREATE OR REPLACE TEMP TABLE superseded AS {older}")
    days = lake.con.execute("SELECT ds, count(*) FROM superseded GROUP BY ALL ORDER BY ALL").fetchall()
    for day, _ in days:
        rewrite(lake, spec, day, lambda live: f"FROM ({live}) ANTI JOIN superseded USING (ds, account, field)")
    lake.con.execute("DROP TABLE superseded")
    return [Held(PERSONAL_FIELDS, day, rows) for day, rows in days]


def rotate(lake: Lake, settings: Settings, *, by: str, reason: str = "") -> Rotation:
    """Makes the vault's next key and wraps every person's key under it; killed, run it again and it finishes.

    A rotation that was not finished is, and no further key is made. Keys from elsewhere are made elsewhere: hand the
    next one over, then rotate.

    Raises:
        InputError: ``by`` is empty.
        MissingInput: There is no key yet, or one that still wraps is gone.
    """
    tables = registry(settings.include)
    with exclusive(lake.home.keys):
        newest = KeyWrapper(load_keys(lake.home, settings.keys).vault).newest
        unfinished = any(version < newest for version in wrapped_by(lake, tables))
        make = not settings.keys and not unfinished
        target = newest + 1 if make else newest
        audit.record(lake.home, "keys.rotate", by=by, reason=reason, key=f"vault-{target}")
        if make:
            add_vault_key(lake.home)
        count = rewrap(lake, tables, KeyWrapper(load_keys(lake.home, settings.keys).vault))
        audit.record(lake.home, "keys.rewrapped", by=by, reason=reason, key=f"vault-{target}", keys=count)
    return Rotation(target, make, count)


def retire(
    lake: Lake, settings: Settings, version: int, *, by: str, reason: str = "", now: datetime | None = None
) -> None:
    """Destroys one of the vault's older keys and the old files that it wraps.

    Raises:
        InputError: It is the newest, still wraps somebody's key, was replaced less than ``GRACE`` ago, comes from
            elsewhere, or is not there.
    """
    tables = registry(settings.include)
    with exclusive(lake.home.keys):
        made = {key.version: key.made for key in list_keys(lake.home, settings.keys) if key.kind == "vault"}
        refusal = _why_kept(version, made, wrapped_by(lake, tables), now or datetime.now(UTC))
        if settings.keys:
            refusal = f"the keys come from elsewhere: {refusal or f'take vault-{version} out there, nothing needs it'}"
        if refusal:
            raise InputError(f"vault-{version} stays: {refusal}")
        audit.record(lake.home, "keys.retire", by=by, reason=reason, key=f"vault-{version}")
        destroy_vault_key(lake.home, version)
        collect(lake, tables.get(PERSON_KEYS), history=GRACE)


def _why_kept(version: int, made: dict[int, datetime | None], wraps: dict[int, int], now: datetime) -> str:
    if version not in made:
        return f"there is no such key; there are {', '.join(f'vault-{one}' for one in sorted(made)) or 'none'}"
    later = [one for one in made if one > version]
    if not later:
        return "it is the newest; run `crossdomain keys rotate` first"
    if count := wraps.get(version):
        return f"it still wraps {count} keys; run `crossdomain keys rotate`"
    next_made = made[min(later)]
    if next_made is not None and now < next_made + GRACE:
        until = (next_made + GRACE).isoformat(timespec="minutes")
        return f"tasks that began before the rotation may still wrap with it; retire it after {until}"
    return ""


def _newest_rows(
    lake: Lake, tables: TableRegistry, accounts: Sequence[bytes], fields: Sequence[str]
) -> list[tuple[bytes, str, bytes, bytes, bytes, int, bytes, bytes]]:
    """(account, field, key_id, nonce, ciphertext, kek_version, key's nonce, wrapped key) of each one's newest day."""
    specs = [tables.get(name) for name in (PERSONAL_FIELDS, PERSON_KEYS)]
    theirs = "account IN (SELECT unnest($1::BLOB[]))"
    for _ in range(_ATTEMPTS):
        found = [lake.partitions(spec) for spec in specs]
        values, keys = (lake.relation(spec, live) for spec, live in zip(specs, found, strict=True))
        try:
            return lake.con.execute(
                f"""
                SELECT account, field, key_id, v.nonce, ciphertext, kek_version, k.nonce, wrapped
                FROM (SELECT * FROM ({values}) WHERE {theirs} AND list_contains($2, field)) AS v
                JOIN (SELECT * FROM ({keys}) WHERE {theirs}) AS k USING (account, key_id)
                QUALIFY row_number() OVER (PARTITION BY account, field ORDER BY v.ds DESC) = 1
                """,  # noqa: S608 - quoted
                [accounts, list(fields)],
            ).fetchall()
        except duckdb.IOException:
            if all(file.path.exists() for live in found for partition in live for file in partition.files):
                raise
    raise InputError("the vault's files are being replaced all the time: try again")


def _held(lake: Lake, spec: TableSpec, accounts: Collection[bytes]) -> list[Held]:
    live = lake.relation(spec, lake.partitions(spec))
    rows = lake.con.execute(
        f"SELECT ds, count(*) FROM ({live}) WHERE account IN (SELECT unnest($1::BLOB[])) GROUP BY ALL ORDER BY ALL",  # noqa: S608
        [list(accounts)],
    ).fetchall()
    return [Held(spec.full_name, day, count) for day, count in rows]


def _without(lake: Lake, live: str, accounts: Collection[bytes]) -> pa.Table:
    return lake.con.sql(
        f"FROM ({live}) WHERE account NOT IN (SELECT unnest($1::BLOB[]))", params=[list(accounts)]
    ).to_arrow_table()


def _encrypted(batch: pa.RecordBatch, wrapper: KeyWrapper) -> pa.RecordBatch:
    columns = {name: batch.column(name).to_pylist() for name in batch.schema.names}
    wrapping = zip(*(columns[name] for name in ("key_id", "kek_version", "nonce", "wrapped")), strict=True)
    values = zip(*(columns[name] for name in FIELDS), strict=True)
    rows = []
    for account, wrapped_key, given in zip(columns["account"], wrapping, values, strict=True):
        key_id = wrapped_key[0]
        sealer = Sealer(wrapper.unwrap(account, *wrapped_key))
        for field, value in zip(FIELDS, given, strict=True):
            if value is not None:
                sealed = sealer.seal(value.encode(), _bound_to(account, field, key_id))
                rows.append((account, field, key_id, *sealed))
    return record_batch(rows, _SCHEMA)


def _bound_to(account: bytes, field: str, key_id: bytes) -> bytes:
    return account + key_id + field.encode()  # 16 bytes, 16 bytes, and the rest
