"""What a person reads at 3 a.m., written out; and the rules of SNS and of the chat."""

import json
import shlex
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdas.remediation import clients
from lambdas.remediation.contracts import (
    Execution,
    Incident,
    Kind,
    Mode,
    PlannedCall,
    Run,
    Trigger,
)
from lambdas.remediation.messages import (
    Message,
    Topic,
    approval_message,
    call_lines,
    chat_schema,
    closing_message,
    links,
    start_command,
    subject_line,
    target_name,
    value_lines,
)
from lambdas.remediation.records import Record
from tests.remediation import dial

NOW = datetime(2026, 3, 2, 12, 10, tzinfo=UTC)
EXECUTION = "arn:aws:states:us-east-1:123456789012:execution:remediation-stuck-dial:run-1"
MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:remediation-stuck-dial"
INCIDENT = Incident(alarm_name=dial.ALARM, alarm_arn="arn", changed_at=NOW)
CHANGE = {
    "api": "dynamodb:TurnDial",
    "resource": dial.ARN,
    "before": {"read": 1, "index/by-day/read": 1},
    "after": {"read": 5, "index/by-day/read": 5},
    "already_applied": False,
}
LINKS = (
    "Run: stuck-dial:run-1\n"
    "https://us-east-1.console.aws.amazon.com/states/home?region=us-east-1#/v2/executions/details/"
    f"{EXECUTION}"
)
ALARM_LINK = (
    "https://us-east-1.console.aws.amazon.com/cloudwatch/home?region=us-east-1#alarmsV2:alarm/"
    "remediation-ChatMessage-prod-throttled"
)


def make(**fields: Any) -> Run:
    values: dict[str, Any] = {
        "id": "stuck-dial:run-1",
        "runbook": "stuck_dial",
        "kind": Kind.CHANGE,
        "mode": Mode.ACT,
        "trigger": Trigger.ALARM,
        "target": dial.TARGET,
        "target_arn": dial.ARN,
        "parameters": {},
        "reason": "",
        "requested_by": "alarm",
        "execution": Execution(arn=EXECUTION, name="run-1", started_at=NOW),
        "lease_until": NOW,
        "limits": {"approval_timeout_seconds": 1800},
        "incident": INCIDENT,
    }
    return Run(**values | fields)


def answered(outcome: str, **fields: Any) -> dict[str, Any]:
    return {
        "run_id": "stuck-dial:run-1",
        "outcome": outcome,
        "held": None,
        "reason": "Both dials are stuck at 1.",
        "mode": "act",
        "plan": {"hash": None, "calls": []},
        "changes": [],
        "verification": None,
        "undo": None,
        "next_action": None,
    } | fields


def closing(outcome: str, *, severity: str = "page", run: Run | None = None, **fields: Any):
    record = Record(run_id="stuck-dial:run-1", item={}, run=run, prepared=None) if run else None
    return closing_message(
        dial.RUNBOOK,
        record,
        answered(outcome, **fields),
        severity=severity,
        execution_arn=EXECUTION,
    )


# --- one text per outcome ---


def test_text_of_a_verified_run():
    message = closing(
        "verified",
        severity="note",
        run=make(),
        held=True,
        changes=[CHANGE],
        verification={"verdict": "passed", "reason": "No errors in 5 minutes.", "checks": []},
        undo={"command": "aws stepfunctions start-execution ..."},
    )
    assert message.subject == "[note] ChatMessage-prod: fixed (Stuck dial)"
    assert message.text == (
        "Stuck dial on ChatMessage-prod: fixed.\n"
        "\n"
        "Why: Both dials are stuck at 1.\n"
        "\n"
        "Alarm: remediation-ChatMessage-prod-throttled\n"
        "\n"
        "Done:\n"
        "- dynamodb:TurnDial table/ChatMessage-prod\n"
        "    index/by-day/read 1 -> 5\n"
        "    read 1 -> 5\n"
        "\n"
        "Check: passed. No errors in 5 minutes.\n"
        "Held: yes\n"
        "\n"
        "Undo:\n"
        "aws stepfunctions start-execution ...\n"
        "\n"
        f"{LINKS}\n{ALARM_LINK}"
    )


def test_text_of_a_verified_run_whose_symptom_came_back():
    message = closing(
        "verified",
        run=make(),
        held=False,
        changes=[CHANGE],
        verification={"verdict": "passed", "reason": "No errors in 5 minutes.", "checks": []},
    )
    assert "\nCheck: passed. No errors in 5 minutes.\nHeld: NO\n" in message.text


