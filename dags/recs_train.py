"""### Trains the recommender and names the champion of the day.

**Does** train ALS and a ranker on what was known on the day, measure them on the last days against popularity, and
keep or change the champion by a paired test; and ask whether the other side helps, by direction and segment.

**Runs on** `catalogue`, `people` or `holdings`, which `people_daily` emits at once. A late purchase changes only the
last of an earlier day, which stays as it was known: its run is skipped. **Outputs** `serving.model_metrics`,
`serving.champions`, `serving.transfer`, files under `models/`.
**Emits** `models`, for every day that was built, also where model and champion stayed: `recs_score` reads what
this reads.

**Rerun** clear the run of that day, or `crossdomain run train --date D`.

**Owner** recommend.
"""

from __future__ import annotations

from _common.assets import CATALOGUE, HOLDINGS, MODELS, PEOPLE
from _common.defaults import Tag, dag_options, on_day_of
from airflow.sdk import dag, get_current_context, task


@dag(schedule=on_day_of(CATALOGUE | PEOPLE | HOLDINGS), doc_md=__doc__, **dag_options(Tag.RECOMMEND))
def recs_train() -> None:
    @task(outlets=[MODELS])
    def train_models() -> dict[str, list[str]]:
        from _common.running import run_and_emit

        return run_and_emit({"train": MODELS}, context=get_current_context())

    train_models()


recs_train()
