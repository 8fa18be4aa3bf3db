"""Erasures under way: whose, and what was found, sealed, so that a run that was killed can be finished.

The id is needed until the last place is clean and no task that began before can write it again; then it must be
nowhere. So it is written down only encrypted, under a key that is derived from the erasure key, and the file goes a day
after the erasure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from crossdomain.storage.encryption import NONCE_BYTES, Sealer, derive_key
from crossdomain.storage.home import Home, write_whole
from crossdomain.storage.keys import Keyring

_PURPOSE = b"crossdomain governance: an erasure under way"
_SUFFIX = ".sealed"

Place = tuple[str, str, str]
"""(place, partition, action), as in ``derived.erasure_receipts``."""


@dataclass(frozen=True)
class Pending:
    """An erasure that has begun and is not done.

    Attributes:
        receipt_id: Names its receipt.
        domain: Side of the business.
        user_id: The source's id.
        requested_at: When it was asked for (UTC).
        asked_by: Who gave the order.
        reason: Why.
        found: Rows by place, the most that was ever found there.
        done_at: When it was done (UTC); it is watched for as long as a task that began before may still commit.
    """

    receipt_id: str
    domain: str
    user_id: str = field(repr=False)
    requested_at: datetime
    asked_by: str
    reason: str
    found: Mapping[Place, int] = field(default_factory=dict)
    done_at: datetime | None = None

    def with_found(self, found: Mapping[Place, int]) -> Pending:
        """With what was found now; what an earlier try found and removed still counts."""
        places = self.found.keys() | found.keys()
        return replace(
            self, found={place: max(self.found.get(place, 0), found.get(place, 0)) for place in sorted(places)}
        )


def keep(home: Home, keys: Keyring, pending: Pending) -> None:
    """Writes an erasure down; an older state of it is replaced."""
    content = {
        "domain": pending.domain,
        "user_id": pending.user_id,
        "requested_at": pending.requested_at.isoformat(),
        "asked_by": pending.asked_by,
        "reason": pending.reason,
        "found": [[*place, rows] for place, rows in pending.found.items()],
        "done_at": pending.done_at.isoformat() if pending.done_at else None,
    }
    nonce, sealed = _sealer(keys).seal(json.dumps(content).encode(), pending.receipt_id.encode())
    write_whole(_path(home, pending.receipt_id), nonce + sealed, mode=0o600)


def load(home: Home, keys: Keyring) -> list[Pending]:
    """All erasures that have begun and are not done, or are still watched, by receipt."""
    return [_read(path, keys) for path in sorted(_folder(home).glob(f"*{_SUFFIX}"))]


def forget(home: Home, pending: Pending) -> None:
    """Removes what was written down."""
    _path(home, pending.receipt_id).unlink(missing_ok=True)


def _read(path: Path, keys: Keyring) -> Pending:
    receipt_id, content = path.name.removesuffix(_SUFFIX), path.read_bytes()
    plain = _sealer(keys).open(content[:NONCE_BYTES], content[NONCE_BYTES:], receipt_id.encode())
    said = json.loads(plain)
    return Pending(
        receipt_id,
        said["domain"],
        said["user_id"],
        datetime.fromisoformat(said["requested_at"]),
        said["asked_by"],
        said["reason"],
        {(place, partition, action): rows for place, partition, action, rows in said["found"]},
        datetime.fromisoformat(said["done_at"]) if said["done_at"] else None,
    )


def _sealer(keys: Keyring) -> Sealer:
    return Sealer(derive_key(keys.erasure, salt=b"", purpose=_PURPOSE))


def _folder(home: Home) -> Path:
    return home.pending_erasures


def _path(home: Home, receipt_id: str) -> Path:
    return _folder(home) / f"{receipt_id}{_SUFFIX}"
