"""The demo world's planted topics are found."""

from __future__ import annotations

from datetime import date

import numpy as np
import pyarrow as pa
import pytest
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import normalized_mutual_info_score

from crossdomain.content.choosing import choose_topics
from crossdomain.content.documents import TEXT_COLUMNS, TOKEN_SCHEMA, TermMatrix, term_matrix, texts_of, tokenise
from crossdomain.content.reading import Texts
from crossdomain.content.settings import TopicSettings
from crossdomain.content.topics import item_topics
from crossdomain.content.training import train_topics
from crossdomain.demo.catalogue import build_catalogues
from crossdomain.demo.clock import Calendar
from crossdomain.demo.topics import topics_of
from crossdomain.settings import Settings
from crossdomain.text.tokens import make_tokenizer, read_stop_words, read_user_words


def world(items: int, seed: int) -> tuple[TermMatrix, Texts, np.ndarray]:
    """Words of a demo world's items with the shipped word lists, and the planted topic of each."""
    rows, truth = [], {}
    for domain, found in build_catalogues(items=items, calendar=Calendar(date(2026, 1, 5), 5, 60), seed=seed).items():
        for place, item in enumerate(found.ids.to_pylist()):
            texts = (found.title[place], found.tags[place].split("、"), found.description[place], found.text[place])
            keys = {"domain": domain, "item_id": item, "content_hash": f"{domain}/{item}"}
            rows.append({**keys, **dict(zip(TEXT_COLUMNS, texts, strict=True))})
            truth[domain, item] = topics_of(domain)[found.topic[place]]
    folder = Settings().include / "text"
    tokenizer = make_tokenizer(
        user_words=read_user_words(folder / "user_dictionary.txt"),
        stop_words=read_stop_words(folder / "stop_words.txt"),
    )
    tokens = tokenise(pa.Table.from_pylist(rows), TOKEN_SCHEMA.empty_table(), tokenizer).items
    terms = term_matrix(tokens)
    return terms, texts_of(tokens), np.array([truth[key] for key in zip(terms.domains, terms.item_ids, strict=True)])


def matched(weights: np.ndarray, truth: np.ndarray) -> float:
    """Share of items whose strongest topic is the planted one, under the best one-to-one matching."""
    table = np.zeros((weights.shape[1], truth.max() + 1))
    np.add.at(table, (weights.argmax(axis=1), truth), 1)
    return float(table[linear_sum_assignment(-table)].sum() / len(truth))


def found_topics(terms: TermMatrix, texts: Texts) -> np.ndarray:
    number, _ = choose_topics(terms, texts, TopicSettings())
    model = train_topics(terms, texts, TopicSettings(), topics=number)
    assert model is not None
    return item_topics(model, terms)


def test_planted_topics_are_found() -> None:
    terms, texts, truth = world(1200, 1)
    assert matched(found_topics(terms, texts), truth) >= 0.8


@pytest.mark.parametrize(
    "seed",
    [
        *(pytest.param(seed, marks=pytest.mark.long) for seed in range(1, 7)),
        *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(7, 21)),
    ],
)
def test_planted_topics_are_found_in_many_worlds(seed: int) -> None:
    """By mutual information, which does not ask that as many topics are found as were planted (18): 15 to 30 are."""
    terms, texts, truth = world(2000 if seed % 2 else 800, seed)
    assert normalized_mutual_info_score(truth, found_topics(terms, texts).argmax(axis=1)) >= 0.9
