"""Scaling of a table carried to another one, against simulated Application Auto Scaling."""

from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from lambdas.remediation.contracts import PlannedCall
from lambdas.remediation.errors import ChangeFailedError, ThrottledError
from lambdas.remediation.resources.table_scaling import TableScaling

DIMENSION, INDEX_DIMENSION = (
    "dynamodb:table:ReadCapacityUnits",
    "dynamodb:index:ReadCapacityUnits",
)
SUSPENDED = {
    "DynamicScalingInSuspended": False,
    "DynamicScalingOutSuspended": True,
    "ScheduledScalingSuspended": False,
}
TRACKING = {
    "TargetValue": 70.0,
    "PredefinedMetricSpecification": {"PredefinedMetricType": "DynamoDBReadCapacityUtilization"},
}


def identity(resource: str, dimension: str = DIMENSION) -> dict[str, str]:
    return {
        "ServiceNamespace": "dynamodb",
        "ResourceId": resource,
        "ScalableDimension": dimension,
    }


def target(resource: str, dimension: str = DIMENSION) -> dict[str, Any]:
    return {
        **identity(resource, dimension),
        "MinCapacity": 5,
        "MaxCapacity": 50,
        "RoleARN": "arn:aws:iam::123456789012:role/scaling",
        "CreationTime": 0,
        "SuspendedState": SUSPENDED,
    }


def policy(resource: str, kind: str = "TargetTrackingScaling") -> dict[str, Any]:
    tracking = {"TargetTrackingScalingPolicyConfiguration": TRACKING}
    return {
        **identity(resource),
        "PolicyARN": "arn:aws:autoscaling:us-east-1:123456789012:scalingPolicy:1",
        "PolicyName": "follow",
        "PolicyType": kind,
        "CreationTime": 0,
        **(tracking if kind == "TargetTrackingScaling" else {}),
    }


REGISTER = PlannedCall(
    api="application-autoscaling:RegisterScalableTarget",
    resource=f"table/new|{DIMENSION}",
    arguments=identity("table/new"),
    before={"MinCapacity": None, "MaxCapacity": None, "SuspendedState": None},
    after={"MinCapacity": 5, "MaxCapacity": 50, "SuspendedState": SUSPENDED},
)
PUT = PlannedCall(
    api="application-autoscaling:PutScalingPolicy",
    resource=f"table/new|{DIMENSION}|follow",
    arguments={**identity("table/new"), "PolicyName": "follow"},
    before={"TargetTrackingScalingPolicyConfiguration": None},
    after={"TargetTrackingScalingPolicyConfiguration": TRACKING},
    reversible=False,
)


@pytest.fixture
def stubbed():
    client = boto3.client("application-autoscaling", region_name="us-east-1")
    with Stubber(client) as stubber:
        yield TableScaling(client), stubber
        stubber.assert_no_pending_responses()


def test_targets_and_policies_are_planned_for_the_other_table(stubbed):
    scaling, stubber = stubbed
    resources = ["table/orders", "table/orders/index/by-day"]
    stubber.add_response(
        "describe_scalable_targets",
        {"ScalableTargets": [target(resources[0]), target(resources[1], INDEX_DIMENSION)]},
        {"ServiceNamespace": "dynamodb", "ResourceIds": resources},
    )
    for resource, found in zip(
        resources, ([policy(resources[0])], [policy(resources[1], "StepScaling")]), strict=True
    ):
        stubber.add_response(
            "describe_scaling_policies",
            {"ScalingPolicies": found},
            {"ServiceNamespace": "dynamodb", "ResourceId": resource},
        )

    table, index, follow = scaling.copied("orders", "new", ["by-day"], reversible=True)

    assert (table, follow) == (REGISTER, PUT)
    assert index.resource == f"table/new/index/by-day|{INDEX_DIMENSION}"


def test_a_target_is_registered_and_deregistered(stubbed):
    scaling, stubber = stubbed
    stubber.add_response(
        "register_scalable_target",
        {},
        {
            **identity("table/new"),
            "MinCapacity": 5,
            "MaxCapacity": 50,
            "SuspendedState": SUSPENDED,
        },
    )
    stubber.add_response("deregister_scalable_target", {}, identity("table/new"))

    scaling.apply(REGISTER)
    scaling.apply(REGISTER.inverse())


def test_a_policy_is_put(stubbed):
    scaling, stubber = stubbed
    stubber.add_response(
        "put_scaling_policy",
        {"PolicyARN": "arn"},
        {
            **identity("table/new"),
            "PolicyName": "follow",
            "PolicyType": "TargetTrackingScaling",
            "TargetTrackingScalingPolicyConfiguration": TRACKING,
        },
    )

    scaling.apply(PUT)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([target("table/new")], REGISTER.after),
        ([target("table/new", "dynamodb:table:WriteCapacityUnits")], REGISTER.before),
        ([], REGISTER.before),
    ],
    ids=["there", "of another dimension", "absent"],
)
def test_present_target(stubbed, found, expected):
    scaling, stubber = stubbed
    stubber.add_response("describe_scalable_targets", {"ScalableTargets": found})

    assert scaling.present(REGISTER) == expected


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([policy("table/new")], PUT.after),
        ([{**policy("table/new"), "PolicyName": "other"}], PUT.before),
    ],
    ids=["there", "another one"],
)
def test_present_policy(stubbed, found, expected):
    scaling, stubber = stubbed
    stubber.add_response("describe_scaling_policies", {"ScalingPolicies": found})

    assert scaling.present(PUT) == expected


def test_a_target_that_is_gone_needs_no_deregistration(stubbed):
    scaling, stubber = stubbed
    stubber.add_client_error("deregister_scalable_target", "ObjectNotFoundException")
    stubber.add_response("describe_scalable_targets", {"ScalableTargets": []})

    scaling.apply(REGISTER.inverse())


def test_refused(stubbed):
    scaling, stubber = stubbed
    stubber.add_client_error("register_scalable_target", "ValidationException")
    stubber.add_response("describe_scalable_targets", {"ScalableTargets": []})

    with pytest.raises(ChangeFailedError):
        scaling.apply(REGISTER)


def test_throttled(stubbed):
    scaling, stubber = stubbed
    stubber.add_client_error("describe_scalable_targets", "InternalServiceException")

    with pytest.raises(ThrottledError):
        scaling.present(REGISTER)
