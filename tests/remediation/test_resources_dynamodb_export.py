"""Exports of tables: how one is found again, started, and what of it is deleted."""

from datetime import UTC, datetime

import boto3
import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from botocore.stub import Stubber

from lambdas.remediation.errors import (
    ChangeFailedError,
    ResourceBusyError,
    TargetNotFoundError,
    ThrottledError,
)
from lambdas.remediation.resources.dynamodb_export import (
    Export,
    RecoveryWindow,
    TableExports,
    export_table,
    location_of,
)

ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/orders"
NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
LOCATION = "s3://exported/exports/orders/20260302T120000Z-234b79aec3dd"
PREFIX = "exports/orders/20260302T120000Z-234b79aec3dd"
# Made at noon, and the day before.
OURS, EARLIER = f"{ARN}/export/01772452800000-11111111", f"{ARN}/export/01772366400000-22222222"
CALL = export_table(
    table_arn=ARN,
    location=LOCATION,
    bucket_owner="123456789012",
    encryption={"S3SseAlgorithm": "KMS", "S3SseKmsKeyId": "key-1"},
    export_time="2026-03-02T11:55:00.000Z",
    export_format="ION",
    run_id="one",
)
ASKED = {
    "TableArn": ARN,
    "S3Bucket": "exported",
    "S3BucketOwner": "123456789012",
    "S3Prefix": PREFIX,
    "S3SseAlgorithm": "KMS",
    "S3SseKmsKeyId": "key-1",
    "ExportTime": datetime(2026, 3, 2, 11, 55, tzinfo=UTC),
    "ExportFormat": "ION",
    "ExportType": "FULL_EXPORT",
    "ClientToken": "7692c3ad3540bb803c020b3aee66cd88",
}


class Objects:
    """What is in the bucket, and what was deleted."""

    def __init__(self, *, there: bool = False) -> None:
        self.there = there
        self.deleted: list[tuple[str, str]] = []

    def any(self, bucket: str, prefix: str) -> bool:
        assert (bucket, prefix) == ("exported", PREFIX)
        return self.there

    def delete(self, bucket: str, prefix: str) -> None:
        self.deleted.append((bucket, prefix))
        self.there = False


