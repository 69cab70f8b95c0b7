from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.engine.process import Engine
from tests.local.workbench import Workbench, arn

pytestmark = pytest.mark.engine

DIMENSION = "dynamodb:table:WriteCapacityUnits"


def make_table(bench: Workbench, name: str) -> None:
    throughput = {"ReadCapacityUnits": 5, "WriteCapacityUnits": 5}
    keys = [{"AttributeName": "pk", "KeyType": "HASH"}]
    bench.client("dynamodb").create_table(
        TableName=name,
        KeySchema=keys,
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        ProvisionedThroughput=throughput,
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by-pk",
                "KeySchema": keys,
                "Projection": {"ProjectionType": "ALL"},
                "ProvisionedThroughput": throughput,
            }
        ],
    )


def describe(bench: Workbench, name: str) -> dict[str, Any]:
    return bench.client("dynamodb").describe_table(TableName=name)["Table"]


def identity(resource: str, dimension: str = DIMENSION) -> dict[str, str]:
    return {
        "ServiceNamespace": "dynamodb",
        "ResourceId": resource,
        "ScalableDimension": dimension,
    }


def targets(bench: Workbench, resource: str) -> list[dict[str, Any]]:
    return bench.client("application-autoscaling").describe_scalable_targets(
        ServiceNamespace="dynamodb", ResourceIds=[resource]
    )["ScalableTargets"]


def test_registering_moves_the_table_into_bounds_and_keeps_omitted_fields(
    bench: Workbench, name: str
) -> None:
    make_table(bench, name)
    scaling = bench.client("application-autoscaling")
    target = identity(f"table/{name}")
    scaling.register_scalable_target(**target, MinCapacity=2, MaxCapacity=20)
    assert describe(bench, name)["ProvisionedThroughput"]["WriteCapacityUnits"] == 5
    scaling.register_scalable_target(**target, MinCapacity=10)
    assert describe(bench, name)["ProvisionedThroughput"]["WriteCapacityUnits"] == 10
    (described,) = targets(bench, f"table/{name}")
    assert (described["MinCapacity"], described["MaxCapacity"]) == (10, 20)
    assert described["ScalableDimension"] == DIMENSION


def test_registering_an_index_moves_the_index(bench: Workbench, name: str) -> None:
    make_table(bench, name)
    bench.client("application-autoscaling").register_scalable_target(
        **identity(f"table/{name}/index/by-pk", "dynamodb:index:ReadCapacityUnits"),
        MinCapacity=7,
        MaxCapacity=20,
    )
    table = describe(bench, name)
    assert table["ProvisionedThroughput"]["ReadCapacityUnits"] == 5
    (index,) = table["GlobalSecondaryIndexes"]
    assert index["ProvisionedThroughput"]["ReadCapacityUnits"] == 7


def test_deregistering_removes_target_and_policies(bench: Workbench, name: str) -> None:
    make_table(bench, name)
    scaling = bench.client("application-autoscaling")
    target = identity(f"table/{name}")
    scaling.register_scalable_target(**target, MinCapacity=5, MaxCapacity=20)
    scaling.put_scaling_policy(
        **target,
        PolicyName=name,
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={"TargetValue": 70.0},
    )
    policies = scaling.describe_scaling_policies(**target)["ScalingPolicies"]
    assert [policy["PolicyName"] for policy in policies] == [name]
    scaling.deregister_scalable_target(**target)
    assert targets(bench, f"table/{name}") == []
    assert scaling.describe_scaling_policies(**target)["ScalingPolicies"] == []
    with pytest.raises(scaling.exceptions.ObjectNotFoundException):
        scaling.deregister_scalable_target(**target)


def test_unknown_table_and_crossed_bounds_are_refused(bench: Workbench, name: str) -> None:
    make_table(bench, name)
    scaling = bench.client("application-autoscaling")
    with pytest.raises(scaling.exceptions.ValidationException):
        scaling.register_scalable_target(**identity("table/nowhere"), MinCapacity=1, MaxCapacity=2)
    with pytest.raises(scaling.exceptions.ValidationException):
        scaling.register_scalable_target(**identity(f"table/{name}"), MinCapacity=3, MaxCapacity=2)


def test_stack_registers_targets_and_policies(bench: Workbench, name: str) -> None:
    make_table(bench, name)
    resources = {
        "Target": {
            "Type": "AWS::ApplicationAutoScaling::ScalableTarget",
            "Properties": {**identity(f"table/{name}"), "MinCapacity": 6, "MaxCapacity": 60},
        },
        "Policy": {
            "Type": "AWS::ApplicationAutoScaling::ScalingPolicy",
            "Properties": {
                "PolicyName": name,
                "PolicyType": "TargetTrackingScaling",
                "ScalingTargetId": {"Ref": "Target"},
                "TargetTrackingScalingPolicyConfiguration": {"TargetValue": 70},
            },
        },
    }
    bench.deploy(name, resources)
    (target,) = targets(bench, f"table/{name}")
    assert target["MinCapacity"] == 6
    scaling = bench.client("application-autoscaling")
    policies = scaling.describe_scaling_policies(**identity(f"table/{name}"))["ScalingPolicies"]
    assert [policy["PolicyName"] for policy in policies] == [name]
    assert describe(bench, name)["ProvisionedThroughput"]["WriteCapacityUnits"] == 6

    resources["Target"]["Properties"]["MinCapacity"] = 8
    bench.deploy(name, resources)
    assert targets(bench, f"table/{name}")[0]["MinCapacity"] == 8


@pytest.mark.parametrize(
    ("dimension", "allowed"),
    [(DIMENSION, True), ("dynamodb:table:ReadCapacityUnits", False)],
)
def test_registration_is_granted_by_dimension(
    enforcing_engine: Engine,
    enforcing_bench: Workbench,
    name: str,
    dimension: str,
    allowed: bool,
) -> None:
    make_table(enforcing_bench, name)
    statement = {
        "Effect": "Allow",
        "Action": "application-autoscaling:RegisterScalableTarget",
        "Resource": arn("application-autoscaling", "scalable-target/*"),
        "Condition": {
            "StringEquals": {
                "application-autoscaling:service-namespace": "dynamodb",
                "application-autoscaling:scalable-dimension": DIMENSION,
            }
        },
    }
    scaling = enforcing_bench.client_of_role(
        "application-autoscaling", enforcing_bench.role(name, statement), enforcing_engine.url
    )
    request = {**identity(f"table/{name}", dimension), "MinCapacity": 6, "MaxCapacity": 9}
    if allowed:
        scaling.register_scalable_target(**request)
    else:
        with pytest.raises(ClientError, match="AccessDenied"):
            scaling.register_scalable_target(**request)
    table = describe(enforcing_bench, name)["ProvisionedThroughput"]
    assert table["WriteCapacityUnits"] == (6 if allowed else 5)
    assert table["ReadCapacityUnits"] == 5
