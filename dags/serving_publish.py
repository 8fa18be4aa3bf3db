"""### Publishes the serving tables.

**Does** build a DuckDB file of the newest partition of every serving table and flip `serving/CURRENT` to it,
never to an older day; with `CROSSDOMAIN_PUBLISH_DSN` set, swap the tables in PostgreSQL in one transaction.

**Runs on** whatever writes serving tables: `topics`, `similar`, `bundles`, `pages`, `recommendations`,
`recommendation_drift`, `experiments`, `quality` or `compliance`; each run checks what is new, and while one publishes
the others wait. Several run at once, since most find nothing to do and a queue of one would hold up the newest day.
**Outputs** `serving/serving-<day>-<version>.duckdb`, `serving/CURRENT`. **Emits** `published`.

**Rerun** clear the run of that day, or `crossdomain run publish --date D`.

**Owner** data-platform.
"""

from __future__ import annotations

from _common.assets import (
    BUNDLES,
    COMPLIANCE,
    EXPERIMENTS,
    PAGES,
    PUBLISHED,
    QUALITY,
    RECOMMENDATION_DRIFT,
    RECOMMENDATIONS,
    SIMILAR,
    TOPICS,
)
from _common.defaults import Tag, dag_options, on_day_of
from airflow.sdk import dag, get_current_context, task


@dag(
    schedule=on_day_of(
        TOPICS | SIMILAR | BUNDLES | PAGES | EXPERIMENTS | RECOMMENDATIONS | RECOMMENDATION_DRIFT | QUALITY | COMPLIANCE
    ),
    doc_md=__doc__,
    **dag_options(Tag.SERVING, runs=4),
)
def serving_publish() -> None:
    @task(outlets=[PUBLISHED])
    def publish_serving() -> dict[str, list[str]]:
        from _common.running import run_and_emit

        return run_and_emit({"publish": PUBLISHED}, context=get_current_context())

    publish_serving()


serving_publish()
