"""Confidence-weighted alternating least squares, kept as item factors only.

A model holds no person: whoever is scored is folded in from the history that is known on that day. So a
refund or an erasure counts from the next run on, people who came after the training are served, and model
files hold no personal data.

Formulas: Hu, Koren, Volinsky, Collaborative Filtering for Implicit Feedback Datasets (2008), sections 4
and 5. implicit takes the confidence itself: an observed cell weighs ``confidence - 1`` in the quadratic
part, so confidences are ``1 + alpha * weight`` and implicit's own ``alpha`` stays 1.
"""

from __future__ import annotations

import io
import json
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import version
from typing import Any

import implicit.gpu
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import scipy.sparse as sp
from implicit.cpu.als import AlternatingLeastSquares
from threadpoolctl import threadpool_limits

from crossdomain.errors import InputError
from crossdomain.recommend.folding import REASONS, Factors, Folding
from crossdomain.recommend.interactions import Ints, Items
from crossdomain.recommend.settings import RecommendSettings

LIBRARIES = ("implicit", "numpy", "scipy", "pyarrow")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AlsModel:
    """Item factors and which items they are.

    Attributes:
        domain: Domain name of each item.
        item_id: Id of each item.
        factors: float32, items × factors.
        regularization: Ridge that people are folded in with.
    """

    domain: pa.Array
    item_id: pa.Array
    factors: Factors
    regularization: float

    def aligned(self, items: Items) -> tuple[Factors, npt.NDArray[np.bool_]]:
        """Factors of a run's items, zeros for those the model does not know, and which it knows."""
        codes = items.codes(self.domain, self.item_id)
        factors = np.zeros((len(items), self.factors.shape[1]), dtype=np.float32)
        known = np.zeros(len(items), dtype=bool)
        here = codes >= 0
        factors[codes[here]] = self.factors[here]
        known[codes[here]] = True
        return factors, known


def device_in_use(settings: RecommendSettings) -> tuple[str, str]:
    """The device that training will use, and a sentence if it is not the one that was asked for."""
    if settings.device == "gpu" and not implicit.gpu.HAS_CUDA:
        return "cpu", (
            f"device gpu was asked for, but {_lacking()}: training on the CPU. "
            "Set CROSSDOMAIN_RECOMMEND_DEVICE=cpu where that is meant"
        )
    return settings.device, ""


def _lacking() -> str:
    """What implicit lacks to train on a GPU; its wheels for Linux hold the CUDA extension."""
    needed = {
        "rmm": "`pip install rmm-cu13`, which implicit needs beside the CUDA toolkit 13 and a CUDA device",
        "implicit.gpu._cuda": "implicit's CUDA extension needs a wheel for Linux and the CUDA toolkit 13",
    }
    for module, remedy in needed.items():
        try:
            import_module(module)
        except (ImportError, RuntimeError) as error:
            return f"{module} cannot be imported ({error}; {remedy})"
    return "implicit finds no CUDA device"


def device_note(settings: RecommendSettings) -> dict[str, str]:
    """What a job notes of the device: its name, and why it is not the one that was asked for."""
    device, message = device_in_use(settings)
    return {"device": device, **({"device_message": message} if message else {})}


@dataclass(frozen=True)
class Training:
    """A trained model and what the training took.

    Attributes:
        model: The model.
        people: Units with evidence.
        items: Items with evidence.
        pairs: Pairs of both.
        iterations: Sweeps that the model comes from.
        seconds: Wall time of the training.
        validated: What each sweep reached on validation data; empty without.
    """

    model: AlsModel
    people: int
    items: int
    pairs: int
    iterations: int
    seconds: float
    validated: tuple[float, ...] = ()

    @property
    def rate(self) -> float:
        """Pairs a second and sweep."""
        return self.pairs * max(len(self.validated), self.iterations) / self.seconds

    def sizes(self) -> dict[str, int]:
        """What does not depend on the machine."""
        return {"people": self.people, "items": self.items, "pairs": self.pairs, "iterations": self.iterations}


def fit(confidence: sp.csr_matrix, items: Items, settings: RecommendSettings) -> AlsModel:
    """The model that ``train`` gives."""
    return train(confidence, items, settings).model


