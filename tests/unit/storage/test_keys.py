import base64
import json
import multiprocessing
from pathlib import Path

import pytest

from crossdomain.errors import InputError, MissingInput
from crossdomain.settings import Settings
from crossdomain.storage.home import Home
from crossdomain.storage.keys import add_vault_key, create_keys, list_keys, load_keys

KEYS = {name: bytes([number]) * 32 for number, name in enumerate(("pseudonym-1", "erasure-1", "vault-1"))}


def as_setting(keys: dict[str, bytes]) -> str:
    return json.dumps({name: base64.b64encode(key).decode() for name, key in keys.items()})


def test_keys_are_made_once_and_only_their_owner_may_read_them(home: Home) -> None:
    created = create_keys(home)
    assert [path.name for path in created] == ["pseudonym-1.key", "erasure-1.key", "vault-1.key"]
    assert {path.stat().st_mode & 0o777 for path in created} == {0o600}
    assert home.keys.stat().st_mode & 0o777 == 0o700
    before = load_keys(home)
    assert create_keys(home) == []
    assert load_keys(home) == before
    assert len({before.pseudonym, before.erasure, *before.vault.values()}) == 3
    assert all(len(path.read_bytes()) == 32 for path in created)


def create_beside(root: Path) -> None:
    create_keys(Home(root))


def test_two_that_make_keys_at_once_agree(home: Home) -> None:
    spawn = multiprocessing.get_context("spawn")
    makers = [spawn.Process(target=create_beside, args=(home.root,)) for _ in range(2)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()
        assert maker.exitcode == 0
    assert len(list_keys(home)) == 3
    load_keys(home)


def test_a_home_from_before_versions_goes_on_with_its_keys(home: Home) -> None:
    home.keys.mkdir(parents=True)
    for kind in ("pseudonym", "erasure"):
        path = home.keys / f"{kind}.key"
        path.write_bytes(KEYS[f"{kind}-1"])
        path.chmod(0o600)
    assert load_keys(home).pseudonym == KEYS["pseudonym-1"]
    assert load_keys(home).vault == {}
    assert [path.name for path in create_keys(home)] == ["vault-1.key"]
    assert load_keys(home).pseudonym == KEYS["pseudonym-1"]
    assert load_keys(home).erasure == KEYS["erasure-1"]
    assert [(key.kind, key.version) for key in list_keys(home)] == [("pseudonym", 1), ("erasure", 1), ("vault", 1)]


def test_two_files_of_one_version_are_refused(home: Home) -> None:
    create_keys(home)
    (home.keys / "pseudonym.key").write_bytes(bytes(32))
    with pytest.raises(InputError, match="both version 1"):
        load_keys(home)


def test_without_keys_the_message_names_the_command(home: Home) -> None:
    with pytest.raises(MissingInput, match="crossdomain keys create"):
        load_keys(home)


@pytest.mark.parametrize(("mode", "content"), [(0o640, None), (0o604, None), (0o600, b"short")])
def test_a_key_that_others_can_read_or_that_is_cut_is_refused(home: Home, mode: int, content: bytes | None) -> None:
    path = create_keys(home)[2]
    if content is not None:
        path.write_bytes(content)
    path.chmod(mode)
    with pytest.raises(InputError, match=r"vault-1\.key.*(chmod 600|32 bytes)"):
        load_keys(home)


def test_a_lost_key_is_not_replaced_by_one_that_does_not_fit(home: Home) -> None:
    create_keys(home)[0].unlink()
    with pytest.raises(MissingInput, match="restore it"):
        create_keys(home)


def test_another_pseudonym_key_is_refused_for_data_that_is_there(home: Home) -> None:
    path = create_keys(home)[0]
    path.write_bytes(bytes(32))
    with pytest.raises(InputError, match="not the one"):
        load_keys(home)
    with pytest.raises(InputError, match="not the one"):
        create_keys(home)


def test_a_newer_pseudonym_key_does_not_slip_in(home: Home) -> None:
    create_keys(home)
    other = home.keys / "pseudonym-2.key"
    other.write_bytes(bytes(32))
    other.chmod(0o600)
    with pytest.raises(InputError, match=r"docs/vault\.md"):
        load_keys(home)


def test_the_vault_may_have_many_keys(home: Home) -> None:
    create_keys(home)
    assert add_vault_key(home) == 2
    assert add_vault_key(home) == 3
    assert list(load_keys(home).vault) == [1, 2, 3]
    assert load_keys(home).vault[2] != load_keys(home).vault[3]


def test_keys_may_come_from_elsewhere(home: Home) -> None:
    settings = Settings.from_env({"CROSSDOMAIN_HOME": str(home.root), "CROSSDOMAIN_KEYS": as_setting(KEYS)})
    assert create_keys(home, settings.keys) == []
    assert not list(home.keys.glob("*.key"))
    keys = load_keys(home, settings.keys)
    assert keys.pseudonym == KEYS["pseudonym-1"]
    assert keys.vault == {1: KEYS["vault-1"]}
    assert {key.source for key in list_keys(home, settings.keys)} == {"CROSSDOMAIN_KEYS"}


def test_keys_from_elsewhere_must_be_those_of_the_home(home: Home) -> None:
    create_keys(home)
    with pytest.raises(InputError, match="not the one"):
        load_keys(home, as_setting(KEYS))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("{oops", "JSON object"),
        ("[7]", "JSON object"),
        (as_setting({**KEYS, "wault-1": bytes(32)}), "entry 4"),
        (as_setting({**KEYS, "vault-0": bytes(32)}), "entry 4"),
        (as_setting({**KEYS, "vault-2": bytes(31)}), "vault-2 must be 32 bytes"),
        (json.dumps({"pseudonym-1": "not base64!"}), "pseudonym-1 is not base64"),
        (json.dumps({"pseudonym-1": 7}), "pseudonym-1 is not base64"),
        (as_setting({"erasure-1": bytes(32)}), "has no pseudonym-1"),
    ],
)
def test_a_setting_that_does_not_fit_is_named_and_not_shown(home: Home, given: str, says: str) -> None:
    with pytest.raises(InputError, match=says) as refused:
        load_keys(home, given)
    assert "AAAAAAAA" not in str(refused.value)
    assert given not in str(refused.value)


