"""Training of topics over both domains together: T = LDA(K ∪ C), by an engine that is a setting.

``tomotopy`` (collapsed Gibbs, the default: more coherent topics in a fraction of the time) gives the same model again
with the same seed and number of workers. ``gensim`` (online variational Bayes) is the reference; it starts from
clusters of the items instead of noise, which spares it most poor ends and half of the passes.

Topics are learned from words that enough items have, so that chance meetings of rare words make no topic; rarer words
are then given the topics of the items that have them, so that an item of few words still has some.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from crossdomain.content.clusters import spherical_kmeans
from crossdomain.content.coherence import npmi
from crossdomain.content.documents import TermMatrix, tfidf
from crossdomain.content.reading import Texts
from crossdomain.content.settings import TopicSettings
from crossdomain.content.topics import TopicModel, infer
from crossdomain.errors import InputError
from crossdomain.text.tokens import is_measure

ENGINES = ("tomotopy", "gensim")
COHERENCE_WORDS = 10
"""First words of a topic that coherence looks at."""
_BACKGROUND = 0.2
"""Share of all items' words in each topic at the start, so that no word is shut out of a topic."""
_ROUNDS = 2


@dataclass(frozen=True)
class _Words:
    """Words and counts that a training sees.

    Attributes:
        vocabulary: Words that the model will know.
        counts: Their counts by item, items with a learned word only.
        learned: Columns that topics are learned from.
    """

    vocabulary: np.ndarray
    counts: sparse.csr_matrix
    learned: np.ndarray


