"""### Builds and gates the clean tables of one business day.

**Does** type, deduplicate and pseudonymise the raw rows of the day, count every row into its class, and ask
the quality gate. A refused day fails, commits nothing but the quality results, and emits nothing: the last
good data stays.

**Runs on** `raw`, once for every day that a delivery touched. **Outputs** `clean.*`, `derived.row_counts`,
`serving.quality_results`. **Emits** `clean`.

**Rerun** clear the run of that day, or `crossdomain run clean --date D`. **Backfill** the producer,
`ingest_daily`.

**When refused** the task says which rules failed and where the report is; mend the delivery, land it again.

**Owner** data-platform.
"""

from __future__ import annotations

from _common.assets import CLEAN, RAW
from _common.defaults import Tag, dag_options, on_day_of
from airflow.sdk import dag, get_current_context, task


@dag(schedule=on_day_of(RAW), doc_md=__doc__, **dag_options(Tag.INGEST, Tag.QUALITY))
def clean_daily() -> None:
    @task(outlets=[CLEAN])
    def build_clean() -> dict[str, list[str]]:
        from _common.running import run_and_emit

        return run_and_emit({"clean": CLEAN}, context=get_current_context())

    build_clean()


clean_daily()
