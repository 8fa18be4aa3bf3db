import os

import pytest

from crossdomain.storage.encryption import KEY_BYTES, NONCE_BYTES, Sealer, Tampered, derive_key

KEY = bytes(range(KEY_BYTES))


@pytest.mark.parametrize("plain", [b"", "张伟".encode(), b"x" * 10_000])
def test_what_is_sealed_opens(plain: bytes) -> None:
    nonce, sealed = Sealer(KEY).seal(plain, b"account phone")
    assert Sealer(KEY).open(nonce, sealed, b"account phone") == plain
    assert len(sealed) == len(plain) + 16


def test_the_same_text_is_never_sealed_twice_alike() -> None:
    sealed = {Sealer(KEY).seal(b"13800138000", b"") for _ in range(1000)}
    assert len({nonce for nonce, _ in sealed}) == 1000
    assert len({ciphertext for _, ciphertext in sealed}) == 1000


def test_any_changed_bit_is_refused() -> None:
    nonce, sealed = Sealer(KEY).seal(b"13800138000", b"phone")
    for position in range(len(sealed)):
        changed = bytearray(sealed)
        changed[position] ^= 1
        with pytest.raises(Tampered, match="changed"):
            Sealer(KEY).open(nonce, bytes(changed), b"phone")


@pytest.mark.parametrize(
    ("nonce", "cut", "bound_to", "key"),
    [
        (os.urandom(NONCE_BYTES), None, b"phone", KEY),
        (b"", None, b"phone", KEY),
        (None, 1, b"phone", KEY),
        (None, 30, b"phone", KEY),
        (None, None, b"email", KEY),
        (None, None, b"", KEY),
        (None, None, b"phone", KEY[::-1]),
    ],
    ids=["other nonce", "no nonce", "cut", "nothing left", "other field", "bound to nothing", "other key"],
)
def test_what_belongs_elsewhere_is_refused(nonce: bytes | None, cut: int | None, bound_to: bytes, key: bytes) -> None:
    fresh, sealed = Sealer(KEY).seal(b"13800138000", b"phone")
    with pytest.raises(Tampered):
        Sealer(key).open(fresh if nonce is None else nonce, sealed[cut:], bound_to)


def test_derived_keys_are_reproducible_and_independent() -> None:
    key = derive_key(KEY, salt=b"a", purpose=b"wrap")
    assert key == derive_key(KEY, salt=b"a", purpose=b"wrap")
    assert len(key) == KEY_BYTES
    assert len({key, derive_key(KEY, salt=b"b", purpose=b"wrap"), derive_key(KEY, salt=b"a", purpose=b"other")}) == 3
