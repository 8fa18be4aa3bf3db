"""### Lands one delivery.

**Does** read the files of a delivery day from every feed's landing folder, keep them as `raw` and put aside
what belongs to no day. **Emits** `raw` for every business day whose rows changed, the delivery day included.

**Inputs** `$CROSSDOMAIN_HOME/landing/<feed>/<delivery day>/`. **Outputs** `raw.*`, `raw.quarantine`.

**Rerun** clear the run of that day, or `crossdomain run ingest --date D`; a redelivered folder replaces the
old one.

**Backfill** `crossdomain backfill --from D1 --to D2`; the other DAGs follow by key.

**Owner** data-platform.
"""

from __future__ import annotations

from _common.assets import RAW
from _common.defaults import Tag, dag_options, nightly
from airflow.sdk import dag, get_current_context, task


@dag(schedule=nightly(), doc_md=__doc__, **dag_options(Tag.INGEST))
def ingest_daily() -> None:
    @task(outlets=[RAW])
    def land_delivery() -> dict[str, list[str]]:
        from _common.running import run_and_emit

        return run_and_emit({"ingest": RAW}, context=get_current_context())

    land_delivery()


ingest_daily()
