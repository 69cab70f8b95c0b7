"""Bounds of Application Auto Scaling."""

import boto3
import pytest
from botocore.exceptions import ReadTimeoutError
from botocore.stub import Stubber
from moto import mock_aws

from lambdas.remediation.contracts import PlannedCall
from lambdas.remediation.errors import (
    ChangeFailedError,
    ResourceBusyError,
    TargetNotFoundError,
    ThrottledError,
)
from lambdas.remediation.resources.scalable_target import (
    ScalableTarget,
    ScalableTargets,
    resource_id,
    scalable_dimension,
)

DIMENSION = "dynamodb:index:WriteCapacityUnits"
CALL = PlannedCall(
    api="application-autoscaling:RegisterScalableTarget",
    resource=f"table/orders/index/by-day|{DIMENSION}|dynamodb",
    arguments={},
    before={"MinCapacity": 5, "MaxCapacity": 8},
    after={"MinCapacity": 10, "MaxCapacity": 10},
)


@pytest.fixture(autouse=True)
def _credentials(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


@pytest.fixture
def client():
    return boto3.client("application-autoscaling", region_name="us-east-1")


@pytest.fixture
def stub(client):
    with Stubber(client) as stubber:
        yield stubber
    stubber.assert_no_pending_responses()


def described(**overrides) -> dict:
    return {
        "ServiceNamespace": "dynamodb",
        "ResourceId": "table/orders/index/by-day",
        "ScalableDimension": DIMENSION,
        "MinCapacity": 5,
        "MaxCapacity": 8,
        "RoleARN": "arn:aws:iam::000000000000:role/scaling",
        "CreationTime": 0,
        **overrides,
    }


def test_ids_of_table_and_index():
    assert resource_id("orders", None) == "table/orders"
    assert resource_id("orders", "by-day") == "table/orders/index/by-day"
    assert scalable_dimension(None, "ReadCapacityUnits") == "dynamodb:table:ReadCapacityUnits"
    assert scalable_dimension("by-day", "WriteCapacityUnits") == DIMENSION


def test_reads_every_page(client, stub):
    asked = {
        "ServiceNamespace": "dynamodb",
        "ResourceIds": ["table/orders", "table/orders/index/by-day"],
    }
    suspended = {
        "DynamicScalingInSuspended": False,
        "DynamicScalingOutSuspended": True,
        "ScheduledScalingSuspended": False,
    }
    first = described(
        ResourceId="table/orders",
        ScalableDimension="dynamodb:table:ReadCapacityUnits",
        SuspendedState=suspended,
    )
    stub.add_response(
        "describe_scalable_targets", {"ScalableTargets": [first], "NextToken": "more"}, asked
    )
    stub.add_response(
        "describe_scalable_targets",
        {"ScalableTargets": [described()]},
        {**asked, "NextToken": "more"},
    )

    found = ScalableTargets(client).read(["table/orders", "table/orders/index/by-day"])

    assert found == (
        ScalableTarget(
            resource_id="table/orders",
            scalable_dimension="dynamodb:table:ReadCapacityUnits",
            min_capacity=5,
            max_capacity=8,
            scaling_out_suspended=True,
        ),
        ScalableTarget(
            resource_id="table/orders/index/by-day",
            scalable_dimension=DIMENSION,
            min_capacity=5,
            max_capacity=8,
        ),
    )


def test_present_has_exactly_the_bounds_of_its_dimension(client, stub):
    other = described(ScalableDimension="dynamodb:index:ReadCapacityUnits", MinCapacity=1)
    stub.add_response("describe_scalable_targets", {"ScalableTargets": [other, described()]})

    assert ScalableTargets(client).present(CALL) == {"MinCapacity": 5, "MaxCapacity": 8}


def test_a_target_that_was_deregistered_is_not_registered_again(client, stub):
    stub.add_response("describe_scalable_targets", {"ScalableTargets": []})

    with pytest.raises(TargetNotFoundError):
        ScalableTargets(client).present(CALL)


@pytest.fixture
def registered(client):
    """The client of a simulated AWS in which the index has a scalable target with 5 to 8."""
    with mock_aws():
        units = {"ReadCapacityUnits": 5, "WriteCapacityUnits": 5}
        boto3.client("dynamodb", region_name="us-east-1").create_table(
            TableName="orders",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[
                {"AttributeName": "id", "AttributeType": "S"},
                {"AttributeName": "day", "AttributeType": "S"},
            ],
            ProvisionedThroughput=units,
            GlobalSecondaryIndexes=[
                {
                    "IndexName": "by-day",
                    "KeySchema": [{"AttributeName": "day", "KeyType": "HASH"}],
                    "Projection": {"ProjectionType": "ALL"},
                    "ProvisionedThroughput": units,
                }
            ],
        )
        client.register_scalable_target(
            ServiceNamespace="dynamodb",
            ResourceId="table/orders/index/by-day",
            ScalableDimension=DIMENSION,
            MinCapacity=5,
            MaxCapacity=8,
        )
        yield client


def test_sets_both_bounds_and_takes_them_back(registered):
    targets = ScalableTargets(registered)

    targets.apply(CALL)
    raised = targets.present(CALL)
    targets.apply(CALL.inverse())

    assert raised == CALL.after
    assert targets.present(CALL) == CALL.before


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("ConcurrentUpdateException", ResourceBusyError),
        ("InternalServiceException", ThrottledError),
    ],
)
def test_errors_that_may_be_repeated(client, stub, code, expected):
    stub.add_client_error("register_scalable_target", code)

    with pytest.raises(expected):
        ScalableTargets(client).apply(CALL)


@pytest.mark.parametrize("code", ["ValidationException", "LimitExceededException"])
def test_refused_by_aws(client, stub, code):
    stub.add_client_error("register_scalable_target", code, "maximum below minimum")
    stub.add_response("describe_scalable_targets", {"ScalableTargets": [described()]})

    with pytest.raises(ChangeFailedError) as caught:
        ScalableTargets(client).apply(CALL)

    assert "maximum below minimum" in str(caught.value)


def test_a_change_whose_answer_is_lost_was_made(registered):
    def lose_answer(**_):
        raise ReadTimeoutError(endpoint_url="https://autoscaling.us-east-1.amazonaws.com")

    registered.meta.events.register(
        "after-call.application-autoscaling.RegisterScalableTarget", lose_answer
    )
    targets = ScalableTargets(registered)

    targets.apply(CALL)

    assert targets.present(CALL) == CALL.after


@pytest.mark.parametrize("scaled", [True, False])
def test_tells_whether_an_alias_of_lambda_is_scaled(client, stub, scaled):
    target = described(
        ServiceNamespace="lambda",
        ResourceId="function:chat:live",
        ScalableDimension="lambda:function:ProvisionedConcurrency",
    )
    stub.add_response(
        "describe_scalable_targets",
        {"ScalableTargets": [target] if scaled else []},
        {"ServiceNamespace": "lambda", "ResourceIds": ["function:chat:live"]},
    )

    assert ScalableTargets(client).scales_alias("chat", "live") is scaled
