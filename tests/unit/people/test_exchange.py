"""Two companies match people without showing each other their lists."""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossdomain.errors import InputError, MissingInput
from crossdomain.people.exchange import (
    ExchangeKey,
    hash_contacts,
    load_key,
    match,
    new_key,
    read_list,
    save_key,
    write_list,
)
from crossdomain.text.contact_forms import define_contact_forms

KEY = ExchangeKey("0123456789abcdef", bytes(range(32)))


@pytest.fixture(scope="module")
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as con:
        yield con


def _hashed(
    con: duckdb.DuckDBPyConnection, people: list[tuple[str, str | None, str | None]], key: ExchangeKey = KEY
) -> pa.Table:
    """Hashes of (account, phone, mail)."""
    names = ("account", "phone", "email")
    columns = {name: pa.array([row[place] for row in people], pa.string()) for place, name in enumerate(names)}
    con.register("people_given", pa.table(columns))
    return hash_contacts(con, "SELECT encode(account) AS account, phone, email FROM people_given", key)


OURS = [("a1", "138 0013 8000", None), ("a2", "+86 13900001111", "Anna@Example.com"), ("a3", "010-60000001", None)]
THEIRS = [("b7", "13800138000", None), ("b8", None, "anna@example.com"), ("b9", "13700001111", "else@example.com")]


