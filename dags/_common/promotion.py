"""A person's decision on variants that the rules would ship: what they are shown, and what becomes of their answer."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from _common.decision import answered


def shown_candidates(context: Mapping[str, Any]) -> dict[str, Any]:
    """The variants that the rules would ship as of the run's day.

    Returns:
        ``text``, Markdown for the person; ``chosen``, the variant of each experiment.

    Raises:
        AirflowFailException: The run has no partition key, nothing may be shipped, or an experiment has several
            variants that may: then a person names one, by ``crossdomain experiment promote``.
    """
    from crossdomain.errors import InputError
    from crossdomain.experiments.promoting import candidates, describe
    from crossdomain.jobs.runner import open_lake
    from crossdomain.settings import Settings, parse_day
    from crossdomain.tables import registry

    key = context["dag_run"].partition_key
    if key is None:
        raise AirflowFailException("trigger it with the business day of the decision as partition key (YYYY-MM-DD)")
    try:
        settings, day = Settings.from_env(), parse_day(key)
        with open_lake(settings) as lake:
            found = candidates(lake, registry(settings.include), day)
    except InputError as error:
        raise AirflowFailException(str(error)) from error
    if not found:
        raise AirflowFailException(f"as of {key} the rules would ship no variant that is not promoted already")
    chosen = {one.experiment_id: one.variant for one in found}
    if len(chosen) < len(found):
        raise AirflowFailException(
            f"as of {key} an experiment has several variants that may be shipped: name one, by `crossdomain experiment "
            "promote`"
        )
    return {"text": describe(day, found), "chosen": chosen}


def settle_promotion(
    context: Mapping[str, Any], shown: Mapping[str, Any], decision: Mapping[str, Any], *, approve: str
) -> list[str]:
    """Records who decided what and why.

    Args:
        context: Of the task.
        shown: What ``shown_candidates`` gave.
        decision: The answer of Airflow's human-in-the-loop operator: ``chosen_options``, ``params_input``,
            ``responded_by_user``.
        approve: The option that promotes.

    Returns:
        The experiments whose variants were promoted.

    Raises:
        AirflowSkipException: The person did not promote them.
        AirflowFailException: The decision has changed since, or person or reason is missing.
    """
    from crossdomain.errors import InputError
    from crossdomain.experiments import promoting
    from crossdomain.jobs.runner import open_lake
    from crossdomain.settings import Settings, parse_day
    from crossdomain.tables import registry

    settings, day = Settings.from_env(), parse_day(context["dag_run"].partition_key)
    by, reason = answered(decision)
    with open_lake(settings) as lake:
        try:
            if decision["chosen_options"] != [approve]:
                promoting.decline(lake, day, by=by, reason=reason, chosen=shown["chosen"], via="airflow")
                raise AirflowSkipException(f"{by} promoted nothing of {day}")
            given = promoting.promote(
                lake,
                registry(settings.include),
                day,
                chosen=shown["chosen"],
                by=by,
                reason=reason,
                decided_at=datetime.now(UTC),
                via="airflow",
            )
        except InputError as error:
            raise AirflowFailException(str(error)) from error
    return [one.experiment_id for one in given]
