"""Job ``catalogue``: items of both domains as of the day, and which of them are one product."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from crossdomain.content.settings import DuplicateSettings
from crossdomain.jobs.model import Input, Job, JobContext
from crossdomain.settings import Settings
from crossdomain.sql import query
from crossdomain.text.tokens import read_stop_words


def build(ctx: JobContext) -> None:
    """Folds the items that were delivered on the day onto the catalogue of the day before, and groups duplicates."""
    folded = ctx.con.sql(query(ctx.tables.get("derived.catalogue"))).to_arrow_table()
    rows = ctx.write("derived.catalogue", folded).rows
    ctx.con.register("folded", folded)
    duplicates = _duplicates(ctx)
    delivered = ctx.con.sql("SELECT count(*) FROM clean.items").fetchall()[0][0]
    ctx.note(items=rows, delivered=delivered, duplicates=duplicates)


def _duplicates(ctx: JobContext) -> int:
    from crossdomain.content.duplicates import DuplicateRules, Listings, find_duplicates

    choices = DuplicateSettings.from_env(seed=ctx.settings.seed)
    rows = ctx.con.sql(
        "SELECT domain, item_id, title, creator, price::DOUBLE AS price, status = 'on' AS on_sale "
        "FROM folded ORDER BY domain, item_id"
    ).to_arrow_table()
    texts = {name: rows[name].to_pylist() for name in ("domain", "item_id", "title", "creator")}
    found = find_duplicates(
        Listings(
            **texts,
            price=rows["price"].to_numpy(zero_copy_only=False),
            on_sale=rows["on_sale"].to_numpy(zero_copy_only=False),
        ),
        variant_words=read_stop_words(_variant_words(ctx.settings)),
        rules=DuplicateRules(
            likeness=choices.same_title,
            other_creator=choices.same_title_elsewhere,
            least_title=choices.same_title_length,
            price_ratio=choices.same_price_ratio,
        ),
        seed=choices.seed,
    )
    return ctx.write("derived.duplicate_items", found).rows


def _variant_words(settings: Settings) -> Path:
    return settings.include / "text" / "variant_words.txt"


def _config(settings: Settings) -> Mapping[str, Any]:
    return {
        "duplicates": asdict(DuplicateSettings.from_env(seed=settings.seed)),
        "variant_words": sorted(read_stop_words(_variant_words(settings))),
    }


JOB = Job(
    name="catalogue",
    version=2,
    inputs=(Input(table="clean.items", days=None, delivered="on"),),
    outputs=("derived.catalogue", "derived.duplicate_items"),
    run=build,
    config=_config,
)