def test_nothing_prints_a_key(home: Home) -> None:
    create_keys(home)
    secrets = [path.read_bytes() for path in home.keys.glob("*.key")]
    shown = repr(load_keys(home)) + str(load_keys(home)) + repr(list_keys(home))
    assert not [key for key in secrets if repr(key)[2:-1] in shown or key.hex() in shown]
    setting = as_setting(KEYS)
    settings = Settings(keys=setting, publish_dsn="postgresql://u:password@db/x")
    assert setting not in repr(settings)
    assert "password" not in repr(settings)
    assert "A" * 20 not in repr(settings)


def test_a_subject_names_an_account_without_its_pseudonym(home: Home) -> None:
    create_keys(home)
    keys = load_keys(home)
    account = keys.account("beauty", "u1")
    assert keys.subject(account) == keys.subject(account)
    assert len(keys.subject(account)) == 32
    assert keys.subject(account) != keys.subject(keys.account("beauty", "u2"))
    assert account.hex() not in keys.subject(account)
    assert keys.subject(account) != keys.erased("beauty", "u1").hex()


def test_accounts_of_many_are_those_of_each(home: Home) -> None:
    create_keys(home)
    keys = load_keys(home)
    pairs = [("beauty", "u1"), ("knowledge", "u1"), ("beauty", "用户")]
    assert keys.accounts(pairs) == [keys.account(*pair) for pair in pairs]
    assert len(set(keys.accounts(pairs))) == 3
