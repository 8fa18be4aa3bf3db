"""Reading an experiment's results from the lake."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

from crossdomain.errors import MissingInput
from crossdomain.settings import Settings

if TYPE_CHECKING:
    from crossdomain.experiments.results import Analysis


def read_analysis(settings: Settings, experiment: str, day: date) -> Analysis:
    """What an experiment had given by a day, with its primary metric day by day.

    Raises:
        MissingInput: There is no such experiment, or no result of that day.
    """
    from crossdomain.experiments.design import load_designs
    from crossdomain.experiments.history import analysis_from_rows
    from crossdomain.jobs.runner import open_lake
    from crossdomain.tables import registry

    designs = {design.experiment_id: design for design in load_designs(settings.include / "experiments")}
    if experiment not in designs:
        raise MissingInput(f"there is no experiment {experiment!r}; designs are: {', '.join(sorted(designs))}")
    with open_lake(settings) as lake:

        def rows(table: str, *, before: bool) -> list[dict[str, Any]]:
            spec = registry(settings.include).get(f"serving.{table}")
            chosen = [one for one in lake.partitions(spec) if one.ds == day or (before and one.ds < day)]
            query = f"SELECT * FROM ({lake.relation(spec, chosen)}) WHERE experiment_id = ? ORDER BY ALL"  # noqa: S608 - ours
            found: list[dict[str, Any]] = lake.con.sql(query, params=[experiment]).to_arrow_table().to_pylist()
            return found

        found = analysis_from_rows(
            designs[experiment],
            day,
            rows("experiment_metrics", before=True),
            rows("experiment_checks", before=False),
            rows("experiment_decisions", before=False),
            rows("experiment_parts", before=False),
        )
    if found is None:
        raise MissingInput(
            f"{experiment} has no result for {day}: it had not begun, or run `crossdomain run experiments --date {day}`"
        )
    return found
