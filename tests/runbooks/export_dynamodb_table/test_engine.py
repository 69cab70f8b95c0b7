"""Exports on the deployed product. Engine links write the files; DynamoDB's writes in the name of
the caller (`s3:PutObject`, KMS) are not enforced there: tests/infrastructure/test_permissions.py.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.product import Product, eventually
from tests.runbooks.export_dynamodb_table.engine import BUCKET, TABLE

pytestmark = pytest.mark.engine

TARGET = {"table_name": TABLE}
CLOSED = dict.fromkeys(
    ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
)


def prepared(product: Product, *, recoverable: bool = True) -> None:
    """The bucket, without any export, and the table with two items."""
    s3, dynamodb = product.client("s3"), product.client("dynamodb")
    with contextlib.suppress(s3.exceptions.BucketAlreadyOwnedByYou):
        s3.create_bucket(Bucket=BUCKET)
    s3.put_public_access_block(Bucket=BUCKET, PublicAccessBlockConfiguration=CLOSED)
    empty(product)
    with contextlib.suppress(dynamodb.exceptions.ResourceInUseException):
        product.create_table(TABLE)
    for key in ("a", "b"):
        dynamodb.put_item(TableName=TABLE, Item={"id": {"S": key}, "owner": {"S": "me"}})
    dynamodb.update_continuous_backups(
        TableName=TABLE,
        PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": recoverable},
    )


def empty(product: Product) -> None:
    for key in keys(product):
        product.client("s3").delete_object(Bucket=BUCKET, Key=key)


def keys(product: Product) -> list[str]:
    listed = product.client("s3").list_objects_v2(Bucket=BUCKET)
    return [o["Key"] for o in listed.get("Contents", [])]


def export(product: Product, given: dict[str, Any]) -> dict[str, Any]:
    return product.run(given, machine=product.machine("export-dynamodb-table"))


@contextlib.contextmanager
def proposed(product: Product) -> Iterator[tuple[str, dict[str, Any]]]:
    """An execution that waits for a yes, and the yes."""
    given = {"target": TARGET, "mode": "propose"}
    execution = product.start(given, machine=product.machine("export-dynamodb-table"))
    run_id = f"export-dynamodb-table:{execution.rpartition(':')[2]}"
    item = eventually(
        lambda: "approval_token" in (found := product.record(run_id)) and found, what="the token"
    )
    yield execution, {"run_id": run_id, "plan_hash": item["plan_hash"], "decision": "approve"}


def test_export_is_verified_and_its_undo_deletes_it_alone(product: Product) -> None:
    prepared(product)
    theirs = f"exports/{TABLE}/by-a-person/data.json"
    product.client("s3").put_object(Bucket=BUCKET, Key=theirs, Body=b"{}")
    answer = export(product, {"target": TARGET, "parameters": {"format": "ION"}})
    made = keys(product)
    undone = export(product, {"undo": answer["run_id"]})
    assert answer["outcome"] == "verified", answer["reason"]
    assert answer["verification"]["reason"].startswith("2 items in 1 data files below s3://")
    assert len(made) == 4
    assert undone["outcome"] == "verified", undone["reason"]
    assert keys(product) == [theirs]


def test_observe_exports_nothing(product: Product) -> None:
    prepared(product)
    answer = export(product, {"target": TARGET, "mode": "observe"})
    assert answer["outcome"] == "proposed"
    assert [c["api"] for c in answer["plan"]["calls"]] == ["dynamodb:ExportTableToPointInTime"]
    assert keys(product) == []


def test_table_without_point_in_time_recovery_is_refused_with_the_fix(product: Product) -> None:
    prepared(product, recoverable=False)
    answer = export(product, {"target": TARGET})
    assert answer["outcome"] == "refused"
    assert "aws dynamodb update-continuous-backups --table-name Exported " in answer["reason"]


def test_failed_export_is_rolled_back_with_its_reason(product: Product) -> None:
    """The bucket is gone between the plan and the yes."""
    prepared(product)
    with proposed(product) as (execution, yes):
        product.client("s3").delete_bucket(Bucket=BUCKET)
        product.run(yes, machine=product.approve_machine)
        answer = product.ended(execution)
    assert (answer["status"], answer["error"]) == ("FAILED", "rolled_back")
    assert "S3NoSuchBucket" in answer["reason"]
    assert not product.locked(TABLE)


def test_export_and_undo_with_the_deployed_roles(enforced: Product) -> None:
    prepared(enforced)
    answer = export(enforced, {"target": TARGET})
    undone = export(enforced, {"undo": answer["run_id"]})
    assert answer["outcome"] == "verified", answer["reason"]
    assert undone["outcome"] == "verified", undone["reason"]
    assert keys(enforced) == []
