from __future__ import annotations

import pytest

from crossdomain.errors import InputError
from crossdomain.recommend.settings import EVENT_WEIGHTS, RecommendSettings


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
        ("FRESH_HALF_LIFE_DAYS", "0", "greater than 0"),
        ("MMR_LAMBDA", "1.1", "at most 1"),
        ("BUY_AGAIN", "-1", "must be 0 or more"),
        ("SEED", "-1", "must be 0 or more"),
        ("HALF_LIFE_DAYS", "nan", "HALF_LIFE_DAYS='nan' is not valid: give a finite number"),
        ("ALPHA", "inf", "give a finite number"),
        ("EVENT_WEIGHTS", "view=much", "'view=much' is not TYPE=WEIGHT"),
        ("EVENT_WEIGHTS", "cart=-1", "'cart=-1' is not TYPE=WEIGHT"),
        ("EVENT_WEIGHTS", "look=1", "'look=1' is not TYPE=WEIGHT"),
        ("EVENT_WEIGHTS", "view=0,click=0,comment=0,favorite=0,share=0,cart=0,attend=0,purchase=0", "leaves no event"),
    ],
)
def test_what_does_not_fit_is_named(name, value, words):
    with pytest.raises(InputError, match=words):
        RecommendSettings.from_env({f"CROSSDOMAIN_RECOMMEND_{name}": value})


def test_weights_of_events_are_a_setting_that_rows_depend_on():
    settings = RecommendSettings.from_env({"CROSSDOMAIN_RECOMMEND_EVENT_WEIGHTS": "view=0, cart=0.75"})
    assert settings.weights == {**EVENT_WEIGHTS, "view": 0.0, "cart": 0.75}
    assert settings.as_config()["events"] == settings.weights


def test_rows_do_not_depend_on_threads():
    assert RecommendSettings(threads=1).as_config() == RecommendSettings(threads=8).as_config()
