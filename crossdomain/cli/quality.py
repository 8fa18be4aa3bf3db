"""Quality by hand: what the gate and the watch said of a day, and letting a refused day through."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from crossdomain.cli.output import Json, show
from crossdomain.errors import MissingInput
from crossdomain.settings import Settings, parse_day

app = typer.Typer(no_args_is_help=True, help="What the gate and the watch said of a day; overrides.")

Day = Annotated[str, typer.Option("--date", help="Business day YYYY-MM-DD.")]


@app.command()
def rules(
    date: Day,
    every: Annotated[bool, typer.Option("--all", help="Rules that hold, too.")] = False,
    json: Json = False,
) -> None:
    """Show the rules of a day that did not hold: the gate's, and those across tables and days."""
    found = [
        {**row, "run_verdict": row.get("run_verdict")}
        for table, needed in (("serving.quality_results", "clean"), ("serving.consistency_results", None))
        for row in _rows(table, date, needed)
        if every or not row["success"]
    ]
    columns = ("rule_id", "severity", "success", "observed", "unexpected_rows", "run_verdict", "reason")
    rows = [[row[name] for name in columns] for row in found]
    show(found, json=json, title=f"rules of {date}: {len(found)} {'in all' if every else 'not holding'}",
         columns=columns, rows=rows)  # fmt: skip


@app.command()
def drift(
    date: Day,
    table: Annotated[str | None, typer.Option(help="Only this table, such as clean.events.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Measures that do not alarm, too.")] = False,
    json: Json = False,
) -> None:
    """Show the measures of a day that alarm, with what was expected of them."""
    from crossdomain.quality.drift_results import ALARM, amount

    measures = [row for row in _rows("serving.drift_results", date, "watch") if table in (None, row["table_name"])]
    found = [row for row in measures if every or row["status"] == ALARM]
    numbers = ("observed", "expected", "low", "high")
    names = ("status", "table_name", "measure", "column_name", "category")
    rows = [
        [
            *(row[name] for name in names),
            *("–" if row[name] is None else amount(row["measure"], row[name]) for name in numbers),
            row["reason"],
        ]
        for row in found
    ]
    alarms = sum(1 for row in measures if row["status"] == ALARM)
    title = f"drift of {date}: {alarms} of {len(measures)} measures alarm"
    show(found, json=json, title=title, columns=(*names, *numbers, "reason"), rows=rows)


@app.command()
def override(
    date: Day,
    by: Annotated[str, typer.Option(help="Your name; it goes into the audit log.")],
    reason: Annotated[str, typer.Option(help="Why the day may pass as it is; at least ten characters.")],
    rule: Annotated[list[str] | None, typer.Option(help="Only this rule (repeat for more); all by default.")] = None,
    json: Json = False,
) -> None:
    """Let a day that the gate refused through, for the rules that refused it; then run clean for it.

    If on that run another rule is broken, or more rows break these, the gate refuses again.
    """
    from crossdomain.jobs.runner import open_lake
    from crossdomain.quality import overrides
    from crossdomain.tables import registry

    settings, day = Settings.from_env(), parse_day(date)
    tables = registry(settings.include)
    with open_lake(settings) as lake:
        now = {one.rule_id: one.unexpected_rows for one in overrides.refusals(lake, tables, day)}
        chosen = {name: now.get(name, 0) for name in rule} if rule else None
        given = overrides.override(
            lake, tables, day, by=by, reason=reason, decided_at=datetime.now(UTC), rules=chosen, via="cli"
        )
    document = [{"rule_id": entry.rule_id, "by": entry.by, "unexpected_rows": entry.unexpected_rows} for entry in given]
    show(
        document,
        json=json,
        title=f"{day} may pass; now clear clean_daily of that day, or `crossdomain run clean --date {day}`",
        columns=("rule", "by", "rows let through"),
        rows=[list(entry.values()) for entry in document],
    )


def _rows(table: str, date: str, needed: str | None) -> list[dict[str, Any]]:
    """Rows of a table's day, in its order; if there are none, ``needed`` is the job to name (None: that is fine)."""
    from crossdomain.jobs.runner import open_lake
    from crossdomain.tables import registry

    settings, day = Settings.from_env(), parse_day(date)
    with open_lake(settings) as lake:
        spec = registry(settings.include).get(table)
        found = [partition for partition in lake.partitions(spec) if partition.ds == day]
        if not found and needed:
            raise MissingInput(f"{table} has nothing for {day}: run `crossdomain run {needed} --date {day}` first")
        order = ", ".join(f'"{name}"' for name in spec.order)
        query = f"SELECT * EXCLUDE (ds) FROM ({lake.relation(spec, found)}) ORDER BY {order}"  # noqa: S608
        rows: list[dict[str, Any]] = lake.con.sql(query).to_arrow_table().to_pylist()
        return rows