@pytest.fixture
def client():
    return boto3.client(
        "dynamodb",
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


@pytest.fixture
def stub(client):
    with Stubber(client) as stubber:
        yield stubber
    stubber.assert_no_pending_responses()


def listed(stub, *arns: str) -> None:
    stub.add_response(
        "list_exports",
        {"ExportSummaries": [{"ExportArn": a, "ExportStatus": "IN_PROGRESS"} for a in arns]},
        {"TableArn": ARN},
    )


def described(stub, status: str = "IN_PROGRESS", arn: str = OURS, **fields) -> None:
    found = {"ExportArn": arn, "ExportStatus": status, "S3Bucket": "exported", "S3Prefix": PREFIX}
    stub.add_response(
        "describe_export", {"ExportDescription": {**found, **fields}}, {"ExportArn": arn}
    )


def test_a_location_is_the_runs_own():
    first = location_of("exported", "orders", "export-dynamodb-table:one", NOON)
    second = location_of("exported", "orders", "export-dynamodb-table:two", NOON)

    assert first == "s3://exported/exports/orders/20260302T120000Z-d3169a2a6cfe"
    assert second != first


class TestRecoveryWindow:
    def test_on(self, client, stub):
        point_in_time = {
            "PointInTimeRecoveryStatus": "ENABLED",
            "EarliestRestorableDateTime": datetime(2026, 2, 1, tzinfo=UTC),
            "LatestRestorableDateTime": NOON,
        }
        stub.add_response(
            "describe_continuous_backups",
            {
                "ContinuousBackupsDescription": {
                    "ContinuousBackupsStatus": "ENABLED",
                    "PointInTimeRecoveryDescription": point_in_time,
                }
            },
            {"TableName": "orders"},
        )

        found = TableExports(client).recovery_window("orders")

        assert found == RecoveryWindow(
            enabled=True, earliest=datetime(2026, 2, 1, tzinfo=UTC), latest=NOON
        )

    def test_off(self, client, stub):
        stub.add_response(
            "describe_continuous_backups",
            {"ContinuousBackupsDescription": {"ContinuousBackupsStatus": "ENABLED"}},
        )

        assert TableExports(client).recovery_window("orders") == RecoveryWindow(enabled=False)

    def test_no_such_table(self, client, stub):
        stub.add_client_error("describe_continuous_backups", "TableNotFoundException")

        with pytest.raises(TargetNotFoundError):
            TableExports(client).recovery_window("orders")


class TestFind:
    def test_by_its_location(self, client, stub):
        listed(stub, EARLIER, OURS)
        described(
            stub, "COMPLETED", ItemCount=2, ExportManifest="AWSDynamoDB/1/manifest-summary.json"
        )

        assert TableExports(client).find(CALL) == Export(
            export_arn=OURS,
            location=LOCATION,
            status="COMPLETED",
            items=2,
            manifest_key="AWSDynamoDB/1/manifest-summary.json",
        )

    def test_those_made_long_before_the_run_are_not_looked_at(self, client, stub):
        listed(stub, EARLIER)

        assert TableExports(client).find(CALL) is None

    def test_one_without_a_time_in_its_id_is_looked_at(self, client, stub):
        listed(stub, f"{ARN}/export/other")
        described(stub, arn=f"{ARN}/export/other", S3Prefix="exports/orders/other")

        assert TableExports(client).find(CALL) is None

    def test_on_the_second_page(self, client, stub):
        stub.add_response(
            "list_exports", {"ExportSummaries": [], "NextToken": "more"}, {"TableArn": ARN}
        )
        stub.add_response(
            "list_exports",
            {"ExportSummaries": [{"ExportArn": OURS}]},
            {"TableArn": ARN, "NextToken": "more"},
        )
        described(stub)

        assert TableExports(client).find(CALL).status == "IN_PROGRESS"

    def test_why_it_failed(self, client, stub):
        listed(stub, OURS)
        described(stub, "FAILED", FailureCode="S3AccessDenied", FailureMessage="no")

        assert TableExports(client).find(CALL).failure == "S3AccessDenied: no"

    def test_throttled(self, client, stub):
        stub.add_client_error("list_exports", "ThrottlingException")

        with pytest.raises(ThrottledError):
            TableExports(client).find(CALL)


class TestPresent:
    def test_objects_are_there(self, client):
        assert TableExports(client, Objects(there=True)).present(CALL) == {"export": LOCATION}

    @pytest.mark.parametrize(
        ("status", "present"), [("IN_PROGRESS", LOCATION), ("COMPLETED", None), ("FAILED", None)]
    )
    def test_without_objects_only_a_running_export_is_there(self, client, stub, status, present):
        listed(stub, OURS)
        described(stub, status)

        assert TableExports(client, Objects()).present(CALL) == {"export": present}

    def test_neither(self, client, stub):
        listed(stub)

        assert TableExports(client, Objects()).present(CALL.inverse()) == {"export": None}


class TestStart:
    def test_asks_for_just_what_was_planned(self, client, stub):
        stub.add_response("export_table_to_point_in_time", {"ExportDescription": {}}, ASKED)

        TableExports(client, Objects()).apply(CALL)

    @pytest.mark.parametrize(
        "code",
        [
            "PointInTimeRecoveryUnavailableException",
            "InvalidExportTimeException",
            "ExportConflictException",
            "LimitExceededException",
        ],
    )
    def test_refused(self, client, stub, code):
        stub.add_client_error("export_table_to_point_in_time", code, "why")
        listed(stub)

        with pytest.raises(ChangeFailedError, match=code):
            TableExports(client, Objects()).apply(CALL)

    def test_a_lost_answer_is_read_back(self, client, monkeypatch):
        """The export had been started: there is nothing to repeat."""

        def lose(**_):
            raise ReadTimeoutError(endpoint_url="https://dynamodb")

        monkeypatch.setattr(client, "export_table_to_point_in_time", lose, raising=False)

        assert TableExports(client, Objects(there=True)).apply(CALL) is None

    def test_a_lost_answer_without_effect_is_tried_again(self, client, stub, monkeypatch):
        def lose(**_):
            raise ReadTimeoutError(endpoint_url="https://dynamodb")

        monkeypatch.setattr(client, "export_table_to_point_in_time", lose, raising=False)
        listed(stub)

        with pytest.raises(ResourceBusyError):
            TableExports(client, Objects()).apply(CALL)

    def test_a_defect_of_the_role_is_not_hidden(self, client, stub):
        stub.add_client_error("export_table_to_point_in_time", "AccessDeniedException")

        with pytest.raises(ClientError):
            TableExports(client, Objects()).apply(CALL)

    def test_a_deleted_export_cannot_be_brought_back(self, client):
        with pytest.raises(ChangeFailedError, match="cannot be brought back"):
            TableExports(client, Objects()).apply(CALL.inverse().inverse())


class TestDelete:
    def test_of_a_finished_export(self, client, stub):
        objects = Objects(there=True)
        listed(stub, OURS)
        described(stub, "COMPLETED")

        TableExports(client, objects).apply(CALL.inverse())

        assert objects.deleted == [("exported", PREFIX)]

    def test_a_running_export_is_left_alone(self, client, stub):
        objects = Objects(there=True)
        listed(stub, OURS)
        described(stub)

        with pytest.raises(ResourceBusyError, match="cannot be stopped"):
            TableExports(client, objects).apply(CALL.inverse())

        assert objects.deleted == []
