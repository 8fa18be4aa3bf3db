"""### Keeps the duties towards people: vault, erasure, retention, the daily account.

**Does** encrypt the day's personal fields into the vault; carry out every erasure that waits and take out people who
were delivered again after theirs; remove what has outlived its term; account for the day's processing.

**Runs on** `clean`. **Outputs** `vault.*`, `derived.erasures_done`, `derived.erasure_receipts`, `derived.retraining`,
`derived.retention_runs`, `serving.compliance`, receipts under `reports/erasures/`, a page under `reports/compliance/`.
**Emits** `vault`, `governed`, `compliance`.

**Rerun** clear the run of that day, or `crossdomain run JOB --date D` for the jobs `vault`, `govern` and `compliance`
in this order. A killed erasure goes on where it was. A task of another DAG that was reading a file which an erasure
removed fails once and is retried.

**Backfill** the producer, `ingest_daily`; retention counts from the day of the run, so that an old day removes little.

**When it fails** docs/privacy.md says what each message asks for.

**Owner** governance.
"""

from __future__ import annotations

from _common.assets import CLEAN, COMPLIANCE, GOVERNED, VAULT
from _common.defaults import Tag, dag_options, on_day_of
from airflow.sdk import dag, get_current_context, task

JOBS = {"vault": VAULT, "govern": GOVERNED, "compliance": COMPLIANCE}


@dag(schedule=on_day_of(CLEAN), doc_md=__doc__, **dag_options(Tag.GOVERNANCE))
def governance_daily() -> None:
    @task(outlets=[*JOBS.values()])
    def govern_day() -> dict[str, list[str]]:
        from _common.running import run_and_emit

        return run_and_emit(JOBS, context=get_current_context())

    govern_day()


governance_daily()
