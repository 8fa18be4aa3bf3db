"""People of a day who may be processed for a purpose, as of the day and now: what leaves the platform starts here."""

from __future__ import annotations

from datetime import date

from crossdomain.errors import MissingInput
from crossdomain.jobs.consent_now import erasures_after, withdrawn_now
from crossdomain.storage.engine import identifier, literal
from crossdomain.storage.lake import Lake
from crossdomain.tables import TableRegistry


def view_people(lake: Lake, tables: TableRegistry, day: date, *, purpose: str) -> None:
    """Makes the day's ``derived.accounts``, and of ``derived.people`` those who allow a purpose, readable in SQL.

    Who withdrew the purpose or asked to be forgotten since the day is left out, whatever the day's table says.

    Raises:
        MissingInput: The day has not been built; the message names the command.
    """
    for name in ("derived.people", "derived.accounts"):
        spec = tables.get(name)
        found = [partition for partition in lake.partitions(spec) if partition.ds == day]
        if not found:
            raise MissingInput(f"{name} of {day} is missing: run `crossdomain run people --date {day}` first")
        lake.view(spec, found, schema="derived", where=identifier(purpose) if spec.name == "people" else "true")
    gone = (
        f"SELECT account FROM ({withdrawn_now(lake, tables)}) WHERE list_contains(purposes, {literal(purpose)}) "  # noqa: S608
        f"UNION {erasures_after(lake, tables, day)}"
    )
    lake.con.execute(f"CREATE OR REPLACE TEMP TABLE gone_since AS {gone}")
    lake.con.execute(
        "CREATE OR REPLACE TEMP TABLE still_allowed AS FROM derived.people ANTI JOIN gone_since USING (account)"
    )
    lake.con.execute("CREATE OR REPLACE VIEW derived.people AS FROM still_allowed")
