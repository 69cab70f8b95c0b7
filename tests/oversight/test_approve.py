"""One yes or no per proposal: whatever comes late, twice, forged or too early does not count."""

import json
from datetime import timedelta
from typing import Any

import pytest

from lambdas.oversight.approve import handler
from lambdas.remediation.contracts import Execution, Kind, Mode, Run, Trigger
from lambdas.remediation.errors import ResourceBusyError
from lambdas.remediation.guard import Guard
from lambdas.remediation.records import epoch
from tests.conftest import NOW

RUN_ID = "stuck-dial:run-1"
RECORD = f"RUN#{RUN_ID}"
APPROVE = {"run_id": RUN_ID, "plan_hash": "hash-1", "decision": "approve", "reason": "OPS-9"}
REJECT = APPROVE | {"decision": "reject", "reason": "not today"}
MACHINE = "arn:aws:states:us-east-1:123456789012:execution:remediation-approve:"
EXAMPLE = (
    ' Try: {"run_id": "<run id>", "plan_hash": "<hash>", "decision": "approve", '
    '"reason": "OPS-123"}'
)


def proposal(mode: Mode = Mode.PROPOSE) -> Run:
    return Run(
        id=RUN_ID,
        runbook="stuck_dial",
        kind=Kind.CHANGE,
        mode=mode,
        trigger=Trigger.PERSON,
        target={"table_name": "ChatMessage-prod"},
        target_arn="arn",
        parameters={},
        reason="",
        requested_by="person",
        execution=Execution(arn="arn:run-1", name="run-1", started_at=NOW),
        lease_until=NOW + timedelta(hours=1),
        limits={"max_changes_per_hour": 2},
    )


@pytest.fixture
def begin(environment, run_table, clock):
    def begun(mode: Mode = Mode.PROPOSE, **fields: Any) -> None:
        Guard(run_table, now=NOW, max_platform_changes_per_hour=6).begin(proposal(mode))
        values = {"plan_hash": "hash-1", "approval_deadline": epoch(NOW) + 600}
        run_table.update(RECORD, values=values | fields)

    return begun


@pytest.fixture
def waiting(begin):
    """A run that waits for its answer."""
    begin(approval_token="token-1")


@pytest.fixture
def woken(calls_of):
    """Calls that wake a run."""
    return calls_of("stepfunctions", "SendTaskSuccess")


def answer(given: Any, name: str = "approve-1") -> dict[str, Any]:
    described = {"arn": MACHINE + name, "name": name, "started_at": "2026-03-02T12:15:00.000Z"}
    return handler({"execution": described, "input": given}, None)


def refusal(given: Any, name: str = "approve-1") -> str:
    answered = answer(given, name)
    assert (answered["outcome"], answered["decision"]) == ("refused", None)
    return answered["reason"]


def test_yes_wakes_the_run(waiting, woken):
    assert answer(APPROVE) == {
        "run_id": RUN_ID,
        "decision": "approve",
        "outcome": "approved",
        "reason": "OPS-9",
    }
    assert woken.made == [{"taskToken": "token-1", "output": '{"decision":"approve"}'}]


def test_yes_is_written_down_with_who_and_when(waiting, run_table):
    answer(APPROVE)
    item = run_table.get(RECORD)
    assert {k: v for k, v in item.items() if k.startswith("deci")} == {
        "decision": "approve",
        "decision_reason": "OPS-9",
        "decided_by": MACHINE + "approve-1",
        "decided_at": "2026-03-02T12:10:00.000Z",
    }


def test_no_wakes_the_run_too(waiting, run_table, woken):
    assert answer(REJECT) == {
        "run_id": RUN_ID,
        "decision": "reject",
        "outcome": "rejected",
        "reason": "not today",
    }
    assert woken.made == [{"taskToken": "token-1", "output": '{"decision":"reject"}'}]
    assert run_table.get(RECORD)["decision_reason"] == "not today"


def test_reason_may_be_left_out(waiting):
    given = {k: v for k, v in APPROVE.items() if k != "reason"}
    assert answer(given)["reason"] == ""


def test_task_token_never_leaves_the_run_table(waiting, capsys):
    answered = answer(APPROVE)
    assert "token-1" not in json.dumps(answered)
    assert "token-1" not in capsys.readouterr().out


# --- late ---


def test_answer_at_the_deadline_is_late(waiting, clock, woken):
    clock.advance(seconds=600)
    assert refusal(APPROVE) == "too late: the deadline has passed; start the runbook again"
    assert woken.made == []


def test_answer_in_the_last_second_counts(waiting, clock):
    clock.advance(seconds=599)
    assert answer(APPROVE)["outcome"] == "approved"


