"""### Folds a day into what is known of items and people: the catalogue, accounts, consents, persons, what they own.

**Does** carry yesterday's state on with what was delivered on the day (sequential; as known on the day). Consent counts
as of the day and now: a day that runs again drops whoever withdrew since. Beside it `holdings` keeps the purchases and
rejections of the day itself (independent; late rows restate their day). One task runs all three jobs, so that
`content_daily` and `recs_train`, which need them, run once for a day.

**Runs on** `clean`. A day that late rows reached is left as it was known. **Outputs** `derived.catalogue`,
`derived.duplicate_items`; `derived.accounts`, `derived.consents`, `derived.account_links`, `derived.people`,
`derived.people_counts`, and `derived.link_conflicts`: contradictions for a person to look at; `derived.holdings`.
**Emits** `catalogue` and `people` for the day and for the days after it that can now be built, `holdings` for the day;
`people` also where its rows stayed the same: `recs_train` reads what this reads.

**Rerun** clear the run of that day, or `crossdomain run JOB --date D` for the jobs `catalogue`, `people` and
`holdings`; of the first two the days after follow. A day of theirs whose predecessor is missing is skipped, and made up
when the predecessor is there.

**Owner** people.
"""

from __future__ import annotations

from _common.assets import CATALOGUE, CLEAN, HOLDINGS, PEOPLE
from _common.defaults import Tag, dag_options, on_day_of
from airflow.sdk import dag, get_current_context, task

JOBS = {"catalogue": CATALOGUE, "people": PEOPLE, "holdings": HOLDINGS}


@dag(schedule=on_day_of(CLEAN), doc_md=__doc__, **dag_options(Tag.PEOPLE, Tag.CONTENT))
def people_daily() -> None:
    @task(outlets=[*JOBS.values()])
    def fold_day() -> dict[str, list[str]]:
        from _common.running import run_and_emit

        return run_and_emit(JOBS, context=get_current_context())

    fold_day()


people_daily()
