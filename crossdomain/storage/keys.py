"""Keys and the pseudonyms made with them.

The pseudonym key names accounts and contacts; the erasure key remembers erased people after their pseudonyms are
gone; the vault's keys wrap the keys of its people. All are 32 random bytes with a version, in files that only their
owner may read (``keys/<what>-<version>.key``) or in a secret that the deployment hands over.

A home remembers a check value of the keys that must never change, so that it refuses to go on under others.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from crossdomain.errors import InputError, MissingInput
from crossdomain.storage.home import Home, write_whole
from crossdomain.storage.locks import exclusive

KINDS = ("pseudonym", "erasure", "vault")
"""What a key is for."""

_LASTING = ("pseudonym", "erasure")
_BYTES = 32
KEY_BYTES = 16
"""Length of account keys and keyed hashes."""
SEPARATOR = "\x1f"
"""Between the parts of what is hashed; never part of an id."""
_NAME = re.compile(rf"^(?P<kind>{'|'.join(KINDS)})(?:-(?P<version>[1-9][0-9]*))?$")
_CHECKS = "checks.json"
_VARIABLE = "CROSSDOMAIN_KEYS"


def keyed_hash(key: bytes, message: str) -> bytes:
    """HMAC-SHA-256 of a text (RFC 2104), first 16 bytes."""
    return hmac.digest(key, message.encode(), "sha256")[:KEY_BYTES]


@dataclass(frozen=True)
class Keyring:
    """The keys of one home; never printed.

    Attributes:
        pseudonym: Names accounts and contacts.
        erasure: Names the erased, and people in the audit log.
        vault: The vault's keys by version; the newest wraps, all of them unwrap.
    """

    pseudonym: bytes = field(repr=False)
    erasure: bytes = field(repr=False)
    vault: Mapping[int, bytes] = field(default_factory=dict, repr=False)

    def account(self, domain: str, user_id: str) -> bytes:
        """HMAC-SHA-256 of (domain, user_id) under the pseudonym key, first 16 bytes."""
        return keyed_hash(self.pseudonym, f"{domain}{SEPARATOR}{user_id}")

    def accounts(self, pairs: Iterable[tuple[str, str]]) -> list[bytes]:
        """Account keys of many (domain, user_id), in their order."""
        base = hmac.new(self.pseudonym, digestmod="sha256")
        keys = []
        for domain, user_id in pairs:
            mac = base.copy()
            mac.update(f"{domain}{SEPARATOR}{user_id}".encode())
            keys.append(mac.digest()[:KEY_BYTES])
        return keys

    def contact(self, kind: str, value: str) -> bytes:
        """Keyed hash of a normalised phone number or mail address, 16 bytes; equal across domains."""
        return keyed_hash(self.pseudonym, f"contact{SEPARATOR}{kind}{SEPARATOR}{value}")

    def erased(self, domain: str, user_id: str) -> bytes:
        """How an erased account is remembered: HMAC under the erasure key, 16 bytes."""
        return keyed_hash(self.erasure, f"{domain}{SEPARATOR}{user_id}")

    def subject(self, account: bytes) -> str:
        """How an account is named in the audit log, 32 hexadecimal digits: HMAC of its key under the erasure key.

        An erased account's pseudonym must be found nowhere; the log says what happened to whom without it.
        """
        return hmac.digest(self.erasure, b"subject" + SEPARATOR.encode() + account, "sha256")[:KEY_BYTES].hex()


@dataclass(frozen=True)
class KeyInfo:
    """A key without its bytes.

    Attributes:
        kind: One of ``KINDS``.
        version: Grows; the newest one is in force.
        source: Its file, or the name of the setting that holds it.
        made: When its file was written (UTC); None for keys from elsewhere.
    """

    kind: str
    version: int
    source: str
    made: datetime | None


def create_keys(home: Home, given: str | None = None) -> list[Path]:
    """Creates the key files that are missing and returns them; existing keys are never replaced.

    Where the keys come from elsewhere no file is made. Either way the home remembers their check values.

    Args:
        home: The home.
        given: ``Settings.keys``.

    Raises:
        MissingInput: A key with which this home's data was made is gone: a new one would not fit.
        InputError: The keys are not those with which this home's data was made.
    """
    with exclusive(home.keys):
        created = [] if given else [_create(home, kind) for kind in KINDS if not _versions(home, kind)]
        keyring = _keyring(home, given)
        checks = {kind: _check_value(getattr(keyring, kind)) for kind in _LASTING}
        if _known_checks(home) != checks:
            write_whole(home.keys / _CHECKS, json.dumps(checks, sort_keys=True).encode(), mode=0o600)
    return created


def load_keys(home: Home, given: str | None = None) -> Keyring:
    """The home's keys.

    Args:
        home: The home.
        given: ``Settings.keys``: keys from elsewhere, which are then all the keys there are. A JSON object from
            ``<what>-<version>`` to 32 bytes in base64.

    Raises:
        MissingInput: A key is missing; the message names the command that makes one.
        InputError: A key is too short, a file is readable by others, or the keys are not those with which this
            home's data was made.
    """
    return _keyring(home, given)


def list_keys(home: Home, given: str | None = None) -> list[KeyInfo]:
    """All keys by kind and version, without their bytes.

    Raises:
        InputError: The given keys do not parse.
    """
    if given:
        return [KeyInfo(kind, version, _VARIABLE, None) for kind, version in sorted(_parse(given))]
    return [
        KeyInfo(kind, version, str(path), datetime.fromtimestamp(path.stat().st_mtime, tz=UTC))
        for kind in KINDS
        for version, path in sorted(_versions(home, kind).items())
    ]


def add_vault_key(home: Home) -> int:
    """Makes the vault's next key and returns its version. Hold ``exclusive(home.keys)``."""
    version = max(_versions(home, "vault"), default=0) + 1
    write_whole(home.keys / f"vault-{version}.key", secrets.token_bytes(_BYTES), mode=0o600)
    return version


