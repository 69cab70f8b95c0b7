import json
from datetime import UTC, datetime, timedelta

import pytest

from local.toolkit.follow import answer
from local.toolkit.history import LONGEST, Visit, call_text, decision, visits
from local.toolkit.milestones import NOT_REACHED, Milestones, milestones

START = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)


def at(seconds):
    return START + timedelta(seconds=seconds)


def entered(name, seconds, kind="Task"):
    return {
        "type": f"{kind}StateEntered",
        "timestamp": at(seconds),
        "stateEnteredEventDetails": {"name": name},
    }


def exited(name, seconds, kind="Task"):
    return {
        "type": f"{kind}StateExited",
        "timestamp": at(seconds),
        "stateExitedEventDetails": {"name": name},
    }


def succeeded(answer_of_task, seconds=0):
    return {
        "type": "TaskSucceeded",
        "timestamp": at(seconds),
        "taskSucceededEventDetails": {"output": json.dumps(answer_of_task)},
    }


def test_visit_carries_its_times_and_the_functions_answer():
    (visit,) = visits(
        [
            entered("Verify", 1),
            succeeded({"StatusCode": 200, "Payload": {"verdict": "passed"}}, 2),
            exited("Verify", 3.5),
        ]
    )

    assert visit == Visit(
        name="Verify",
        kind="Task",
        entered=at(1),
        exited=at(3.5),
        result={"verdict": "passed"},
    )


def test_state_that_is_still_there_has_no_end():
    (visit,) = visits([entered("WaitToHold", 1, "Wait")])

    assert visit.exited is None


def test_each_pass_through_a_loop_is_a_visit():
    found = visits(
        [
            entered("Verify", 0),
            exited("Verify", 1),
            entered("Wait", 1, "Wait"),
            exited("Wait", 6, "Wait"),
            entered("Verify", 6),
        ]
    )

    assert [(v.name, v.exited) for v in found] == [
        ("Verify", at(1)),
        ("Wait", at(6)),
        ("Verify", None),
    ]


def test_same_state_of_two_branches_is_closed_twice():
    found = visits(
        [entered("Child", 0), entered("Child", 1), exited("Child", 2), exited("Child", 3)]
    )

    assert [v.exited for v in found] == [at(3), at(2)]


def test_choice_shows_where_it_went():
    choice, _ = visits(
        [
            entered("ChooseMode", 0, "Choice"),
            exited("ChooseMode", 0, "Choice"),
            entered("BumpCapacity", 0),
        ]
    )

    assert choice.branch == "-> BumpCapacity"
    assert decision(choice) == "-> BumpCapacity"


def test_caught_failure_shows_error_and_the_message_in_its_cause():
    cause = json.dumps({"errorMessage": "cool-down until 09:00", "errorType": "CoolDownError"})
    failed = {
        "type": "TaskFailed",
        "timestamp": at(1),
        "taskFailedEventDetails": {"error": "CoolDownError", "cause": cause},
    }

    begin, _ = visits([entered("Begin", 0), failed, exited("Begin", 1), entered("Finish", 1)])

    assert decision(begin) == "CoolDownError: cool-down until 09:00"


def test_failed_execution_closes_the_state_it_failed_in():
    (visit,) = visits(
        [
            entered("Failed", 2, "Fail"),
            {
                "type": "ExecutionFailed",
                "timestamp": at(3),
                "executionFailedEventDetails": {"error": "rolled_back", "cause": "not JSON"},
            },
        ]
    )

    assert visit.exited == at(3)
    assert decision(visit) == "rolled_back: not JSON"


def task(result):
    return Visit(name="Any", kind="Task", entered=START, result=result)


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ({"run": {"id": "r", "mode": "act"}}, "mode act"),
        (
            {"plan": {"decision": "change", "reason": "Raise it.", "calls": [{}]}},
            "decision change: Raise it.",
        ),
        ({"verdict": "pending", "reason": "no traffic"}, "verdict pending: no traffic"),
        (
            {"outcome": "verified", "held": True, "verification": {"verdict": "passed"}},
            "outcome verified, held yes",
        ),
        ({"outcome": "verified", "held": None}, "outcome verified"),
        ({"applied_at": "now"}, ""),
        (None, ""),
        ("text", ""),
    ],
)
def test_decision_is_read_from_the_outermost_telling_fields(result, text):
    assert decision(task(result)) == text


def test_change_shows_values_before_and_after():
    call = {
        "api": "dynamodb:UpdateTable",
        "before": {"ReadCapacityUnits": 5, "WriteCapacityUnits": 5},
        "after": {"ReadCapacityUnits": 5, "WriteCapacityUnits": 10},
    }

    text = "dynamodb:UpdateTable: WriteCapacityUnits 5 -> 10"
    assert call_text(call) == text
    assert decision(task({"calls": [call], "applied_at": "now"})) == text
    assert call_text({**call, "already_applied": True}) == f"{text} (was so already)"


def test_decision_is_one_short_line():
    text = decision(task({"reason": "a\nb " + "word " * 200}))

    assert text.startswith("a b word")
    assert text.endswith("...")
    assert len(text) == LONGEST


def test_milestones_are_the_ends_of_the_states_that_reach_them():
    found = visits(
        [
            entered("Begin", 0),
            exited("Begin", 1),
            entered("Bump", 2),
            exited("Bump", 3),
            entered("Check", 3),
            exited("Check", 4),
            entered("Verify", 4),
            exited("Verify", 5),
            entered("Verify", 8),
            exited("Verify", 9),
            entered("WatchHold", 14),
            exited("WatchHold", 15),
            entered("Finish", 15),
        ]
    )

    assert milestones(found, {"Bump", "Check"}) == Milestones(
        guarded=at(1), changed=at(4), verified=at(9), held=at(15)
    )


def test_milestones_a_refused_run_did_not_reach_are_empty():
    found = visits([entered("Begin", 0), exited("Begin", 1), entered("Finish", 1)])

    assert milestones(found, {"Bump"}) == Milestones(guarded=at(1))
    assert milestones([], {"Bump"}) == NOT_REACHED


@pytest.mark.parametrize(
    ("described", "expected"),
    [
        ({"status": "SUCCEEDED", "output": '{"outcome": "verified"}'}, {"outcome": "verified"}),
        (
            {"status": "FAILED", "error": "rolled_back", "cause": '{"reason": "why"}'},
            {"outcome": "rolled_back", "reason": "why"},
        ),
        (
            {"status": "FAILED", "error": "States.Runtime", "cause": "not JSON"},
            {"outcome": "States.Runtime", "reason": "not JSON"},
        ),
        ({"status": "ABORTED"}, {"outcome": None}),
    ],
)
def test_answer_is_the_output_of_a_green_and_the_cause_of_a_red_execution(described, expected):
    assert answer(described) == expected
