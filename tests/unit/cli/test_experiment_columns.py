"""``crossdomain experiment uplift`` and ``interleaving``: known answers, any order of rows, bad files named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from crossdomain.cli.main import main
from crossdomain.stats.uplift import measure_uplift


@pytest.fixture
def call(monkeypatch, capfd, tmp_path: Path):
    """Runs a command on rows written as CSV: exit code, and its document or its error."""

    def run(rows: pd.DataFrame, *arguments: str) -> tuple[int, dict | str]:
        path = tmp_path / "rows.csv"
        rows.to_csv(path, index=False)
        monkeypatch.setattr("sys.argv", ["crossdomain", "experiment", *arguments, "--data", str(path), "--json"])
        code = 0
        try:
            main()
        except SystemExit as stopped:
            code = int(stopped.code or 0)
        out, err = capfd.readouterr()
        return code, json.loads(out) if code == 0 else err

    return run


def people(n: int = 4000) -> pd.DataFrame:
    """The treatment helps those of a high score only."""
    rng = np.random.default_rng(1)
    score, arm = rng.random(n).round(2), rng.integers(0, 2, n)
    bought = rng.random(n) < 0.1 + 0.4 * arm * (score > 0.5)
    return pd.DataFrame({"s": score, "arm": np.where(arm, "mail", "none"), "bought": bought.astype(int)})


UPLIFT = (
    "uplift",
    "--score",
    "s",
    "--outcome",
    "bought",
    "--variant",
    "arm",
    "--control",
    "none",
    "--treatment",
    "mail",
)


def test_uplift_is_that_of_the_library_and_of_no_order(call):
    rows = people()
    code, found = call(rows, *UPLIFT)
    assert code == 0
    want = measure_uplift(rows.s.to_numpy(), rows.bought.to_numpy(float), (rows.arm == "mail").to_numpy())
    assert (found["qini"], found["auuc"], found["effect"]) == (want.qini, want.auuc, want.effect)
    assert found["qini"] > 0.02
    assert found["curve"][-1]["gain"] == pytest.approx(found["curve"][-1]["random"])
    others = rows.assign(arm="call").head(50)
    assert call(pd.concat([rows, others]).sample(frac=1, random_state=2), *UPLIFT)[1]["qini"] == found["qini"]
    turned = call(rows.assign(s=-rows.s), *UPLIFT)[1]
    assert turned["qini"] < 0, "the worst first"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: rows.assign(arm="mail"), "arm: 'none' and 'mail' must both have rows"),
        (lambda rows: rows.assign(s=rows.s.where(rows.index > 2)), "s: 3 values are missing"),
        (lambda rows: rows.assign(bought="much"), "bought: is string, not numbers"),
        (lambda rows: rows.drop(columns="s"), "there is no column 's'"),
        (lambda rows: rows.assign(s=rows.s.where(rows.index > 0, np.inf)), "s: is string, not numbers"),
    ],
)
def test_a_bad_file_is_named(call, change, said):
    code, error = call(change(people(100)), *UPLIFT)
    assert code != 0
    assert said in error


def test_interleaving_counts_every_session_once(call):
    rows = pd.DataFrame(
        {"who": list("aaabbcd") * 3, "a": [1, 1, 0, 0, 1, 2, 0] * 3, "b": [0, 0, 1, 2, 0, 0, 0] * 3}
    ).assign(who=lambda rows: rows.who + (rows.index // 7).astype(str))
    code, found = call(rows, "interleaving", "--clicks-a", "a", "--clicks-b", "b", "--unit", "who")
    assert code == 0
    # a: 2 to 1, b: 1 to 2, c: 2 to 0, d: none; three of each.
    assert (found["wins_a"], found["wins_b"], found["ties"]) == (6, 3, 3)
    assert found["p"] == stats.binomtest(6, 9).pvalue
    by_row = call(rows, "interleaving", "--clicks-a", "a", "--clicks-b", "b")[1]
    assert (by_row["wins_a"], by_row["wins_b"], by_row["ties"]) == (12, 6, 3)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: rows.assign(a=-1), "clicks must be whole numbers"),
        (lambda rows: rows.assign(a=0.5), "clicks must be whole numbers"),
        (lambda rows: rows.assign(who=[None, "x"]), "who: 1 rows have no unit"),
    ],
)
def test_bad_clicks_are_named(call, change, said):
    rows = pd.DataFrame({"who": ["x", "y"], "a": [1, 0], "b": [0, 1]})
    code, error = call(change(rows), "interleaving", "--clicks-a", "a", "--clicks-b", "b", "--unit", "who")
    assert code != 0
    assert said in error
