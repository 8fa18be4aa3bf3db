"""### Writes the recommendations of the day in both directions.

**Does** score everyone who may have recommendations with the champion of the day; popularity for those whom
the model does not know. Nothing owned, nothing off sale, a reason each. Who did not agree to personalisation gets
the list that everybody gets; who did not agree to cross-domain use gets no rows. Experiments on the
recommendations deal people to variants, by what was known on the day before. Pins, boosts and blocks are read from
`include/recommendations/rules.yaml`; a wrong rule fails the task and names file, line and key.

**Runs on** `models`, which `recs_train` emits for every day that it looked at anew, also where its own rows stayed the
same: people, catalogue and events of the day are then as they should be.
**Outputs** `serving.recommendations`, `serving.popular_items`, `serving.recommendation_coverage`.
**Emits** `recommendations`.

**Rerun** clear the run of that day, or `crossdomain run score --date D`.

**Owner** recommend.
"""

from __future__ import annotations

from _common.assets import MODELS, RECOMMENDATIONS
from _common.defaults import Tag, dag_options, on_day_of
from airflow.sdk import dag, get_current_context, task


@dag(schedule=on_day_of(MODELS), doc_md=__doc__, **dag_options(Tag.RECOMMEND))
def recs_score() -> None:
    @task(outlets=[RECOMMENDATIONS])
    def score_people() -> dict[str, list[str]]:
        from _common.running import run_and_emit

        return run_and_emit({"score": RECOMMENDATIONS}, context=get_current_context())

    score_people()


recs_score()
