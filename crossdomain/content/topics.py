"""Topics over both domains together: the model, the topics of an item, and what is told about them.

``training`` makes a model. Reading topics off an item is the variational inference that LDA trains with,
written here for many items at once and from a constant start, so that an item's topics do not depend on
which other items are read with it.
"""

from __future__ import annotations

import io
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa
from scipy import sparse
from scipy.optimize import linear_sum_assignment
from scipy.special import digamma
from scipy.stats import poisson

from crossdomain.content.documents import TermMatrix
from crossdomain.content.settings import TopicSettings

TOPICS_SCHEMA = pa.schema(
    [
        ("topic", pa.int32()),
        ("label", pa.string()),
        ("words", pa.list_(pa.string())),
        ("coherence", pa.float64()),
        ("items", pa.int64()),
        ("share", pa.float64()),
        ("knowledge_share", pa.float64()),
        ("shared", pa.bool_()),
        ("shared_p", pa.float64()),
        ("trained_ds", pa.date32()),
        ("model_version", pa.string()),
    ]
)

CHANGES_SCHEMA = pa.schema(
    [
        ("topic", pa.int32()),
        ("change", pa.string()),
        ("label", pa.string()),
        ("overlap", pa.float64()),
        ("model_version", pa.string()),
    ]
)

_TINY = 1e-100
_FEW = 0.05
_BLOCK = 1 << 21


