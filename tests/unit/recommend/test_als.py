from __future__ import annotations

import sys
from dataclasses import replace
from types import ModuleType

import implicit.gpu
import numpy as np
import pyarrow as pa
import pytest
import scipy.sparse as sp
from implicit.cpu.als import AlternatingLeastSquares

from crossdomain.errors import InputError
from crossdomain.recommend.als import Folder, device_note, fit, fold_in, from_files, known_spans, to_files, train
from crossdomain.recommend.interactions import Items, taste
from crossdomain.recommend.settings import RecommendSettings
from tests.unit.recommend.world import DOMAINS, blocks_world, connect, read

SETTINGS = RecommendSettings(factors=4, regularization=0.5, alpha=5, iterations=15, half_life_days=0)


@pytest.fixture(scope="module")
def blocks():
    events, accounts = blocks_world()
    pairs, people, items = read(connect(events, accounts), SETTINGS)
    return taste(pairs, people, items, SETTINGS), people, items


def random_world(seed=3):
    rng = np.random.default_rng(seed)
    items = Items(DOMAINS, np.repeat([0, 1], 15), pa.array([f"i{i:02d}" for i in range(30)]), np.ones(30, dtype=bool))
    confidence = sp.random(40, 30, density=0.3, format="csr", random_state=seed, dtype=np.float32)
    confidence.data = 1 + 9 * confidence.data
    confidence.sort_indices()
    return confidence, items, rng.standard_normal((30, 5)).astype(np.float32)


def test_each_blocks_people_get_their_blocks_items_on_both_sides(blocks):
    confidence, people, items = blocks
    model = fit(confidence, items, SETTINGS)
    factors, known = model.aligned(items)
    assert known.all()
    persons = confidence[: len(people.person)]
    scores = fold_in(factors, persons, items, SETTINGS.regularization) @ factors.T
    parity = np.array([int(name[1:]) % 2 for name in items.item_id.to_pylist()])
    for person, name in enumerate(people.person.to_pylist()):
        own = parity == int(name[1:4]) % 2
        for domain in (0, 1):
            side = items.domain == domain
            assert scores[person][own & side].min() > scores[person][~own & side].max()


def test_the_same_as_raw_implicit(blocks):
    confidence, people, items = blocks
    rows = confidence[: len(people.person)]
    raw = AlternatingLeastSquares(
        factors=4, regularization=0.5, alpha=1.0, iterations=15, random_state=SETTINGS.seed, num_threads=1
    )
    raw.fit(rows, show_progress=False)
    model = fit(confidence, items, SETTINGS)
    np.testing.assert_array_equal(model.factors, raw.item_factors)
    two_sided = np.flatnonzero([name[3:4] == b"b" for name in people.person.to_pylist()])
    ours = fold_in(model.factors, rows[two_sided], items, 0.5)
    np.testing.assert_allclose(ours, raw.recalculate_user(two_sided, rows[two_sided]), rtol=1e-5)


def test_who_never_entered_a_domain_did_not_turn_its_items_down():
    confidence, items, factors = random_world()
    one_sided = sp.hstack([confidence[:, :15], sp.csr_matrix((40, 15), dtype=np.float32)]).tocsr()
    folded = fold_in(factors, one_sided, items, 0.7)
    for person in range(40):
        weight = one_sided[person].toarray()[0, :15]
        here = factors[:15].astype(np.float64)
        system = here.T @ np.diag(np.where(weight > 0, weight, 1)) @ here + 0.7 * np.eye(5)
        expected = np.linalg.solve(system, here.T @ weight) if weight.any() else np.zeros(5)
        np.testing.assert_allclose(folded[person], expected, rtol=1e-3, atol=1e-4)


def test_explanations_are_implicits_own():
    confidence, items, factors = random_world()
    raw = AlternatingLeastSquares(factors=5, regularization=0.7, alpha=1.0, num_threads=1)
    raw.item_factors = factors
    recommended = np.argsort(-(fold_in(factors, confidence, items, 0.7) @ factors.T), axis=1)[:, :3]
    reasons = Folder(factors, items, 0.7).reasons(confidence, recommended)
    sides = [np.diff(confidence[:, items.span(domain)].indptr) > 0 for domain in (0, 1)]
    compared = 0
    for person in np.flatnonzero(sides[0] & sides[1]):
        for place in range(3):
            _, top, _ = raw.explain(int(person), confidence, int(recommended[person, place]), N=2)
            for own, (item, added) in zip(reasons[person, place], top, strict=True):
                assert own == (item if added > 0 else -1)
                compared += added > 0
    assert compared > 100


@pytest.mark.parametrize("threads", [1, 2])
def test_long_histories_and_short_ones_follow_the_same_formula(threads):
    confidence, items, factors = random_world()
    lengths = np.diff(confidence.indptr)
    assert lengths.min() < 5 < lengths.max(), "both ways are taken"
    folded = fold_in(factors, confidence, items, 0.7, threads=threads)
    recommended = np.tile(np.arange(0, 30, 5), (40, 1))
    reasons = Folder(factors, items, 0.7, threads).reasons(confidence, recommended)
    wide = factors.astype(np.float64)
    for people, span in known_spans(confidence, items):
        for person in people:
            weight = confidence[person].toarray()[0].astype(np.float64)
            system = wide[span].T @ wide[span] + 0.7 * np.eye(5)
            system += wide.T @ (np.maximum(weight - 1, 0)[:, None] * wide)
            np.testing.assert_allclose(folded[person], np.linalg.solve(system, wide.T @ weight), rtol=1e-4, atol=1e-6)
            terms = weight[:, None] * (wide @ np.linalg.solve(system, wide[recommended[person]].T))
            for place in range(6):
                best = [item for item in np.argsort(-terms[:, place])[:2] if terms[item, place] > 0]
                assert [item for item in reasons[person, place] if item >= 0] == best


