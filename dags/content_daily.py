"""### Keeps the catalogue and understands its texts.

**Does** fold the day into the catalogue; tokenise what is new; topics over both domains; what the same people take;
similarity between the items; bundles; what to show on the pages.

**Runs on** `clean` and on `people`: whichever comes first, texts are read; what the same people take, and all that
follows, waits for both. **Outputs** `derived.catalogue`, `derived.duplicate_items`; `derived.item_tokens`,
`serving.topics`, `serving.item_topics`, `serving.topic_changes`; `derived.taken_together`, `derived.later_choices`;
`serving.similar_items`, `serving.similarity_thresholds`, `serving.similarity_weights`, `derived.neighbours`,
`derived.similarity_state`; `serving.bundles`, and pictures in the
tab **内容图表 Content** of this page; `serving.page_recommendations`.
**Emits** `catalogue`, `topics`, `together`, `similar`, `bundles`, `pages`.

**Rerun** clear the run of that day, or `crossdomain run JOB --date D` for the jobs `catalogue`, `topics`, `together`,
`similar`, `bundles` and `pages` in this order.

**Owner** content.
"""

from __future__ import annotations

from _common.assets import BUNDLES, CATALOGUE, CLEAN, PAGES, PEOPLE, SIMILAR, TOGETHER, TOPICS
from _common.defaults import Tag, dag_options, on_day_of
from airflow.sdk import dag, get_current_context, task


@dag(schedule=on_day_of(CLEAN | PEOPLE), doc_md=__doc__, **dag_options(Tag.CONTENT))
def content_daily() -> None:
    @task(outlets=[CATALOGUE])
    def build_catalogue() -> list[str]:
        from _common.running import run_and_emit

        return run_and_emit("catalogue", emits=CATALOGUE, context=get_current_context())

    @task(outlets=[TOPICS], trigger_rule="none_failed")
    def find_topics() -> list[str]:
        from _common.running import run_and_emit

        return run_and_emit("topics", emits=TOPICS, context=get_current_context())

    @task(outlets=[TOGETHER], trigger_rule="none_failed")
    def count_together() -> list[str]:
        from _common.running import run_and_emit

        return run_and_emit("together", emits=TOGETHER, context=get_current_context())

    @task(outlets=[SIMILAR], trigger_rule="none_failed")
    def compare_items() -> list[str]:
        from _common.running import run_and_emit

        return run_and_emit("similar", emits=SIMILAR, context=get_current_context())

    @task(outlets=[BUNDLES], trigger_rule="none_failed")
    def join_bundles() -> list[str]:
        from _common.running import run_and_emit

        return run_and_emit("bundles", emits=BUNDLES, context=get_current_context())

    @task(outlets=[PAGES], trigger_rule="none_failed")
    def fill_pages() -> list[str]:
        from _common.running import run_and_emit

        return run_and_emit("pages", emits=PAGES, context=get_current_context())

    build_catalogue() >> find_topics() >> count_together() >> compare_items() >> join_bundles() >> fill_pages()


content_daily()
