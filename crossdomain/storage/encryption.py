"""Authenticated encryption: AES-256-GCM with fresh nonces, and keys derived by HKDF-SHA-256.

What is sealed is bound to what it belongs to (its account, its field, its key) as associated data: a ciphertext that
was changed, or put in another's place, does not open.
"""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from crossdomain.errors import CrossdomainError

KEY_BYTES = 32
NONCE_BYTES = 12


class Tampered(CrossdomainError):
    """A ciphertext that does not open: changed, moved, or sealed under another key."""


def derive_key(secret: bytes, *, salt: bytes, purpose: bytes, size: int = KEY_BYTES) -> bytes:
    """A key from a secret, by HKDF-SHA-256 (RFC 5869).

    Args:
        secret: Key material, at least as strong as the key wanted.
        salt: Makes keys of one purpose differ; not secret.
        purpose: Makes keys for different uses independent of each other.
        size: Bytes wanted.
    """
    return HKDF(SHA256(), size, salt, purpose).derive(secret)


class Sealer:
    """Seals and opens under one key."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(self, plain: bytes, bound_to: bytes) -> tuple[bytes, bytes]:
        """Encrypts.

        Args:
            plain: What to hide; its length can be seen.
            bound_to: What it belongs to, so written that nothing else is written alike; needed to open it.

        Returns:
            The nonce (12 bytes, random) and the ciphertext with its tag (16 bytes longer than ``plain``).
        """
        nonce = os.urandom(NONCE_BYTES)
        return nonce, self._cipher.encrypt(nonce, plain, bound_to)

    def open(self, nonce: bytes, sealed: bytes, bound_to: bytes) -> bytes:
        """Decrypts what ``seal`` gave.

        Raises:
            Tampered: Nonce or ciphertext were changed, or belong to something else or another key.
        """
        try:
            return self._cipher.decrypt(nonce, sealed, bound_to)
        except (InvalidTag, ValueError) as error:
            raise Tampered("a ciphertext does not open: it was changed, or belongs elsewhere") from error
