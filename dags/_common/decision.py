"""How a person is asked to decide: what the request looks like, and who answered why."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Param


def ask_person(*, subject: str, shown_by: str, approve: str, reject: str) -> HITLOperator:
    """The task ``decide``, which waits up to seven days for a person's choice and reason.

    Args:
        subject: The question, a template.
        shown_by: Task whose result has ``text``, what the person must read.
        approve: The option that does it.
        reject: The other one.
    """
    return HITLOperator(
        task_id="decide",
        subject=subject,
        body=f"{{{{ ti.xcom_pull(task_ids='{shown_by}')['text'] }}}}",
        options=[approve, reject],
        # A default must be valid before anybody was asked: an empty one here, which an approval is refused for.
        params={
            "reason": Param(None, type=["null", "string"], minLength=10, description="理由 Why, for who asks later")
        },
        response_timeout=timedelta(days=7),
        execution_timeout=None,  # the default would take the place of response_timeout
    )


def answered(decision: Mapping[str, Any]) -> tuple[str, str]:
    """Who answered, and why, of what the task gives; each may be empty."""
    person = decision["responded_by_user"] or {}
    return str(person.get("name") or person.get("id") or ""), str(decision["params_input"].get("reason") or "")