@dataclass(frozen=True)
class TopicModel:
    """A trained topic model.

    Attributes:
        ids: Id of each topic; kept from model to model while the topic stays itself.
        vocabulary: Words of the model, in code point order.
        topic_word: Probability of each word in each topic, (topics, words), float64.
        alpha: Prior weight of each topic in an item, (topics,).
        coherence: NPMI of a topic's ten first words over the training texts (``coherence.npmi``), (topics,).
    """

    ids: tuple[int, ...]
    vocabulary: np.ndarray
    topic_word: np.ndarray
    alpha: np.ndarray
    coherence: np.ndarray

    def words(self, count: int) -> list[list[str]]:
        """The most probable words of each topic, the most probable first, ties in code point order."""
        order = np.argsort(-self.topic_word, axis=1, kind="stable")[:, :count]
        return [[str(word) for word in self.vocabulary[row]] for row in order]

    def to_files(self) -> dict[str, bytes]:
        """The model as files without pickle."""
        names = {
            "ids": list(self.ids),
            "vocabulary": [str(word) for word in self.vocabulary],
        }
        text = json.dumps(names, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        arrays = {"topic_word": self.topic_word, "alpha": self.alpha, "coherence": self.coherence}
        return {"names.json": text.encode(), **{f"{name}.npy": _npy(array) for name, array in arrays.items()}}

    @classmethod
    def from_files(cls, files: dict[str, bytes]) -> TopicModel:
        """The model that :meth:`to_files` gave."""
        names = json.loads(files["names.json"])
        return cls(
            ids=tuple(names["ids"]),
            vocabulary=np.array(names["vocabulary"], dtype=object),
            topic_word=_array(files["topic_word.npy"]),
            alpha=_array(files["alpha.npy"]),
            coherence=_array(files["coherence.npy"]),
        )


def keep_topic_ids(model: TopicModel, old: TopicModel, *, least: float) -> TopicModel:
    """The model with the ids of the old model's topics, where a topic is still the same.

    Topics are matched one to one by the cosine of their word probabilities over the shared vocabulary; a
    match below ``least`` is a new topic and gets an id that was never used by the old model.
    """
    place = {word: number for number, word in enumerate(old.vocabulary)}
    shared = [(number, place[word]) for number, word in enumerate(model.vocabulary) if word in place]
    if not shared:
        cosine = np.zeros((len(model.ids), len(old.ids)))
    else:
        mine, theirs = (np.array(side) for side in zip(*shared, strict=True))
        cosine = (model.topic_word[:, mine] @ old.topic_word[:, theirs].T) / (
            np.linalg.norm(model.topic_word, axis=1)[:, None] * np.linalg.norm(old.topic_word, axis=1)[None, :]
        )
    new, known = linear_sum_assignment(-cosine)
    kept = {int(a): old.ids[b] for a, b in zip(new, known, strict=True) if cosine[a, b] >= least}
    fresh = iter(range(max(old.ids) + 1, max(old.ids) + 1 + len(model.ids)))
    ids = [kept[topic] if topic in kept else next(fresh) for topic in range(len(model.ids))]
    order = np.argsort(ids)
    return TopicModel(
        ids=tuple(int(ids[topic]) for topic in order),
        vocabulary=model.vocabulary,
        topic_word=model.topic_word[order],
        alpha=model.alpha[order],
        coherence=model.coherence[order],
    )


def item_topics(model: TopicModel, terms: TermMatrix, *, iterations: int = 50, least: float = 0.01) -> np.ndarray:
    """Topic weights of items by the model, without changing it.

    Args:
        model: The topics.
        terms: Words by item; words that the model does not know are passed over.
        iterations: Most steps; an item stops when its weights move by less than 0.001 in the mean.
        least: Smaller weights are set to zero.

    Returns:
        (items, topics); a row sums to one before the small weights go and is rounded to 6 digits; an item
        without a known word has zeros only.
    """
    counts = known_terms(model, terms)
    weights = np.zeros((counts.shape[0], len(model.ids)))
    filled = np.flatnonzero(np.diff(counts.indptr))
    step = max(1, _BLOCK // max(1, len(model.ids) * max(1, counts.nnz // max(1, len(filled)))))
    for start in range(0, len(filled), step):
        rows = filled[start : start + step]
        weights[rows] = infer(model.topic_word, model.alpha, counts[rows], iterations)
    weights = np.round(weights, 6)
    weights[weights < least] = 0.0
    return weights


def topic_changes(model: TopicModel, old: TopicModel | None, *, version: str | None) -> pa.Table:
    """Which topics a training kept, bore and let die; one row a topic (``CHANGES_SCHEMA``), by id.

    ``overlap`` is the share of the ten first words that a kept topic has in common with itself before.
    """
    words = dict(zip(model.ids, model.words(10), strict=True))
    before = dict(zip(old.ids, old.words(10), strict=True)) if old else {}
    labels = {**(dict(zip(old.ids, labels_of(old), strict=True)) if old else {}),
              **dict(zip(model.ids, labels_of(model), strict=True))}  # fmt: skip
    rows = [
        {
            "topic": topic,
            "change": "died" if topic not in words else "kept" if topic in before else "born",
            "label": labels[topic],
            "overlap": len(set(words.get(topic, ())) & set(before.get(topic, ()))) / 10,
            "model_version": version,
        }
        for topic in sorted({*words, *before})
    ]
    return pa.Table.from_pylist(rows, schema=CHANGES_SCHEMA)


def labels_of(model: TopicModel, shares: np.ndarray | None = None, *, words: int = 3) -> list[str]:
    """A readable name of each topic: its most relevant words.

    Relevance is that of Sievert and Shirley (2014), 0.6 ln p(w|t) + 0.4 ln p(w|t)/p(w), over the thirty first words: a
    word that all topics have names none. A word that holds another one of the label, or is held by it, is passed over.

    Args:
        model: The topics.
        shares: Share of each topic in all items; the same for all if None.
        words: Words of a label.
    """
    if shares is None or not shares.sum():
        shares = np.ones(len(model.ids))
    overall = (shares / shares.sum()) @ model.topic_word
    first = np.argsort(-model.topic_word, axis=1, kind="stable")[:, :30]
    labels = []
    for topic, places in enumerate(first):
        chance = model.topic_word[topic, places]
        relevance = 0.6 * np.log(chance + _TINY) + 0.4 * np.log((chance + _TINY) / (overall[places] + _TINY))
        chosen: list[str] = []
        for word in model.vocabulary[places[np.argsort(-np.round(relevance, 9), kind="stable")]]:
            if len(chosen) < words and not any(word in known or known in word for known in chosen):
                chosen.append(str(word))
        labels.append("、".join(chosen))
    return labels


def shared_p(model: TopicModel, terms: TermMatrix, *, words: int = 10) -> np.ndarray:
    """How likely it is that chance alone makes a topic hold together in both domains, (topics,).

    In each domain the items that have many of the topic's first words are counted, against what the same words thrown
    at random over the domain's items would give: a word that makes up f of the domain's text stands in an item of n
    words with the chance 1 - exp(-n f). Many is the least number, from two on, that chance gives to at most one item
    in twenty. The count's tail is that of a Poisson variable of the same mean, which is never lighter (Le Cam 1960).
    The greater p-value of the domains counts, times the number of topics (Bonferroni); 1 where there is one domain.
    """
    counts = known_terms(model, terms)
    first = np.argsort(-model.topic_word, axis=1, kind="stable")[:, :words]
    domains = [terms.rows_of(domain) for domain in np.unique(terms.domains)]
    if len(domains) < 2:
        return np.ones(len(model.ids))
    result = np.zeros(len(model.ids))
    for rows in domains:
        here = sparse.csc_matrix(counts[rows])
        lengths = np.asarray(here.sum(axis=1)).ravel()
        frequency = np.asarray(here.sum(axis=0)).ravel() / max(1.0, float(lengths.sum()))
        for topic, chosen in enumerate(first):
            expected = _chance_of_many(-np.expm1(-np.outer(lengths, frequency[chosen])))
            many = 2 + int(np.argmax([*(expected[2:] <= _FEW * len(rows)), True]))
            found = int((np.diff(sparse.csr_matrix(here[:, chosen]).indptr) >= many).sum())
            result[topic] = max(result[topic], float(poisson.sf(found - 1, expected[min(many, len(expected) - 1)])))
    return np.round(np.minimum(1.0, result * len(model.ids)), 6)


def _chance_of_many(chances: np.ndarray) -> np.ndarray:
    """Expected number of rows in which at least m of independent events happen, for m from 0 to their number."""
    exactly = np.zeros((chances.shape[1] + 1, len(chances)))
    exactly[0] = 1.0
    for chance in chances.T:
        exactly[1:] = exactly[1:] * (1 - chance) + exactly[:-1] * chance
        exactly[0] *= 1 - chance
    expected: np.ndarray = exactly.sum(axis=1)[::-1].cumsum()[::-1]
    return expected


def new_share(trained: Collection[str], current: Sequence[str]) -> float:
    """Share of the current texts (content hashes) that the model was not trained on; 0 without texts."""
    known = set(trained)
    return sum(text not in known for text in current) / len(current) if current else 0.0


def weights_or_none(model: TopicModel | None, terms: TermMatrix, *, iterations: int, least: float) -> np.ndarray:
    """:func:`item_topics`, or no topics at all (items, 0) without a model."""
    if model is None:
        return np.zeros((len(terms.item_ids), 0))
    return item_topics(model, terms, iterations=iterations, least=least)


def topics_by_item(
    rows: pa.Table, *, domains: tuple[str, str]
) -> tuple[dict[str, dict[int, float]], dict[str, dict[int, float]]]:
    """For each domain the topic weights by item id, from rows as :func:`item_topics_table` gives them."""
    sides: tuple[dict[str, dict[int, float]], dict[str, dict[int, float]]] = ({}, {})
    columns = (rows[name].to_pylist() for name in ("domain", "item_id", "topic", "weight"))
    for domain, item, topic, weight in zip(*columns, strict=True):
        sides[domains.index(domain)].setdefault(item, {})[topic] = weight
    return sides


def topic_weights(rows: pa.Table, terms: TermMatrix) -> np.ndarray:
    """The weights that :func:`item_topics_table` made rows of, (items of ``terms``, topics by id).

    Topics that no item has are left out; an item without rows has zeros only.
    """
    ids, topic = np.unique(rows["topic"].to_numpy(), return_inverse=True)
    place = {key: row for row, key in enumerate(zip(terms.domains, terms.item_ids, strict=True))}
    keys = zip(rows["domain"].to_pylist(), rows["item_id"].to_pylist(), strict=True)
    weights = np.zeros((len(place), len(ids)))
    weights[[place[key] for key in keys], topic] = rows["weight"].to_numpy()
    return weights


def item_topics_table(model: TopicModel | None, terms: TermMatrix, weights: np.ndarray) -> pa.Table:
    """Topic weights as rows (domain, item_id, topic, weight), zeros left out."""
    item, topic = np.nonzero(weights)
    ids = np.array(model.ids if model else (), dtype=np.int32)
    return pa.table(
        {
            "domain": pa.array(terms.domains[item], pa.string()),
            "item_id": pa.array(terms.item_ids[item], pa.string()),
            "topic": pa.array(ids[topic], pa.int32()),
            "weight": pa.array(weights[item, topic], pa.float64()),
        }
    )


def topics_table(
    model: TopicModel | None,
    terms: TermMatrix,
    weights: np.ndarray,
    *,
    first_domain: str,
    settings: TopicSettings,
    trained_ds: date | None,
    version: str | None,
) -> pa.Table:
    """What each topic is: label, words, size, how the domains share it; one row a topic.

    A topic is shared when each domain has at least ``shared_least`` of it and :func:`shared_p` is at most
    ``shared_chance``.
    """
    if model is None:
        return TOPICS_SCHEMA.empty_table()
    first = terms.domains == first_domain
    sides = [weights[side].sum(axis=0) / max(1.0, weights[side].sum()) for side in (first, ~first)]
    both = sides[0] + sides[1]
    part = np.round(np.divide(sides[0], both, out=np.full(len(both), 0.5), where=both > 0), 6)
    filled = weights[weights.any(axis=1)]
    strongest = np.bincount(filled.argmax(axis=1) if len(filled) else [], minlength=weights.shape[1])
    share = weights.sum(axis=0) / max(1e-9, weights.sum())
    chance = shared_p(model, terms)
    shared = (chance <= settings.shared_chance) & (np.minimum(part, 1 - part) >= settings.shared_least)
    columns = {
        "topic": list(model.ids),
        "label": labels_of(model, share),
        "words": model.words(settings.topic_words),
        "coherence": model.coherence,
        "items": strongest,
        "share": np.round(share, 6),
        "knowledge_share": part,
        "shared": shared,
        "shared_p": chance,
        "trained_ds": [trained_ds] * len(model.ids),
        "model_version": [version] * len(model.ids),
    }
    return pa.table(columns, schema=TOPICS_SCHEMA)


def known_terms(model: TopicModel, terms: TermMatrix) -> sparse.csr_matrix:
    """Counts of the model's words by item, (items of ``terms``, words of the model)."""
    place = {word: number for number, word in enumerate(model.vocabulary)}
    column = np.array([place.get(word, -1) for word in terms.vocabulary], dtype=np.int64)
    known = np.flatnonzero(column >= 0)
    counts = sparse.csr_matrix(terms.counts[:, known])
    counts = sparse.csr_matrix(
        (counts.data, column[known][counts.indices], counts.indptr), shape=(counts.shape[0], len(place))
    )
    counts.sort_indices()
    return counts


def infer(topic_word: np.ndarray, alpha: np.ndarray, counts: sparse.csr_matrix, iterations: int) -> np.ndarray:
    """Variational inference of Blei, Ng and Jordan (2003), section 5.2, for a block of items at once."""
    words = topic_word.T[counts.indices]
    items = counts.shape[0]
    row = np.repeat(np.arange(items), np.diff(counts.indptr))
    gamma = np.ones((items, len(alpha)))
    active = np.arange(items)
    for _ in range(iterations):
        theta = np.exp(digamma(gamma[active]) - digamma(gamma[active].sum(axis=1, keepdims=True)))
        norm = np.einsum("ij,ij->i", theta[row], words) + _TINY
        share = sparse.csr_matrix((counts.data / norm, (row, np.arange(len(row)))), shape=(len(active), len(row)))
        updated = alpha + theta * (share @ words)
        moved = np.abs(updated - gamma[active]).mean(axis=1)
        gamma[active] = updated
        going = moved >= 0.001
        if not going.any():
            break
        if not going.all():
            entries = going[row]
            counts = counts[going]
            words, active = words[entries], active[going]
            row = np.repeat(np.arange(len(active)), np.diff(counts.indptr))
    shares: np.ndarray = gamma / gamma.sum(axis=1, keepdims=True)
    return shares


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()


def _array(content: bytes) -> np.ndarray:
    loaded: np.ndarray = np.load(io.BytesIO(content), allow_pickle=False)
    return loaded