def test_no_reason_for_nothing():
    confidence, items, factors = random_world()
    assert (Folder(factors, items, 0.7).reasons(confidence, np.full((40, 2), -1)) == -1).all()
    nobody = sp.csr_matrix((1, 30), dtype=np.float32)
    assert (Folder(factors, items, 0.7).reasons(nobody, np.array([[1, 2]])) == -1).all()


@pytest.mark.parametrize("threads", [1, 2])
def test_training_again_gives_the_same_bytes(blocks, threads):
    confidence, _, items = blocks
    first = to_files("model", fit(confidence, items, replace(SETTINGS, threads=1)))
    assert first == to_files("model", fit(confidence, items, replace(SETTINGS, threads=threads)))


def test_training_stops_where_validation_does_not_better_and_keeps_the_best_sweep(blocks):
    confidence, _, items = blocks
    seen = []

    def reached(model):
        seen.append(model.factors.copy())
        return [0.1, 0.3, 0.2, 0.3, 0.1, 0.9][len(seen) - 1]

    found = train(confidence, items, replace(SETTINGS, patience=2), validate=reached)
    assert (len(seen), found.iterations, found.validated) == (4, 2, (0.1, 0.3, 0.2, 0.3))
    np.testing.assert_array_equal(found.model.factors, seen[1])
    np.testing.assert_array_equal(fit(confidence, items, replace(SETTINGS, iterations=2)).factors, seen[1])


def test_exact_sizes_are_told(blocks, caplog):
    confidence, _, items = blocks
    with caplog.at_level("INFO"):
        found = train(confidence, items, SETTINGS)
    used = np.diff(confidence.indptr) > 0
    assert found.sizes() == {"people": used.sum(), "items": 16, "pairs": confidence.nnz, "iterations": 15}
    assert f"{confidence.nnz} pairs of {used.sum()} people and 16 items, 15 sweeps in" in caplog.text


def test_files_hold_the_model_and_no_person(blocks):
    confidence, people, items = blocks
    files = to_files("model", fit(confidence, items, SETTINGS))
    back = from_files("model", files)
    np.testing.assert_array_equal(back.factors, fit(confidence, items, SETTINGS).factors)
    assert back.item_id.to_pylist() == items.item_id.to_pylist()
    assert from_files("twin", files) is None
    assert not any(key in content for key in people.person.to_pylist() for content in files.values())


def test_items_that_the_model_does_not_know_have_no_vector(blocks):
    confidence, _, items = blocks
    model = fit(confidence, items, SETTINGS)
    later = Items(DOMAINS, np.array([0, 1]), pa.array(["k00", "new"]), np.ones(2, dtype=bool))
    factors, known = model.aligned(later)
    assert known.tolist() == [True, False]
    assert factors[0].any()
    assert not factors[1].any()


def test_no_evidence_is_an_error(blocks):
    _, _, items = blocks
    with pytest.raises(InputError, match="no consented interaction"):
        fit(sp.csr_matrix((5, len(items)), dtype=np.float32), items, SETTINGS)


@pytest.mark.parametrize(
    ("there", "lacking"),
    [
        ((), ("rmm cannot be imported", "`pip install rmm-cu13`", "a CUDA device")),
        (("rmm",), ("implicit.gpu._cuda cannot be imported", "CUDA toolkit 13")),
        (("rmm", "implicit.gpu._cuda"), ("implicit finds no CUDA device",)),
    ],
    ids=["no rmm", "no extension", "no device"],
)
def test_gpu_without_a_gpu_says_what_is_lacking_and_trains_on_the_cpu(blocks, monkeypatch, caplog, there, lacking):
    monkeypatch.setattr(implicit.gpu, "HAS_CUDA", False)
    for name in ("rmm", "implicit.gpu._cuda"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name) if name in there else None)
    asked = replace(SETTINGS, device="gpu")
    note = device_note(asked)
    assert note["device"] == "cpu"
    for words in (*lacking, "training on the CPU", "CROSSDOMAIN_RECOMMEND_DEVICE=cpu"):
        assert words in note["device_message"]
    confidence, _, items = blocks
    np.testing.assert_array_equal(fit(confidence, items, asked).factors, fit(confidence, items, SETTINGS).factors)
    assert note["device_message"] in caplog.text, "said once more where it trains"
    assert device_note(SETTINGS) == {"device": "cpu"}


def test_a_gpu_that_is_there_is_used(monkeypatch):
    monkeypatch.setattr(implicit.gpu, "HAS_CUDA", True)
    assert device_note(replace(SETTINGS, device="gpu")) == {"device": "gpu"}
    assert device_note(SETTINGS) == {"device": "cpu"}
