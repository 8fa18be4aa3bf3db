"""Job ``topics``: tokens and topics of the day's catalogue."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from crossdomain.content.settings import TopicSettings
from crossdomain.jobs.model import Input, Job, JobContext
from crossdomain.settings import Settings
from crossdomain.text.tokens import Tokenizer, make_tokenizer, tokenizer_version, word_lists

if TYPE_CHECKING:
    import pyarrow as pa

    from crossdomain.content.documents import TermMatrix
    from crossdomain.content.topic_drift import TrainedFit
    from crossdomain.content.topics import TopicModel

_MODEL = "topics"
_TRAINED_ON = "trained_on.txt"
_AFTER_TRAINING = {
    "retrain_share",
    "retrain_misfits",
    "keep_identity",
    "topic_words",
    "min_weight",
    "shared_least",
    "shared_chance",
}
"""Settings that do not change what a training gives."""
_CATALOGUE = """
    SELECT domain, item_id, title, description, text, tags, content_hash
    FROM derived.catalogue
    ORDER BY domain, item_id
"""


@dataclass(frozen=True)
class _TopicState:
    """The model in force on the day, and how it came to be."""

    model: TopicModel | None
    version: str | None = None
    trained_ds: date | None = None
    trained_now: bool = False
    old: TopicModel | None = None
    new_share: float = 0.0
    drift: pa.Table | None = None


def build(ctx: JobContext) -> None:
    """Reads the catalogue of the day and writes its items' words and topics."""
    from crossdomain.content import documents, topic_drift, topics

    choices = TopicSettings.from_env(seed=ctx.settings.seed)
    catalogue = ctx.con.sql(_CATALOGUE).to_arrow_table()
    known = ctx.con.sql("FROM previous.item_tokens").to_arrow_table().select(documents.TOKEN_SCHEMA.names)
    tokenizer = tokenizer_of(ctx.settings, choices)
    tokenised = documents.tokenise(catalogue, known, tokenizer)
    ctx.write("derived.item_tokens", tokenised.items)

    terms = documents.term_matrix(tokenised.items)
    state = _topic_model(ctx, choices, terms, tokenised.items, tokenizer.version)
    weights = topics.weights_or_none(state.model, terms, iterations=choices.iterations, least=choices.min_weight)
    ctx.write("serving.item_topics", topics.item_topics_table(state.model, terms, weights))
    described = topics.topics_table(
        state.model,
        terms,
        weights,
        first_domain=ctx.settings.domains[0],
        settings=choices,
        trained_ds=state.trained_ds,
        version=state.version,
    )
    ctx.write("serving.topics", described)
    changes = topics.CHANGES_SCHEMA.empty_table()
    if state.model and state.trained_now:
        changes = topics.topic_changes(state.model, state.old, version=state.version)
    ctx.write("serving.topic_changes", changes)
    drift = topic_drift.DRIFT_SCHEMA.empty_table() if state.drift is None else state.drift
    ctx.write("serving.topic_drift", drift)
    ctx.note(
        items=len(catalogue),
        tokenised=tokenised.read,
        topics=len(described),
        shared_topics=sum(described["shared"].to_pylist()),
        topics_trained=state.trained_now,
        **{f"topics_{change}": changes["change"].to_pylist().count(change) for change in ("kept", "born", "died")},
        new_share=round(state.new_share, 4),
        misfits=sum(drift["misfits"].to_pylist()),
        drifted=any(drift["drifted"].to_pylist()),
        npmi=round(float(state.model.coherence.mean()), 4) if state.model else None,
    )


