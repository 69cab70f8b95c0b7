"""What may start a run; whatever may not is refused with the field, the fix and an example."""

import dataclasses
import json
from datetime import UTC, datetime

import pytest

from lambdas.remediation.contracts import Incident, Mode, RunbookRequest, Trigger
from lambdas.remediation.errors import InvalidRequestError, TargetNotFoundError
from lambdas.remediation.platform import parse
from lambdas.remediation.request import read_request
from lambdas.remediation.runbook import NoParameters
from lambdas.runbooks.dynamodb_throttling.runbook import RUNBOOK as THROTTLING
from tests.conftest import PLATFORM, read_event
from tests.remediation import dial

TARGET = {"table_name": "ChatMessage-prod"}
EXAMPLE = (
    ' Try: {"target": {"table_name": "ChatMessage-prod"}, "mode": "observe", "reason": "OPS-123", '
    '"parameters": {"max_position": 7}}'
)


def read(given, runbook=dial.RUNBOOK, **overrides) -> RunbookRequest:
    return read_request(runbook, parse(PLATFORM | overrides), "remediation", given)


def refusal_of(given, error=InvalidRequestError, **overrides) -> str:
    with pytest.raises(error) as refusal:
        read(given, **overrides)
    return str(refusal.value)


# --- a person ---


def test_target_alone_is_enough():
    assert read({"target": TARGET}) == RunbookRequest(
        target=TARGET, mode=Mode.ACT, trigger=Trigger.PERSON, requested_by="person"
    )


def test_everything_a_person_may_say_is_kept():
    given = {
        "target": TARGET,
        "parameters": {"max_position": 4, "gently": True},
        "mode": "propose",
        "reason": "OPS-123",
    }
    assert read(given) == RunbookRequest(
        target=TARGET,
        parameters={"max_position": 4, "gently": True},
        mode=Mode.PROPOSE,
        trigger=Trigger.PERSON,
        requested_by="person",
        reason="OPS-123",
    )


def test_undo_names_a_run_and_nothing_else():
    assert read({"undo": "stuck-dial:run-1", "reason": "was a load test"}) == RunbookRequest(
        target={},
        mode=Mode.ACT,
        trigger=Trigger.PERSON,
        requested_by="person",
        reason="was a load test",
        undo="stuck-dial:run-1",
    )


def test_undo_may_be_observed_first():
    assert read({"undo": "stuck-dial:run-1", "mode": "observe"}).mode is Mode.OBSERVE


def test_id_of_a_starting_execution_is_not_an_unknown_field():
    given = {"target": TARGET, "AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID": "arn:..."}
    assert read(given).target == TARGET


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "target: missing"),
        (
            {"Comment": "Insert your JSON here"},
            "Comment: unknown field; accepted are target, parameters, mode, reason, undo",
        ),
        (
            {"target": TARGET, "force": True},
            "force: unknown field; accepted are target, parameters, mode, reason, undo",
        ),
        (
            {"target": "ChatMessage-prod"},
            'target: must be {"table_name": "<name>"} and nothing else',
        ),
        ({"target": {}}, 'target: must be {"table_name": "<name>"} and nothing else'),
        (
            {"target": {"function_name": "chat-lambda"}},
            'target: must be {"table_name": "<name>"} and nothing else',
        ),
        (
            {"target": {"table_name": "ChatMessage-prod", "index": "x"}},
            'target: must be {"table_name": "<name>"} and nothing else',
        ),
        (
            {"target": {"table_name": 5}},
            'target: must be {"table_name": "<name>"} and nothing else',
        ),
        ({"target": TARGET, "mode": "force"}, "mode: 'force' is not one of observe, propose, act"),
        ({"target": TARGET, "mode": 1}, "mode: 1 is not one of observe, propose, act"),
        ({"target": TARGET, "reason": 5}, "reason: must be text of at most 500 characters"),
        ({"target": TARGET, "reason": None}, "reason: must be text of at most 500 characters"),
        ({"target": TARGET, "reason": "x" * 501}, "reason: must be text of at most 500 characters"),
        ({"target": TARGET, "parameters": None}, "parameters: must be an object, got nothing"),
        (
            {"target": TARGET, "parameters": {"speed": 1}},
            "parameters.speed: unknown field; accepted are gently, max_position",
        ),
        (
            {"target": TARGET, "parameters": {"max_position": "7"}},
            "parameters.max_position: must be a whole number, got a string",
        ),
        (
            {"target": TARGET, "parameters": {"max_position": 11}},
            "parameters.max_position: 11 is outside 1 to 10; the ceiling is "
            "runbooks.stuck_dial.limits.max_position in platform.json",
        ),
        (
            {"target": TARGET, "parameters": {"max_position": 0}},
            "parameters.max_position: 0 is outside 1 to 10; the ceiling is "
            "runbooks.stuck_dial.limits.max_position in platform.json",
        ),
        (
            {"undo": "stuck-dial:run-1", "target": TARGET},
            "undo: must be a run id, with nothing beside it but reason and mode",
        ),
        (
            {"undo": "stuck-dial:run-1", "parameters": {}},
            "undo: must be a run id, with nothing beside it but reason and mode",
        ),
        ({"undo": 7}, "undo: must be a run id, with nothing beside it but reason and mode"),
    ],
)
def test_wrong_input_is_refused_with_field_fix_and_example(given, message):
    assert refusal_of(given) == f"{message}.{EXAMPLE}"


