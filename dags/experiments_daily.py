"""### Measures the running experiments up to the day.

**Does** fold the day's exposures and events into the state of every experiment's units; then checks, difference,
interval, decision, and the weights by which tomorrow's new units are dealt. Restated: a late day changes the results of
the days after it, which are built again; weights that were given out stay.

**Runs on** `clean` and `people`: dimensions of some designs are read from the accounts of the day before, which may
come later than the day's rows. **Outputs** `derived.experiment_state`, `derived.experiment_moments`,
`derived.experiment_tallies`, `derived.experiment_lineage`; `serving.experiment_metrics`,
`serving.experiment_checks`, `serving.experiment_decisions`, `serving.experiment_weights`,
`serving.experiment_parts`; pages under
`reports/experiments/`, linked from the status page.
**Emits** `experiment_state`, `experiments`.

**Rerun** clear the run of that day: it goes on at the job that failed. Or `crossdomain run JOB --date D` for the jobs
`experiment_state` and `experiments` in this order.

**Owner** experiments.
"""

from __future__ import annotations

from _common.assets import CLEAN, EXPERIMENT_STATE, EXPERIMENTS, PEOPLE
from _common.defaults import Tag, dag_options, on_day_of
from airflow.sdk import dag, get_current_context, task

JOBS = {"experiment_state": EXPERIMENT_STATE, "experiments": EXPERIMENTS}


@dag(schedule=on_day_of(CLEAN | PEOPLE), doc_md=__doc__, **dag_options(Tag.EXPERIMENTS))
def experiments_daily() -> None:
    @task(outlets=[*JOBS.values()])
    def measure_experiments() -> dict[str, list[str]]:
        from _common.running import run_and_emit

        return run_and_emit(JOBS, context=get_current_context())

    measure_experiments()


experiments_daily()
