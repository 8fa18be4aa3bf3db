"""The rules of promotion that hold on a day, on the items of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from crossdomain.jobs.model import JobContext
from crossdomain.settings import Settings

if TYPE_CHECKING:
    from crossdomain.recommend.interactions import Items
    from crossdomain.recommend.reranking.promotions import PromotionRules, Promotions

_CATALOGUE = """
SELECT domain, item_id, coalesce(product, item_id) AS product, creator, type
FROM derived.catalogue LEFT JOIN ({products}) USING (domain, item_id) ORDER BY domain, item_id
"""


def promotion_rules(settings: Settings) -> PromotionRules:
    """The rules of the deployment.

    Raises:
        InputError: The file is missing or wrong; the message names file, line and key.
    """
    from crossdomain.recommend.reranking.promotions import read_rules

    return read_rules(settings.include / "recommendations" / "rules.yaml", settings.domains)


def promotion_config(settings: Settings) -> dict[str, Any]:
    """What rows depend on; nothing without rules."""
    rules = promotion_rules(settings)
    return {"promotions_by_rule": rules.as_config()} if rules else {}


def promotions(ctx: JobContext, items: Items, k: int) -> Promotions | None:
    """The rules in force on the day; None where there is none. Notes how many items each rule fits."""
    from crossdomain.recommend.interactions import PRODUCTS
    from crossdomain.recommend.reranking.promotions import fit_counts, promotions_of

    rules = promotion_rules(ctx.settings).on(ctx.ds)
    if not rules:
        return None
    rows = ctx.con.sql(_CATALOGUE.format(products=PRODUCTS)).to_arrow_table().combine_chunks()
    code = items.codes(*(rows[name].cast(pa.string()).combine_chunks() for name in ("domain", "product")))
    catalogue = rows.append_column("code", pa.array(code))
    ctx.note(items_by_rule=fit_counts(rules, catalogue))
    return promotions_of(rules, catalogue, len(items), k)