@pytest.mark.parametrize("given", [None, [], "act", 5])
def test_input_that_is_no_object_is_refused_with_an_example(given):
    assert refusal_of(given) == f"input: must be a JSON object.{EXAMPLE}"


def test_reason_of_500_characters_is_accepted():
    assert read({"target": TARGET, "reason": "x" * 500}).reason == "x" * 500


def test_parameter_at_the_ceiling_is_accepted():
    given = {"target": TARGET, "parameters": {"max_position": 10}}
    assert read(given).parameters == {"max_position": 10}


def test_ceiling_of_a_parameter_is_the_limit_of_the_platform_file():
    runbooks = {"stuck_dial": {"limits": {"max_position": 3}}}
    given = {"target": TARGET, "parameters": {"max_position": 4}}
    assert refusal_of(given, runbooks=runbooks).startswith(
        "parameters.max_position: 4 is outside 1 to 3; "
    )


def test_target_outside_the_platform_is_refused_with_those_inside():
    assert refusal_of({"target": {"table_name": "Payments"}}, TargetNotFoundError) == (
        "target.table_name: 'Payments' is not in platform.json; it has ChatMessage-prod, "
        f"ChatSession-prod.{EXAMPLE}"
    )


def test_example_of_a_platform_without_targets_says_what_to_fill_in():
    assert refusal_of({}, tables=[]).endswith(
        ' Try: {"target": {"table_name": "<table_name>"}, "mode": "observe", "reason": "OPS-123", '
        '"parameters": {"max_position": 7}}'
    )


def test_example_is_accepted_as_it_stands():
    example = json.loads(EXAMPLE.removeprefix(" Try: "))
    assert read(example).mode is Mode.OBSERVE


@pytest.mark.parametrize(
    ("tables", "told"),
    [
        (PLATFORM["tables"], "put ChatMessage-prod <pointer_parameter>\nwait"),
        ([], "put <table_name> <pointer_parameter>\nwait"),
        ([{"table_name": "t", "pointer_parameter": "/p"}], "put t /p\nwait"),
    ],
    ids=["a field is missing", "no target", "filled in"],
)
def test_what_the_example_needs_first_names_the_same_target(tables, told):
    runbook = dataclasses.replace(
        dial.RUNBOOK, preparation=("put <table_name> <pointer_parameter>", "wait")
    )
    assert runbook.preparation_for(parse(PLATFORM | {"tables": tables})) == told


# --- how far a request may go ---


def test_mode_is_the_ceiling_of_the_runbook_unless_asked_for_less():
    assert read({"target": TARGET}, runbooks={"stuck_dial": {"mode": "propose"}}).mode is (
        Mode.PROPOSE
    )


def test_mode_above_the_ceiling_is_refused_with_the_line_to_change():
    given = {"target": TARGET, "mode": "act"}
    assert refusal_of(given, runbooks={"stuck_dial": {"mode": "propose"}}) == (
        "mode: act is above the ceiling propose of stuck_dial; ask for propose, or raise "
        f"runbooks.stuck_dial.mode in platform.json.{EXAMPLE}"
    )


def test_mode_above_the_ceiling_of_the_platform_names_that_line():
    given = {"target": TARGET, "mode": "act"}
    assert "or raise mode in platform.json" in refusal_of(given, mode="observe")


def test_wrong_mode_is_answered_with_those_below_the_ceiling():
    given = {"target": TARGET, "mode": "go"}
    assert refusal_of(given, runbooks={"stuck_dial": {"mode": "observe"}}) == (
        f"mode: 'go' is not one of observe.{EXAMPLE}"
    )


def test_one_line_of_the_platform_file_sets_everything_to_observe():
    request = read({"target": TARGET}, mode="observe", runbooks={"stuck_dial": {"mode": "act"}})
    assert request.mode is Mode.OBSERVE


