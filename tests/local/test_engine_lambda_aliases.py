import json

import pytest

from tests.local.workbench import Workbench, zipped

pytestmark = pytest.mark.engine


def code(answer: str) -> str:
    return f"def handler(event, context):\n    return {answer!r}\n"


def weighted(bench: Workbench, name: str, weight: float) -> None:
    """An alias on a version that answers "old", with a share of its calls to "new"."""
    bench.function(name, code("old"))
    awslambda = bench.client("lambda")
    old = awslambda.publish_version(FunctionName=name)["Version"]
    awslambda.update_function_code(FunctionName=name, ZipFile=zipped(code("new")))
    awslambda.get_waiter("function_updated_v2").wait(
        FunctionName=name, WaiterConfig={"Delay": 0.1, "MaxAttempts": 50}
    )
    new = awslambda.publish_version(FunctionName=name)["Version"]
    awslambda.create_alias(
        FunctionName=name,
        Name="live",
        FunctionVersion=old,
        RoutingConfig={"AdditionalVersionWeights": {new: weight}},
    )


def test_invocations_follow_the_weights(bench: Workbench, name: str) -> None:
    weighted(bench, name, 0.5)
    answers = {bench.invoke(name, Qualifier="live", Payload="{}")["Payload"] for _ in range(24)}
    # Both sides within 24 draws at 0.5, but for one chance in eight million.
    assert answers == {"old", "new"}


def test_executed_version_and_metrics_name_version_and_alias(bench: Workbench, name: str) -> None:
    weighted(bench, name, 1.0)
    answer = bench.invoke(name, Qualifier="live", Payload="{}")
    assert (answer["Payload"], answer["ExecutedVersion"]) == ("new", "2")
    dimensions = {"FunctionName": name, "Resource": f"{name}:live", "ExecutedVersion": "2"}
    assert bench.metric_sum("AWS/Lambda", "Invocations", dimensions) == 1


def test_state_machine_calls_follow_the_weights(bench: Workbench, name: str) -> None:
    weighted(bench, name, 1.0)
    task = {"Type": "Task", "Resource": f"{bench.function_arn(name)}:live", "End": True}
    ended = bench.run(name, {"StartAt": "Call", "States": {"Call": task}})
    assert json.loads(ended["output"]) == "new"
