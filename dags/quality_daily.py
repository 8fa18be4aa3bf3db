"""### Watches what passed the gate: drift, references, keys across days.

**Does** measure the day's clean tables and compare every measure with its own quiet days; check that what rows refer
to exists, and that keys stand on one day only. An alarm is told to people and refuses nothing: the day is committed.

**Runs on** `clean`. **Outputs** `derived.table_measures`, `derived.drift_history`, `serving.drift_results`,
`serving.consistency_results`, a page of the Data Docs. **Emits** `quality`.

**Rerun** clear the run of that day, or `crossdomain run watch --date D`; the days after follow.

**On an alarm** docs/quality.md says what to look at; `crossdomain quality drift --date D` shows it.

**Owner** data-platform.
"""

from __future__ import annotations

from _common.assets import CLEAN, QUALITY
from _common.defaults import Tag, dag_options, on_day_of
from airflow.sdk import dag, get_current_context, task


@dag(schedule=on_day_of(CLEAN), doc_md=__doc__, **dag_options(Tag.QUALITY))
def quality_daily() -> None:
    @task(outlets=[QUALITY])
    def watch_tables() -> dict[str, list[str]]:
        from _common.running import run_and_emit

        return run_and_emit({"watch": QUALITY}, context=get_current_context())

    watch_tables()


quality_daily()
