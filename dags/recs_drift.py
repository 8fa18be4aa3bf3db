"""### Watches the recommender: did models, scores, coverage or exposure move since the day before.

**Does** compare the day's champions, scores and coverage with those of the day before, each against its threshold. An
alarm is told to people (status page, model card) and stops nothing: the lists are written.

**Runs on** `recommendations`. **Outputs** `serving.recommendation_drift`. **Emits** `recommendation_drift`.

**Rerun** clear the run of that day, or `crossdomain run recommendation_drift --date D`; the days after follow.

**On an alarm** docs/recommender.md says what each measure is and what may be behind it.

**Owner** recommend.
"""

from __future__ import annotations

from _common.assets import RECOMMENDATION_DRIFT, RECOMMENDATIONS
from _common.defaults import Tag, dag_options, on_day_of
from airflow.sdk import dag, get_current_context, task


@dag(schedule=on_day_of(RECOMMENDATIONS), doc_md=__doc__, **dag_options(Tag.RECOMMEND))
def recs_drift() -> None:
    @task(outlets=[RECOMMENDATION_DRIFT])
    def watch_recommender() -> dict[str, list[str]]:
        from _common.running import run_and_emit

        return run_and_emit({"recommendation_drift": RECOMMENDATION_DRIFT}, context=get_current_context())

    watch_recommender()


recs_drift()