def destroy_vault_key(home: Home, version: int) -> None:
    """Removes a key file of the vault: what it wraps can never be read again. Hold ``exclusive(home.keys)``."""
    _versions(home, "vault")[version].unlink()


def _keyring(home: Home, given: str | None) -> Keyring:
    keys = _parse(given) if given else _read_all(home)
    newest = {}
    for kind in _LASTING:
        versions = [version for found, version in keys if found == kind]
        if not versions:
            where = f"{_VARIABLE} has no {kind}-1" if given else f"{home.keys / f'{kind}-1.key'} is missing"
            raise MissingInput(f"{where}: run `crossdomain keys create` once for this home, or restore its keys")
        newest[kind] = keys[kind, max(versions)]
    for kind, check in _known_checks(home).items():
        if not hmac.compare_digest(check, _check_value(newest[kind])):
            raise InputError(
                f"the {kind} key in force is not the one with which the data in {home.root} was made: "
                "restore that one; see docs/vault.md for what changing it takes"
            )
    return Keyring(**newest, vault={version: key for (kind, version), key in sorted(keys.items()) if kind == "vault"})


def _create(home: Home, kind: str) -> Path:
    if kind in _known_checks(home):
        raise MissingInput(
            f"{home.keys / f'{kind}-1.key'} is missing, and the data in {home.root} was made with it: "
            "restore it from its backup; a new one would not fit"
        )
    path = home.keys / f"{kind}-1.key"
    write_whole(path, secrets.token_bytes(_BYTES), mode=0o600)
    return path


def _versions(home: Home, kind: str) -> dict[int, Path]:
    """Key files of a kind by version; ``<kind>.key``, as older homes have it, is version 1."""
    found: dict[int, Path] = {}
    for path in sorted(home.keys.glob(f"{kind}*.key")):
        match = _NAME.match(path.stem)
        if match is None or match["kind"] != kind:
            continue
        version = int(match["version"] or 1)
        if version in found:
            raise InputError(f"{path} and {found[version].name} are both version {version}: remove the wrong one")
        found[version] = path
    return found


def _read_all(home: Home) -> dict[tuple[str, int], bytes]:
    return {(kind, version): _read(path) for kind in KINDS for version, path in _versions(home, kind).items()}


def _read(path: Path) -> bytes:
    if path.stat().st_mode & 0o077:
        raise InputError(f"{path} can be read by others: chmod 600 it")
    content = path.read_bytes()
    if len(content) != _BYTES:
        raise InputError(f"{path} must hold {_BYTES} bytes, it holds {len(content)}")
    return content


def _parse(given: str) -> dict[tuple[str, int], bytes]:
    """Keys from elsewhere; no message shows what was given."""
    try:
        content = json.loads(given)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise InputError(f'{_VARIABLE} must be a JSON object such as {{"pseudonym-1": "<32 bytes in base64>", …}}')
    keys = {}
    for number, (name, text) in enumerate(content.items(), start=1):
        match = _NAME.match(name)
        if match is None:
            raise InputError(f"{_VARIABLE}: the name of entry {number} is not <{'|'.join(KINDS)}>-<version>")
        try:
            key = base64.b64decode(text, validate=True)
        except (binascii.Error, TypeError, ValueError):
            raise InputError(f"{_VARIABLE}: {name} is not base64") from None
        if len(key) != _BYTES:
            raise InputError(f"{_VARIABLE}: {name} must be {_BYTES} bytes in base64, it is {len(key)}")
        keys[match["kind"], int(match["version"] or 1)] = key
    return keys


def _known_checks(home: Home) -> dict[str, str]:
    path = home.keys / _CHECKS
    if not path.exists():
        return {}
    found: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _check_value(key: bytes) -> str:
    """Tells keys apart and says nothing else of them."""
    return keyed_hash(key, "key check")[:4].hex()
