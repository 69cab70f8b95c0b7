"""The machine `remediation-approve`: records a decision and wakes the run that waits for it."""

from typing import Any

from lambdas.remediation.clients import client
from lambdas.remediation.contracts import Execution, Mode, canonical_json, decode, iso
from lambdas.remediation.errors import (
    InvalidRequestError,
    NotAdmittedError,
    RefusedError,
    ResourceBusyError,
)
from lambdas.remediation.observability import logger
from lambdas.remediation.records import Record, RunTable, epoch
from lambdas.remediation.settings import settings
from lambdas.remediation.step import Clock

FIELDS = ("run_id", "plan_hash", "decision", "reason")
DECISIONS = ("approve", "reject")
EXAMPLE = (
    '{"run_id": "<run id>", "plan_hash": "<hash>", "decision": "approve", "reason": "OPS-123"}'
)
Answer = dict[str, Any]


def handler(event: dict[str, Any], _context: Any) -> Answer:
    """Answer of one execution of the approval machine.

    Returns
    -------
    dict
        `run_id`, `decision` and `outcome` (`approved`, `rejected`, `refused`) with `reason`.

    Raises
    ------
    ResourceBusyError
        The run has asked but does not wait yet; the machine tries again.
    """
    execution = decode(Execution, event["execution"], "execution")
    table = RunTable(client("dynamodb"), settings().run_table_name)
    given = event.get("input")
    try:
        answer = _checked(given)
        logger().append_keys(run_id=answer["run_id"], decision=answer["decision"])
        token = _record(table, answer, execution)
        _wake(token, answer)
    except RefusedError as error:
        logger().info("refused", reason=str(error))
        run_id = given.get("run_id") if isinstance(given, dict) else None
        return {"run_id": run_id, "decision": None, "outcome": "refused", "reason": str(error)}
    outcome = "approved" if answer["decision"] == "approve" else "rejected"
    return {
        "run_id": answer["run_id"],
        "decision": answer["decision"],
        "outcome": outcome,
        "reason": answer["reason"],
    }


def _checked(given: Any) -> dict[str, str]:
    if not isinstance(given, dict):
        raise _wrong("input: must be a JSON object")
    unknown = sorted(set(given) - set(FIELDS))
    if unknown:
        accepted = ", ".join(FIELDS)
        raise _wrong(f"{unknown[0]}: unknown field; accepted are {accepted}")
    for name in ("run_id", "plan_hash", "decision"):
        if not isinstance(given.get(name), str):
            raise _wrong(f"{name}: missing, or not text")
    if given["decision"] not in DECISIONS:
        raise _wrong(f"decision: {given['decision']!r} is not approve or reject")
    reason = given.get("reason", "")
    if not isinstance(reason, str):
        raise _wrong("reason: must be text")
    return {**given, "reason": reason}


def _wrong(what: str) -> InvalidRequestError:
    return InvalidRequestError(f"{what}. Try: {EXAMPLE}")


def _record(table: RunTable, answer: dict[str, str], execution: Execution) -> str:
    """Write the decision down, once; gives the task token."""
    now = Clock().now()
    record = table.record(answer["run_id"])
    _refuse_unfit(record, answer, epoch(now), execution)
    if record is None or "approval_token" not in record.item:
        raise ResourceBusyError("the run does not wait yet")
    token = str(record.item["approval_token"])
    if record.item.get("decided_by") == execution.arn:
        return token  # this execution, retried after the decision was written
    written = table.update(
        f"RUN#{answer['run_id']}",
        values={
            "decision": answer["decision"],
            "decision_reason": answer["reason"],
            "decided_by": execution.arn,
            "decided_at": iso(now),
        },
        condition="#state = :open AND approval_token = :token AND attribute_not_exists(decision)",
        given={"open": "open", "token": token},
    )
    if not written:
        raise NotAdmittedError("the run was decided or closed just now; this answer does not count")
    return token


def _refuse_unfit(
    record: Record | None, answer: dict[str, str], now: int, execution: Execution
) -> None:
    if record is None or record.run is None:
        raise NotAdmittedError(f"run_id: there is no run {answer['run_id']!r}")
    if record.state != "open" or record.run.mode is not Mode.PROPOSE:
        ended = record.item.get("outcome")
        why = f"it ended {ended}" if ended else f"it is {record.state}, in mode {record.run.mode}"
        raise NotAdmittedError(f"run_id: {record.run_id} does not wait for approval: {why}")
    if answer["plan_hash"] != record.item.get("plan_hash"):
        raise NotAdmittedError(
            "plan_hash: not the hash of the plan that was proposed; copy it from its message"
        )
    if "decision" in record.item and record.item.get("decided_by") != execution.arn:
        raise NotAdmittedError(f"already decided: {record.item['decision']}")
    if record.item.get("approval_deadline", now + 1) <= now:
        raise NotAdmittedError("too late: the deadline has passed; start the runbook again")


def _wake(token: str, answer: dict[str, str]) -> None:
    states = client("stepfunctions")
    gone = (
        states.exceptions.TaskTimedOut,
        states.exceptions.TaskDoesNotExist,
        states.exceptions.InvalidToken,
    )
    try:
        states.send_task_success(
            taskToken=token, output=canonical_json({"decision": answer["decision"]})
        )
    except gone:
        raise NotAdmittedError("too late: the run no longer waits") from None
