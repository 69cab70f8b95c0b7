from typing import Any

import pytest

from tests.local.workbench import Workbench

pytestmark = pytest.mark.engine


def resources(name: str, operator: str) -> dict[str, Any]:
    def child(suffix: str) -> dict[str, Any]:
        return {
            "Type": "AWS::CloudWatch::Alarm",
            "Properties": {
                "AlarmName": f"{name}-{suffix}",
                "Namespace": "Local/Composite",
                "MetricName": name,
                "Statistic": "Sum",
                "Period": 60,
                "EvaluationPeriods": 1,
                "Threshold": 1,
                "ComparisonOperator": "GreaterThanThreshold",
            },
        }

    rule = ['ALARM("', {"Ref": "First"}, f'") {operator} ALARM("', {"Ref": "Second"}, '")']
    composite = {
        "Type": "AWS::CloudWatch::CompositeAlarm",
        "Properties": {"AlarmName": name, "AlarmRule": {"Fn::Join": ["", rule]}},
    }
    return {"First": child("first"), "Second": child("second"), "Both": composite}


def test_composite_alarm_of_a_template_follows_its_children(bench: Workbench, name: str) -> None:
    bench.deploy(name, resources(name, "AND"))
    assert bench.state(name) == "OK"
    alarms = bench.client("cloudwatch")
    for suffix, expected in (("first", "OK"), ("second", "ALARM")):
        alarms.set_alarm_state(
            AlarmName=f"{name}-{suffix}", StateValue="ALARM", StateReason="drill"
        )
        assert bench.state(name) == expected


def test_stack_updates_and_deletes_the_composite_alarm(bench: Workbench, name: str) -> None:
    bench.deploy(name, resources(name, "AND"))
    bench.client("cloudwatch").set_alarm_state(
        AlarmName=f"{name}-first", StateValue="ALARM", StateReason="drill"
    )
    bench.deploy(name, resources(name, "OR"))
    assert bench.state(name) == "ALARM"
    rest = {key: value for key, value in resources(name, "OR").items() if key != "Both"}
    bench.deploy(name, rest)
    answer = bench.client("cloudwatch").describe_alarms(
        AlarmNames=[name], AlarmTypes=["CompositeAlarm"]
    )
    assert answer["CompositeAlarms"] == []
