"""Job ``similar``: the most similar items of every item of the catalogue, and from where on that means something."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from crossdomain.content.settings import SimilaritySettings
from crossdomain.jobs.model import Input, Job, JobContext
from crossdomain.settings import Settings

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from crossdomain.content.documents import TermMatrix
    from crossdomain.content.features import Features, GramMatrix, TermWeights
    from crossdomain.content.similarity import Search

_MODEL = "similarity"
_ITEMS = """
    WITH weights AS (
        SELECT domain, item_id, string_agg(topic || ':' || weight, ',' ORDER BY topic) AS topics
        FROM serving.item_topics GROUP BY ALL
    )
    SELECT c.domain, c.item_id, c.title, c.status = 'on' AS on_sale,
        md5(concat_ws('|', t.content_hash, t.tokenizer, w.topics)) AS print,
        coalesce(d.group_id, concat_ws('|', c.domain, c.item_id)) AS product,
        d.group_id IS NULL OR (d.canonical_domain = c.domain AND d.canonical_item_id = c.item_id) AS canonical
    FROM derived.catalogue c
    JOIN derived.item_tokens t USING (domain, item_id)
    LEFT JOIN weights w USING (domain, item_id)
    LEFT JOIN derived.duplicate_items d USING (domain, item_id)
    ORDER BY c.domain, c.item_id
"""


@dataclass(frozen=True)
class _Catalogue:
    """The day's items, row for row."""

    terms: TermMatrix
    grams: GramMatrix
    topics: npt.NDArray[np.float64]
    items: pa.Table


@dataclass(frozen=True)
class _State:
    """The term weights in force, and the thresholds that were calibrated with them."""

    weights: TermWeights
    version: str
    thresholds: pa.Table
    learned: bool


def build(ctx: JobContext) -> None:
    """Compares the items by words, spelling and topics; unchanged ones were compared the day before."""
    from crossdomain.content import features, similarity

    choices = SimilaritySettings.from_env(seed=ctx.settings.seed)
    search = _search(choices)
    catalogue = _read(ctx)
    state = _state(ctx, choices, catalogue)
    data = features.features(catalogue.terms, catalogue.grams, catalogue.topics, state.weights)
    items = {name: catalogue.items[name].to_numpy(zero_copy_only=False) for name in catalogue.items.column_names}
    if state.learned:
        state = _calibrated(ctx, choices, catalogue, state, data, search)
    pool = similarity.find_pool(
        data,
        domains=ctx.settings.domains,
        prints=items["print"],
        candidate=items["on_sale"] & items["canonical"],
        search=search,
        version=state.version,
        previous=(_previous(ctx, "neighbours"), _previous(ctx, "similarity_state")),
    )
    # Tables of millions of rows, one after the other.
    served = similarity.similar_items(pool, items["product"], neighbours=choices.neighbours)
    similar = ctx.write("serving.similar_items", served, settled=True).rows
    del served
    ctx.write("derived.neighbours", pool.table(), settled=True)
    ctx.write("derived.similarity_state", pool.state, settled=True)
    ctx.write("serving.similarity_thresholds", state.thresholds)
    ctx.note(
        items=len(items["print"]),
        compared_with_all=pool.asked,
        similar_pairs=similar,
        learned=state.learned,
        theta={f"{row['domain']} {row['other_domain']}": row["theta"] for row in state.thresholds.to_pylist()},
    )


def _read(ctx: JobContext) -> _Catalogue:
    from crossdomain.content import documents, features, topics

    terms = documents.term_matrix(ctx.con.sql("FROM derived.item_tokens").to_arrow_table())
    items = ctx.con.sql(_ITEMS).to_arrow_table()
    weights = topics.topic_weights(ctx.con.sql("FROM serving.item_topics").to_arrow_table(), terms)
    return _Catalogue(terms, features.gram_matrix(items["title"].to_pylist()), weights, items)


