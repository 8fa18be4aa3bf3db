"""Catalogue to tokens, tokens to the term matrix."""

from __future__ import annotations

import pyarrow as pa
from sklearn.feature_extraction.text import CountVectorizer

from crossdomain.content.documents import TOKEN_SCHEMA, term_matrix, tokenise

TEXTS = ("domain", "item_id", "content_hash", "title", "description", "text")


class Splitter:
    """Splits on spaces and counts what it was asked for."""

    def __init__(self, version: str = "split-1") -> None:
        self.version = version
        self.read: list[str | None] = []

    def tokens(self, text: str | None) -> list[str]:
        self.read.append(text)
        return (text or "").split()


def catalogue(*rows: tuple[str, str, str, str]) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {
                "domain": domain,
                "item_id": item,
                "content_hash": key,
                "title": title,
                "tags": ["一", "二"] if title else [],
                "description": None,
                "text": "",
            }
            for domain, item, key, title in rows
        ],
        schema=pa.schema({**dict.fromkeys(TEXTS, pa.string()), "tags": pa.list_(pa.string())}),
    )


def test_only_new_and_changed_texts_are_read() -> None:
    first = tokenise(
        catalogue(("b", "2", "h2", "面霜"), ("a", "1", "h1", "课程")), TOKEN_SCHEMA.empty_table(), Splitter()
    )
    assert first.read == 2
    assert first.items["item_id"].to_pylist() == ["1", "2"]
    assert first.items["tokens"].to_pylist() == [["课程", "一", "二"], ["面霜", "一", "二"]]
    splitter = Splitter()
    second = tokenise(
        catalogue(("a", "1", "h1", "课程"), ("b", "2", "h3", "精华"), ("b", "3", "h4", "")), first.items, splitter
    )
    assert splitter.read == ["精华\n一\n二", ""]
    assert second.read == 2
    assert second.items["tokens"].to_pylist() == [["课程", "一", "二"], ["精华", "一", "二"], []]


def test_another_tokenizer_reads_everything_again() -> None:
    items = catalogue(("a", "1", "h1", "课程"))
    before = tokenise(items, TOKEN_SCHEMA.empty_table(), Splitter()).items
    assert tokenise(items, before, Splitter("split-2")).read == 1


def test_an_empty_catalogue_gives_an_empty_table() -> None:
    found = tokenise(catalogue(), TOKEN_SCHEMA.empty_table(), Splitter())
    assert found.items.schema == TOKEN_SCHEMA
    assert len(found.items) == 0
    assert term_matrix(found.items).counts.shape == (0, 0)


def test_term_matrix_counts_words_like_scikit_learn() -> None:
    texts = ["a a b c", "", "c d d d", "b"]
    items = pa.table(
        {
            "domain": ["y", "x", "x", "x"],
            "item_id": ["1", "3", "2", "1"],
            "tokens": [text.split() for text in texts],
        }
    )
    found = term_matrix(items)
    counter = CountVectorizer(analyzer=str.split)
    expected = counter.fit_transform([texts[3], texts[2], texts[1], texts[0]])
    assert list(found.vocabulary) == list(counter.get_feature_names_out())
    assert (found.counts.toarray() == expected.toarray()).all()
    assert list(found.item_ids) == ["1", "2", "3", "1"]
    assert list(found.rows_of("x")) == [0, 1, 2]
