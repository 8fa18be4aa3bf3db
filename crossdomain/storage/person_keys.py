"""Keys of persons, wrapped by the vault's key: envelope encryption.

Table ``vault.person_keys`` only grows by ``ensure_keys`` and only shrinks when a person is shredded. Changes are made
partition by partition, each a commit that is refused where somebody else changed the partition meanwhile; so two
runs of one day never replace each other's keys, and whoever was killed is simply run again.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from datetime import date

import pyarrow as pa

from crossdomain.errors import MissingInput
from crossdomain.storage.encryption import KEY_BYTES, Sealer, Tampered, derive_key
from crossdomain.storage.lake import Lake
from crossdomain.storage.rewrite import rewrite
from crossdomain.tables import TableRegistry, TableSpec

PERSON_KEYS = "vault.person_keys"
BATCH = 50_000
"""Rows that are turned into Python values at once."""

_KEY_ID_BYTES = 16
_PURPOSE = b"crossdomain vault: wrap a person's key"
_SCHEMA = pa.schema(
    [
        ("key_id", pa.binary()),
        ("account", pa.binary()),
        ("kek_version", pa.int32()),
        ("nonce", pa.binary()),
        ("wrapped", pa.binary()),
    ]
)


class KeyWrapper:
    """Wraps persons' keys under the newest of the vault's keys and unwraps under any of them.

    Each person's key is wrapped under a key of its own, derived from the vault's key and the key's name, so that
    random nonces stay far from the number at which AES-GCM wants another key. The wrapping is bound to the account,
    the key's name and the version.
    """

    def __init__(self, keys: Mapping[int, bytes]) -> None:
        if not keys:
            raise MissingInput("this home has no key for the vault: run `crossdomain keys create`")
        self._keys = keys
        self.newest = max(keys)

    def wrap(self, account: bytes, key_id: bytes, key: bytes) -> tuple[int, bytes, bytes]:
        """(version, nonce, wrapped key)."""
        return self.newest, *self._sealer(self.newest, key_id).seal(key, _bound_to(account, key_id, self.newest))

    def unwrap(self, account: bytes, key_id: bytes, version: int, nonce: bytes, wrapped: bytes) -> bytes:
        """The person's key.

        Raises:
            MissingInput: The vault's key of that version is not there.
            Tampered: The row was changed.
        """
        if version not in self._keys:
            raise MissingInput(f"keys of persons are wrapped by vault-{version}, which is not there: restore that key")
        try:
            return self._sealer(version, key_id).open(nonce, wrapped, _bound_to(account, key_id, version))
        except Tampered as error:
            raise Tampered(f"{PERSON_KEYS}: a wrapped key was changed, or vault-{version} is another key") from error

    def _sealer(self, version: int, key_id: bytes) -> Sealer:
        return Sealer(derive_key(self._keys[version], salt=key_id, purpose=_PURPOSE))


def ensure_keys(lake: Lake, tables: TableRegistry, wrapper: KeyWrapper, day: date, people: str) -> int:
    """Gives every account that has none a key, in the day's partition.

    Args:
        lake: The lake.
        tables: The registry.
        wrapper: Wraps the new keys.
        day: The day that needs them.
        people: SQL with a column ``account``.

    Returns:
        Number of keys made.
    """
    spec = tables.get(PERSON_KEYS)
    made = 0

    def grown(live: str) -> str | pa.Table | None:
        nonlocal made
        everywhere = lake.relation(spec, lake.partitions(spec))
        missing = lake.con.sql(
            f"SELECT DISTINCT account FROM ({people}) ANTI JOIN ({everywhere}) USING (account) ORDER BY account"  # noqa: S608
        ).to_arrow_table()
        made = missing.num_rows
        if not made:
            return None
        rows = pa.Table.from_batches(_new_keys(batch, wrapper) for batch in missing.to_batches(BATCH))
        return pa.concat_tables([lake.con.sql(live).to_arrow_table().drop_columns(["ds"]).cast(_SCHEMA), rows])

    rewrite(lake, spec, day, grown, made_by={"job": "vault"})
    return made


def key_rows(lake: Lake, tables: TableRegistry) -> str:
    """SQL of one key for each account, the newest: account, key_id, kek_version, nonce, wrapped."""
    spec = tables.get(PERSON_KEYS)
    return (
        f"SELECT account, key_id, kek_version, nonce, wrapped FROM ({lake.relation(spec, lake.partitions(spec))}) "  # noqa: S608
        "QUALIFY row_number() OVER (PARTITION BY account ORDER BY ds DESC, key_id DESC) = 1"
    )


def wrapped_by(lake: Lake, tables: TableRegistry) -> dict[int, int]:
    """How many persons' keys each of the vault's keys wraps, by version."""
    spec = tables.get(PERSON_KEYS)
    live = lake.relation(spec, lake.partitions(spec))
    return dict(lake.con.sql(f"SELECT kek_version, count(*) FROM ({live}) GROUP BY ALL ORDER BY ALL").fetchall())  # noqa: S608


def rewrap(lake: Lake, tables: TableRegistry, wrapper: KeyWrapper) -> int:
    """Wraps every person's key under the newest of the vault's keys; killed, run it again.

    Readers go on: each partition changes in one commit, and both keys unwrap.

    Returns:
        Number of keys that were wrapped again.
    """
    spec = tables.get(PERSON_KEYS)
    done = 0

    def renewed(live: str) -> pa.Table | None:
        nonlocal done
        rows = lake.con.sql(live).to_arrow_table().drop_columns(["ds"]).cast(_SCHEMA)
        batches = [_rewrapped(batch, wrapper) for batch in rows.to_batches(BATCH)]
        done += sum(count for _, count in batches)
        return pa.Table.from_batches([batch for batch, _ in batches], _SCHEMA)

    while days := _days_wrapped_before(lake, spec, wrapper.newest):
        for day in days:
            rewrite(lake, spec, day, renewed)
    return done


def record_batch(rows: Sequence[tuple[object, ...]], schema: pa.Schema) -> pa.RecordBatch:
    """Rows as Arrow, of the schema's types."""
    columns = zip(*rows, strict=True) if rows else [()] * len(schema)
    return pa.record_batch([pa.array(column, kind) for column, kind in zip(columns, schema.types, strict=True)], schema)


