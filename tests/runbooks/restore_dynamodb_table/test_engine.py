"""restore_dynamodb_table as deployed, on the engine's DynamoDB, SSM and Application Auto Scaling.

A restore is done at once there, and a restored table has no `RestoreSummary`: waiting and failing
are tested in test_policy.py and test_steps.py. The engine gives no `RecoveryPeriodInDays`, and
restores any moment as the present.
"""

import itertools
from typing import Any

import pytest

from tests.e2e.product import INDEX, Product, eventually
from tests.runbooks.restore_dynamodb_table.engine import TABLES

pytestmark = pytest.mark.engine

_names = itertools.cycle(TABLES)
DIMENSION = "dynamodb:table:WriteCapacityUnits"
TRACKING = {
    "TargetValue": 62.5,
    "PredefinedMetricSpecification": {"PredefinedMetricType": "DynamoDBWriteCapacityUtilization"},
}


def create_table(product: Product, *, backed_up: bool = True) -> str:
    """A table with two items, every setting that a restore leaves out, and its pointer."""
    name, dynamodb = product.create_table(next(_names)), product.client("dynamodb")
    for key in ("a", "b"):
        item = {"id": {"S": key}, "owner": {"S": "x"}}
        dynamodb.put_item(TableName=name, Item=item)
    dynamodb.update_table(
        TableName=name,
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
    )
    dynamodb.update_table(TableName=name, DeletionProtectionEnabled=True)
    dynamodb.update_time_to_live(
        TableName=name, TimeToLiveSpecification={"Enabled": True, "AttributeName": "until"}
    )
    dynamodb.tag_resource(
        ResourceArn=product.arn(name), Tags=[{"Key": "team", "Value": "payments"}]
    )
    identity = {
        "ServiceNamespace": "dynamodb",
        "ResourceId": f"table/{name}",
        "ScalableDimension": DIMENSION,
    }
    scaling = product.client("application-autoscaling")
    scaling.register_scalable_target(**identity, MinCapacity=5, MaxCapacity=50)
    scaling.put_scaling_policy(
        **identity,
        PolicyName="follow-writes",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration=TRACKING,
    )
    product.client("ssm").put_parameter(Name=f"/shop/{name}", Value=name, Type="String")
    if backed_up:
        dynamodb.create_backup(TableName=name, BackupName=f"{name}-backup")
    else:
        dynamodb.update_continuous_backups(
            TableName=name,
            PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True},
        )
    return name


def restore(product: Product, **given: Any) -> dict[str, Any]:
    return product.run(given, machine=product.machine("restore-dynamodb-table"))


def approved(product: Product, **given: Any) -> dict[str, Any]:
    """Propose, say yes, wait for the end."""
    execution = product.start(
        {**given, "mode": "propose"}, machine=product.machine("restore-dynamodb-table")
    )
    run_id = f"restore-dynamodb-table:{execution.rpartition(':')[2]}"
    item = eventually(
        lambda: "approval_token" in (found := product.record(run_id)) and found,
        what=f"the token of {run_id}",
    )
    yes = {"run_id": run_id, "plan_hash": item["plan_hash"], "decision": "approve"}
    product.run(yes, machine=product.approve_machine)
    return product.ended(execution)


def restored(product: Product, table: str) -> list[str]:
    found = product.client("dynamodb").list_tables()["TableNames"]
    return [name for name in found if name.startswith(f"{table}-restored-")]


def pointer(product: Product, table: str) -> str:
    found = product.client("ssm").get_parameter(Name=f"/shop/{table}")
    return str(found["Parameter"]["Value"])


def scaling(product: Product, table: str) -> list[tuple[int, int, str, float]]:
    """Bounds of the table's targets, with name and value of their policies."""
    client = product.client("application-autoscaling")
    resource = {"ServiceNamespace": "dynamodb", "ResourceId": f"table/{table}"}
    targets = client.describe_scalable_targets(
        ServiceNamespace="dynamodb", ResourceIds=[f"table/{table}"]
    )["ScalableTargets"]
    policies = client.describe_scaling_policies(**resource)["ScalingPolicies"]
    return [
        (
            t["MinCapacity"],
            t["MaxCapacity"],
            p["PolicyName"],
            p["TargetTrackingScalingPolicyConfiguration"]["TargetValue"],
        )
        for t in targets
        for p in policies
    ]


def settings(product: Product, table: str) -> dict[str, Any]:
    dynamodb = product.client("dynamodb")
    found = dynamodb.describe_table(TableName=table)["Table"]
    ttl = dynamodb.describe_time_to_live(TableName=table)["TimeToLiveDescription"]
    tags = dynamodb.list_tags_of_resource(ResourceArn=product.arn(table))["Tags"]
    return {
        "stream": found["StreamSpecification"]["StreamViewType"],
        "protected": found["DeletionProtectionEnabled"],
        "ttl": (ttl["TimeToLiveStatus"], ttl["AttributeName"]),
        "tags": tags,
        "indexes": [i["IndexName"] for i in found["GlobalSecondaryIndexes"]],
    }