def train(
    confidence: sp.csr_matrix,
    items: Items,
    settings: RecommendSettings,
    *,
    validate: Callable[[AlsModel], float] | None = None,
) -> Training:
    """Trains on the units and items that have evidence; the same matrix and settings give the same bits.

    Args:
        confidence: Units × items, as ``interactions.taste`` gives it.
        items: The columns.
        settings: Factors, regularization, iterations, patience, seed, threads, device.
        validate: What a model reaches on validation data, more being better. The model of the best sweep is kept, a
            tie goes to the earlier; after ``patience`` sweeps without a better one training stops.

    Raises:
        InputError: There is no evidence at all.
    """
    started = time.perf_counter()
    units = np.flatnonzero(np.diff(confidence.indptr))
    columns = np.flatnonzero(np.bincount(confidence.indices, minlength=confidence.shape[1]))
    if not len(units):
        raise InputError("there is no consented interaction to train on: look at clean.events and derived.people")
    compact = confidence if len(units) == confidence.shape[0] else confidence[units]
    compact = compact if len(columns) == confidence.shape[1] else compact[:, columns].tocsr()
    compact.sort_indices()
    names = pa.array(items.domains, pa.string()).take(pa.array(items.domain[columns]))
    ids = items.item_id.take(pa.array(columns))

    def model_of(factors: Factors) -> AlsModel:
        return AlsModel(names, ids, factors, settings.regularization)

    watch = _Watch(settings.patience, (lambda factors: validate(model_of(factors))) if validate else None)
    factors = _item_factors(compact, settings, watch)
    found = Training(
        model=model_of(factors if watch.best is None else watch.best),
        people=len(units),
        items=len(columns),
        pairs=int(compact.nnz),
        iterations=watch.kept if validate else settings.iterations,
        seconds=time.perf_counter() - started,
        validated=tuple(watch.values),
    )
    log.info(
        "als: %d pairs of %d people and %d items, %d sweeps in %.2f s, %.0f pairs a second and sweep",
        found.pairs, found.people, found.items, watch.sweeps or settings.iterations, found.seconds, found.rate,
    )  # fmt: skip
    return found


class _Enough(Exception):
    """Further sweeps are not expected to help."""


@dataclass
class _Watch:
    """Looks at the factors after each sweep and says when it is enough.

    Attributes:
        patience: Sweeps without a better one after which it is enough; 0 for never.
        measure: What factors reach; None to look at nothing.
        values: What each sweep reached.
        best: The factors of the best sweep.
        kept: Its number, from 1.
    """

    patience: int
    measure: Callable[[Factors], float] | None
    values: list[float] = field(default_factory=list)
    best: Factors | None = None
    kept: int = 0

    @property
    def sweeps(self) -> int:
        return len(self.values)

    def look(self, factors: Factors) -> None:
        if self.measure is None:
            return
        value = self.measure(factors)
        if self.best is None or value > max(self.values):
            self.best, self.kept = factors.copy(), self.sweeps + 1
        self.values.append(value)
        if self.patience and self.sweeps - self.kept >= self.patience:
            raise _Enough


@dataclass(frozen=True)
class Folder:
    """Item factors, prepared once to fold in many people and to explain what they are recommended.

    Attributes:
        item_factors: Items × factors; zero rows (items the model does not know) add nothing.
        items: The items.
        regularization: Ridge of the model.
        threads: Parts of the people at work side by side.
    """

    item_factors: Factors
    items: Items
    regularization: float
    threads: int = 1
    _prepared: dict[tuple[int, int], Folding] = field(default_factory=dict)

    def people(self, confidence: sp.csr_matrix) -> Factors:
        """Exact least-squares factors of people from their history, whether the training saw them or not.

        What a person did not touch counts as a weak no only in domains where the person is known: somebody who
        never entered the other domain did not turn its items down. Without this, people known on one side get
        vectors that push the whole other side towards 0.

        Args:
            confidence: People × items, indices sorted.

        Returns:
            float32, people × factors; zeros for people without evidence.
        """
        factors = np.zeros((confidence.shape[0], self.item_factors.shape[1]), dtype=np.float32)
        for people, span in self._spans(confidence):
            part = np.zeros((len(people), factors.shape[1]), dtype=np.float32)
            self._folding(span).people(confidence[people], part, threads=self.threads)
            factors[people] = part
        return factors

    def reasons(self, confidence: sp.csr_matrix, recommended: Ints) -> npt.NDArray[np.int32]:
        """For each recommended item those items of the person's history that add most to its score.

        Args:
            confidence: People × items, indices sorted.
            recommended: People × k item positions; -1 for none.

        Returns:
            People × k × ``REASONS`` item positions, the strongest first, ties to the earlier item; -1 where nothing
            was recommended or fewer items add to the score.
        """
        out = np.full((*recommended.shape, REASONS), -1, dtype=np.int32)
        for people, span in self._spans(confidence):
            out[people] = self._folding(span).reasons(confidence[people], recommended[people], threads=self.threads)
        return out

    def _spans(self, confidence: sp.csr_matrix) -> list[tuple[Ints, slice]]:
        return [(people, span) for people, span in known_spans(confidence, self.items) if len(people)]

    def _folding(self, span: slice) -> Folding:
        name = (span.start, span.stop)
        if name not in self._prepared:
            with threadpool_limits(limits=1, user_api="blas"):
                self._prepared[name] = Folding.of(self.item_factors, span, self.regularization)
        return self._prepared[name]