def test_text_of_a_proposed_run():
    planned = {
        "api": "dynamodb:TurnDial",
        "resource": dial.ARN,
        "arguments": {"Dial": "read"},
        "before": {"read": 1},
        "after": {"read": 5},
        "reversible": True,
    }
    message = closing(
        "proposed",
        severity="note",
        run=make(incident=None),
        mode="observe",
        plan={"hash": "h", "calls": [planned]},
    )
    assert message.subject == "[note] ChatMessage-prod: plan only, nothing changed (Stuck dial)"
    assert message.text == (
        "Stuck dial on ChatMessage-prod: plan only, nothing changed.\n"
        "\n"
        "Why: Both dials are stuck at 1.\n"
        "\n"
        "Would do:\n"
        "- dynamodb:TurnDial table/ChatMessage-prod\n"
        "    read 1 -> 5\n"
        "\n"
        f"{LINKS}"
    )


def test_text_of_a_refused_run():
    message = closing(
        "refused",
        run=make(),
        reason="run other:9 is changing it and holds it until 13:10",
        next_action="nobody is handling this; act by hand or remove what refused it",
    )
    assert message.subject == (
        "[page] ChatMessage-prod: NOT handled, the run was refused (Stuck dial)"
    )
    assert message.text == (
        "Stuck dial on ChatMessage-prod: NOT handled, the run was refused.\n"
        "\n"
        "Why: run other:9 is changing it and holds it until 13:10\n"
        "\n"
        "Alarm: remediation-ChatMessage-prod-throttled\n"
        "\n"
        "Done: nothing was changed.\n"
        "\n"
        "Next: nobody is handling this; act by hand or remove what refused it\n"
        "\n"
        f"{LINKS}\n{ALARM_LINK}"
    )


def test_text_of_a_run_that_was_handed_over():
    message = closing(
        "handed_over",
        run=make(),
        reason="The dials turn, the fault is elsewhere.",
        next_action="look at the target and decide; automation has let go of it",
    )
    assert message.subject == "[page] ChatMessage-prod: needs you (Stuck dial)"
    assert message.text == (
        "Stuck dial on ChatMessage-prod: needs you.\n"
        "\n"
        "Why: The dials turn, the fault is elsewhere.\n"
        "\n"
        "Alarm: remediation-ChatMessage-prod-throttled\n"
        "\n"
        "Done: nothing was changed.\n"
        "\n"
        "Next: look at the target and decide; automation has let go of it\n"
        "\n"
        f"{LINKS}\n{ALARM_LINK}"
    )


def test_text_of_an_ineffective_run():
    message = closing(
        "ineffective",
        run=make(incident=None),
        changes=[CHANGE],
        verification={"verdict": "failed", "reason": "Still 12 errors a minute.", "checks": []},
        undo={"command": "aws stepfunctions start-execution ..."},
        next_action="the change stands on purpose; find the real cause",
    )
    assert message.subject == "[page] ChatMessage-prod: changed, but NOT proven fixed (Stuck dial)"
    assert message.text == (
        "Stuck dial on ChatMessage-prod: changed, but NOT proven fixed.\n"
        "\n"
        "Why: Both dials are stuck at 1.\n"
        "\n"
        "Done:\n"
        "- dynamodb:TurnDial table/ChatMessage-prod\n"
        "    index/by-day/read 1 -> 5\n"
        "    read 1 -> 5\n"
        "\n"
        "Check: failed. Still 12 errors a minute.\n"
        "\n"
        "Next: the change stands on purpose; find the real cause\n"
        "\n"
        "Undo:\n"
        "aws stepfunctions start-execution ...\n"
        "\n"
        f"{LINKS}"
    )


def test_text_of_a_run_that_was_rolled_back():
    back = CHANGE | {"before": {"read": 5}, "after": {"read": 1}}
    message = closing(
        "rolled_back",
        run=make(incident=None),
        reason="Still 12 errors a minute.",
        changes=[back],
        verification={"verdict": "failed", "reason": "Still 12 errors a minute.", "checks": []},
        next_action="what was changed is taken back; find the real cause",
    )
    assert message.subject == (
        "[page] ChatMessage-prod: change taken back, still needs you (Stuck dial)"
    )
    assert message.text == (
        "Stuck dial on ChatMessage-prod: change taken back, still needs you.\n"
        "\n"
        "Why: Still 12 errors a minute.\n"
        "\n"
        "Done:\n"
        "- dynamodb:TurnDial table/ChatMessage-prod\n"
        "    read 5 -> 1\n"
        "\n"
        "Check: failed. Still 12 errors a minute.\n"
        "\n"
        "Next: what was changed is taken back; find the real cause\n"
        "\n"
        f"{LINKS}"
    )


