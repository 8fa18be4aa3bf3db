"""### Promotes the winners of experiments, if a person decides so.

**Does** show which variants the rules would ship as of a day, wait for a person's decision and reason (under *Required
actions*), record both in the audit log, and on approval write the promotion. The next day that is dealt gives the
variant all the weight (`serving.experiment_weights`), and its experiment ends on the day of the decision.

**Runs on** nothing: trigger it by hand with the business day of the decision as its partition key. **Outputs** a row an
experiment of `derived.experiment_promotions`, a line of the audit log. **Emits** nothing; the next run of
`experiments_daily` reads it.

**Rerun** trigger it again; an undecided request ends after seven days. By hand: `crossdomain experiment promote
EXPERIMENT VARIANT --date D --by NAME --reason TEXT`.

**Owner** experiments.
"""

from __future__ import annotations

from typing import Any

from _common.decision import ask_person
from _common.defaults import Tag, dag_options
from airflow.sdk import PartitionedAtRuntime, dag, get_current_context, task

APPROVE, REJECT = "Promote", "Reject"


@dag(schedule=PartitionedAtRuntime(), doc_md=__doc__, **dag_options(Tag.EXPERIMENTS))
def experiment_promotion() -> None:
    @task
    def read_decisions() -> dict[str, Any]:
        from _common.promotion import shown_candidates

        return shown_candidates(get_current_context())

    decide = ask_person(
        subject="上线 {{ dag_run.partition_key }} 的优胜方案？Promote the winners as of {{ dag_run.partition_key }}?",
        shown_by="read_decisions",
        approve=APPROVE,
        reject=REJECT,
    )

    @task
    def record_promotion(shown: dict[str, Any], decision: dict[str, Any]) -> list[str]:
        from _common.promotion import settle_promotion

        return settle_promotion(get_current_context(), shown, decision, approve=APPROVE)

    shown = read_decisions()
    shown >> decide
    record_promotion(shown, decide.output)


experiment_promotion()
