"""Job ``similar``: the most similar items of every item of the catalogue, and from where on that means something."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    from crossdomain.content.similarity_model import SimilarityModel

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
_TOGETHER = """
    SELECT domain, item_id, other_domain, other_item_id, behaviour
    FROM derived.taken_together WHERE {which} ORDER BY ALL
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
    """The model in force, and the tables that tell of it."""

    model: SimilarityModel
    version: str
    weights: pa.Table
    thresholds: pa.Table
    learned: bool


def build(ctx: JobContext) -> None:
    """Compares the items by words, spelling, topics and behaviour; unchanged ones were compared the day before."""
    from crossdomain.content import features, similarity

    choices = SimilaritySettings.from_env(seed=ctx.settings.seed)
    catalogue = _read(ctx)
    state = _in_force(ctx, choices)
    terms = state.model.terms if state else features.learn_weights(catalogue.terms, catalogue.grams)
    data = features.features(catalogue.terms, catalogue.grams, catalogue.topics, terms)
    if state is None:
        state = _learned(ctx, choices, catalogue, data, terms)
    items = {name: catalogue.items[name].to_numpy(zero_copy_only=False) for name in catalogue.items.column_names}
    del catalogue  # the features hold all of it that is needed
    pool = similarity.find_pool(
        data,
        domains=ctx.settings.domains,
        prints=items["print"],
        candidate=items["on_sale"] & items["canonical"],
        search=_search(choices, state.model),
        version=state.version,
        previous=(_previous(ctx, "neighbours", similarity.POOL_SCHEMA.names), _previous(ctx, "similarity_state")),
        behaviour=state.model.behaviour(data),
    )
    # Tables of millions of rows, one after the other.
    served = similarity.similar_items(pool, items["product"], neighbours=choices.neighbours)
    similar = ctx.write("serving.similar_items", served, settled=True).rows
    del served
    ctx.write("derived.neighbours", pool.table(), settled=True)
    ctx.write("derived.similarity_state", pool.state, settled=True)
    ctx.write("serving.similarity_thresholds", state.thresholds)
    ctx.write("serving.similarity_weights", state.weights)
    ctx.note(
        items=len(items["print"]),
        compared_with_all=pool.asked,
        similar_pairs=similar,
        learned=state.learned,
        theta={f"{row['domain']} {row['other_domain']}": row["theta"] for row in state.thresholds.to_pylist()},
        weights={f"{row['domain']} {row['other_domain']}": row["why"] for row in state.weights.to_pylist()},
    )


def _read(ctx: JobContext) -> _Catalogue:
    from crossdomain.content import documents, features, topics

    terms = documents.term_matrix(ctx.con.sql("FROM derived.item_tokens").to_arrow_table())
    items = ctx.con.sql(_ITEMS).to_arrow_table()
    weights = topics.topic_weights(ctx.con.sql("FROM serving.item_topics").to_arrow_table(), terms)
    return _Catalogue(terms, features.gram_matrix(items["title"].to_pylist()), weights, items)


def blend(choices: SimilaritySettings) -> tuple[float, ...]:
    """Stated weights of the blend, by the settings."""
    from crossdomain.content.similarity import blend_weights

    return blend_weights(
        cosine=choices.cosine_weight,
        ngram=choices.ngram_weight,
        jaccard=choices.jaccard_weight,
        topic=choices.topic_weight,
        behaviour=choices.behaviour_weight,
    )


def _search(choices: SimilaritySettings, model: SimilarityModel) -> Search:
    from crossdomain.content.similarity import Search

    return Search(
        weights=blend(choices),
        learned=model.blends,
        neighbours=choices.neighbours,
        reserve=choices.reserve,
        least=choices.min_similarity,
        threads=choices.similarity_threads,
    )


