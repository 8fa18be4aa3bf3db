"""Published test vectors of the primitives, inline, and the whole of ../shared/vectors/14_privacy.json."""

from __future__ import annotations

import hmac
import json
import math
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import SM4
from cryptography.hazmat.primitives.ciphers.modes import ECB
from cryptography.hazmat.primitives.hashes import SM3, Hash
from scipy.stats import laplace, norm

from crossdomain.errors import MissingInput
from crossdomain.stats.anonymity import measure
from crossdomain.storage.encryption import Sealer, derive_key
from crossdomain.storage.home import Home
from crossdomain.storage.keys import Keyring, create_keys, keyed_hash, load_keys

VECTORS = Path(__file__).resolve().parents[4] / "shared" / "vectors" / "14_privacy.json"
MOBILE = "13800138000"

# hmac: RFC 4231; hkdf: RFC 5869; gcm: McGrew & Viega, test cases 14 and 16; noise: Dwork & Roth 2014, theorem A.1;
# sm3, sm4: GB/T 32905 and GB/T 32907, appendices A
PUBLISHED: list[dict[str, Any]] = [
    {
        "name": "hmac_sha256_rfc4231_1",
        "key_hex": "0b" * 20,
        "msg": "Hi There",
        "expect": "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
    },
    {
        "name": "hmac_sha256_rfc4231_2",
        "key": "Jefe",
        "msg": "what do ya want for nothing?",
        "expect": "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
    },
    {
        "name": "hkdf_sha256_rfc5869_1",
        "ikm_hex": "0b" * 22,
        "salt_hex": "000102030405060708090a0b0c",
        "info_hex": "f0f1f2f3f4f5f6f7f8f9",
        "length": 42,
        "expect": "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
    },
    {
        "name": "aes256_gcm_nist_case14",
        "key_hex": "00" * 32,
        "iv_hex": "00" * 12,
        "pt_hex": "00" * 16,
        "expect_ct_tag": "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919",
    },
    {
        "name": "aes256_gcm_nist_case16",
        "key_hex": "feffe9928665731c6d6a8f9467308308" * 2,
        "iv_hex": "cafebabefacedbaddecaf888",
        "aad_hex": "feedfacedeadbeeffeedfacedeadbeefabaddad2",
        "pt_hex": "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
        "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
        "expect_ct_tag": "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
        "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b",
    },
    {
        "name": "laplace_mechanism",
        "sensitivity": 1,
        "epsilon": 0.5,
        "scale": 2.0,
        "var": 8.0,
        "p_abs_err_gt_6": 0.049787068367863944,
    },
    {
        "name": "gaussian_mechanism_classic",
        "sensitivity": 1,
        "epsilon": 0.5,
        "delta": 1e-05,
        "sigma": 9.689610525210778,
    },
    {
        "name": "sm3_abc_GBT32905",
        "msg": "abc",
        "expect": "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0",
    },
    {
        "name": "sm4_ecb_GBT32907",
        "key_hex": "0123456789abcdeffedcba9876543210",
        "pt_hex": "0123456789abcdeffedcba9876543210",
        "expect": "681edf34d206965e86b3e94f536e4246",
    },
]


def check_hmac(case: dict[str, Any]) -> None:
    key = bytes.fromhex(case["key_hex"]) if "key_hex" in case else case["key"].encode()
    expected = bytes.fromhex(case["expect"])
    assert keyed_hash(key, case["msg"]) == expected[:16]
    named = Keyring(pseudonym=key, erasure=key)
    said = hmac.digest(key, b"beauty\x1fu1", "sha256")[:16]
    assert [named.account("beauty", "u1"), *named.accounts([("beauty", "u1")])] == [said, said]


def check_hkdf(case: dict[str, Any]) -> None:
    secret, salt, info = (bytes.fromhex(case[name]) for name in ("ikm_hex", "salt_hex", "info_hex"))
    assert derive_key(secret, salt=salt, purpose=info, size=case["length"]).hex() == case["expect"]


def check_gcm(case: dict[str, Any]) -> None:
    nonce, plain = bytes.fromhex(case["iv_hex"]), bytes.fromhex(case["pt_hex"])
    bound_to = bytes.fromhex(case.get("aad_hex", ""))
    sealer = Sealer(bytes.fromhex(case["key_hex"]))
    assert sealer.open(nonce, bytes.fromhex(case["expect_ct_tag"]), bound_to) == plain
    with patch("crossdomain.storage.encryption.os.urandom", return_value=nonce):
        assert sealer.seal(plain, bound_to) == (nonce, bytes.fromhex(case["expect_ct_tag"]))


def check_sm3(case: dict[str, Any]) -> None:
    """The platform does not use SM3: that the library at hand can is checked for who must."""
    digest = Hash(SM3())
    digest.update(case["msg"].encode())
    assert digest.finalize().hex() == case["expect"]


def check_sm4(case: dict[str, Any]) -> None:
    """The platform does not use SM4: that the library at hand can is checked for who must."""
    encryptor = Cipher(SM4(bytes.fromhex(case["key_hex"])), ECB()).encryptor()  # noqa: S305 - as published
    assert (encryptor.update(bytes.fromhex(case["pt_hex"])) + encryptor.finalize()).hex() == case["expect"]


