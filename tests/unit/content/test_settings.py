"""Content settings from the environment."""

from __future__ import annotations

import pytest

from crossdomain.content.settings import BundleSettings, TopicSettings
from crossdomain.errors import InputError


def test_what_is_set_counts_and_keeps_its_type() -> None:
    variables = {"CROSSDOMAIN_CONTENT_TOPICS": "30", "CROSSDOMAIN_CONTENT_THETA": "0.4"}
    assert TopicSettings.from_env(variables, seed=3) == TopicSettings(topics=30, seed=3)
    assert BundleSettings.from_env(variables) == BundleSettings(theta=0.4)
    assert TopicSettings.from_env({"CROSSDOMAIN_CONTENT_TOPICS": ""}) == TopicSettings()
    assert TopicSettings.from_env({"CROSSDOMAIN_CONTENT_SEED": "5"}, seed=3).seed == 5


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [(TopicSettings, "TOPICS", "many"), (TopicSettings, "TOPICZ", "3"), (BundleSettings, "THETA", "high")],
)
def test_a_wrong_one_is_named(kind: type[TopicSettings | BundleSettings], name: str, value: str) -> None:
    with pytest.raises(InputError, match=f"CROSSDOMAIN_CONTENT_{name}"):
        kind.from_env({f"CROSSDOMAIN_CONTENT_{name}": value})
