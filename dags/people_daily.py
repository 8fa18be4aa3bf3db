"""### Folds a day into the state of accounts, links, consents and persons.

**Does** carry yesterday's state on with what was delivered on the day (sequential; as known on the day). Consent counts
as of the day and now: a day that runs again drops whoever withdrew since.

**Runs on** `clean`. **Outputs** `derived.accounts`, `derived.consents`, `derived.account_links`, `derived.people`,
`derived.people_counts`, and `derived.link_conflicts`: contradictions for a person to look at. **Emits** `people` for
the day and for the days after it that can now be built, also where their rows stayed the same: `recs_train` reads what
this reads.

**Rerun** clear the run of that day, or `crossdomain run people --date D`; the days after follow. A day whose
predecessor is missing is skipped, and made up when the predecessor is there.

**Owner** people.
"""

from __future__ import annotations

from _common.assets import CLEAN, PEOPLE
from _common.defaults import Tag, dag_options, on_day_of
from airflow.sdk import dag, get_current_context, task


@dag(schedule=on_day_of(CLEAN), doc_md=__doc__, **dag_options(Tag.PEOPLE))
def people_daily() -> None:
    @task(outlets=[PEOPLE])
    def build_people() -> list[str]:
        from _common.running import run_and_emit

        return run_and_emit("people", emits=PEOPLE, context=get_current_context())

    build_people()


people_daily()