def train_topics(terms: TermMatrix, texts: Texts, settings: TopicSettings, *, topics: int) -> TopicModel | None:
    """Topics of all items of both domains.

    Args:
        terms: Words by item.
        texts: The same items' words in reading order, for the coherence.
        settings: Engine, word limits and seed.
        topics: Number of topics; fewer where the items are too few.

    Returns:
        The model; null where the texts are too few or too poor to give two topics.

    Raises:
        InputError: There is no such engine.
    """
    if settings.topic_engine not in ENGINES:
        raise InputError(f"there is no topic engine {settings.topic_engine!r}; choose one of {', '.join(ENGINES)}")
    words = _training_words(terms, settings)
    topics = min(topics, words.counts.shape[0] // settings.items_per_topic)
    if topics < 2 or len(words.learned) < topics:
        return None
    learned = sparse.csr_matrix(words.counts[:, words.learned])
    learned.sort_indices()
    train = _tomotopy if settings.topic_engine == "tomotopy" else _gensim
    topic_word, alpha = train(learned, topics, settings)
    model = TopicModel(
        ids=tuple(range(1, topics + 1)),
        vocabulary=words.vocabulary,
        topic_word=_spread(topic_word, alpha, words, settings),
        alpha=alpha,
        coherence=np.zeros(topics),
    )
    return replace(model, coherence=npmi(model.words(COHERENCE_WORDS), texts))


def _tomotopy(counts: sparse.csr_matrix, topics: int, settings: TopicSettings) -> tuple[np.ndarray, np.ndarray]:
    import tomotopy

    lda = tomotopy.LDAModel(k=topics, alpha=settings.item_prior, eta=settings.word_prior, seed=settings.seed)
    lda.optim_interval = 0  # priors learned from short texts of many kinds gave less coherent topics
    names = [str(column) for column in range(counts.shape[1])]
    for begin, end in zip(counts.indptr[:-1], counts.indptr[1:], strict=True):
        repeats = counts.data[begin:end].astype(np.int64)
        lda.add_doc([names[column] for column in np.repeat(counts.indices[begin:end], repeats)])
    with warnings.catch_warnings():
        # It warns of any number of workers but one; by partition the same number gives the same model, as tests hold.
        warnings.filterwarnings("ignore", message="The training result may differ", category=RuntimeWarning)
        lda.train(settings.sweeps, workers=settings.workers, parallel=tomotopy.ParallelScheme.PARTITION)
    columns = [int(name) for name in lda.used_vocabs]
    topic_word = np.zeros((topics, counts.shape[1]))
    for topic in range(topics):
        topic_word[topic, columns] = lda.get_topic_word_dist(topic)
    return topic_word, np.full(topics, settings.item_prior)


def _gensim(counts: sparse.csr_matrix, topics: int, settings: TopicSettings) -> tuple[np.ndarray, np.ndarray]:
    from gensim.models import LdaModel

    # A fixed shuffle: in catalogue order a chunk would hold one domain only.
    counts = counts[np.random.default_rng(settings.seed).permutation(counts.shape[0])]
    corpus = [
        list(zip(counts.indices[a:b].tolist(), counts.data[a:b].tolist(), strict=True))
        for a, b in zip(counts.indptr[:-1], counts.indptr[1:], strict=True)
    ]
    lda = LdaModel(
        num_topics=topics,
        id2word={number: str(number) for number in range(counts.shape[1])},
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
    return np.asarray(lda.get_topics(), dtype=np.float64), np.asarray(lda.alpha, dtype=np.float64)


def _spread(topic_word: np.ndarray, alpha: np.ndarray, words: _Words, settings: TopicSettings) -> np.ndarray:
    """Word probabilities over all words of the model: two rounds of EM for those that were not learned from."""
    learned = sparse.csr_matrix(words.counts[:, words.learned])
    theta = infer(topic_word, alpha, learned, settings.iterations)
    rest = np.setdiff1d(np.arange(len(words.vocabulary)), words.learned)
    counts = sparse.csr_matrix(words.counts[:, rest])
    row = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    tokens = np.asarray(learned.sum(axis=1)).ravel()
    of_topic = np.maximum(theta.T @ tokens, 1e-9)
    chance = np.asarray((counts.T @ theta).T) + settings.word_prior * theta.mean(axis=0)[:, None]
    for _ in range(_ROUNDS):
        chance /= of_topic[:, None]
        norm = np.einsum("ij,ij->i", theta[row], chance.T[counts.indices])
        share = sparse.csr_matrix((counts.data / norm, counts.indices, counts.indptr), shape=counts.shape)
        chance = np.asarray((share.T @ theta).T) * chance + settings.word_prior / len(words.vocabulary)
    whole = np.zeros((len(topic_word), len(words.vocabulary)))
    whole[:, words.learned] = topic_word
    whole[:, rest] = chance / of_topic[:, None]
    whole = np.round(whole / whole.sum(axis=1, keepdims=True), 12)
    result: np.ndarray = whole / whole.sum(axis=1, keepdims=True)
    return result


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


def _training_words(terms: TermMatrix, settings: TopicSettings) -> _Words:
    """Words that can tell topics apart: not too rare, not too common, no measures."""
    items = np.bincount(terms.counts.indices, minlength=len(terms.vocabulary))
    fits = items >= settings.min_items
    for domain in np.unique(terms.domains):
        counts = terms.counts[terms.rows_of(domain)]
        most = settings.max_share * max(1, int(np.count_nonzero(np.diff(counts.indptr))))
        fits &= np.bincount(counts.indices, minlength=len(terms.vocabulary)) <= most
    keep = np.array([n for n in np.flatnonzero(fits) if not is_measure(terms.vocabulary[n])], dtype=np.int64)
    if len(keep) > settings.max_words:
        keep = np.sort(keep[np.argsort(-items[keep], kind="stable")[: settings.max_words]])
    filled = np.count_nonzero(np.diff(terms.counts.indptr))
    learned = np.flatnonzero(items[keep] >= settings.min_share * filled)
    counts = sparse.csr_matrix(terms.counts[:, keep])
    counts.sort_indices()
    has = np.diff(sparse.csr_matrix(counts[:, learned]).indptr) > 0
    return _Words(terms.vocabulary[keep], counts[has], learned)