def test_text_of_a_roll_back_that_failed():
    message = closing(
        "rollback_failed",
        run=make(incident=None),
        reason="half way; taking it back failed: neither 5 nor 1",
        changes=[CHANGE],
        next_action="repair the target by hand, then release its quarantine",
    )
    assert message.subject == "[page] ChatMessage-prod: HALF DONE, roll-back failed (Stuck dial)"
    assert message.text == (
        "Stuck dial on ChatMessage-prod: HALF DONE, roll-back failed.\n"
        "\n"
        "Why: half way; taking it back failed: neither 5 nor 1\n"
        "\n"
        "Done:\n"
        "- dynamodb:TurnDial table/ChatMessage-prod\n"
        "    index/by-day/read 1 -> 5\n"
        "    read 1 -> 5\n"
        "\n"
        "Next: repair the target by hand, then release its quarantine\n"
        "\n"
        f"{LINKS}"
    )


def test_text_of_an_undo_says_so():
    message = closing("verified", severity="note", run=make(kind=Kind.UNDO), changes=[CHANGE])
    assert message.subject == "[note] ChatMessage-prod: fixed (undo of Stuck dial)"


def test_text_of_a_run_that_was_never_recorded():
    message = closing("handed_over", mode=None)
    assert message.subject == "[page] unknown target: needs you (Stuck dial)"
    assert message.text.startswith("Stuck dial on unknown target: needs you.\n")
    assert message.mode == "none"


def test_text_of_a_question():
    message = approval_message(
        dial.RUNBOOK, make(mode=Mode.PROPOSE, incident=None), dial.PLAN, "hash-1", "arn:approve"
    )
    assert message == Message(
        subject="[approve] ChatMessage-prod: Stuck dial",
        text=(
            "Stuck dial on ChatMessage-prod asks for approval.\n"
            "\n"
            "Why: Both dials are stuck at 1.\n"
            "\n"
            "Will do:\n"
            "- dynamodb:TurnDial table/ChatMessage-prod\n"
            "    read 1 -> 5\n"
            "- dynamodb:TurnDial table/ChatMessage-prod\n"
            "    write 1 -> 5\n"
            "\n"
            "Approve (or reject) within 30 min:\n"
            "aws stepfunctions start-execution --state-machine-arn arn:approve --input "
            '\'{"run_id": "stuck-dial:run-1", "plan_hash": "hash-1", "decision": "approve", '
            '"reason": ""}\'\n'
            "\n"
            f"{LINKS}"
        ),
        severity="page",
        runbook="stuck_dial",
        outcome="waiting",
        mode="propose",
        thread="stuck-dial:run-1",
    )


# --- for filters ---


def test_message_can_be_filtered():
    message = closing("verified", severity="note", run=make())
    assert (message.severity, message.runbook, message.outcome, message.mode) == (
        "note",
        "stuck_dial",
        "verified",
        "act",
    )


def test_messages_of_one_run_share_a_thread():
    question = approval_message(dial.RUNBOOK, make(), dial.PLAN, "h", "arn")
    assert question.thread == closing("verified", run=make()).thread == "stuck-dial:run-1"


# --- parts ---


def test_long_maps_are_cut():
    before = {f"key{n:02}": n for n in range(30)}
    after = {f"key{n:02}": n + 1 for n in range(30)}
    assert len(value_lines(before, after)) == 12


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        ({"x": 1}, {"x": 1}, []),
        ({"x": None}, {"x": 5}, ["x none -> 5"]),
        ({"x": 0}, {"x": 5}, ["x 0 -> 5"]),
        ({}, {"x": 5}, ["x none -> 5"]),
        ({"x": {"y": 1, "z": 2}}, {"x": {"y": 1, "z": 3}}, ["x.z 2 -> 3"]),
        ({"x": {"y": 1}}, {"x": None}, ["x.y 1 -> none"]),
        ({"x": [1]}, {"x": [1, 2]}, ["x [1] -> [1, 2]"]),
    ],
)
def test_only_values_that_differ_are_shown(before, after, lines):
    assert value_lines(before, after) == lines