def _in_force(ctx: JobContext, choices: SimilaritySettings) -> _State | None:
    """The model of the day before while it is young and of the same settings, else None."""
    from crossdomain.content import calibration, similarity_model

    before, weights = (_previous(ctx, name) for name in ("similarity_thresholds", "similarity_weights"))
    if not len(before):
        return None
    version, learned_ds = before["model_version"][0].as_py(), before["calibrated_ds"][0].as_py()
    if (ctx.ds - learned_ds).days >= choices.refresh_days:
        return None
    if ctx.models.metadata(_MODEL, version)["basis"] != _basis(choices, ctx.settings):
        return None
    return _State(
        similarity_model.SimilarityModel.from_files(ctx.models.load(_MODEL, version)),
        version,
        weights.select(similarity_model.WEIGHTS_SCHEMA.names),
        before.select(calibration.THRESHOLDS_SCHEMA.names),
        learned=False,
    )


def _learned(
    ctx: JobContext, choices: SimilaritySettings, catalogue: _Catalogue, data: Features, terms: TermWeights
) -> _State:
    """A model of today: term weights, what is taken together, the blend's weights, and thresholds of all that."""
    from crossdomain.content import similarity_model, together

    stated = blend(choices)
    learned = similarity_model.learn_blends(
        data,
        ctx.con.sql("FROM derived.later_choices ORDER BY fold, choice").to_arrow_table(),
        domains=ctx.settings.domains,
        stated=stated,
        least=choices.learn_least,
        folds=(together.LEARN, together.CHECK),
        threads=choices.similarity_threads,
    )
    pairs = similarity_model.kept_pairs(ctx.con.sql(_TOGETHER.format(which="NOT by_chance")).to_arrow_table())
    model = similarity_model.SimilarityModel(terms, similarity_model.blends_of(learned), pairs)
    facts = {
        "basis": _basis(choices, ctx.settings),
        "learned_ds": ctx.ds.isoformat(),
        "items": terms.items,
        "words": len(terms.words),
        "pairs_taken_together": len(pairs) // 2,
        "blends": {" ".join(direction): asdict(found) for direction, found in sorted(learned.items())},
    }
    version = ctx.models.save(_MODEL, model.to_files(), facts)
    return _State(
        model,
        version,
        similarity_model.weights_table(learned, stated=stated, ds=ctx.ds, version=version),
        _thresholds(ctx, choices, catalogue, data, model, version),
        learned=True,
    )


def _thresholds(
    ctx: JobContext,
    choices: SimilaritySettings,
    catalogue: _Catalogue,
    data: Features,
    model: SimilarityModel,
    version: str,
) -> pa.Table:
    from crossdomain.content import calibration, similarity_model

    shuffled = calibration.shuffled_features(
        catalogue.terms, catalogue.grams, catalogue.topics, model.terms, seed=choices.seed
    )
    chance = similarity_model.behaviour_matrix(data, ctx.con.sql(_TOGETHER.format(which="by_chance")).to_arrow_table())
    behaviour = model.behaviour(data)
    rows = []
    for domain in ctx.settings.domains:
        for other in ctx.settings.domains:
            found = calibration.calibrate(
                data,
                shuffled,
                data.rows_of(domain),
                data.rows_of(other),
                weights=model.blends[domain, other],
                fdr=choices.theta_fdr,
                sample=choices.theta_sample,
                seed=choices.seed,
                behaviour=behaviour,
                by_chance=chance,
                threads=choices.similarity_threads,
            )
            rows.append(calibration.threshold_row(found, domain, other, choices.theta_fdr, ctx.ds, version))
    return pa.Table.from_pylist(rows, schema=calibration.THRESHOLDS_SCHEMA)


def _previous(ctx: JobContext, table: str, columns: Sequence[str] = ("*",)) -> pa.Table:
    return ctx.con.sql(f"SELECT {', '.join(columns)} FROM previous.{table}").to_arrow_table()  # noqa: S608 - our names


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
    version=3,
    inputs=(
        Input(table="derived.catalogue"),
        Input(table="derived.duplicate_items"),
        Input(table="derived.item_tokens"),
        Input(table="serving.item_topics"),
        Input(table="derived.taken_together"),
        Input(table="derived.later_choices"),
    ),
    outputs=(
        "serving.similar_items",
        "derived.neighbours",
        "derived.similarity_state",
        "serving.similarity_thresholds",
        "serving.similarity_weights",
    ),
    run=build,
    config=_config,
    tells_unchanged=True,
)