def _topic_model(
    ctx: JobContext, choices: TopicSettings, terms: TermMatrix, items: pa.Table, tokenizer: str
) -> _TopicState:
    """The model of the day before while it fits the catalogue, else a new one that keeps the topics' ids."""
    from crossdomain.content import topic_drift, topics

    basis = {name: value for name, value in asdict(choices).items() if name not in _AFTER_TRAINING}
    basis |= {"tokenizer": tokenizer, "job": JOB.version}
    hashes = items["content_hash"].to_pylist()
    before = ctx.con.sql("SELECT DISTINCT model_version, trained_ds FROM previous.topics").fetchall()
    old, share, drift = None, 1.0, None
    if before:
        version, trained_ds = before[0]
        files = ctx.models.load(_MODEL, version)
        old = topics.TopicModel.from_files(files)
        trained_on = files[_TRAINED_ON].decode().split("\n")
        share, facts = topics.new_share(trained_on, hashes), ctx.models.metadata(_MODEL, version)
        if share <= choices.retrain_share and facts["basis"] == basis:
            fit = topic_drift.TrainedFit.from_facts(facts["fit"])
            drift = _drift(choices, old, fit, terms, hashes, set(trained_on), version)
            if not any(drift["drifted"].to_pylist()):
                return _TopicState(old, version, trained_ds, new_share=share, drift=drift)
    model, candidates = _train(choices, terms, items)
    if model is None:
        return _TopicState(None, new_share=share, drift=drift)
    if old is not None:
        model = topics.keep_topic_ids(model, old, least=choices.keep_identity)
    files = {**model.to_files(), _TRAINED_ON: "\n".join(sorted(set(hashes))).encode()}
    facts = {
        "basis": basis,
        "trained_ds": ctx.ds.isoformat(),
        "items": len(hashes),
        "words": len(model.vocabulary),
        "topics": len(model.ids),
        "candidates": candidates,
        "npmi": round(float(model.coherence.mean()), 6),
        "npmi_by_topic": {str(topic): float(value) for topic, value in zip(model.ids, model.coherence, strict=True)},
        "fit": topic_drift.trained_fit(model, terms, iterations=choices.iterations, seed=choices.seed).as_facts(),
        "follows": before[0][0] if before else None,
    }
    version = ctx.models.save(_MODEL, files, facts)
    return _TopicState(model, version, ctx.ds, trained_now=True, old=old, new_share=share, drift=drift)


def _drift(
    choices: TopicSettings,
    model: TopicModel,
    fit: TrainedFit,
    terms: TermMatrix,
    hashes: Sequence[str],
    trained_on: Collection[str],
    version: str,
) -> pa.Table:
    """How well the texts that are new to the model fit its topics."""
    import numpy as np

    from crossdomain.content import topic_drift

    new = np.flatnonzero([text not in trained_on for text in hashes])
    limits = {domain: topic_drift.limit(len(terms.rows_of(domain)), choices) for domain in fit.by_domain}
    return topic_drift.drift(
        model, fit, terms.of_rows(new), limits=limits, iterations=choices.iterations, version=version
    )


def tokenizer_of(settings: Settings, choices: TopicSettings) -> Tokenizer:
    """The tokenizer with the deployment's word lists."""
    return make_tokenizer(engine=choices.engine, **word_lists(settings.include / "text"))


def _train(
    choices: TopicSettings, terms: TermMatrix, items: pa.Table
) -> tuple[TopicModel | None, list[dict[str, Any]]]:
    """A model with the number of topics that does best, and what the others reached."""
    from crossdomain.content import choosing, documents, training

    texts = documents.texts_of(items)
    number, candidates = choosing.choose_topics(terms, texts, choices)
    model = training.train_topics(terms, texts, choices, topics=number) if number else None
    return model, [asdict(one) for one in candidates]


def _config(settings: Settings) -> Mapping[str, Any]:
    choices = TopicSettings.from_env(seed=settings.seed)
    return {
        "choices": asdict(choices),
        "domains": settings.domains,
        "tokenizer": tokenizer_version(engine=choices.engine, **word_lists(settings.include / "text")),
    }


JOB = Job(
    name="topics",
    version=2,
    inputs=(Input(table="derived.catalogue"),),
    outputs=(
        "derived.item_tokens",
        "serving.topics",
        "serving.item_topics",
        "serving.topic_changes",
        "serving.topic_drift",
    ),
    run=build,
    config=_config,
    tells_unchanged=True,
)
