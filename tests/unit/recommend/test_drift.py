from __future__ import annotations

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import special_ortho_group

from crossdomain.recommend.als import AlsModel
from crossdomain.recommend.drift import (
    LEAST,
    THRESHOLDS,
    factor_distance,
    histogram_sql,
    judged,
    level_drifts,
    middle,
    score_of,
    stability_index,
)


def model(factors, items=None):
    names = items or [(("beauty", "knowledge")[n % 2], f"i{n:03d}") for n in range(len(factors))]
    domain, item_id = zip(*names, strict=True)
    return AlsModel(pa.array(domain), pa.array(item_id), np.asarray(factors, dtype=np.float32), 1.0)


def test_turned_vectors_did_not_move_and_others_did():
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(60, 8))
    turned = vectors @ special_ortho_group.rvs(8, random_state=2)
    assert factor_distance(model(vectors), model(turned), "beauty") == (pytest.approx(0, abs=1e-5), 30)
    noise = 0.1 * rng.normal(size=vectors.shape)
    distance, _ = factor_distance(model(vectors), model(turned + noise), "beauty")
    assert distance == pytest.approx(0.1, abs=0.02)
    others, _ = factor_distance(model(vectors), model(rng.normal(size=(60, 8))), "knowledge")
    assert others > 0.8


def test_only_items_of_the_domain_that_both_know_count():
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(40, 4))
    moved = vectors.copy()
    moved[::2] += 0.5  # beauty
    names = [(("beauty", "knowledge")[n % 2], f"i{n:03d}") for n in range(40)]
    order = rng.permutation(40)[:30]
    now = model(moved[order], [names[n] for n in order])
    beauty, n = factor_distance(model(vectors), now, "beauty")
    knowledge, m = factor_distance(model(vectors), now, "knowledge")
    assert n + m == 30
    assert beauty > knowledge
    assert factor_distance(model(vectors), model([[1.0]], [("beauty", "new")]), "beauty") == (None, 0)


def test_vectors_of_other_lengths_are_compared():
    vectors = np.random.default_rng(1).normal(size=(40, 4))
    assert factor_distance(model(vectors), model(np.hstack([vectors, np.zeros((40, 3))])), "beauty")[0] < 1e-5


def histogram(scores):
    con = duckdb.connect()
    con.register("scores", pa.table({"score": np.asarray(scores, dtype=float)}))
    rows = con.sql(
        histogram_sql("SELECT DATE '2026-01-05' AS ds, 'beauty' AS target_domain, 'als' AS source, score FROM scores")
    ).fetchall()
    return tuple(np.array(column) for column in zip(*((step, n) for *_, step, n in rows), strict=True))


def test_the_index_of_scores_is_that_of_their_tenths():
    rng = np.random.default_rng(5)
    before, now = np.exp(rng.normal(size=20_000)), np.exp(0.4 + rng.normal(size=20_000))
    edges = np.quantile(before, np.arange(1, 10) / 10)
    p, q = (np.bincount(np.searchsorted(edges, one), minlength=10) / len(one) for one in (before, now))
    expected = float(np.sum((q - p) * np.log(q / p)))
    assert expected > 0.1
    assert stability_index(histogram(before), histogram(now)) == pytest.approx(expected, rel=0.05)
    assert stability_index(histogram(before), histogram(before)) == pytest.approx(0, abs=1e-12)
    assert stability_index(histogram(before), histogram(np.exp(rng.normal(size=20_000)))) < 0.01


def test_scores_of_one_value_and_below_zero_have_a_histogram_too():
    ones = histogram([1.0] * 50)
    assert stability_index(ones, ones) == pytest.approx(0)
    assert stability_index(ones, histogram([2.0] * 50)) > THRESHOLDS["scores"]
    steps, rows = histogram([-1.0, 0.0, 0.0, 1.0])
    assert steps.tolist() == sorted(steps.tolist())
    assert rows.tolist() == [1, 2, 1]
    assert steps[0] == -steps[2]
    assert middle(histogram([1.0, 5.0, 9.0])) == pytest.approx(5, rel=0.03)
    assert score_of(0) == 0


def test_a_drift_alarms_above_its_threshold_where_enough_was_measured():
    of, least, most = ("beauty", "all", "als"), LEAST["scores"], THRESHOLDS["scores"]
    assert judged("scores", of, drift=most, n=least).status == "ok"
    assert judged("scores", of, drift=most + 0.01, n=least).status == "alarm"
    assert judged("scores", of, drift=most + 0.01, n=least - 1).status == "too_few"
    assert judged("scores", of, n=0).status == "nothing_to_compare"


def row(source, people, share, catalogue=0.5, gini=0.4):
    return {
        "target_domain": "beauty", "segment": "warm", "source": source, "people": people, "share": share,
        "catalogue_share": catalogue, "creator_gini": gini,
    }  # fmt: skip


def test_a_source_that_comes_or_goes_is_a_drift_of_its_share():
    before = [row("als", 900, 0.9), row("fallback", 100, 0.1)]
    today = [row("popular", 1000, 1.0, catalogue=0.1, gini=None)]
    found = {(one.source, one.measure): one for one in level_drifts(today, before)}
    assert found["als", "people_share"].status == found["popular", "people_share"].status == "alarm"
    assert (found["als", "people_share"].value, found["als", "people_share"].drift) == (0, 0.9)
    assert found["popular", "catalogue_share"].status == "nothing_to_compare"
    assert ("popular", "creator_gini") not in found
    quiet = {(one.source, one.measure): one.status for one in level_drifts(before, before)}
    assert set(quiet.values()) == {"ok"}
    assert {one.status for one in level_drifts(before, None)} == {"nothing_to_compare"}
    few = level_drifts([row("als", 20, 1.0)], [row("als", 20, 0.2)])
    assert {one.status for one in few} == {"too_few"}