def check_table(case: dict[str, Any]) -> None:
    found = measure([tuple(row[:-1]) for row in case["table"]], [row[-1] for row in case["table"]])
    assert (found.k, found.l_distinct) == (case["expect"]["k"], case["expect"]["l_distinct"])
    assert math.isclose(found.l_entropy, case["expect"]["entropy_l"], rel_tol=1e-12)
    assert math.isclose(found.t, case["expect"]["t_closeness_variational"], rel_tol=1e-12)


def check_laplace(case: dict[str, Any]) -> None:
    """The platform publishes no noisy numbers: what these mean is checked with scipy, for who adds them."""
    noise = laplace(scale=case["sensitivity"] / case["epsilon"])
    assert case["scale"] == case["sensitivity"] / case["epsilon"]
    assert noise.var() == pytest.approx(case["var"])
    assert 2 * noise.sf(6) == pytest.approx(case["p_abs_err_gt_6"])


def check_gaussian(case: dict[str, Any]) -> None:
    """As above: the published scale, and that it keeps its promise by the exact condition of Balle & Wang 2018."""
    epsilon, delta, sensitivity = case["epsilon"], case["delta"], case["sensitivity"]
    sigma = math.sqrt(2 * math.log(1.25 / delta)) * sensitivity / epsilon
    assert sigma == pytest.approx(case["sigma"])
    ratio = sensitivity / sigma
    lost = norm.cdf(ratio / 2 - epsilon / ratio) - math.exp(epsilon) * norm.cdf(-ratio / 2 - epsilon / ratio)
    assert 0 < lost < delta


def same_id_and_key_is_the_same_token(home: Home) -> None:
    create_keys(home)
    assert load_keys(home).contact("phone", MOBILE) == load_keys(home).contact("phone", MOBILE)


def another_key_is_another_token(home: Home) -> None:
    first, second = (Keyring(pseudonym=bytes([number]) * 32, erasure=bytes(32)) for number in (1, 2))
    assert first.contact("phone", MOBILE) != second.contact("phone", MOBILE)
    assert first.account("beauty", "u1") != second.account("beauty", "u1")


def a_token_does_not_hold_its_id(home: Home) -> None:
    create_keys(home)
    token = load_keys(home).account("beauty", MOBILE)
    assert len(token) == 16
    assert MOBILE.encode() not in token
    assert MOBILE not in token.hex()


def a_dictionary_without_the_key_finds_nothing(home: Home) -> None:
    create_keys(home)
    token = load_keys(home).contact("phone", MOBILE)
    wrong = Keyring(pseudonym=bytes(32), erasure=bytes(32))
    candidates = [f"1380013{number:04}" for number in range(10_000)]
    assert MOBILE in candidates
    for number in candidates:
        plain = [number, f"contact\x1fphone\x1f{number}"]
        assert token not in [*(sha256(text.encode()).digest()[:16] for text in plain), wrong.contact("phone", number)]


def without_its_key_nobody_is_found_again(home: Home) -> None:
    create_keys(home)
    token = load_keys(home).account("beauty", "u1")
    (home.keys / "pseudonym-1.key").unlink()
    with pytest.raises(MissingInput):
        load_keys(home)
    (home.keys / "checks.json").unlink()  # even for who forces a new key in
    create_keys(home)
    assert load_keys(home).account("beauty", "u1") != token


PROPERTIES = (
    same_id_and_key_is_the_same_token,
    another_key_is_another_token,
    a_token_does_not_hold_its_id,
    a_dictionary_without_the_key_finds_nothing,
    without_its_key_nobody_is_found_again,
)
"""In the order in which the vectors say what must hold of pseudonyms."""

CHECKS: dict[str, Callable[[dict[str, Any]], None]] = {
    "hmac_sha256_rfc4231_1": check_hmac,
    "hmac_sha256_rfc4231_2": check_hmac,
    "hkdf_sha256_rfc5869_1": check_hkdf,
    "aes256_gcm_nist_case14": check_gcm,
    "sm3_abc_GBT32905": check_sm3,
    "sm4_ecb_GBT32907": check_sm4,
    "k_anonymity_l_diversity_4anon": check_table,
    "l_diverse_table": check_table,
    "laplace_mechanism": check_laplace,
    "gaussian_mechanism_classic": check_gaussian,
}
ELSEWHERE = {"cn_id_check_GB11643", "luhn", "cn_mobile"}
"""Checked where masking is: tests/unit/text."""


@pytest.mark.parametrize("case", PUBLISHED, ids=[case["name"] for case in PUBLISHED])
def test_published_primitives(case: dict[str, Any]) -> None:
    CHECKS[case["name"].replace("case16", "case14")](case)


@pytest.mark.parametrize("holds", PROPERTIES, ids=[one.__name__ for one in PROPERTIES])
def test_pseudonyms(home: Home, holds: Callable[[Home], None]) -> None:
    holds(home)


def test_every_case_of_the_vectors() -> None:
    if not VECTORS.exists():
        pytest.skip("published numbers ../shared/vectors/14_privacy.json are not at hand")
    cases = {case["name"]: case for case in json.loads(VECTORS.read_text(encoding="utf-8"))["cases"]}
    assert set(cases) == set(CHECKS) | ELSEWHERE | {"pseudonym_properties"}
    for name, check in CHECKS.items():
        check(cases[name])
    assert len(cases["pseudonym_properties"]["must"]) == len(PROPERTIES)
