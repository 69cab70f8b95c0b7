"""An export needs point-in-time recovery, writes its files, and is judged by its table's ARN.

MiniStack exports any table, completes without writing a file, names a manifest without the prefix,
and under enforcement finds no resource in the requests about exports. Source: "DynamoDB table
export output format" (Developer Guide).
"""

from __future__ import annotations

import gzip
import json
from typing import Any

from ministack.core import iam_actions
from ministack.core.responses import error_response_json
from ministack.services import dynamodb, s3

PATCHES: tuple[str, ...] = (
    "ministack.core.iam_actions.dynamodb_resource_arns",
    "ministack.core.responses.error_response_json",
    "ministack.services.dynamodb._describe_continuous_backups",
    "ministack.services.dynamodb._describe_export",
    "ministack.services.dynamodb._export_table_to_point_in_time",
    "ministack.services.dynamodb._exports",
    "ministack.services.dynamodb._scan",
    "ministack.services.s3._buckets",
    "ministack.services.s3._put_object",
)


def install() -> None:
    """Check before an export starts; write its files when it is first seen to be completed."""
    export = dynamodb._export_table_to_point_in_time
    describe = dynamodb._describe_export
    find = iam_actions.dynamodb_resource_arns

    def export_with_recovery(request: dict[str, Any]) -> Any:
        table = str(request.get("TableArn", "")).rpartition("/")[2]
        status, _, body = dynamodb._describe_continuous_backups({"TableName": table})
        if status == 200 and not _recoverable(json.loads(body)):
            return error_response_json(
                "PointInTimeRecoveryUnavailableException",
                f"Point in time recovery is not enabled for table '{table}'",
                400,
            )
        return export(request)

    def describe_and_write(request: dict[str, Any]) -> Any:
        known = dynamodb._exports.get(request.get("ExportArn"))
        running = known is not None and known["ExportStatus"] == "IN_PROGRESS"
        response = describe(request)
        if running and known["ExportStatus"] == "COMPLETED":
            _write(known)
            response = describe(request)
        return response

    def find_with_exports(body: bytes, region: str, account_id: str) -> list[str]:
        found: list[str] = find(body, region, account_id)
        return found or _named(body)

    dynamodb._export_table_to_point_in_time = export_with_recovery
    dynamodb._describe_export = describe_and_write
    iam_actions.dynamodb_resource_arns = find_with_exports


def _recoverable(described: dict[str, Any]) -> bool:
    backups = described["ContinuousBackupsDescription"]
    status = backups.get("PointInTimeRecoveryDescription", {}).get("PointInTimeRecoveryStatus")
    return bool(status == "ENABLED")


def _write(export: dict[str, Any]) -> None:
    """One data file, the manifest of files and the summary; or the failure AWS reports."""
    bucket = export["S3Bucket"]
    if bucket not in s3._buckets:
        export.pop("ExportManifest", None)
        export.update(
            ExportStatus="FAILED",
            FailureCode="S3NoSuchBucket",
            FailureMessage="The specified bucket does not exist",
        )
        return
    table = export["TableArn"].rpartition("/")[2]
    items = json.loads(dynamodb._scan({"TableName": table})[2])["Items"]
    parts = (export.get("S3Prefix"), "AWSDynamoDB", export["ExportArn"].rpartition("/")[2])
    base = "/".join(part for part in parts if part)
    data, files = f"{base}/data/part-0.json.gz", f"{base}/manifest-files.json"
    lines = "\n".join(json.dumps({"Item": item}) for item in items)
    file = {"itemCount": len(items), "dataFileS3Key": data}
    summary = {"itemCount": len(items), "manifestFilesS3Key": files}
    algorithm = "aws:kms" if export.get("S3SseAlgorithm") == "KMS" else "AES256"
    export["ExportManifest"] = f"{base}/manifest-summary.json"
    for key, body in (
        (data, gzip.compress(lines.encode())),
        (files, json.dumps(file).encode()),
        (export["ExportManifest"], json.dumps(summary).encode()),
    ):
        s3._put_object(bucket, key, body, {"x-amz-server-side-encryption": algorithm})


def _named(body: bytes) -> list[str]:
    try:
        request = json.loads(body or b"{}")
    except ValueError:
        return []
    named = request if isinstance(request, dict) else {}
    arn = named.get("ExportArn") or named.get("TableArn")
    return [arn] if isinstance(arn, str) else []
