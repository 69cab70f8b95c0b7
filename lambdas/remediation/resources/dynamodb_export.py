"""Exports of DynamoDB tables to S3, from point-in-time recovery."""

import functools
import hashlib
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from lambdas.remediation.clients import client as client_of
from lambdas.remediation.contracts import PlannedCall, parse_time
from lambdas.remediation.errors import ChangeFailedError, ResourceBusyError, TargetNotFoundError
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.resources.client_errors import changing, reading
from lambdas.remediation.resources.export_objects import EXPORTS, ExportObjects, Manifest

EXPORT_TABLE = "dynamodb:ExportTableToPointInTime"
# The one key of a planned call: where the export is, or None where there is none.
EXPORT = "export"
COMPLETED = "COMPLETED"
FAILED = "FAILED"
IN_PROGRESS = "IN_PROGRESS"
_STAMP = "%Y%m%dT%H%M%SZ"
_DIGEST = 12
# `.../export/01693685827463-2d8752fd`: milliseconds since the epoch lead the id.
_MADE_AT = re.compile(r"/export/(\d{14})-")
_CLOCKS_DIFFER = timedelta(minutes=10)
_LOCATION = re.compile(r"s3://([^/]+)/(.+)")


class RecoveryWindow(Frozen):
    """Point-in-time recovery of a table: whether it is on, and how far back it reaches."""

    enabled: bool
    earliest: datetime | None = None
    latest: datetime | None = None


class Export(Frozen):
    """An export as DescribeExport tells it.

    Parameters
    ----------
    location
        `s3://<bucket>/<prefix>`.
    items
        Items in it; None until it is finished.
    manifest_key
        Of its manifest's summary; None until it is finished.
    failure
        Why it failed.
    """

    export_arn: str
    location: str
    status: str
    items: int | None = None
    manifest_key: str | None = None
    failure: str = ""


def location_of(bucket: str, table_name: str, run_id: str, started_at: datetime) -> str:
    """Where the export of a run goes: always the same for the same run, and no other run's."""
    digest = hashlib.sha256(run_id.encode()).hexdigest()[:_DIGEST]
    return f"s3://{bucket}/{EXPORTS}{table_name}/{started_at.astimezone(UTC):{_STAMP}}-{digest}"