def test_backup_is_restored_with_its_settings_and_dropped_after_a_yes(product: Product) -> None:
    table = create_table(product)

    answer = restore(product, target={"table_name": table})
    (made,) = restored(product, table)
    set_on_it, scaled = settings(product, made), scaling(product, made)
    unasked = restore(product, undo=answer["run_id"])
    undone = approved(product, undo=answer["run_id"])

    assert answer["outcome"] == "verified", answer["reason"]
    assert answer["verification"]["reason"] == (
        f"table {made} is ACTIVE with 2 items (2 recorded), 2 of 2 sampled ones among them"
    )
    assert set_on_it == {
        "stream": "NEW_IMAGE",
        "protected": True,
        "ttl": ("ENABLED", "until"),
        "tags": [{"Key": "team", "Value": "payments"}],
        "indexes": [INDEX],
    }
    assert scaled == [(5, 50, "follow-writes", 62.5)]
    assert (unasked["outcome"], unasked["reason"]) == (
        "refused",
        f'undo: deletes table {made}, which needs a yes; start again with "mode": "propose"',
    )
    assert undone["outcome"] == "verified", undone["reason"]
    assert (restored(product, table), scaling(product, made)) == ([], [])
    assert pointer(product, table) == table


def test_approved_cut_over_moves_the_pointer_and_undo_moves_it_back(product: Product) -> None:
    table = create_table(product)

    answer = approved(product, target={"table_name": table}, parameters={"cut_over": True})
    (made,) = restored(product, table)
    moved_to = pointer(product, table)
    undone = restore(product, undo=answer["run_id"])

    assert (answer["outcome"], moved_to) == ("verified", made), answer["reason"]
    assert answer["changes"][-1] == {
        "api": "ssm:PutParameter",
        "resource": f"arn:aws:ssm:us-east-1:000000000000:parameter/shop/{table}",
        "before": {f"/shop/{table}": table},
        "after": {f"/shop/{table}": made},
        "already_applied": False,
    }
    assert (undone["outcome"], pointer(product, table)) == ("verified", table), undone["reason"]
    assert restored(product, table) == [made]
    assert f"aws dynamodb delete-table --table-name {made}" in undone["verification"]["reason"]


def test_latest_moment_is_restored_where_it_can_be(product: Product) -> None:
    table = create_table(product, backed_up=False)

    answer = restore(product, target={"table_name": table})
    (made,) = restored(product, table)

    assert answer["outcome"] == "verified", answer["reason"]
    assert answer["changes"][0]["api"] == "dynamodb:RestoreTableToPointInTime"
    recovery = product.client("dynamodb").describe_continuous_backups(TableName=made)
    point = recovery["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"]
    assert point["PointInTimeRecoveryStatus"] == "ENABLED"


def test_observe_shows_the_calls_and_makes_none(product: Product) -> None:
    table = create_table(product)

    answer = restore(
        product, target={"table_name": table}, parameters={"cut_over": True}, mode="observe"
    )

    assert answer["outcome"] == "proposed"
    assert [c["api"] for c in answer["plan"]["calls"]] == [
        "dynamodb:RestoreTableFromBackup",
        "dynamodb:UpdateTable",
        "dynamodb:UpdateTimeToLive",
        "dynamodb:TagResource",
        "application-autoscaling:RegisterScalableTarget",
        "application-autoscaling:PutScalingPolicy",
        "dynamodb:UpdateTable",
        "ssm:PutParameter",
    ]
    assert (restored(product, table), pointer(product, table)) == ([], table)


def test_nobody_is_moved_unasked(product: Product) -> None:
    table = create_table(product)

    answer = restore(product, target={"table_name": table}, parameters={"cut_over": True})

    assert answer["outcome"] == "refused"
    assert restored(product, table) == []


def test_restore_cut_over_and_undo_with_the_deployed_roles(enforced: Product) -> None:
    table = create_table(enforced)

    answer = approved(enforced, target={"table_name": table}, parameters={"cut_over": True})
    undone = restore(enforced, undo=answer["run_id"])

    assert (answer["outcome"], undone["outcome"]) == ("verified", "verified"), answer["reason"]


def test_point_in_time_restore_and_deletion_with_the_deployed_roles(enforced: Product) -> None:
    table = create_table(enforced, backed_up=False)

    answer = restore(enforced, target={"table_name": table})
    undone = approved(enforced, undo=answer["run_id"])

    assert (answer["outcome"], undone["outcome"]) == ("verified", "verified"), answer["reason"]
    assert restored(enforced, table) == []
