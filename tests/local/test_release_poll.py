import io
import json
import zipfile
from collections.abc import Iterator

import pytest

from local.engine.process import Engine
from local.incidents.incident import IncidentError
from local.incidents.release_poll import SWEEP_HANDLER, poll_releases
from tests.local.workbench import Workbench

pytestmark = pytest.mark.engine

TABLE = "runs"
FUNCTION_ARN = "arn:aws:lambda:us-east-1:000000000000:function:chat-lambda"
STAGE_ARN = "arn:aws:apigateway:us-east-1::/restapis/e1n2s3i4g5/stages/prod"
TARGETS = (":chat-lambda", "/e1n2s3i4g5/")

# A sweep that notes what its environment says; the time is that of the poll.
SWEEP = """
import json, os
from datetime import UTC, datetime
import boto3


def handler(event, context):
    table = boto3.resource("dynamodb").Table("runs")
    for arn, healthy in json.loads(os.environ["NOTED"]).items():
        now = datetime.now(UTC).isoformat()
        stay = {"value": "3", "since": now, "last_good": now if healthy else None}
        table.put_item(Item={"pk": f"LEDGER#{arn}", "seen": json.dumps([stay])})
    if "FAIL" in os.environ:
        raise RuntimeError("no run table")
"""


@pytest.fixture(scope="module")
def bench() -> Iterator[Workbench]:
    with Engine() as engine:
        bench = Workbench(engine)
        formation = bench.client("cloudformation")
        table = {
            "Type": "AWS::DynamoDB::Table",
            "Properties": {
                "TableName": TABLE,
                "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
                "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
                "BillingMode": "PAY_PER_REQUEST",
            },
        }
        template = {
            "Resources": {"Runs": table},
            "Outputs": {"RunTableName": {"Value": {"Ref": "Runs"}}},
        }
        formation.create_stack(StackName="product", TemplateBody=json.dumps(template))
        formation.get_waiter("stack_create_complete").wait(
            StackName="product", WaiterConfig={"Delay": 1}
        )
        yield bench


@pytest.fixture
def sweep(bench: Workbench) -> Iterator[Workbench]:
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        for folder in ("lambdas", "lambdas/oversight"):
            archive.writestr(f"{folder}/__init__.py", "")
        archive.writestr("lambdas/oversight/sweep.py", SWEEP)
    awslambda = bench.client("lambda")
    awslambda.create_function(
        FunctionName="sweep",
        Runtime="python3.11",
        Handler=SWEEP_HANDLER,
        Role=bench.any_role(),
        Code={"ZipFile": package.getvalue()},
        Timeout=20,
    )
    bench.await_active("sweep")
    yield bench
    awslambda.delete_function(FunctionName="sweep")


def noting(bench: Workbench, noted: dict[str, bool], **environment: str) -> None:
    awslambda = bench.client("lambda")
    variables = {"NOTED": json.dumps(noted), **environment}
    awslambda.update_function_configuration(
        FunctionName="sweep", Environment={"Variables": variables}
    )
    awslambda.get_waiter("function_updated_v2").wait(
        FunctionName="sweep", WaiterConfig={"Delay": 1}
    )


def test_poll_returns_once_each_target_was_seen_healthy(sweep: Workbench) -> None:
    noting(sweep, {FUNCTION_ARN: True, STAGE_ARN: True})

    poll_releases(sweep.client, targets=TARGETS)

    item = sweep.client("dynamodb").get_item(
        TableName=TABLE, Key={"pk": {"S": f"LEDGER#{FUNCTION_ARN}"}}
    )
    assert "Item" in item


def test_target_the_poll_found_red_is_named(sweep: Workbench) -> None:
    noting(sweep, {FUNCTION_ARN: True, STAGE_ARN: False})

    with pytest.raises(IncidentError) as failure:
        poll_releases(sweep.client, targets=TARGETS, seconds=0.5)
    assert "has not noted /e1n2s3i4g5/ as healthy" in str(failure.value)
    assert STAGE_ARN in str(failure.value)


def test_what_an_earlier_poll_saw_does_not_count(sweep: Workbench) -> None:
    noting(sweep, {FUNCTION_ARN: True, STAGE_ARN: True})
    poll_releases(sweep.client, targets=TARGETS)
    noting(sweep, {})

    with pytest.raises(IncidentError):
        poll_releases(sweep.client, targets=TARGETS, seconds=0.5)


def test_failed_sweep_says_why(sweep: Workbench) -> None:
    noting(sweep, {}, FAIL="yes")

    with pytest.raises(IncidentError) as failure:
        poll_releases(sweep.client, targets=TARGETS)
    assert "no run table" in str(failure.value)


def test_without_a_sweep_there_is_nothing_to_ask(bench: Workbench) -> None:
    with pytest.raises(IncidentError) as failure:
        poll_releases(bench.client, targets=TARGETS)
    assert "0 functions have the handler lambdas.oversight.sweep.handler" in str(failure.value)