def _days_wrapped_before(lake: Lake, spec: TableSpec, version: int) -> list[date]:
    live = lake.relation(spec, lake.partitions(spec))
    rows = lake.con.execute(f"SELECT DISTINCT ds FROM ({live}) WHERE kek_version < ? ORDER BY ds", [version])  # noqa: S608
    return [day for (day,) in rows.fetchall()]


def _new_keys(batch: pa.RecordBatch, wrapper: KeyWrapper) -> pa.RecordBatch:
    rows = []
    for account in batch.column("account").to_pylist():
        key_id = secrets.token_bytes(_KEY_ID_BYTES)
        rows.append((key_id, account, *wrapper.wrap(account, key_id, secrets.token_bytes(KEY_BYTES))))
    return record_batch(rows, _SCHEMA)


def _rewrapped(batch: pa.RecordBatch, wrapper: KeyWrapper) -> tuple[pa.RecordBatch, int]:
    rows, done = [], 0
    for key_id, account, version, nonce, wrapped in _tuples(batch):
        if version < wrapper.newest:
            key = wrapper.unwrap(account, key_id, version, nonce, wrapped)
            rows.append((key_id, account, *wrapper.wrap(account, key_id, key)))
            done += 1
        else:
            rows.append((key_id, account, version, nonce, wrapped))
    return record_batch(rows, _SCHEMA), done


def _tuples(batch: pa.RecordBatch) -> Iterator[tuple[bytes, bytes, int, bytes, bytes]]:
    return zip(*(batch.column(name).to_pylist() for name in _SCHEMA.names), strict=True)


def _bound_to(account: bytes, key_id: bytes, version: int) -> bytes:
    return account + key_id + version.to_bytes(4)  # 16, 16 and 4 bytes
