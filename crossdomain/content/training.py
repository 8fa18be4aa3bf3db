"""Training of topics over both domains together: T = LDA(K ∪ C).

gensim's ``LdaModel`` trains: its multi-core sibling does not give the same model twice. It starts from
clusters of the items instead of noise, which spares it most poor ends (two themes in one topic, a theme cut
in two) and half of the passes.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from gensim.models import LdaModel
from scipy import sparse

from crossdomain.content.clusters import spherical_kmeans
from crossdomain.content.documents import TermMatrix, tfidf
from crossdomain.content.settings import TopicSettings
from crossdomain.content.topics import TopicModel
from crossdomain.text.tokens import is_measure

_COHERENCE_WORDS = 10
_BACKGROUND = 0.2
"""Share of all items' words in each topic at the start, so that no word is shut out of a topic."""


def train_topics(terms: TermMatrix, settings: TopicSettings) -> TopicModel | None:
    """Topics of all items of both domains.

    Args:
        terms: Words by item.
        settings: Number of topics, passes, word limits and seed.

    Returns:
        The model; null where the texts are too few or too poor to give two topics.
    """
    vocabulary, counts = _training_terms(terms, settings)
    filled = np.flatnonzero(np.diff(counts.indptr))
    topics = min(settings.topics, len(filled) // settings.items_per_topic)
    if topics < 2 or len(vocabulary) < topics:
        return None
    # A fixed shuffle: in catalogue order a chunk would hold one domain only.
    counts = counts[np.random.default_rng(settings.seed).permutation(filled)]
    corpus = [
        list(zip(counts.indices[a:b].tolist(), counts.data[a:b].tolist(), strict=True))
        for a, b in zip(counts.indptr[:-1], counts.indptr[1:], strict=True)
    ]
    lda = LdaModel(
        num_topics=topics,
        id2word={number: str(word) for number, word in enumerate(vocabulary)},
        chunksize=settings.chunk,
        passes=settings.passes,
        iterations=settings.iterations,
        alpha=np.full(topics, settings.item_prior),
        eta=settings.word_prior,
        eval_every=None,
        random_state=settings.seed,
        dtype=np.float64,
    )
    lda.state.sstats[...] = _start(counts, topics, seed=settings.seed)
    lda.sync_state()
    lda.update(corpus)
    topic_word = np.round(lda.get_topics(), 12)
    model = TopicModel(
        ids=tuple(range(1, topics + 1)),
        vocabulary=vocabulary,
        topic_word=topic_word / topic_word.sum(axis=1, keepdims=True),
        alpha=np.asarray(lda.alpha, dtype=np.float64),
        coherence=np.zeros(topics),
    )
    return replace(model, coherence=coherence(model, counts))


def coherence(model: TopicModel, counts: sparse.csr_matrix, *, words: int = _COHERENCE_WORDS) -> np.ndarray:
    """NPMI coherence of each topic: the mean over pairs of its first words of ln(p_ij/(p_i p_j)) / −ln p_ij.

    Probabilities are shares of items that have the word (Bouma 2009). A pair that no item has counts −1,
    one that every item has counts 1.

    Args:
        model: The topics.
        counts: Words by item, columns as the model's vocabulary.
        words: First words that are looked at.
    """
    has = sparse.csc_matrix((np.ones(counts.nnz), counts.indices, counts.indptr), shape=counts.shape[::-1]).T
    has = sparse.csc_matrix(has)
    top = np.argsort(-model.topic_word, axis=1, kind="stable")[:, :words]
    result = np.zeros(len(top))
    for topic, chosen in enumerate(top):
        columns = has[:, chosen]
        together = np.asarray((columns.T @ columns).todense()) / counts.shape[0]
        alone = np.diag(together)
        upper = np.triu_indices(len(chosen), k=1)
        pair, apart = together[upper], np.outer(alone, alone)[upper]
        with np.errstate(divide="ignore", invalid="ignore"):
            npmi = np.log(pair / apart) / -np.log(pair)
        npmi = np.where(pair <= 0, -1.0, np.where(pair >= 1, 1.0, npmi))
        result[topic] = npmi.mean()
    return np.round(result, 6)


def _start(counts: sparse.csr_matrix, topics: int, *, seed: int) -> np.ndarray:
    """Word weights of each topic to start from: those of a cluster of items, each item weighing the same."""
    clusters = spherical_kmeans(tfidf(counts), topics, seed=seed)
    shares = sparse.csr_matrix(sparse.diags(1 / np.asarray(counts.sum(axis=1)).ravel()) @ counts)
    member = sparse.csr_matrix(
        (np.ones(len(clusters)), (clusters, np.arange(len(clusters)))), shape=(topics, len(clusters))
    )
    words = (member @ shares).toarray()
    words /= np.maximum(words.sum(axis=1, keepdims=True), 1e-9)
    background = np.asarray(shares.mean(axis=0)).ravel()
    start: np.ndarray = counts.shape[1] * ((1 - _BACKGROUND) * words + _BACKGROUND * background)
    return start


def _training_terms(terms: TermMatrix, settings: TopicSettings) -> tuple[np.ndarray, sparse.csr_matrix]:
    """Words that can tell topics apart, and their counts: not too rare, not too common, no measures."""
    items = np.bincount(terms.counts.indices, minlength=len(terms.vocabulary))
    fits = items >= settings.min_items
    for domain in np.unique(terms.domains):
        counts = terms.counts[terms.rows_of(domain)]
        most = settings.max_share * max(1, int(np.count_nonzero(np.diff(counts.indptr))))
        fits &= np.bincount(counts.indices, minlength=len(terms.vocabulary)) <= most
    keep = np.array([n for n in np.flatnonzero(fits) if not is_measure(terms.vocabulary[n])], dtype=np.int64)
    if len(keep) > settings.max_words:
        keep = np.sort(keep[np.argsort(-items[keep], kind="stable")[: settings.max_words]])
    counts = sparse.csr_matrix(terms.counts[:, keep])
    counts.sort_indices()
    return terms.vocabulary[keep], counts