def fold_in(
    item_factors: Factors, confidence: sp.csr_matrix, items: Items, regularization: float, *, threads: int = 1
) -> Factors:
    """People's vectors, as ``Folder.people`` gives them, for who has one lot of people."""
    return Folder(item_factors, items, regularization, threads).people(confidence)


def known_spans(confidence: sp.csr_matrix, items: Items) -> list[tuple[Ints, slice]]:
    """People with evidence, by the columns of the domains they are known in: only one, or both."""
    sides = [np.diff(confidence[:, items.span(domain)].indptr) > 0 for domain in (0, 1)]
    return [
        (np.flatnonzero(sides[0] & ~sides[1]), items.span(0)),
        (np.flatnonzero(sides[1] & ~sides[0]), items.span(1)),
        (np.flatnonzero(sides[0] & sides[1]), slice(0, len(items))),
    ]


def to_files(name: str, model: AlsModel) -> dict[str, bytes]:
    """Files of a model, without pickle: ``<name>_factors.npy`` and ``<name>_items.json``."""
    buffer = io.BytesIO()
    np.save(buffer, model.factors, allow_pickle=False)
    content = {
        "domain": model.domain.to_pylist(),
        "item_id": model.item_id.to_pylist(),
        "regularization": model.regularization,
    }
    return {
        f"{name}_factors.npy": buffer.getvalue(),
        f"{name}_items.json": json.dumps(content, ensure_ascii=False).encode(),
    }


def from_files(name: str, files: Mapping[str, bytes]) -> AlsModel | None:
    """The model that ``to_files`` stored under the name; None if there is none."""
    if f"{name}_items.json" not in files:
        return None
    content = json.loads(files[f"{name}_items.json"])
    factors = np.load(io.BytesIO(files[f"{name}_factors.npy"]), allow_pickle=False)
    domain, item_id = (pa.array(content[column], pa.string()) for column in ("domain", "item_id"))
    return AlsModel(domain, item_id, factors, content["regularization"])


def library_versions() -> dict[str, str]:
    """Versions of the libraries that a model depends on."""
    return {name: version(name) for name in LIBRARIES}


def _item_factors(compact: sp.csr_matrix, settings: RecommendSettings, watch: _Watch) -> Factors:
    options: dict[str, Any] = {
        "factors": settings.factors,
        "regularization": settings.regularization,
        "alpha": 1.0,
        "iterations": settings.iterations,
        "random_state": settings.seed,
    }
    device, message = device_in_use(settings)
    if message:
        log.warning(message)
    with threadpool_limits(limits=1, user_api="blas"):
        if device == "gpu":
            from implicit.gpu.als import AlternatingLeastSquares as GpuAls

            model = GpuAls(**options)
        else:
            model = AlternatingLeastSquares(**options, num_threads=settings.threads)
        with suppress(_Enough):
            model.fit(compact, show_progress=False, callback=lambda *_: watch.look(_host(model.item_factors)))
        return _host(model.item_factors)


def _host(factors: Any) -> Factors:
    """Factors as they lie in memory here, whatever device they are on."""
    return np.asarray(factors.to_numpy() if hasattr(factors, "to_numpy") else factors, dtype=np.float32)
