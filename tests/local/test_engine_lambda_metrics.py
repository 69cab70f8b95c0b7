import pytest

from tests.local.workbench import Workbench

pytestmark = pytest.mark.engine

CODE = """
def handler(event, context):
    if event.get("fail"):
        raise ValueError("asked to")
    return context.invoked_function_arn
"""


def published(bench: Workbench, name: str) -> str:
    bench.function(name, CODE)
    awslambda = bench.client("lambda")
    version = awslambda.publish_version(FunctionName=name)["Version"]
    awslambda.create_alias(FunctionName=name, Name="live", FunctionVersion=version)
    return str(version)


def test_state_machine_calls_are_counted_by_alias_and_version(bench: Workbench, name: str) -> None:
    version = published(bench, name)
    task = {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Arguments": {"FunctionName": f"{name}:live", "Payload": {"fail": True}},
        "End": True,
    }
    bench.run(name, {"StartAt": "Call", "States": {"Call": task}})
    resource = {"FunctionName": name, "Resource": f"{name}:live"}
    for dimensions in (
        {"FunctionName": name},
        resource,
        {**resource, "ExecutedVersion": version},
    ):
        assert bench.metric_sum("AWS/Lambda", "Invocations", dimensions) == 1
        assert bench.metric_sum("AWS/Lambda", "Errors", dimensions) == 1
        assert bench.metric_sum("AWS/Lambda", "Duration", dimensions) > 0


def test_direct_invocation_is_counted_once(bench: Workbench, name: str) -> None:
    published(bench, name)
    assert bench.invoke(name, Qualifier="live", Payload="{}")["Payload"].endswith(":live")
    dimensions = {"FunctionName": name, "Resource": f"{name}:live"}
    assert bench.metric_sum("AWS/Lambda", "Invocations", dimensions) == 1
    assert bench.metric_sum("AWS/Lambda", "Errors", dimensions) == 0


def test_throttle_is_counted_once_and_is_no_invocation(bench: Workbench, name: str) -> None:
    function = bench.function(name, CODE)
    bench.client("lambda").put_function_concurrency(
        FunctionName=name, ReservedConcurrentExecutions=0
    )
    # By a state machine: the SDK's client would retry, and each try is a throttle.
    task = {"Type": "Task", "Resource": function, "End": True}
    bench.run(name, {"StartAt": "Call", "States": {"Call": task}})
    dimensions = {"FunctionName": name}
    assert bench.metric_sum("AWS/Lambda", "Throttles", dimensions) == 1
    assert bench.metric_sum("AWS/Lambda", "Invocations", dimensions) is None


def test_real_failure_sets_off_the_alarm_of_the_alias(bench: Workbench, name: str) -> None:
    published(bench, name)
    bench.alarm(
        name,
        Namespace="AWS/Lambda",
        MetricName="Errors",
        Period=60,
        Dimensions=[
            {"Name": "FunctionName", "Value": name},
            {"Name": "Resource", "Value": f"{name}:live"},
        ],
    )
    bench.invoke(name, Qualifier="live", Payload='{"fail": true}')
    assert bench.reaches(name, "ALARM", seconds=2.0)
