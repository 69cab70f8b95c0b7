import json
from typing import Any

import pytest

from tests.local.workbench import Workbench, arn, eventually

pytestmark = pytest.mark.engine


def allow(*actions: str, on: str | list[str]) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": list(actions), "Resource": on}


def make_table(bench: Workbench, name: str) -> None:
    bench.client("dynamodb").create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )


def one_task(resource: str, arguments: dict[str, Any]) -> dict[str, Any]:
    task = {"Type": "Task", "Resource": resource, "Arguments": arguments, "End": True}
    return {"StartAt": "Do", "States": {"Do": task}}


def run_as(
    bench: Workbench, name: str, definition: dict[str, Any], *statements: dict[str, Any]
) -> dict[str, Any]:
    machine = bench.machine(name, definition, role=bench.role(name, *statements))
    return bench.ended(bench.start(machine))


def put_item(name: str) -> dict[str, Any]:
    arguments = {"TableName": name, "Item": {"pk": {"S": "1"}}}
    return one_task("arn:aws:states:::dynamodb:putItem", arguments)


def test_task_without_a_grant_is_denied(enforcing_bench: Workbench, name: str) -> None:
    make_table(enforcing_bench, name)
    other = allow("dynamodb:PutItem", on=arn("dynamodb", "table/another"))
    ended = run_as(enforcing_bench, name, put_item(name), other)
    assert ended["status"] == "FAILED"
    assert ended["error"] == "DynamoDb.AccessDeniedException"
    assert "is not authorized to perform: dynamodb:PutItem" in ended["cause"]
    assert enforcing_bench.client("dynamodb").scan(TableName=name)["Count"] == 0


def test_task_with_a_grant_on_its_resource_runs(enforcing_bench: Workbench, name: str) -> None:
    make_table(enforcing_bench, name)
    grant = allow("dynamodb:PutItem", on=arn("dynamodb", f"table/{name}"))
    assert run_as(enforcing_bench, name, put_item(name), grant)["status"] == "SUCCEEDED"


def test_transaction_is_checked_by_item(enforcing_bench: Workbench, name: str) -> None:
    make_table(enforcing_bench, name)
    items = [
        {"Put": {"TableName": name, "Item": {"pk": {"S": "1"}}}},
        {"Delete": {"TableName": name, "Key": {"pk": {"S": "2"}}}},
    ]
    definition = one_task(
        "arn:aws:states:::aws-sdk:dynamodb:transactWriteItems", {"TransactItems": items}
    )
    grant = allow("dynamodb:PutItem", on=arn("dynamodb", f"table/{name}"))
    assert "dynamodb:DeleteItem" in run_as(enforcing_bench, name, definition, grant)["cause"]


def test_function_is_granted_by_alias(enforcing_bench: Workbench, name: str) -> None:
    enforcing_bench.function(name, "def handler(event, context):\n    return 1\n")
    awslambda = enforcing_bench.client("lambda")
    version = awslambda.publish_version(FunctionName=name)["Version"]
    alias = awslambda.create_alias(FunctionName=name, Name="live", FunctionVersion=version)
    definition = one_task(
        "arn:aws:states:::lambda:invoke", {"FunctionName": alias["AliasArn"], "Payload": {}}
    )
    unqualified = allow("lambda:InvokeFunction", on=arn("lambda", f"function:{name}"))
    ended = run_as(enforcing_bench, name, definition, unqualified)
    assert ended["error"] == "Lambda.AccessDeniedException"
    granted = allow("lambda:InvokeFunction", on=alias["AliasArn"])
    ended = run_as(enforcing_bench, f"{name}-granted", definition, granted)
    assert ended["status"] == "SUCCEEDED"


def test_waiting_for_a_child_needs_the_right_to_watch_it(
    enforcing_bench: Workbench, name: str
) -> None:
    passing = {"StartAt": "P", "States": {"P": {"Type": "Pass", "End": True}}}
    role = enforcing_bench.role(f"{name}-child")
    child = enforcing_bench.machine(f"{name}-child", passing, role=role)
    definition = one_task(
        "arn:aws:states:::states:startExecution.sync:2", {"StateMachineArn": child, "Input": {}}
    )
    start = allow("states:StartExecution", on=child)
    ended = run_as(enforcing_bench, name, definition, start)
    assert "states:DescribeExecution" in ended["cause"]
    watch = allow(
        "states:DescribeExecution",
        "states:StopExecution",
        on=arn("states", f"execution:{name}-child:*"),
    )
    rule = allow("events:PutTargets", "events:PutRule", "events:DescribeRule", on="*")
    ended = run_as(enforcing_bench, f"{name}-granted", definition, start, watch, rule)
    assert ended["status"] == "SUCCEEDED"


@pytest.mark.parametrize("granted", [True, False])
def test_rule_starts_a_machine_only_with_its_role(
    enforcing_bench: Workbench, name: str, granted: bool
) -> None:
    bench = enforcing_bench
    passing = {"StartAt": "P", "States": {"P": {"Type": "Pass", "End": True}}}
    machine = bench.machine(name, passing, role=bench.role(f"{name}-machine"))
    statements = [allow("states:StartExecution", on=machine)] if granted else []
    role = bench.role(f"{name}-rule", *statements)
    url, dead_letters = bench.queue(name)
    events = bench.client("events")
    events.put_rule(Name=name, EventPattern=json.dumps({"source": [name]}))
    target = {
        "Id": "t",
        "Arn": machine,
        "RoleArn": role,
        "DeadLetterConfig": {"Arn": dead_letters},
    }
    events.put_targets(Rule=name, Targets=[target])
    events.put_events(Entries=[{"Source": name, "DetailType": "drill", "Detail": "{}"}])
    started = eventually(
        lambda: bench.client("stepfunctions").list_executions(stateMachineArn=machine)[
            "executions"
        ],
        seconds=2.0 if granted else 0.3,
    )
    assert bool(started) is granted
    assert len(bench.messages(url, seconds=0.3)) == (0 if granted else 1)
