"""Content settings from the environment."""

from __future__ import annotations

import pytest

from crossdomain.content.settings import ContentSettings
from crossdomain.errors import InputError


def test_what_is_set_counts_and_keeps_its_type() -> None:
    found = ContentSettings.from_env({"CROSSDOMAIN_CONTENT_TOPICS": "30", "CROSSDOMAIN_CONTENT_THETA": "0.4"}, seed=3)
    assert found == ContentSettings(topics=30, theta=0.4, seed=3)


@pytest.mark.parametrize(("name", "value"), [("TOPICS", "many"), ("TOPICZ", "3"), ("THETA", "")])
def test_a_wrong_one_is_named(name: str, value: str) -> None:
    with pytest.raises(InputError, match=f"CROSSDOMAIN_CONTENT_{name}"):
        ContentSettings.from_env({f"CROSSDOMAIN_CONTENT_{name}": value})