def test_a_long_value_is_cut():
    (line,) = value_lines({"x": None}, {"x": "a" * 5_000})
    assert line == f"x none -> {'a' * 97}..."


def test_resource_of_a_call_is_shown_without_its_account():
    call = PlannedCall(
        api="lambda:UpdateAlias",
        resource="arn:aws:lambda:us-east-1:123456789012:function:chat:live",
        arguments={},
        before={"FunctionVersion": "8"},
        after={"FunctionVersion": "7"},
    )
    assert call_lines([call]) == ["- lambda:UpdateAlias live", "    FunctionVersion 8 -> 7"]


def test_target_is_called_by_its_name():
    assert (target_name(make()), target_name(None)) == ("ChatMessage-prod", "unknown target")


def test_command_can_be_pasted_into_a_shell():
    command = start_command(MACHINE, {"undo": "stuck-dial:run-1", "reason": ""})
    assert command == (
        "aws stepfunctions start-execution --state-machine-arn "
        "arn:aws:states:us-east-1:123456789012:stateMachine:remediation-stuck-dial "
        '--input \'{"undo": "stuck-dial:run-1", "reason": ""}\''
    )


def test_command_survives_an_apostrophe():
    command = start_command(MACHINE, {"reason": "it's a load test"})
    shown = shlex.split(command)
    assert json.loads(shown[shown.index("--input") + 1]) == {"reason": "it's a load test"}


def test_links_are_of_the_region_of_the_execution():
    there = EXECUTION.replace("us-east-1", "eu-west-1")
    assert links("x:1", there, None)[1].startswith(
        "https://eu-west-1.console.aws.amazon.com/states/home?region=eu-west-1#"
    )


# --- SNS ---


@given(st.text())
def test_every_subject_obeys_sns(text):
    subject = subject_line(text)
    assert len(subject) < 100
    assert all(" " <= c <= "~" for c in subject)


def test_subject_that_fits_is_left_as_it_is():
    assert subject_line("x" * 99) == "x" * 99


def test_long_subject_is_cut_visibly():
    assert subject_line("x" * 100) == "x" * 96 + "..."


def test_line_breaks_and_other_alphabets_become_spaces():
    assert subject_line("[page] Bücher\nneu\t!") == "[page] B cher neu !"


MESSAGE = Message(
    subject="[page] orders: needs you (Stuck dial)",
    text="Stuck dial on orders: needs you.",
    severity="page",
    runbook="stuck_dial",
    outcome="handed_over",
    mode="act",
    thread="stuck-dial:run-1",
)
ATTRIBUTES = {
    "severity": "page",
    "runbook": "stuck_dial",
    "outcome": "handed_over",
    "mode": "act",
}


@pytest.fixture
def topic(environment):
    return Topic(
        clients.client("sns"),
        operators=environment["OPERATOR_TOPIC_ARN"],
        chat=environment["CHAT_TOPIC_ARN"],
    )


def test_operators_receive_text_with_attributes(topic, inbox):
    topic.publish(MESSAGE)
    (received,) = inbox.messages
    assert (received.subject, received.text) == (MESSAGE.subject, MESSAGE.text)
    assert received.attributes == ATTRIBUTES


def test_chat_receives_the_chat_schema_with_attributes(topic, chat_inbox):
    topic.publish(MESSAGE)
    (received,) = chat_inbox.messages
    assert received.text == chat_schema(MESSAGE)
    assert received.attributes == ATTRIBUTES


def test_chat_schema_is_amazon_q_s():
    assert json.loads(chat_schema(MESSAGE)) == {
        "version": "1.0",
        "source": "custom",
        "content": {
            "textType": "client-markdown",
            "title": "[page] orders: needs you (Stuck dial)",
            "description": "Stuck dial on orders: needs you.",
        },
        "metadata": {
            "threadId": "stuck-dial:run-1",
            "summary": "[page] orders: needs you (Stuck dial)",
            "eventType": "handed_over",
            "additionalContext": {"severity": "page", "runbook": "stuck_dial"},
        },
    }


def test_observed_run_without_a_remedy_says_that_nothing_was_changed():
    message = closing("proposed", run=make(incident=None), mode="observe")
    assert "Done: nothing was changed.\n" in message.text