@pytest.mark.parametrize("code", ["TaskTimedOut", "TaskDoesNotExist", "InvalidToken"])
def test_answer_to_a_run_that_no_longer_waits_is_late(waiting, woken, code):
    woken.will_fail(code)
    assert refusal(APPROVE) == "too late: the run no longer waits"


def test_answer_to_a_closed_run_is_late(waiting, run_table):
    run_table.update(RECORD, values={"state": "closed", "outcome": "handed_over"})
    assert refusal(APPROVE) == (
        "run_id: stuck-dial:run-1 does not wait for approval: it ended handed_over"
    )


# --- doubled ---


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (APPROVE, APPROVE, "already decided: approve"),
        (APPROVE, REJECT, "already decided: approve"),
        (REJECT, APPROVE, "already decided: reject"),
    ],
)
def test_first_answer_counts(waiting, run_table, woken, first, second, said):
    answer(first, "approve-1")
    assert refusal(second, "approve-2") == said
    assert run_table.get(RECORD)["decision"] == first["decision"]
    assert len(woken.made) == 1


def test_answer_that_lost_a_race_does_not_count(waiting, run_table, woken, calls_of):
    calls_of("dynamodb", "UpdateItem").will_fail("ConditionalCheckFailedException")
    assert refusal(APPROVE) == (
        "the run was decided or closed just now; this answer does not count"
    )
    assert woken.made == []


# --- forged ---


def test_wrong_hash_is_refused(waiting, run_table, woken):
    assert refusal(APPROVE | {"plan_hash": "hash-2"}) == (
        "plan_hash: not the hash of the plan that was proposed; copy it from its message"
    )
    assert "decision" not in run_table.get(RECORD)
    assert woken.made == []


def test_unknown_run_is_refused(waiting):
    assert refusal(APPROVE | {"run_id": "stuck-dial:run-7"}) == (
        "run_id: there is no run 'stuck-dial:run-7'"
    )


def test_run_that_was_refused_early_is_unknown(environment, run_table, clock):
    run_table.put({"pk": RECORD, "state": "open"})
    assert refusal(APPROVE) == "run_id: there is no run 'stuck-dial:run-1'"


@pytest.mark.parametrize("mode", [Mode.OBSERVE, Mode.ACT])
def test_run_that_asks_nobody_is_refused(begin, mode):
    begin(mode, approval_token="token-1")
    assert refusal(APPROVE) == (
        f"run_id: stuck-dial:run-1 does not wait for approval: it is open, in mode {mode.value}"
    )


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (None, f"input: must be a JSON object.{EXAMPLE}"),
        ("approve", f"input: must be a JSON object.{EXAMPLE}"),
        ({}, f"run_id: missing, or not text.{EXAMPLE}"),
        ({"run_id": 5}, f"run_id: missing, or not text.{EXAMPLE}"),
        ({"run_id": RUN_ID}, f"plan_hash: missing, or not text.{EXAMPLE}"),
        (
            {"run_id": RUN_ID, "plan_hash": "hash-1"},
            f"decision: missing, or not text.{EXAMPLE}",
        ),
        (APPROVE | {"decision": "yes"}, f"decision: 'yes' is not approve or reject.{EXAMPLE}"),
        (APPROVE | {"reason": 5}, f"reason: must be text.{EXAMPLE}"),
        (
            APPROVE | {"task_token": "x"},
            "task_token: unknown field; accepted are run_id, plan_hash, decision, reason"
            f".{EXAMPLE}",
        ),
    ],
)
def test_wrong_input_is_refused_with_field_and_fix(environment, clock, given, reason):
    assert refusal(given) == reason


# --- too early, and again ---


def test_run_that_does_not_wait_yet_is_for_the_machine_to_retry(begin, run_table):
    begin()
    with pytest.raises(ResourceBusyError) as busy:
        answer(APPROVE)
    assert str(busy.value) == "the run does not wait yet"
    assert "decision" not in run_table.get(RECORD)


def test_retry_after_the_decision_was_written_wakes_the_run(waiting, woken, calls_of):
    woken.will_fail("InternalServerError")
    with pytest.raises(Exception, match="InternalServerError"):
        answer(APPROVE)
    assert answer(APPROVE)["outcome"] == "approved"
    assert len(woken.made) == 2


def test_retry_keeps_the_first_moment(waiting, run_table, clock):
    answer(APPROVE)
    clock.advance(seconds=5)
    answer(APPROVE)
    assert run_table.get(RECORD)["decided_at"] == "2026-03-02T12:10:00.000Z"
