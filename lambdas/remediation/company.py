"""One cause, several alarms: what a run does with its child, or with the run that it joins.

Nobody waits for a lock. The child tries once; if another open run has what it wants, that run is
joined: watched until it ends. Then the run goes on to its own change, or to its own symptom.
"""

from datetime import datetime
from typing import Any, ClassVar

from lambdas.remediation.contracts import Company, Decision, OutcomeName, Plan, Run
from lambdas.remediation.errors import (
    CoolDownActiveError,
    DuplicateRunError,
    TargetLockedError,
)
from lambdas.remediation.records import Record, RunTable, epoch
from lambdas.remediation.settings import settings
from lambdas.remediation.step import Attempt

# An execution that was started has begun by then, or it never will.
BEGIN_ATTEMPTS = 3
_HELD = {c.__name__ for c in (CoolDownActiveError, DuplicateRunError, TargetLockedError)}


class OpenRuns:
    """Tells which run is at work on a target, from the run table.

    Parameters
    ----------
    client
        Client of DynamoDB.
    """

    service: ClassVar[str] = "dynamodb"

    def __init__(self, client: Any) -> None:
        self._table = RunTable(client, settings().run_table_name)

    def of(self, runbook: str, arn: str, now: datetime) -> str | None:
        """Open run of a runbook on a target, if there is one."""
        pair = self._table.get(f"PAIR#{runbook}#{arn}")
        is_open = pair.get("open_until", 0) > epoch(now)
        return str(pair["open_run"]) if is_open and "open_run" in pair else None


def meet(table: RunTable, run: Run, plan: Plan, child_id: str, *, attempt: Attempt) -> Company:
    """Where the run goes from what has become of its child.

    Parameters
    ----------
    child_id
        Run id of the child that was started.
    attempt
        Which look this is; after the last one, nobody waits any more.
    """
    child = table.record(child_id)
    if child is None:
        reason = f"Its run {child_id} did not begin."
        waiting = attempt.number < BEGIN_ATTEMPTS and not attempt.final
        return _company(child_id, joined=False, then="wait" if waiting else "finish", reason=reason)
    holder_id = _held_by(child)
    if holder_id is None:
        return _after(child, plan, joined=False, attempt=attempt)
    holder = table.record(holder_id)
    if holder is None or holder_id == run.id:
        return _company(holder_id, joined=True, then="finish", reason=str(child.refusal["message"]))
    if holder.state != "closed":
        # Whoever ends last tells people of both.
        table.update(
            f"RUN#{holder_id}",
            values={"joined_by": run.id},
            condition="#state = :open",
            given={"open": "open"},
        )
    return _after(holder, plan, joined=True, attempt=attempt)


def _held_by(child: Record) -> str | None:
    """The run that stood in the child's way, if the child was refused because of one."""
    if child.refusal.get("error") not in _HELD:
        return None
    holder: str | None = child.refusal.get("held_by")
    return holder


def _after(other: Record, plan: Plan, *, joined: bool, attempt: Attempt) -> Company:
    name = f"{other.item['runbook']} run {other.run_id}"
    if other.answer is None:
        step = "finish" if attempt.final else "wait"
        reason = f"It waited for {name}, which is still open."
        return _company(other.run_id, joined=joined, then=step, reason=reason)
    outcome = OutcomeName(other.answer["outcome"])
    step = "finish"
    if outcome is OutcomeName.VERIFIED:
        step = "verify" if plan.decision is Decision.DELEGATE else "change"
    how = "Joined" if joined else "Started"
    reason = f"{how} {name}, which ended {outcome}: {other.answer['reason']}"
    return _company(other.run_id, joined=joined, then=step, reason=reason, outcome=outcome)


def _company(
    run_id: str, *, joined: bool, then: str, reason: str, outcome: OutcomeName | None = None
) -> Company:
    runbook = run_id.partition(":")[0].replace("-", "_")
    return Company(
        run_id=run_id, runbook=runbook, joined=joined, next=then, reason=reason, outcome=outcome
    )
