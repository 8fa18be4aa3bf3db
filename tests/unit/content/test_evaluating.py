"""What ``crossdomain evaluate`` says of a corpus, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from crossdomain.cli.main import app
from crossdomain.content.corpus import Document, read_corpus
from crossdomain.content.evaluating import evaluate_tokens, evaluate_topics
from crossdomain.content.settings import TopicSettings
from crossdomain.errors import InputError


@dataclass(frozen=True)
class Spaces:
    version: str = "spaces"

    def tokens(self, text: str | None) -> list[str]:
        return (text or "").split()


def corpus(planted, items: int = 300) -> list[Document]:  # type: ignore[no-untyped-def]
    table, truth = planted(items, topics=5, noise=0.1)
    rows = zip(*(table[name].to_pylist() for name in ("domain", "item_id", "tokens")), strict=True)
    found = [Document(i, d, " ".join(words), frozenset({f"t{truth[d, i]}"})) for d, i, words in rows]
    return sorted(found, key=lambda document: (document.domain, document.id))


def test_planted_topics_share_the_tags(planted) -> None:  # type: ignore[no-untyped-def]
    found = evaluate_topics(corpus(planted), Spaces(), TopicSettings(topics=5), seeds=3)
    assert found["stability"] > 0.8
    assert found["npmi"] > 0
    tags = found["tags"]
    assert tags["labels"] == 5
    assert 0.15 < tags["chance"] < 0.3
    for name in ("tfidf", "topics", "blend"):
        assert tags[name]["low"] <= tags[name]["precision"] <= tags[name]["high"]
        assert tags[name]["low"] > tags["chance"]
    assert tags["topics"]["precision"] > 0.9


def test_without_tags_and_without_topics(planted) -> None:  # type: ignore[no-untyped-def]
    bare = [Document(one.id, one.domain, one.text, frozenset()) for one in corpus(planted)]
    assert evaluate_topics(bare, Spaces(), TopicSettings(topics=5), seeds=1)["tags"] is None
    with pytest.raises(InputError, match="too few"):
        evaluate_topics(bare[:8], Spaces(), TopicSettings(topics=5), seeds=1)


def test_agreement_of_tokens() -> None:
    @dataclass(frozen=True)
    class Letters(Spaces):
        def tokens(self, text: str | None) -> list[str]:
            return super().tokens((text or "").replace("ab", "a b"))

    documents = [Document("1", "k", "ab c", frozenset()), Document("2", "k", "c c", frozenset())]
    found = evaluate_tokens(documents, Letters(), Spaces())
    assert (found["documents_equal"], found["words_shared"]) == (0.5, 0.75)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"id": "1"', r":2:\d+: no JSON"),
        ("[1]", ":2: no object"),
        ('{"id": 1, "domain": "k", "text": ""}', ":2: id must be a string"),
        ('{"id": "2", "domain": "k", "text": "", "tags": "a"}', ":2: tags must be a list"),
        ('{"id": "2", "domain": "k", "text": "", "title": 5}', ":2: title must be a string"),
        ('{"id": "1", "domain": "k", "text": ""}', ":2: id '1' of 'k' comes twice"),
    ],
)
def test_a_line_that_is_no_document_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "corpus.jsonl"
    path.write_text('{"id": "1", "domain": "k", "text": "面霜"}\n' + line + "\n", encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_corpus(path)


def test_a_missing_or_empty_corpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is missing"):
        read_corpus(tmp_path / "none.jsonl")
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(InputError, match="holds no document"):
        read_corpus(tmp_path / "empty.jsonl")


def test_the_command_gives_one_document(tmp_path: Path) -> None:
    path = tmp_path / "corpus.jsonl"
    path.write_text('{"id": "1", "domain": "k", "text": "敏感肌面霜保湿修护"}\n', encoding="utf-8")
    done = CliRunner().invoke(app, ["evaluate", "tokens", "--corpus", str(path), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["documents_equal"] == 1.0