def test_both_sides_find_whom_they_share(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    ours, theirs = _hashed(con, OURS), _hashed(con, THEIRS)
    write_list(tmp_path / "ours", ours, KEY)
    write_list(tmp_path / "theirs", theirs, KEY)
    here = match(ours, read_list(tmp_path / "theirs", KEY))
    there = match(theirs, read_list(tmp_path / "ours", KEY))
    assert here.pairs["account"].to_pylist() == [b"a1", b"a2"]
    assert there.pairs["account"].to_pylist() == [b"b7", b"b8"]
    assert set(here.pairs["token"].to_pylist()) == set(there.pairs["token"].to_pylist())
    assert (here.accounts, here.ambiguous, here.offered) == (2, 0, 1000)


def test_a_hash_is_an_hmac_under_the_key_of_the_exchange(con: duckdb.DuckDBPyConnection) -> None:
    (token,) = _hashed(con, [("a", "13800138000", None)])["token"].to_pylist()
    message = b"exchange\x1f0123456789abcdef\x1fphone\x1f13800138000"
    assert token == hmac.new(KEY.secret, message, sha256).digest()[:16]
    assert token != sha256(b"13800138000").digest()[:16]


def test_two_exchanges_cannot_be_joined(con: duckdb.DuckDBPyConnection) -> None:
    one, other = (set(_hashed(con, OURS, new_key())["token"].to_pylist()) for _ in range(2))
    assert len(one) == len(other) == 4
    assert not one & other
    same_secret = ExchangeKey("fedcba9876543210", KEY.secret)
    assert not set(_hashed(con, OURS, same_secret)["token"].to_pylist()) & set(_hashed(con, OURS)["token"].to_pylist())


def test_a_list_tells_neither_order_nor_number(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    people = [(f"a{number}", f"1380000{number:04d}", None) for number in range(1500)]
    assert write_list(tmp_path / "list", _hashed(con, people), KEY) == 2000
    header, *lines = (tmp_path / "list").read_text().splitlines()
    assert lines == sorted(lines)
    assert len(set(lines)) == 2000
    assert {len(line) for line in lines} == {32}
    assert set(json.loads(header)) == {"check", "exchange", "format", "lines"}
    assert not any(secret in header for secret in (KEY.secret.hex(), "138"))
    assert write_list(tmp_path / "empty", _hashed(con, []), KEY) == 1000
    assert write_list(tmp_path / "bare", _hashed(con, people), KEY, pad_to=1) == 1500


def test_a_phone_of_several_accounts_names_none(con: duckdb.DuckDBPyConnection) -> None:
    ours = _hashed(con, [("a1", "13800138000", "one@example.com"), ("a2", "13800138000", None)])
    theirs = _hashed(con, [("b", "13800138000", "one@example.com")])
    found = match(ours, theirs["token"].to_pylist())
    assert found.ambiguous == 1
    assert found.pairs["account"].to_pylist() == [b"a1"]  # by the mail address alone


@settings(max_examples=25, deadline=None)
@given(
    ours=st.sets(st.integers(0, 60), max_size=30),
    theirs=st.sets(st.integers(0, 60), max_size=30),
    pad=st.sampled_from([1, 7, 50]),
)
def test_matches_are_the_intersection(
    ours: set[int], theirs: set[int], pad: int, con: duckdb.DuckDBPyConnection, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "their-list"
    write_list(path, _hashed(con, [(f"b{n}", f"137{n:08d}", None) for n in theirs]), KEY, pad_to=pad)
    mine = _hashed(con, [(f"a{n:02d}", f"+86 137{n:08d}", None) for n in ours])
    found = match(mine, read_list(path, KEY))
    assert found.pairs["account"].to_pylist() == [f"a{n:02d}".encode() for n in sorted(ours & theirs)]


def test_keys_are_kept_and_never_replaced(tmp_path: Path) -> None:
    key = new_key()
    save_key(tmp_path / "x.key", key)
    assert (tmp_path / "x.key").stat().st_mode & 0o777 == 0o600
    assert load_key(tmp_path / "x.key") == key
    assert key.secret.hex() not in repr(key)
    with pytest.raises(InputError, match="exists already"):
        save_key(tmp_path / "x.key", key)
    (tmp_path / "x.key").chmod(0o644)
    with pytest.raises(InputError, match="chmod 600"):
        load_key(tmp_path / "x.key")
    with pytest.raises(MissingInput, match="exchange key"):
        load_key(tmp_path / "none.key")


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b'{"exchange": "ab", "format": 1, "key": "AAAA"}', b'{"exchange": "ab", "format": 1, "key": "!"}'],
)
def test_a_file_that_is_no_key_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bad.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(InputError, match=r"bad\.key"):
        load_key(path)


def test_a_wrong_list_is_refused_by_file_and_line(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    path = tmp_path / "list"
    write_list(path, _hashed(con, OURS), KEY, pad_to=1)
    whole = path.read_text()
    with pytest.raises(InputError, match="another exchange"):
        read_list(path, new_key())
    with pytest.raises(InputError, match="another exchange"):
        read_list(path, ExchangeKey(KEY.exchange, bytes(32)))
    path.write_text(whole.rsplit("\n", 2)[0] + "\n")
    with pytest.raises(InputError, match="cut short: 4 lines"):
        read_list(path, KEY)
    path.write_text(whole[:-33] + "13800138000\n")
    with pytest.raises(InputError, match="list:5: no hash"):
        read_list(path, KEY)
    path.write_text("13800138000\n")
    with pytest.raises(InputError, match="list:1: no list"):
        read_list(path, KEY)
    with pytest.raises(MissingInput):
        read_list(tmp_path / "none", KEY)
    with pytest.raises(InputError, match="multiple of 0"):
        write_list(path, _hashed(con, OURS), KEY, pad_to=0)


def test_contacts_have_the_forms_by_which_accounts_are_linked(con: duckdb.DuckDBPyConnection) -> None:
    written = [
        "+86 138-0013-8000",
        "0086 13800138000",
        "8613800138000",
        "010-60000001",
        "123",
        "",
        "１３８00138000",
        None,
    ]
    asked = "SELECT normal_phone(w), normal_email(w || '@Example.com') FROM unnest($1) AS t(w)"
    define_contact_forms(con)
    here = con.execute(asked, [written]).fetchall()
    assert [phone for phone, _ in here[:5]] == ["13800138000"] * 3 + ["01060000001", None]
