import json
import time
from typing import Any

import pytest

from local.engine.process import ACCOUNT_ID
from tests.local.workbench import Workbench, eventually

pytestmark = pytest.mark.engine

# Longer than any test, at the engine's wait scale of 0.01.
LONG = {"Type": "Wait", "Seconds": 3000, "End": True}
SLOW = """
import time


def handler(event, context):
    time.sleep(1.0)
    raise ValueError("late")
"""


def status_events(bench: Workbench, name: str, status: str) -> str:
    machine = f"arn:aws:states:us-east-1:{ACCOUNT_ID}:stateMachine:{name}"
    return bench.queue_on_rule(
        name,
        {
            "source": ["aws.states"],
            "detail": {"status": [status], "stateMachineArn": [machine]},
        },
    )


def waiting(**fields: Any) -> dict[str, Any]:
    return {"StartAt": "Wait", "States": {"Wait": LONG}, **fields}


def test_machine_timeout_ends_the_execution_as_timed_out(bench: Workbench, name: str) -> None:
    url = status_events(bench, name, "TIMED_OUT")
    ended = bench.run(name, waiting(TimeoutSeconds=1))
    assert ended["status"] == "TIMED_OUT"
    assert ended["error"] == "States.Timeout"
    (event,) = bench.messages(url)
    assert event["detail-type"] == "Step Functions Execution Status Change"
    assert event["detail"]["executionArn"] == ended["executionArn"]
    history = bench.client("stepfunctions").get_execution_history(
        executionArn=ended["executionArn"], reverseOrder=True
    )
    assert history["events"][0]["type"] == "ExecutionTimedOut"


def test_aborted_execution_stays_aborted_when_its_task_fails_later(
    bench: Workbench, name: str
) -> None:
    function = bench.function(name, SLOW, Timeout=10)
    task = {"Type": "Task", "Resource": function, "End": True}
    execution = bench.start(bench.machine(name, {"StartAt": "Call", "States": {"Call": task}}))
    time.sleep(0.5)
    bench.client("stepfunctions").stop_execution(executionArn=execution)
    time.sleep(1.2)
    assert bench.describe(execution)["status"] == "ABORTED"


def asking(name: str, **fields: Any) -> dict[str, Any]:
    """A machine that stores its task token in a table and waits for the answer."""
    task = {
        "Type": "Task",
        "Resource": "arn:aws:states:::aws-sdk:dynamodb:putItem.waitForTaskToken",
        "Arguments": {
            "TableName": name,
            "Item": {"pk": {"S": "token"}, "token": {"S": "{% $states.context.Task.Token %}"}},
        },
        "End": True,
        **fields,
    }
    return {"StartAt": "Ask", "States": {"Ask": task}}


def make_table(bench: Workbench, name: str) -> None:
    bench.client("dynamodb").create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )


@pytest.mark.parametrize("field", ["TimeoutSeconds", "HeartbeatSeconds"])
def test_callback_times_out_after_an_evaluated_limit(
    bench: Workbench, name: str, field: str
) -> None:
    make_table(bench, name)
    machine = asking(name, **{field: "{% $states.input.limit %}"})
    ended = bench.run(name, machine, {"limit": 1})
    assert (ended["status"], ended["error"]) == ("FAILED", "States.Timeout")


def test_timeout_that_cannot_be_evaluated_is_caught(bench: Workbench, name: str) -> None:
    make_table(bench, name)
    catch = {"ErrorEquals": ["States.QueryEvaluationError"], "Next": "Caught"}
    machine = asking(name, TimeoutSeconds="{% $states.input.absent %}", Catch=[catch])
    machine["States"]["Caught"] = {"Type": "Pass", "End": True}
    assert bench.run(name, machine)["status"] == "SUCCEEDED"


def test_callback_is_answered_within_its_evaluated_timeout(bench: Workbench, name: str) -> None:
    make_table(bench, name)
    machine = bench.machine(name, asking(name, TimeoutSeconds="{% $states.input.limit %}"))
    execution = bench.start(machine, {"limit": 30})
    key = {"pk": {"S": "token"}}
    item = eventually(
        lambda: bench.client("dynamodb").get_item(TableName=name, Key=key).get("Item")
    )
    bench.client("stepfunctions").send_task_success(
        taskToken=item["token"]["S"], output=json.dumps({"decision": "approve"})
    )
    ended = bench.ended(execution)
    assert ended["status"] == "SUCCEEDED"
    assert json.loads(ended["output"]) == {"decision": "approve"}


def parent_of(child: str, **fields: Any) -> dict[str, Any]:
    task = {
        "Type": "Task",
        "Resource": "arn:aws:states:::states:startExecution.sync:2",
        "Arguments": {"StateMachineArn": child, "Input": {"from": "parent"}},
        "End": True,
        **fields,
    }
    return {"StartAt": "Child", "States": {"Child": task}}


