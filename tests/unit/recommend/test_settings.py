from __future__ import annotations

import pytest

from crossdomain.errors import InputError
from crossdomain.recommend.settings import RecommendSettings


def test_environment_and_defaults():
    settings = RecommendSettings.from_env({"CROSSDOMAIN_RECOMMEND_TOP_K": "5", "OTHER": "x"}, seed=3, threads=4)
    assert (settings.top_k, settings.seed, settings.threads, settings.window_days) == (5, 3, 4, 90)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("TOP_K", "ten", "not valid"),
        ("TOP_K", "0", "must be 1 or more"),
        ("TOPK", "5", "is no setting"),
        ("DEVICE", "tpu", "one of cpu, gpu"),
        ("COLD_SHARE", "1.5", "at most 1"),
        ("WINDOW_DAYS", "7", "nothing to train on"),
        ("REGULARIZATION", "0", "greater than 0"),
    ],
)
def test_what_does_not_fit_is_named(name, value, words):
    with pytest.raises(InputError, match=words):
        RecommendSettings.from_env({f"CROSSDOMAIN_RECOMMEND_{name}": value})


def test_rows_do_not_depend_on_threads():
    assert RecommendSettings(threads=1).as_config() == RecommendSettings(threads=8).as_config()
