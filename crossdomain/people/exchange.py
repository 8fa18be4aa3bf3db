"""Matching people with another company without showing it the list: keyed hashes of contacts, made for one exchange.

Both companies hash their contacts under a key that exists for this exchange only, swap the sorted hashes and look
which of their own are among the partner's. Whoever holds the key can try all phone numbers, so this hides the lists
from everybody but the partner; docs/matching.md says what each side learns.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pyarrow as pa

from crossdomain.errors import InputError, MissingInput
from crossdomain.storage.home import write_whole
from crossdomain.storage.keys import keyed_hash
from crossdomain.text.contact_forms import define_contact_forms

PAD_TO = 1000
"""A list is filled up with random hashes to a multiple of this, so that its length says little."""

_FORMAT = 1
_TOKEN_BYTES = 16
_KEY_BYTES = 32
_SEPARATOR = "\x1f"


@dataclass(frozen=True)
class ExchangeKey:
    """The key of one exchange; never printed.

    Attributes:
        exchange: Random name of the exchange, 16 hexadecimal digits; part of every hash.
        secret: 32 random bytes, known to both companies and to nobody else.
    """

    exchange: str
    secret: bytes = field(repr=False)

    @property
    def check(self) -> str:
        """Tells two keys apart and says nothing else of them."""
        return keyed_hash(self.secret, f"exchange check{_SEPARATOR}{self.exchange}")[:8].hex()

    def token(self, kind: str, value: str) -> bytes:
        """Keyed hash of a normalised phone number or mail address, 16 bytes."""
        return keyed_hash(self.secret, _SEPARATOR.join(("exchange", self.exchange, kind, value)))


@dataclass(frozen=True)
class Matched:
    """Whom both companies know.

    Attributes:
        pairs: Columns ``account`` and ``token`` (both binary), ordered; an account stands once for each of its contacts
            that matched.
        accounts: Accounts in ``pairs``.
        ambiguous: Hashes of the partner's that several own accounts carry; none of those accounts was matched by them.
        offered: Hashes in the partner's list, those that fill it up among them.
    """

    pairs: pa.Table
    accounts: int
    ambiguous: int
    offered: int


def new_key() -> ExchangeKey:
    """A key for one exchange; never use it for another, or the two can be joined."""
    return ExchangeKey(secrets.token_hex(8), secrets.token_bytes(_KEY_BYTES))


def save_key(path: Path, key: ExchangeKey) -> None:
    """Writes a key to a file that only its owner may read.

    Raises:
        InputError: The file exists: a key is never replaced.
    """
    if path.exists():
        raise InputError(f"{path} exists already; an exchange has one key, choose another file for another exchange")
    content = {"exchange": key.exchange, "format": _FORMAT, "key": base64.b64encode(key.secret).decode()}
    write_whole(path, json.dumps(content).encode() + b"\n", mode=0o600)


def load_key(path: Path) -> ExchangeKey:
    """Reads a key; no message shows it.

    Raises:
        MissingInput: No such file.
        InputError: Others can read the file, or it holds no key of an exchange.
    """
    if not path.exists():
        raise MissingInput(f"{path} is missing: one side runs `crossdomain exchange key` and hands the file over")
    if path.stat().st_mode & 0o077:
        raise InputError(f"{path} can be read by others: chmod 600 it")
    try:
        content = json.loads(path.read_bytes())
        exchange, secret = content["exchange"], base64.b64decode(content["key"], validate=True)
    except (ValueError, KeyError, TypeError, binascii.Error):
        raise InputError(
            f"{path} holds no key of an exchange: take the file that `crossdomain exchange key` made"
        ) from None
    if content.get("format") != _FORMAT or len(secret) != _KEY_BYTES or not isinstance(exchange, str):
        raise InputError(f"{path} holds a key of another format or length: use the same release on both sides")
    return ExchangeKey(exchange, secret)


def hash_contacts(con: duckdb.DuckDBPyConnection, contacts: str, key: ExchangeKey) -> pa.Table:
    """Hashes contacts in their normal forms.

    Args:
        con: A connection.
        contacts: SQL of columns ``account`` (binary), ``phone`` and ``email`` (text as given, or null).
        key: The key of the exchange.

    Returns:
        Columns ``token`` and ``account`` (both binary), each pair once, ordered.
    """
    define_contact_forms(con)
    found = con.sql(
        f"""
        WITH given AS ({contacts})
        SELECT DISTINCT 'phone' AS kind, normal_phone(phone) AS value, account
        FROM given WHERE normal_phone(phone) IS NOT NULL
        UNION ALL
        SELECT DISTINCT 'email', normal_email(email), account FROM given WHERE normal_email(email) IS NOT NULL
        """  # noqa: S608 - our own SQL
    ).to_arrow_table()
    kinds, values = (found.column(name).to_pylist() for name in ("kind", "value"))
    tokens = [key.token(kind, value) for kind, value in zip(kinds, values, strict=True)]
    hashed = pa.table({"token": pa.array(tokens, pa.binary()), "account": found.column("account")})
    return hashed.sort_by([("token", "ascending"), ("account", "ascending")])


def write_list(path: Path, hashed: pa.Table, key: ExchangeKey, *, pad_to: int = PAD_TO) -> int:
    """Writes what the partner gets: a header, then the hashes in their own order, one a line, nothing else.

    Random hashes fill the list up to a multiple of ``pad_to``; nobody can tell them from real ones, and they match
    nothing. The order says nothing of the people, since a keyed hash says nothing of what it hashes.

    Args:
        path: The file; an older one is replaced.
        hashed: Result of :func:`hash_contacts`.
        key: The key of the exchange.
        pad_to: 1 adds nothing.

    Returns:
        Lines written, without the header.

    Raises:
        InputError: ``pad_to`` is less than 1.
    """
    if pad_to < 1:
        raise InputError(f"a list cannot be filled up to a multiple of {pad_to}; give 1 or more")
    tokens = set(hashed.column("token").to_pylist())
    wanted = max(-(-len(tokens) // pad_to) * pad_to, pad_to if pad_to > 1 else 0)
    while len(tokens) < wanted:
        tokens.add(secrets.token_bytes(_TOKEN_BYTES))
    header = {"check": key.check, "exchange": key.exchange, "format": _FORMAT, "lines": len(tokens)}
    lines = [json.dumps(header, sort_keys=True), *(token.hex() for token in sorted(tokens))]
    write_whole(path, "\n".join(lines).encode() + b"\n", mode=0o600)
    return len(tokens)


def read_list(path: Path, key: ExchangeKey) -> list[bytes]:
    """Reads a partner's list.

    Raises:
        MissingInput: No such file.
        InputError: It is no list, belongs to another exchange, is cut short, or a line is no hash; the line is named.
    """
    if not path.exists():
        raise MissingInput(f"{path} is missing: the partner makes it with `crossdomain exchange export`")
    first, *lines = path.read_text("utf-8").splitlines() or [""]
    try:
        header = json.loads(first)
        exchange, check, promised = header["exchange"], header["check"], header["lines"]
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{path}:1: no list of an exchange: the first line must be the header") from None
    if exchange != key.exchange or not hmac.compare_digest(str(check), key.check):
        raise InputError(f"{path} was made with the key of another exchange ({exchange}); both sides need the same key")
    if len(lines) != promised:
        raise InputError(f"{path} was cut short: {promised} lines were written, {len(lines)} are here")
    return [_token(line, path, number) for number, line in enumerate(lines, start=2)]


def match(hashed: pa.Table, partner: Sequence[bytes]) -> Matched:
    """Which own accounts the partner knows too.

    A hash that several own accounts carry (a family's phone, one person twice) names none of them: it is counted, not
    guessed.

    Args:
        hashed: Result of :func:`hash_contacts` of the own contacts.
        partner: Result of :func:`read_list`.
    """
    offered = set(partner)
    owners: dict[bytes, list[bytes]] = {}
    for token, account in zip(hashed.column("token").to_pylist(), hashed.column("account").to_pylist(), strict=True):
        if token in offered:
            owners.setdefault(token, []).append(account)
    pairs = sorted((accounts[0], token) for token, accounts in owners.items() if len(accounts) == 1)
    return Matched(
        pairs=pa.table(
            {
                "account": pa.array([account for account, _ in pairs], pa.binary()),
                "token": pa.array([token for _, token in pairs], pa.binary()),
            }
        ),
        accounts=len({account for account, _ in pairs}),
        ambiguous=len(owners) - len(pairs),
        offered=len(offered),
    )


def _token(line: str, path: Path, number: int) -> bytes:
    try:
        token = bytes.fromhex(line)
    except ValueError:
        token = b""
    if len(token) != _TOKEN_BYTES:
        raise InputError(f"{path}:{number}: no hash of an exchange: {2 * _TOKEN_BYTES} hexadecimal digits are expected")
    return token