def only_execution(bench: Workbench, machine: str) -> dict[str, Any] | None:
    found = bench.client("stepfunctions").list_executions(stateMachineArn=machine)["executions"]
    return found[0] if found else None


def test_child_is_stopped_with_its_parent(bench: Workbench, name: str) -> None:
    child = bench.machine(f"{name}-child", waiting())
    parent = bench.start(bench.machine(name, parent_of(child)))
    assert eventually(lambda: only_execution(bench, child))
    bench.client("stepfunctions").stop_execution(executionArn=parent)
    assert eventually(lambda: only_execution(bench, child)["status"] == "ABORTED")


def test_child_is_stopped_when_its_task_times_out(bench: Workbench, name: str) -> None:
    child = bench.machine(f"{name}-child", waiting())
    ended = bench.run(name, parent_of(child, TimeoutSeconds=1))
    assert ended["error"] == "States.Timeout"
    assert eventually(lambda: only_execution(bench, child)["status"] == "ABORTED")


def test_failed_child_fails_its_parent_with_its_description(bench: Workbench, name: str) -> None:
    url = status_events(bench, f"{name}-child", "FAILED")
    fail = {"Type": "Fail", "Error": "rolled_back", "Cause": "because"}
    child = bench.machine(f"{name}-child", {"StartAt": "F", "States": {"F": fail}})
    ended = bench.run(name, parent_of(child))
    assert ended["error"] == "States.TaskFailed"
    description = json.loads(ended["cause"])
    assert (description["Status"], description["Error"]) == ("FAILED", "rolled_back")
    assert description["Cause"] == "because"
    (event,) = bench.messages(url)
    assert event["detail"]["executionArn"] == description["ExecutionArn"]


def test_successful_child_returns_its_parsed_output(bench: Workbench, name: str) -> None:
    child = bench.machine(
        f"{name}-child", {"StartAt": "P", "States": {"P": {"Type": "Pass", "End": True}}}
    )
    output = json.loads(bench.run(name, parent_of(child))["output"])
    assert output["Output"] == {"from": "parent"}


def test_parallel_honours_arguments_output_and_assign(bench: Workbench, name: str) -> None:
    def branch(expression: str) -> dict[str, Any]:
        return {
            "StartAt": "B",
            "States": {"B": {"Type": "Pass", "Output": expression, "End": True}},
        }

    both = {
        "Type": "Parallel",
        "Arguments": {"n": "{% $states.input.n + 1 %}"},
        "Branches": [branch("{% $states.input.n %}"), branch("{% $states.input.n * 10 %}")],
        "Output": {"sum": "{% $sum($states.result) %}", "n": "{% $states.input.n %}"},
        "Assign": {"second": "{% $states.result[1] %}"},
        "Next": "After",
    }
    after = {
        "Type": "Pass",
        "Output": {"parallel": "{% $states.input %}", "second": "{% $second %}"},
        "End": True,
    }
    ended = bench.run(name, {"StartAt": "Both", "States": {"Both": both, "After": after}}, {"n": 1})
    assert json.loads(ended["output"]) == {"parallel": {"sum": 22, "n": 1}, "second": 20}


def test_variables_assigned_in_a_branch_stay_there(bench: Workbench, name: str) -> None:
    branch = {
        "StartAt": "B",
        "States": {"B": {"Type": "Pass", "Assign": {"outer": "inner"}, "End": True}},
    }
    states = {
        "Begin": {"Type": "Pass", "Assign": {"outer": "kept"}, "Next": "Both"},
        "Both": {"Type": "Parallel", "Branches": [branch], "Next": "After"},
        "After": {"Type": "Pass", "Output": "{% $outer %}", "End": True},
    }
    ended = bench.run(name, {"StartAt": "Begin", "States": states})
    assert json.loads(ended["output"]) == "kept"


def test_same_start_again_is_the_same_execution(bench: Workbench, name: str) -> None:
    machine = bench.machine(name, waiting(TimeoutSeconds=5))
    first = bench.start(machine, {"a": 1}, name="once")
    again = bench.start(machine, {"a": 1}, name="once")
    assert again == first
    client = bench.client("stepfunctions")
    with pytest.raises(client.exceptions.ExecutionAlreadyExists):
        bench.start(machine, {"a": 2}, name="once")
    client.stop_execution(executionArn=first)


def test_executions_are_counted_in_metrics(bench: Workbench, name: str) -> None:
    fail = {"Type": "Fail", "Error": "E", "Cause": "C"}
    machine = bench.machine(name, {"StartAt": "F", "States": {"F": fail}})
    bench.ended(bench.start(machine))
    dimensions = {"StateMachineArn": machine}
    assert bench.metric_sum("AWS/States", "ExecutionsStarted", dimensions) == 1
    assert eventually(lambda: bench.metric_sum("AWS/States", "ExecutionsFailed", dimensions) == 1)
