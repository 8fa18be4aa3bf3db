"""### Keeps the catalogue and understands its texts.

**Does** fold the day into the catalogue; tokenise what is new; topics over both domains; similarity between
their items; bundles.

**Runs on** `clean`. **Outputs** `derived.catalogue`, `derived.item_tokens`, `serving.topics`,
`serving.item_topics`, `serving.similar_items`, `serving.bundles`. **Emits** `catalogue`, `content`.

**Rerun** clear the run of that day, or `crossdomain run catalogue --date D` and `crossdomain run content
--date D`.

**Owner** content.
"""

from __future__ import annotations

from _common.assets import CATALOGUE, CLEAN, CONTENT
from _common.defaults import Tag, dag_options, on_day_of
from airflow.sdk import dag, get_current_context, task


@dag(schedule=on_day_of(CLEAN), doc_md=__doc__, **dag_options(Tag.CONTENT))
def content_daily() -> None:
    @task(outlets=[CATALOGUE])
    def build_catalogue() -> list[str]:
        from _common.running import run_and_emit

        return run_and_emit("catalogue", emits=CATALOGUE, context=get_current_context())

    @task(outlets=[CONTENT], trigger_rule="none_failed")
    def understand_content() -> list[str]:
        from _common.running import run_and_emit

        return run_and_emit("content", emits=CONTENT, context=get_current_context())

    build_catalogue() >> understand_content()


content_daily()