def blend(choices: SimilaritySettings) -> tuple[float, ...]:
    """Weights of the blend by the settings."""
    from crossdomain.content.similarity import blend_weights

    return blend_weights(
        cosine=choices.cosine_weight,
        ngram=choices.ngram_weight,
        jaccard=choices.jaccard_weight,
        topic=choices.topic_weight,
    )


def _search(choices: SimilaritySettings) -> Search:
    from crossdomain.content.similarity import Search

    return Search(
        weights=blend(choices),
        neighbours=choices.neighbours,
        reserve=choices.reserve,
        least=choices.min_similarity,
        threads=choices.similarity_threads,
    )


def _state(ctx: JobContext, choices: SimilaritySettings, catalogue: _Catalogue) -> _State:
    """The term weights of the day before while they are young and of the same settings, else those of today."""
    from crossdomain.content import calibration, features

    basis = _basis(choices, ctx.settings)
    before = _previous(ctx, "similarity_thresholds")
    if len(before):
        version, learned_ds = before["model_version"][0].as_py(), before["calibrated_ds"][0].as_py()
        young = (ctx.ds - learned_ds).days < choices.refresh_days
        if young and ctx.models.metadata(_MODEL, version)["basis"] == basis:
            thresholds = before.select(calibration.THRESHOLDS_SCHEMA.names)
            return _State(features.TermWeights.from_files(ctx.models.load(_MODEL, version)), version, thresholds, False)
    weights = features.learn_weights(catalogue.terms, catalogue.grams)
    facts = {"basis": basis, "learned_ds": ctx.ds.isoformat(), "items": weights.items, "words": len(weights.words)}
    version = ctx.models.save(_MODEL, weights.to_files(), facts)
    return _State(weights, version, calibration.THRESHOLDS_SCHEMA.empty_table(), True)


def _calibrated(
    ctx: JobContext,
    choices: SimilaritySettings,
    catalogue: _Catalogue,
    state: _State,
    data: Features,
    search: Search,
) -> _State:
    from crossdomain.content import calibration

    shuffled = calibration.shuffled_features(
        catalogue.terms, catalogue.grams, catalogue.topics, state.weights, seed=choices.seed
    )
    rows = []
    for domain in ctx.settings.domains:
        for other in ctx.settings.domains:
            found = calibration.calibrate(
                data,
                shuffled,
                data.rows_of(domain),
                data.rows_of(other),
                weights=search.weights,
                fdr=choices.theta_fdr,
                sample=choices.theta_sample,
                seed=choices.seed,
                threads=search.threads,
            )
            rows.append(calibration.threshold_row(found, domain, other, choices.theta_fdr, ctx.ds, state.version))
    thresholds = pa.Table.from_pylist(rows, schema=calibration.THRESHOLDS_SCHEMA)
    return _State(state.weights, state.version, thresholds, True)


def _previous(ctx: JobContext, table: str) -> pa.Table:
    return ctx.con.sql(f"FROM previous.{table}").to_arrow_table()


def _basis(choices: SimilaritySettings, settings: Settings) -> dict[str, Any]:
    """What similarities and thresholds depend on beside the items."""
    chosen = asdict(choices)
    for name in ("similarity_threads", "refresh_days"):
        del chosen[name]
    return {**chosen, "domains": list(settings.domains)}


def _config(settings: Settings) -> Mapping[str, Any]:
    choices = SimilaritySettings.from_env(seed=settings.seed)
    return {**_basis(choices, settings), "refresh_days": choices.refresh_days}


JOB = Job(
    name="similar",
    version=2,
    inputs=(
        Input(table="derived.catalogue"),
        Input(table="derived.duplicate_items"),
        Input(table="derived.item_tokens"),
        Input(table="serving.item_topics"),
    ),
    outputs=(
        "serving.similar_items",
        "derived.neighbours",
        "derived.similarity_state",
        "serving.similarity_thresholds",
    ),
    run=build,
    config=_config,
    tells_unchanged=True,
)
