import time
from typing import Any

import pytest

from local.engine.process import Engine
from tests.local.workbench import Workbench, metric_stat

pytestmark = pytest.mark.engine


def dimensions(name: str) -> list[dict[str, str]]:
    return [{"Name": "Case", "Value": name}]


def put(bench: Workbench, case: str, value: float, *, metric: str = "Failures", **at: Any) -> None:
    datum = {"MetricName": metric, "Dimensions": dimensions(case), "Value": value, **at}
    bench.client("cloudwatch").put_metric_data(Namespace="Local/Test", MetricData=[datum])


def test_alarm_looks_at_its_own_dimensions_only(bench: Workbench, name: str) -> None:
    for each in (name, f"not-{name}"):
        bench.alarm(each, Dimensions=dimensions(each), Period=60)
    put(bench, f"not-{name}", 5.0)
    assert bench.reaches(f"not-{name}", "ALARM")
    assert bench.state(name) == "INSUFFICIENT_DATA"
    put(bench, name, 5.0)
    assert bench.reaches(name, "ALARM")


@pytest.fixture(scope="module")
def states_after_data_stopped(engine: Engine) -> dict[str, list[str]]:
    """The states of three alarms while there is data, and some seconds after the last of it."""
    bench, case = Workbench(engine), "data-stops"
    table = [{"Name": "TableName", "Value": case}]
    bench.alarm("not-breaching", Dimensions=dimensions(case), TreatMissingData="notBreaching")
    bench.alarm("missing", Dimensions=dimensions(case))
    bench.alarm(
        "dynamodb",
        Namespace="AWS/DynamoDB",
        MetricName="WriteThrottleEvents",
        Dimensions=table,
        TreatMissingData="notBreaching",
    )
    put(bench, case, 5.0)
    datum = {"MetricName": "WriteThrottleEvents", "Dimensions": table, "Value": 5.0}
    bench.client("cloudwatch").put_metric_data(Namespace="AWS/DynamoDB", MetricData=[datum])
    alarms = ("not-breaching", "missing", "dynamodb")
    states = {a: ["ALARM" if bench.reaches(a, "ALARM") else bench.state(a)] for a in alarms}
    bench.reaches("not-breaching", "OK")
    bench.reaches("missing", "INSUFFICIENT_DATA")
    time.sleep(0.5)  # the third alarm's data is a little younger
    for alarm in alarms:
        states[alarm].append(bench.state(alarm))
    return states


@pytest.mark.parametrize(
    ("alarm", "expected"),
    [("not-breaching", "OK"), ("missing", "INSUFFICIENT_DATA"), ("dynamodb", "ALARM")],
)
def test_alarm_is_evaluated_after_data_has_stopped(
    states_after_data_stopped: dict[str, list[str]], alarm: str, expected: str
) -> None:
    assert states_after_data_stopped[alarm] == ["ALARM", expected]


def test_m_of_n_needs_m_breaching_periods(bench: Workbench, name: str) -> None:
    now = time.time()
    for each, needed in ((name, 2), (f"one-{name}", 1)):
        bench.alarm(
            each,
            Dimensions=dimensions(name),
            Period=60,
            EvaluationPeriods=3,
            DatapointsToAlarm=needed,
            TreatMissingData="notBreaching",
        )
    put(bench, name, 0.0, Timestamp=now - 120)
    put(bench, name, 5.0, Timestamp=now - 60)
    assert bench.reaches(f"one-{name}", "ALARM")
    assert bench.reaches(name, "OK")
    put(bench, name, 5.0, Timestamp=now)
    assert bench.reaches(name, "ALARM")


def error_rate(name: str) -> list[dict[str, Any]]:
    def query(identifier: str, metric: str) -> dict[str, Any]:
        stat = metric_stat("Local/Test", metric, {"Case": name})
        return {"Id": identifier, "MetricStat": stat, "ReturnData": False}

    expression = "IF(calls >= 20, 100 * FILL(errors, 0) / calls, 0)"
    return [
        {"Id": "rate", "Expression": expression, "Label": "Error rate", "ReturnData": True},
        query("errors", "Errors"),
        query("calls", "Calls"),
    ]


def test_metric_math_alarm_put_by_api_is_evaluated(bench: Workbench, name: str) -> None:
    bench.alarm(name, Metrics=error_rate(name), Threshold=5.0, TreatMissingData="notBreaching")
    put(bench, name, 2.0, metric="Errors")
    put(bench, name, 19.0, metric="Calls")
    assert bench.reaches(name, "OK")
    put(bench, name, 1.0, metric="Calls")
    assert bench.reaches(name, "ALARM")
    (alarm,) = bench.client("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"]
    assert [query["Id"] for query in alarm["Metrics"]] == ["rate", "errors", "calls"]
    assert "MetricName" not in alarm


def test_metric_math_alarm_of_a_template_is_evaluated(bench: Workbench, name: str) -> None:
    alarm = {
        "Type": "AWS::CloudWatch::Alarm",
        "Properties": {
            "AlarmName": name,
            "Metrics": error_rate(name),
            "EvaluationPeriods": 1,
            "Threshold": 5,
            "ComparisonOperator": "GreaterThanOrEqualToThreshold",
            "TreatMissingData": "notBreaching",
        },
    }
    bench.deploy(name, {"Alarm": alarm})
    put(bench, name, 40.0, metric="Calls")
    put(bench, name, 4.0, metric="Errors")
    assert bench.reaches(name, "ALARM")


def test_filled_alarm_waits_for_the_period_under_way(bench: Workbench, name: str) -> None:
    """FILL must not make a healthy zero of a period that has only begun."""
    queries = [
        {"Id": "sum", "Expression": "FILL(m, 0)", "ReturnData": True},
        {
            "Id": "m",
            "MetricStat": metric_stat("Local/Test", "Failures", {"Case": name}),
            "ReturnData": False,
        },
    ]
    bench.alarm(name, Metrics=queries, EvaluationPeriods=2)
    now = time.time()
    for age in (60, 120):
        put(bench, name, 5.0, Timestamp=now - age)
    assert bench.reaches(name, "ALARM")


def set_state(bench: Workbench, name: str, state: str) -> None:
    bench.client("cloudwatch").set_alarm_state(
        AlarmName=name, StateValue=state, StateReason="by hand"
    )


@pytest.mark.parametrize("state", ["ALARM", "OK"])
def test_state_set_by_hand_stays_while_there_is_no_data(
    bench: Workbench, name: str, state: str
) -> None:
    treatment = "notBreaching" if state == "ALARM" else "breaching"
    bench.alarm(name, Dimensions=dimensions(name), TreatMissingData=treatment)
    set_state(bench, name, state)
    time.sleep(1.5)
    assert bench.state(name) == state


def test_state_set_by_hand_reverts_at_the_next_evaluation_with_data(
    bench: Workbench, name: str
) -> None:
    bench.alarm(name, Dimensions=dimensions(name), Period=60)
    put(bench, name, 0.0)
    set_state(bench, name, "ALARM")
    assert bench.state(name) == "ALARM"
    assert bench.reaches(name, "OK", seconds=3.0)
