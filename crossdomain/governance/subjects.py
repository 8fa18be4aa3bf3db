"""Whom an erasure is about, under every name that the platform may know them by."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from crossdomain.errors import InputError
from crossdomain.storage.keys import Keyring

ERASED = "[erased]"
"""Stands where another record mentioned an erased person's id."""

_UNIT_NAMESPACE = "unit:person"
_LONG_ENOUGH = 8
_MIXED_LONG_ENOUGH = 4


@dataclass(frozen=True)
class Subject:
    """An account whose owner is to be forgotten.

    Attributes:
        domain: Side of the business.
        user_id: The source's id.
        account: The pseudonym, 16 bytes.
        unit: Key of an experiment's unit that carries the id as a person, 16 bytes.
        erased: How the account is remembered: HMAC under the erasure key, 16 bytes.
        name: How the audit log and receipts name the account; not the pseudonym.
    """

    domain: str
    user_id: str = field(repr=False)
    account: bytes = field(repr=False)
    unit: bytes = field(repr=False)
    erased: bytes
    name: str

    @property
    def distinctive(self) -> bool:
        """Whether the id, met in a text, can only mean this account; ``10`` can mean anything."""
        mixed = re.search(r"\d", self.user_id) and re.search(r"[^\W\d_]", self.user_id)
        return len(self.user_id) >= (_MIXED_LONG_ENOUGH if mixed else _LONG_ENOUGH)

    @property
    def pattern(self) -> str:
        """A regular expression (Python's and RE2's) for the id as a whole word, not as a part of another id."""
        return word_pattern([self.user_id])


def make_subject(keys: Keyring, domain: str, user_id: str) -> Subject:
    """The account of a domain and user id.

    Raises:
        InputError: The id is empty.
    """
    text = user_id.strip()
    if not text:
        raise InputError("the user id is empty")
    account = keys.account(domain, text)
    return Subject(
        domain=domain,
        user_id=text,
        account=account,
        unit=keys.account(_UNIT_NAMESPACE, text),
        erased=keys.erased(domain, text),
        name=keys.subject(account),
    )


def word_pattern(words: Sequence[str]) -> str:
    """A regular expression for any of some words, each whole: no letter, digit or underscore beside it."""
    listed = "|".join(
        (r"\b" if word[0].isascii() and (word[0].isalnum() or word[0] == "_") else "")
        + re.escape(word)
        + (r"\b" if word[-1].isascii() and (word[-1].isalnum() or word[-1] == "_") else "")
        for word in words
    )
    return f"({listed})"
