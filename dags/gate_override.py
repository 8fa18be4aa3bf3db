"""### Lets a refused day through, if a person decides so.

**Does** show which rules refused the day, wait for a person's decision and reason (under *Required actions*), record
both in the audit log, and on approval clean the day again with exactly these rules overridden. If another rule is
broken then, or more rows break these, the gate refuses again.

**Runs on** nothing: trigger it by hand with the business day as its partition key. **Outputs** a row a rule of
`derived.gate_overrides`, a line of the audit log, and what `clean_daily` writes. **Emits** `clean`, if approved.

**Rerun** trigger it again; an undecided request ends after seven days. By hand: `crossdomain quality override --date D
--by NAME --reason TEXT`, then clear `clean_daily` of that day.

**Owner** data-platform.
"""

from __future__ import annotations

from typing import Any

from _common.assets import CLEAN
from _common.decision import ask_person
from _common.defaults import Tag, dag_options
from airflow.sdk import PartitionedAtRuntime, dag, get_current_context, task

APPROVE, REJECT = "Approve", "Reject"


@dag(schedule=PartitionedAtRuntime(), doc_md=__doc__, **dag_options(Tag.QUALITY))
def gate_override() -> None:
    @task
    def read_refusal() -> dict[str, Any]:
        from _common.approval import shown_refusal

        return shown_refusal(get_current_context())

    decide = ask_person(
        subject="放行 {{ dag_run.partition_key }} ？Let the refused day {{ dag_run.partition_key }} through?",
        shown_by="read_refusal",
        approve=APPROVE,
        reject=REJECT,
    )

    @task
    def record_decision(shown: dict[str, Any], decision: dict[str, Any]) -> list[str]:
        from _common.approval import settle

        return settle(get_current_context(), shown, decision, approve=APPROVE)

    @task(outlets=[CLEAN])
    def build_clean() -> dict[str, list[str]]:
        from _common.running import run_and_emit

        return run_and_emit({"clean": CLEAN}, context=get_current_context())

    shown = read_refusal()
    shown >> decide
    record_decision(shown, decide.output) >> build_clean()


gate_override()