class TableExports:
    """Starts and reads exports, and deletes what one has left in its bucket.

    An export is found again by its location, which only one run uses: its ARN is not known before
    the call, nor after one that got no answer. It counts as there while it runs or while it has
    objects: DynamoDB lists an export for 90 days, also when its objects are gone.

    Parameters
    ----------
    client
        Client of DynamoDB.
    objects
        Objects of exports; with the process's client of S3 if left out.
    """

    service: ClassVar[str] = "dynamodb"
    apis: ClassVar[tuple[str, ...]] = (EXPORT_TABLE,)

    def __init__(self, client: Any, objects: ExportObjects | None = None) -> None:
        self._client = client
        self._given_objects = objects

    @functools.cached_property
    def _objects(self) -> ExportObjects:
        return self._given_objects or ExportObjects(client_of("s3"))

    def recovery_window(self, table_name: str) -> RecoveryWindow:
        """Point-in-time recovery of a table.

        Raises
        ------
        TargetNotFoundError
            There is no such table.
        """
        with reading(f"table {table_name}"):
            found = self._client.describe_continuous_backups(TableName=table_name)
        described = found["ContinuousBackupsDescription"].get("PointInTimeRecoveryDescription", {})
        earliest = described.get("EarliestRestorableDateTime")
        latest = described.get("LatestRestorableDateTime")
        return RecoveryWindow(
            enabled=described.get("PointInTimeRecoveryStatus") == "ENABLED",
            earliest=earliest and earliest.astimezone(UTC),
            latest=latest and latest.astimezone(UTC),
        )

    def find(self, call: PlannedCall) -> Export | None:
        """The export that a planned call, or its inverse, is about; None if there is none."""
        location = _location(call)
        for export_arn in self._candidates(call.resource, location):
            found = self.describe(export_arn)
            if found is not None and found.location == location:
                return found
        return None

    def _candidates(self, table_arn: str, location: str) -> list[str]:
        """Exports of the table that may be the one, newest first."""
        found = self._listed(table_arn)
        after = f"{(_started_at(location) - _CLOCKS_DIFFER).timestamp() * 1000:014.0f}"
        # An id that does not tell when it was made is not left out.
        return sorted(
            (a for a in found if (made := _MADE_AT.search(a)) is None or made[1] >= after),
            reverse=True,
        )

    def _listed(self, table_arn: str) -> Iterator[str]:
        # botocore has no paginator for this one.
        following: dict[str, str] = {}
        while True:
            with reading(f"exports of {table_arn}"):
                page = self._client.list_exports(TableArn=table_arn, **following)
            yield from (e["ExportArn"] for e in page.get("ExportSummaries", ()))
            if not page.get("NextToken"):
                return
            following = {"NextToken": page["NextToken"]}

    def describe(self, export_arn: str) -> Export | None:
        """One export; None if DynamoDB no longer knows it."""
        try:
            with reading(export_arn):
                found = self._client.describe_export(ExportArn=export_arn)["ExportDescription"]
        except TargetNotFoundError:
            return None
        failure = [found.get("FailureCode"), found.get("FailureMessage")]
        return Export(
            export_arn=found["ExportArn"],
            location=f"s3://{found.get('S3Bucket')}/{found.get('S3Prefix', '')}",
            status=found["ExportStatus"],
            items=found.get("ItemCount"),
            manifest_key=found.get("ExportManifest"),
            failure=": ".join(part for part in failure if part),
        )

    def manifest(self, export: Export) -> Manifest | None:
        """What an export says is in it; None if its manifest is not there."""
        if export.manifest_key is None:
            return None
        return self._objects.manifest(*_split(export.location), export.manifest_key)

    def object_keys(self, export: Export) -> frozenset[str]:
        """Keys of everything that an export has left in its bucket."""
        return self._objects.keys(*_split(export.location))

    def present(self, call: PlannedCall) -> dict[str, Any]:
        """The location of the call's export, or None if nothing of it is there."""
        return {EXPORT: _location(call) if self._is_there(call) else None}

    def _is_there(self, call: PlannedCall) -> bool:
        if self._objects.any(*_split(_location(call))):
            return True
        found = self.find(call)
        return found is not None and found.status == IN_PROGRESS

    def apply(self, call: PlannedCall) -> None:
        """Start the call's export, or delete its objects, so that `call.after` is present.

        Raises
        ------
        ResourceBusyError
            It is to be deleted and still runs: DynamoDB cannot stop an export.
        ChangeFailedError
            DynamoDB or S3 does not accept the change.
        """
        if call.after[EXPORT] is not None:
            self._start(call)
            return
        found = self.find(call)
        if found is not None and found.status == IN_PROGRESS:
            raise ResourceBusyError(
                f"{found.export_arn} is {IN_PROGRESS}, and cannot be stopped; try again later"
            )
        self._objects.delete(*_split(_location(call)))

    def _start(self, call: PlannedCall) -> None:
        if not call.arguments:
            # Taking a deletion back: the table is no longer what it was.
            raise ChangeFailedError(f"{call.resource}: a deleted export cannot be brought back")
        arguments = {**call.arguments, "ExportTime": parse_time(call.arguments["ExportTime"])}
        with changing(call, self.present):
            self._client.export_table_to_point_in_time(**arguments)


def export_table(
    *,
    table_arn: str,
    location: str,
    bucket_owner: str,
    encryption: dict[str, str],
    export_time: str,
    export_format: str,
    run_id: str,
) -> PlannedCall:
    """The call that starts an export; its inverse deletes what that has left in the bucket.

    Parameters
    ----------
    encryption
        `S3SseAlgorithm`, and `S3SseKmsKeyId` where the bucket names a key.
    export_time
        ISO 8601: the moment that the export shows the table at.
    run_id
        DynamoDB starts one export for a run, however often it is asked within eight hours.
    """
    bucket, prefix = _split(location)
    return PlannedCall(
        api=EXPORT_TABLE,
        resource=table_arn,
        arguments={
            "TableArn": table_arn,
            "S3Bucket": bucket,
            "S3BucketOwner": bucket_owner,
            "S3Prefix": prefix,
            **encryption,
            "ExportTime": export_time,
            "ExportFormat": export_format,
            "ExportType": "FULL_EXPORT",
            "ClientToken": hashlib.sha256(run_id.encode()).hexdigest()[:32],
        },
        before={EXPORT: None},
        after={EXPORT: location},
    )


def _location(call: PlannedCall) -> str:
    # An inverse has no arguments, and its location in `before`.
    return str(call.before[EXPORT] or call.after[EXPORT])


def _split(location: str) -> tuple[str, str]:
    """Bucket and prefix."""
    found = _LOCATION.fullmatch(location)
    if found is None:
        raise ValueError(f"{location!r} is not the location of an export")
    return found[1], found[2]


def _started_at(location: str) -> datetime:
    stamp = location.rpartition("/")[2][: -_DIGEST - 1]
    return datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC)
