import json
import re

import pytest

from tests.local.workbench import Workbench, arn, metric_stat

pytestmark = pytest.mark.engine
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000")


def events_of(bench: Workbench, name: str) -> str:
    pattern = {
        "source": ["aws.cloudwatch"],
        "detail-type": ["CloudWatch Alarm State Change"],
        "detail": {"alarmName": [name], "state": {"value": ["ALARM"]}},
    }
    return bench.queue_on_rule(name, pattern)


def set_state(bench: Workbench, name: str, state: str, reason: str, **fields: str) -> None:
    bench.client("cloudwatch").set_alarm_state(
        AlarmName=name, StateValue=state, StateReason=reason, **fields
    )


def test_state_change_reaches_default_bus_in_the_documented_envelope(
    bench: Workbench, name: str
) -> None:
    url = events_of(bench, name)
    bench.alarm(
        name,
        AlarmDescription="what to do next",
        Dimensions=[{"Name": "TableName", "Value": name}],
        ActionsEnabled=False,
    )
    set_state(bench, name, "OK", "calm")
    set_state(bench, name, "ALARM", "drill", StateReasonData=json.dumps({"version": "1.0"}))

    (event,) = bench.messages(url)
    detail = event["detail"]
    assert event["source"] == "aws.cloudwatch"
    assert event["detail-type"] == "CloudWatch Alarm State Change"
    assert event["resources"] == [arn("cloudwatch", f"alarm:{name}")]
    assert detail["configuration"] == {
        "description": "what to do next",
        "metrics": [
            {
                "id": "m1",
                "metricStat": {
                    "metric": {
                        "namespace": "Local/Test",
                        "name": "Failures",
                        "dimensions": {"TableName": name},
                    },
                    "period": 1,
                    "stat": "Sum",
                },
                "returnData": True,
            }
        ],
    }
    assert detail["state"]["value"] == "ALARM"
    assert detail["state"]["reason"] == "drill"
    assert json.loads(detail["state"]["reasonData"]) == {"version": "1.0"}
    assert TIMESTAMP.fullmatch(detail["state"]["timestamp"])
    assert detail["previousState"]["value"] == "OK"
    assert detail["previousState"]["reason"] == "calm"
    assert "reasonData" not in detail["previousState"]
    assert TIMESTAMP.fullmatch(detail["previousState"]["timestamp"])


def test_first_change_names_the_creation_as_previous_state(bench: Workbench, name: str) -> None:
    url = events_of(bench, name)
    bench.alarm(name, Dimensions=[{"Name": "TableName", "Value": name}])
    set_state(bench, name, "ALARM", "drill")

    (event,) = bench.messages(url)
    previous = event["detail"]["previousState"]
    assert previous["value"] == "INSUFFICIENT_DATA"
    assert previous["reason"] == "Unchecked: Initial alarm creation"


def test_metric_math_alarm_lists_its_queries(bench: Workbench, name: str) -> None:
    url = events_of(bench, name)
    bench.alarm(
        name,
        Metrics=[
            {"Id": "e1", "Expression": "100 * m1", "Label": "Percent", "ReturnData": True},
            {
                "Id": "m1",
                "MetricStat": metric_stat("Local/Test", "Ratio", {"Case": name}),
                "ReturnData": False,
            },
        ],
    )
    set_state(bench, name, "ALARM", "drill")

    (event,) = bench.messages(url)
    assert event["detail"]["configuration"]["metrics"] == [
        {"id": "e1", "returnData": True, "label": "Percent", "expression": "100 * m1"},
        {
            "id": "m1",
            "returnData": False,
            "metricStat": {
                "metric": {
                    "namespace": "Local/Test",
                    "name": "Ratio",
                    "dimensions": {"Case": name},
                },
                "period": 60,
                "stat": "Sum",
            },
        },
    ]


def test_composite_alarm_carries_rule_and_triggering_alarms(bench: Workbench, name: str) -> None:
    url = events_of(bench, name)
    bench.alarm(f"{name}-child", Dimensions=[{"Name": "TableName", "Value": name}])
    rule = f'ALARM("{name}-child")'
    bench.client("cloudwatch").put_composite_alarm(AlarmName=name, AlarmRule=rule)
    set_state(bench, f"{name}-child", "ALARM", "drill")

    (event,) = bench.messages(url)
    detail = event["detail"]
    assert detail["configuration"] == {"alarmRule": rule}
    (trigger,) = json.loads(detail["state"]["reasonData"])["triggeringAlarms"]
    assert trigger["arn"] == arn("cloudwatch", f"alarm:{name}-child")
    assert detail["previousState"]["value"] == "OK"
