import gzip
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.engine.process import Engine
from tests.local.workbench import Workbench, arn, eventually

pytestmark = pytest.mark.engine


def create_table(bench: Workbench, name: str, *, recoverable: bool = True) -> None:
    dynamodb = bench.client("dynamodb")
    dynamodb.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    if recoverable:
        dynamodb.update_continuous_backups(
            TableName=name,
            PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True},
        )


def export(bench: Workbench, name: str, bucket: str) -> dict[str, Any]:
    """The finished export of a table."""
    dynamodb = bench.client("dynamodb")
    started = dynamodb.export_table_to_point_in_time(
        TableArn=arn("dynamodb", f"table/{name}"), S3Bucket=bucket, S3Prefix="exports/one"
    )["ExportDescription"]

    def finished() -> dict[str, Any] | None:
        found = dynamodb.describe_export(ExportArn=started["ExportArn"])["ExportDescription"]
        return None if found["ExportStatus"] == "IN_PROGRESS" else found

    return eventually(finished) or {}


def test_export_needs_point_in_time_recovery(bench: Workbench, name: str) -> None:
    create_table(bench, name, recoverable=False)
    with pytest.raises(ClientError, match="PointInTimeRecoveryUnavailableException"):
        export(bench, name, name)


def test_export_writes_data_and_manifests_below_its_prefix(bench: Workbench, name: str) -> None:
    create_table(bench, name)
    s3 = bench.client("s3")
    s3.create_bucket(Bucket=name)
    bench.client("dynamodb").put_item(TableName=name, Item={"id": {"S": "a"}})
    found = export(bench, name, name)
    base = f"exports/one/AWSDynamoDB/{found['ExportArn'].rpartition('/')[2]}"

    def read(key: str) -> bytes:
        return bytes(s3.get_object(Bucket=name, Key=key)["Body"].read())

    summary = json.loads(read(found["ExportManifest"]))
    (file,) = [json.loads(line) for line in read(summary["manifestFilesS3Key"]).splitlines()]
    assert found["ExportManifest"] == f"{base}/manifest-summary.json"
    assert (summary["itemCount"], file["itemCount"]) == (1, 1)
    assert json.loads(gzip.decompress(read(file["dataFileS3Key"]))) == {"Item": {"id": {"S": "a"}}}


def test_export_to_a_bucket_that_is_not_there_fails(bench: Workbench, name: str) -> None:
    create_table(bench, name)
    found = export(bench, name, f"{name}-absent")
    assert (found["ExportStatus"], found["FailureCode"]) == ("FAILED", "S3NoSuchBucket")


def test_role_may_export_its_table_only(
    enforcing_engine: Engine, enforcing_bench: Workbench, name: str
) -> None:
    for table in (name, f"{name}-other"):
        create_table(enforcing_bench, table)
    statement = {
        "Effect": "Allow",
        "Action": ["dynamodb:ExportTableToPointInTime"],
        "Resource": [arn("dynamodb", f"table/{name}")],
    }
    role = enforcing_bench.role(name, statement)
    client = enforcing_bench.client_of_role("dynamodb", role, enforcing_engine.url)
    started = client.export_table_to_point_in_time(
        TableArn=arn("dynamodb", f"table/{name}"), S3Bucket=name
    )["ExportDescription"]
    assert started["ExportStatus"] == "IN_PROGRESS"
    with pytest.raises(ClientError, match="dynamodb:ExportTableToPointInTime"):
        client.export_table_to_point_in_time(
            TableArn=arn("dynamodb", f"table/{name}-other"), S3Bucket=name
        )
    with pytest.raises(ClientError, match="dynamodb:DescribeExport"):
        client.describe_export(ExportArn=started["ExportArn"])
