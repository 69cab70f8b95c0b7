"""Which events the rules let through, with the events that AWS documents."""

import copy
import json

import pytest
from moto.events.models import EventPattern

from tests.infrastructure.synthesis import flat

ALARM = "remediation-ChatMessage-prod-throttled"
ACCOUNT = "123456789012"
# Amazon CloudWatch User Guide, "Alarm events and EventBridge": metric alarm on a math expression.
ALARM_EVENT = {
    "version": "0",
    "id": "2dde0eb1-528b-d2d5-9ca6-6d590caf2329",
    "detail-type": "CloudWatch Alarm State Change",
    "source": "aws.cloudwatch",
    "account": ACCOUNT,
    "time": "2019-10-02T17:20:48Z",
    "region": "us-east-1",
    "resources": [f"arn:aws:cloudwatch:us-east-1:{ACCOUNT}:alarm:{ALARM}"],
    "detail": {
        "alarmName": ALARM,
        "configuration": {
            "description": "ChatMessage-prod throttles requests.",
            "metrics": [
                {
                    "expression": "FILL(reads,0)+FILL(writes,0)",
                    "id": "e1",
                    "label": "throttled requests",
                    "returnData": True,
                },
                {
                    "id": "writes",
                    "metricStat": {
                        "metric": {
                            "dimensions": {"TableName": "ChatMessage-prod"},
                            "name": "WriteThrottleEvents",
                            "namespace": "AWS/DynamoDB",
                        },
                        "period": 60,
                        "stat": "Sum",
                    },
                    "returnData": False,
                },
            ],
        },
        "previousState": {
            "reason": "Unchecked: Initial alarm creation",
            "timestamp": "2019-10-02T17:20:03.642+0000",
            "value": "INSUFFICIENT_DATA",
        },
        "state": {
            "reason": "Threshold Crossed: 2 out of the last 3 datapoints",
            "reasonData": '{"version":"1.0","threshold":1.0}',
            "timestamp": "2019-10-02T17:20:48.554+0000",
            "value": "ALARM",
        },
    },
}
SUPPRESSED = {
    "actionsSuppressedBy": "WaitPeriod",
    "actionsSuppressedReason": "Actions suppressed by WaitPeriod",
}
# AWS Step Functions Developer Guide, "Execution status change events".
EXECUTION_EVENT = {
    "version": "0",
    "id": "315c1398-40ff-a850-213b-158f73e60175",
    "detail-type": "Step Functions Execution Status Change",
    "source": "aws.states",
    "account": ACCOUNT,
    "time": "2019-02-26T19:42:21Z",
    "region": "us-east-1",
    "resources": [f"arn:aws:states:us-east-1:{ACCOUNT}:execution:remediation-x:run"],
    "detail": {
        "executionArn": f"arn:aws:states:us-east-1:{ACCOUNT}:execution:remediation-x:run",
        "stateMachineArn": "",
        "name": "run",
        "status": "FAILED",
        "startDate": 1551225146847,
        "stopDate": 1551225151881,
        "input": "{}",
        "output": None,
    },
}


def event(**changes):
    """The alarm event with changes; a key `state__value` reaches into `detail.state`."""
    changed = copy.deepcopy(ALARM_EVENT)
    for path, value in changes.items():
        *parents, key = path.split("__")
        holder = changed["detail"] if parents and parents[0] == "detail" else changed
        for parent in parents[1:] if parents else []:
            holder = holder[parent]
        holder[key.replace("_", "-") if not parents else key] = value
    return changed


def suppressed(state):
    changed = copy.deepcopy(ALARM_EVENT)
    changed["detail"][state].update(SUPPRESSED)
    return changed


def matches(rule, given):
    return EventPattern.load(json.dumps(rule["EventPattern"])).matches_event(given)


def rules(product, source):
    return [
        rule
        for rule in product.of_type("AWS::Events::Rule").values()
        if rule.get("EventPattern", {}).get("source") == [source]
    ]


def starts(product, given):
    return any(matches(rule, given) for rule in rules(product, "aws.cloudwatch"))


@pytest.mark.parametrize(
    "name",
    [
        "remediation-ChatMessage-prod-throttled",
        "remediation-ChatMessage-prod-chatSessionId-index-throttled",
        "remediation-ChatSession-prod-throttled",
    ],
)
def test_an_alarm_of_ours_starts_a_runbook(product, name):
    assert starts(product, event(detail__alarmName=name))


def test_an_alarm_that_was_suppressed_and_no_longer_is_starts_a_runbook(product):
    """The released suppression sends ALARM again, with the old suppression in `previousState`."""
    assert starts(product, suppressed("previousState"))


def test_an_alarm_without_reason_data_starts_a_runbook(product):
    given = event()
    del given["detail"]["state"]["reasonData"]

    assert starts(product, given)


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(event(detail__state__value="OK"), id="back to OK"),
        pytest.param(event(detail__state__value="INSUFFICIENT_DATA"), id="insufficient data"),
        pytest.param(suppressed("state"), id="suppressed"),
        pytest.param(event(detail__alarmName="billing-too-high"), id="foreign alarm"),
        pytest.param(
            event(detail__alarmName="remediation-ChatMessage-prod-throttled-2"), id="longer name"
        ),
        pytest.param(event(detail__alarmName="remediation-dead-letters"), id="alarm on ourselves"),
        pytest.param(event(source="my.application"), id="not from CloudWatch"),
        pytest.param(
            event(detail_type="CloudWatch Alarm Configuration Change"), id="alarm was edited"
        ),
    ],
)
def test_starts_nothing(product, given):
    assert not starts(product, given)


def test_one_event_starts_one_runbook(product):
    matching = [rule for rule in rules(product, "aws.cloudwatch") if matches(rule, ALARM_EVENT)]

    assert len(matching) == 1


def ended(product, **detail):
    """Whether a rule closes this execution; its machine is the first runbook's."""
    closing = json.loads(json.dumps(rules(product, "aws.states")))
    for rule in closing:
        arns = rule["EventPattern"]["detail"]["stateMachineArn"]
        rule["EventPattern"]["detail"]["stateMachineArn"] = [flat(arn) for arn in arns]
    ours = closing[0]["EventPattern"]["detail"]["stateMachineArn"][0]
    given = copy.deepcopy(EXECUTION_EVENT)
    given["detail"].update({"stateMachineArn": ours, **detail})
    return any(matches(rule, given) for rule in closing)


@pytest.mark.parametrize("status", ["FAILED", "TIMED_OUT", "ABORTED"])
def test_an_execution_that_ended_badly_is_closed(product, status):
    assert ended(product, status=status)


@pytest.mark.parametrize("status", ["RUNNING", "SUCCEEDED", "PENDING_REDRIVE"])
def test_other_executions_are_left_alone(product, status):
    assert not ended(product, status=status)


def test_executions_of_other_machines_are_left_alone(product):
    assert not ended(product, stateMachineArn="arn:aws:states:us-east-1:1:stateMachine:other")


def test_patterns_fit_what_eventbridge_takes(product):
    for source in ("aws.cloudwatch", "aws.states"):
        for rule in rules(product, source):
            assert len(json.dumps(rule["EventPattern"])) < 4_096
