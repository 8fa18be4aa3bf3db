"""Any corpus to measure on: JSON lines of ``id, domain, text``, an optional ``title`` and, as truth, ``tags``."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from crossdomain.content.documents import TOKEN_SCHEMA
from crossdomain.errors import InputError
from crossdomain.text.tokens import Tokenizer


@dataclass(frozen=True)
class Document:
    """One line of a corpus."""

    id: str
    domain: str
    text: str
    tags: frozenset[str]
    title: str | None = None


def read_corpus(path: Path) -> list[Document]:
    """Documents of a JSONL file (``.gz`` too), by domain and id.

    Raises:
        InputError: The file is missing, or a line is no object of that form or repeats an id; the line is named.
    """
    if not path.is_file():
        raise InputError(f"{path} is missing: give a JSONL file of id, domain, text and optional tags")
    found: dict[tuple[str, str], Document] = {}
    for number, line in _lines(path):
        try:
            content = json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(f"{path}:{number}:{error.colno}: no JSON: {error.msg}") from error
        document = _document(content, f"{path}:{number}")
        if (document.domain, document.id) in found:
            raise InputError(f"{path}:{number}: id {document.id!r} of {document.domain!r} comes twice")
        found[document.domain, document.id] = document
    if not found:
        raise InputError(f"{path} holds no document")
    return [found[key] for key in sorted(found)]


def token_table(documents: list[Document], tokenizer: Tokenizer) -> pa.Table:
    """Tokens of titles and texts (``documents.TOKEN_SCHEMA``) in the documents' order."""
    rows = [
        {
            "domain": document.domain,
            "item_id": document.id,
            "content_hash": "",
            "tokenizer": tokenizer.version,
            "tokens": tokenizer.tokens("\n".join(filter(None, (document.title, document.text)))),
        }
        for document in documents
    ]
    return pa.Table.from_pylist(rows, schema=TOKEN_SCHEMA)


def _document(content: Any, where: str) -> Document:
    if not isinstance(content, dict):
        raise InputError(f'{where}: no object; write {{"id": …, "domain": …, "text": …}}')
    for name in ("id", "domain", "text"):
        if not isinstance(content.get(name), str):
            raise InputError(f"{where}: {name} must be a string")
    if not isinstance(content.get("title"), str | None):
        raise InputError(f"{where}: title must be a string")
    tags = content.get("tags") or []
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise InputError(f"{where}: tags must be a list of strings")
    return Document(content["id"], content["domain"], content["text"], frozenset(tags), content.get("title"))


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8-sig") as file:
        try:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, line
        except (UnicodeDecodeError, gzip.BadGzipFile, EOFError) as error:
            raise InputError(f"{path}: cannot be read as UTF-8 text: {error}") from error
