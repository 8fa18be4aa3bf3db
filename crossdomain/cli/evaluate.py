"""How good tokens and topics are on any corpus: a JSONL file of ``id, domain, text`` and optional ``tags``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crossdomain.cli.output import Json, show
from crossdomain.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Measure tokens and topics on any corpus given as JSONL.")

Corpus = Annotated[Path, typer.Option(help="JSONL (.gz too) with id, domain, text and optional tags.")]


@app.command()
def tokens(corpus: Corpus, json: Json = False) -> None:
    """Measure the tokenizer's speed and how its words differ from jieba's."""
    from crossdomain.content.corpus import read_corpus
    from crossdomain.content.evaluating import evaluate_tokens
    from crossdomain.content.settings import TopicSettings
    from crossdomain.text.tokens import make_tokenizer, word_lists

    lists = word_lists(Settings.from_env().include / "text")
    tokenizer = make_tokenizer(engine=TopicSettings.from_env().engine, **lists)
    found = evaluate_tokens(read_corpus(corpus), tokenizer, make_tokenizer(engine="jieba", **lists))
    show(found, json=json, title=f"tokens of {corpus.name}", facts=found)


@app.command()
def topics(
    corpus: Corpus, seeds: Annotated[int, typer.Option(min=1, help="Models to compare.")] = 5, json: Json = False
) -> None:
    """Measure topics: coherence on seen and held-out texts, stability over seeds, neighbours against tags."""
    from crossdomain.content.corpus import read_corpus
    from crossdomain.content.evaluating import evaluate_topics
    from crossdomain.content.settings import TopicSettings
    from crossdomain.text.tokens import make_tokenizer, word_lists

    settings = Settings.from_env()
    choices = TopicSettings.from_env(seed=settings.seed)
    tokenizer = make_tokenizer(engine=choices.engine, **word_lists(settings.include / "text"))
    found = evaluate_topics(read_corpus(corpus), tokenizer, choices, seeds=seeds)
    show(found, json=json, title=f"topics of {corpus.name}", facts=found)
