"""A person's decision on a refused day: what they are shown, and what becomes of their answer."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from _common.decision import answered


def shown_refusal(context: Mapping[str, Any]) -> dict[str, Any]:
    """The rules that refused the run's day.

    Returns:
        ``text``, Markdown for the person; ``rules``, rows that broke each rule, by its id.

    Raises:
        AirflowFailException: The run has no partition key, or the gate did not refuse that day.
    """
    from crossdomain.errors import InputError
    from crossdomain.jobs.runner import open_lake
    from crossdomain.quality.overrides import describe, refusals
    from crossdomain.settings import Settings, parse_day
    from crossdomain.tables import registry

    key = context["dag_run"].partition_key
    if key is None:
        raise AirflowFailException("trigger it with the refused business day as partition key (YYYY-MM-DD)")
    try:
        settings, day = Settings.from_env(), parse_day(key)
        with open_lake(settings) as lake:
            found = refusals(lake, registry(settings.include), day)
    except InputError as error:
        raise AirflowFailException(str(error)) from error
    if not found:
        raise AirflowFailException(f"the gate has not refused {key}: there is nothing to decide")
    return {"text": describe(day, found), "rules": {rule.rule_id: rule.unexpected_rows for rule in found}}


def settle(
    context: Mapping[str, Any], shown: Mapping[str, Any], decision: Mapping[str, Any], *, approve: str
) -> list[str]:
    """Records who decided what and why; a rejected day is skipped from here on.

    Args:
        context: Of the task.
        shown: What ``shown_refusal`` gave.
        decision: The answer of Airflow's human-in-the-loop operator: ``chosen_options``, ``params_input``,
            ``responded_by_user``.
        approve: The option that lets the day through.

    Returns:
        The overridden rules.

    Raises:
        AirflowSkipException: The person did not let the day through.
        AirflowFailException: The refusal has changed since, or person or reason is missing.
    """
    from crossdomain.errors import InputError
    from crossdomain.jobs.runner import open_lake
    from crossdomain.quality import overrides
    from crossdomain.settings import Settings, parse_day
    from crossdomain.tables import registry

    settings, day = Settings.from_env(), parse_day(context["dag_run"].partition_key)
    by, reason = answered(decision)
    approved = decision["chosen_options"] == [approve]
    with open_lake(settings) as lake:
        try:
            if not approved:
                overrides.decline(lake, day, by=by, reason=reason, rules=shown["rules"], via="airflow")
                raise AirflowSkipException(f"{by} did not let {day} through")
            given = overrides.override(
                lake,
                registry(settings.include),
                day,
                by=by,
                reason=reason,
                decided_at=datetime.now(UTC),
                rules=shown["rules"],
                via="airflow",
            )
        except InputError as error:
            raise AirflowFailException(str(error)) from error
    return [entry.rule_id for entry in given]
