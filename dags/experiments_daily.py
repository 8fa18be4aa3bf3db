"""### Measures the running experiments up to the day.

**Does** join exposures to what people did after them, over the whole experiment; difference, interval,
sample-ratio check. Restated: a late day changes the results of the days after it when they are built again.

**Runs on** `clean`. **Outputs** `serving.experiment_metrics`, `serving.experiment_checks`. **Emits**
`experiments`.

**Rerun** clear the run of that day, or `crossdomain run experiments --date D`.

**Owner** experiments.
"""

from __future__ import annotations

from _common.assets import CLEAN, EXPERIMENTS
from _common.defaults import Tag, dag_options, on_day_of
from airflow.sdk import dag, get_current_context, task


@dag(schedule=on_day_of(CLEAN), doc_md=__doc__, **dag_options(Tag.EXPERIMENTS))
def experiments_daily() -> None:
    @task(outlets=[EXPERIMENTS])
    def measure_experiments() -> list[str]:
        from _common.running import run_and_emit

        return run_and_emit("experiments", emits=EXPERIMENTS, context=get_current_context())

    measure_experiments()


experiments_daily()