def test_platform_mode_never_raises_a_runbook():
    request = read({"target": TARGET}, mode="act", runbooks={"stuck_dial": {"mode": "observe"}})
    assert request.mode is Mode.OBSERVE


# --- an alarm ---


def test_metric_math_alarm_starts_a_run():
    request = read(read_event("alarm_metric_math"), THROTTLING)
    assert request == RunbookRequest(
        target={"table_name": "ChatMessage-prod"},
        mode=Mode.ACT,
        trigger=Trigger.ALARM,
        requested_by="alarm",
        reason="alarm remediation-ChatMessage-prod-throttled",
        event_id="5f0a1b5e-0f3c-4d0e-9a55-2f6f1f1d8c01",
        incident=Incident(
            alarm_name="remediation-ChatMessage-prod-throttled",
            alarm_arn="arn:aws:cloudwatch:us-east-1:123456789012:alarm:"
            "remediation-ChatMessage-prod-throttled",
            changed_at=datetime(2026, 3, 2, 12, 9, 58, 414_000, tzinfo=UTC),
            reason="Threshold Crossed: 2 out of the last 3 datapoints [57.0 (02/03/26 12:08:00), "
            "41.0 (02/03/26 12:07:00)] were greater than or equal to the threshold (1.0) "
            "(minimum 2 datapoints for OK -> ALARM transition).",
        ),
    )


def test_alarm_of_an_index_starts_a_run_for_its_table():
    request = read(read_event("alarm_single_metric"), THROTTLING)
    assert request.target == {"table_name": "ChatMessage-prod"}
    assert request.incident.alarm_name == (
        "remediation-ChatMessage-prod-chatSessionId-index-throttled"
    )


def test_alarm_without_reason_starts_a_run():
    request = read(read_event("alarm_without_reason_data"), THROTTLING)
    assert request.incident.reason == ""


def test_composite_alarm_released_from_suppression_starts_a_run():
    request = read(read_event("alarm_composite_released"))
    assert request.incident.changed_at == datetime(2026, 3, 2, 12, 11, 59, 201_000, tzinfo=UTC)


def test_alarm_run_goes_as_far_as_the_ceiling():
    event = read_event("alarm_metric_math")
    assert read(event, THROTTLING, mode="observe").mode is Mode.OBSERVE


def test_suppressed_composite_alarm_is_refused():
    assert refusal_of(read_event("alarm_composite_suppressed")) == (
        "remediation-system-outage: only an unsuppressed change to ALARM starts a run"
    )


def test_change_to_insufficient_data_is_refused():
    assert refusal_of(read_event("alarm_insufficient_data")) == (
        "remediation-ChatMessage-prod-throttled: only an unsuppressed change to ALARM starts a run"
    )


def test_alarm_of_somebody_else_is_refused():
    assert refusal_of(read_event("alarm_foreign"), TargetNotFoundError) == (
        "ServerCpuTooHigh: not an alarm of stuck_dial"
    )


def test_alarm_of_a_table_that_left_the_platform_is_refused():
    event = read_event("alarm_metric_math")
    with pytest.raises(TargetNotFoundError) as refusal:
        read(event, THROTTLING, tables=[{"table_name": "ChatSession-prod"}])
    assert str(refusal.value) == (
        "remediation-ChatMessage-prod-throttled: not an alarm of dynamodb_throttling"
    )


def test_alarm_event_without_an_alarm_is_refused():
    event = {"detail-type": "CloudWatch Alarm State Change"}
    assert refusal_of(event, TargetNotFoundError) == "alarm: not an alarm of stuck_dial"


def test_event_of_the_sweep_is_told_from_an_alarm():
    event = read_event("alarm_metric_math") | {"source": "remediation.sweep"}
    request = read(event)
    assert (request.trigger, request.requested_by) == (Trigger.SWEEP, "sweep")


def test_unknown_fields_of_an_event_are_left_alone():
    event = read_event("alarm_metric_math")
    event["detail"] |= {"alarmTags": {"team": "chat"}, "alarmTagsStatus": "COMPLETE"}
    del event["detail"]["configuration"]
    assert read(event).target == TARGET


def test_runbook_without_parameters_accepts_none():
    bare = dataclasses.replace(dial.RUNBOOK, parameters=NoParameters)
    with pytest.raises(InvalidRequestError) as refusal:
        read({"target": TARGET, "parameters": {"x": 1}}, bare)
    assert str(refusal.value).startswith("parameters.x: unknown field; accepted are none")
