"""``crossdomain keys``: what people and programs see of it, and that no key is among it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from crossdomain.cli.main import main


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CROSSDOMAIN_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def call(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[object, str]:
    monkeypatch.setattr("sys.argv", ["crossdomain", "keys", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capfd.readouterr()
    return ended.value.code or 0, out + err


def test_keys_are_made_listed_rotated_and_retired(
    home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    said = []

    def run(*arguments: str) -> tuple[object, str]:
        code, text = call(monkeypatch, capfd, *arguments)
        said.append(text)
        return code, text

    assert run("create")[0] == 0
    code, text = run("rotate", "--by", "ops", "--json")
    assert (code, json.loads(text)) == (0, {"version": 2, "made": True, "rewrapped": 0})
    code, text = run("list", "--json")
    listed = [(key["what"], key["version"], key["in_force"], key["wraps"]) for key in json.loads(text)]
    assert listed == [
        ("pseudonym", 1, True, None),
        ("erasure", 1, True, None),
        ("vault", 1, False, 0),
        ("vault", 2, True, 0),
    ]
    code, text = run("retire", "--version", "1", "--by", "ops")
    assert code == 2
    assert "may still wrap" in text
    code, text = run("rotate", "--by", "ops", "--what", "pseudonym")
    assert code == 2
    assert "docs/vault.md" in text
    assert run("rotate", "--by", " ")[0] == 2
    assert run("list")[0] == 0
    for path in (home / "keys").glob("*.key"):
        key = path.read_bytes()
        assert not any(key.hex() in text or repr(key)[2:-1] in text for text in said)
