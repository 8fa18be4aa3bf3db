"""Keys and the pseudonyms made with them.

The pseudonym key names accounts and contacts; the erasure key remembers erased people after their
pseudonyms are gone. Both are 32 random bytes in files that only their owner may read.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from crossdomain.errors import InputError, MissingInput
from crossdomain.storage.home import Home, make_folder, write_whole

_BYTES = 32
_SEPARATOR = "\x1f"


@dataclass(frozen=True)
class Keyring:
    """The keys of one home; never printed."""

    pseudonym: bytes = field(repr=False)
    erasure: bytes = field(repr=False)

    def account(self, domain: str, user_id: str) -> bytes:
        """HMAC-SHA-256 of (domain, user_id) under the pseudonym key, first 16 bytes."""
        return _mac(self.pseudonym, f"{domain}{_SEPARATOR}{user_id}")

    def accounts(self, pairs: Iterable[tuple[str, str]]) -> list[bytes]:
        """Account keys of many (domain, user_id), in their order."""
        base = hmac.new(self.pseudonym, digestmod="sha256")
        keys = []
        for domain, user_id in pairs:
            mac = base.copy()
            mac.update(f"{domain}{_SEPARATOR}{user_id}".encode())
            keys.append(mac.digest()[:16])
        return keys

    def contact(self, kind: str, value: str) -> bytes:
        """Keyed hash of a normalised phone number or mail address, 16 bytes; equal across domains."""
        return _mac(self.pseudonym, f"contact{_SEPARATOR}{kind}{_SEPARATOR}{value}")

    def erased(self, domain: str, user_id: str) -> bytes:
        """How an erased account is remembered: HMAC under the erasure key, 16 bytes."""
        return _mac(self.erasure, f"{domain}{_SEPARATOR}{user_id}")


def create_keys(home: Home) -> list[Path]:
    """Creates the key files that are missing and returns them; existing keys are never replaced."""
    make_folder(home.keys)
    home.keys.chmod(0o700)
    created = []
    for name in ("pseudonym", "erasure"):
        path = home.keys / f"{name}.key"
        if not path.exists():
            write_whole(path, secrets.token_bytes(_BYTES), mode=0o600)
            created.append(path)
    return created


def load_keys(home: Home) -> Keyring:
    """The home's keys.

    Raises:
        MissingInput: No key file yet; the message names the command that makes one.
        InputError: A key file is too short or readable by others.
    """
    return Keyring(pseudonym=_read(home.keys / "pseudonym.key"), erasure=_read(home.keys / "erasure.key"))


def _read(path: Path) -> bytes:
    if not path.exists():
        raise MissingInput(f"{path} is missing: run `crossdomain keys create` once for this home")
    if path.stat().st_mode & 0o077:
        raise InputError(f"{path} can be read by others: chmod 600 it")
    content = path.read_bytes()
    if len(content) != _BYTES:
        raise InputError(f"{path} must hold {_BYTES} bytes, it holds {len(content)}")
    return content


def _mac(key: bytes, message: str) -> bytes:
    return hmac.digest(key, message.encode(), "sha256")[:16]
