"""### Understands the catalogue's texts and what belongs together.

**Does** tokenise what is new; topics over both domains; what the same people take; similarity between the items;
bundles; what to show on the pages. One task runs these jobs in this order; its log says which did what.

**Runs on** `catalogue` or `people`, which `people_daily` emits at once; a job whose inputs stayed is up to date.
**Outputs** `derived.item_tokens`, `serving.topics`, `serving.item_topics`, `serving.topic_changes`,
`serving.topic_drift`; `derived.taken_together`, `derived.later_choices`; `serving.similar_items`,
`serving.similarity_thresholds`, `serving.similarity_weights`, `derived.neighbours`, `derived.similarity_state`;
`serving.bundles`, and pictures in the tab **内容图表 Content** of this page; `serving.page_recommendations`.
**Emits** `topics`, `together`, `similar`, `bundles`, `pages`, each if its job did something.

**Rerun** clear the run of that day: it goes on at the job that failed. Or `crossdomain run JOB --date D` for the jobs
`topics`, `together`, `similar`, `bundles` and `pages` in this order.

**Owner** content.
"""

from __future__ import annotations

from _common.assets import BUNDLES, CATALOGUE, PAGES, PEOPLE, SIMILAR, TOGETHER, TOPICS
from _common.defaults import Tag, dag_options, on_day_of
from airflow.sdk import dag, get_current_context, task

JOBS = {"topics": TOPICS, "together": TOGETHER, "similar": SIMILAR, "bundles": BUNDLES, "pages": PAGES}


@dag(schedule=on_day_of(CATALOGUE | PEOPLE), doc_md=__doc__, **dag_options(Tag.CONTENT))
def content_daily() -> None:
    @task(outlets=[*JOBS.values()])
    def build_content() -> dict[str, list[str]]:
        from _common.running import run_and_emit

        return run_and_emit(JOBS, context=get_current_context())

    build_content()


content_daily()
