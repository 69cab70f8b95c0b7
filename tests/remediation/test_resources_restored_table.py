"""Restored tables: what is asked of DynamoDB and how its answers are read, against its model."""

from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from lambdas.remediation.contracts import PlannedCall
from lambdas.remediation.errors import ChangeFailedError, ResourceBusyError
from lambdas.remediation.resources.restored_table import (
    BackupContent,
    Recovery,
    RestoredTables,
    TableState,
    beginning,
    protect,
    restore_from_backup,
    restore_to_point_in_time,
    restored_name,
    settings_calls,
)

NAME = "orders-restored-0123456789ab"
ARN = f"arn:aws:dynamodb:us-east-1:123456789012:table/{NAME}"
SOURCE_ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/orders"
BACKUP_ARN = f"{SOURCE_ARN}/backup/01489602797149-73d8d5bc"
NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
NAMED = {"TableName": NAME}
KEYS = [{"AttributeName": "id", "KeyType": "HASH"}]
BY_DAY: dict[str, Any] = {
    "IndexName": "by-day",
    "KeySchema": [
        {"AttributeName": "day", "KeyType": "HASH"},
        {"AttributeName": "id", "KeyType": "RANGE"},
    ],
    "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["total", "owner"]},
}
TABLE: dict[str, Any] = {
    "TableName": NAME,
    "TableArn": ARN,
    "TableStatus": "ACTIVE",
    "KeySchema": KEYS,
    "ItemCount": 7,
    "GlobalSecondaryIndexes": [{**BY_DAY, "IndexStatus": "ACTIVE"}],
}
FROM_BACKUP = restore_from_backup(ARN, BACKUP_ARN, reversible=True)


@pytest.fixture
def stubbed():
    client = boto3.client("dynamodb", region_name="us-east-1")
    with Stubber(client) as stubber:
        yield RestoredTables(client), stubber
        stubber.assert_no_pending_responses()


def described(stubber: Stubber, **changed: Any) -> None:
    stubber.add_response("describe_table", {"Table": {**TABLE, **changed}}, NAMED)


def absent(stubber: Stubber) -> None:
    stubber.add_client_error("describe_table", "ResourceNotFoundException")


class TestName:
    def test_is_the_tables_with_a_digest_of_the_run(self):
        # printf 'restore-dynamodb-table:one' | sha256sum
        name = restored_name("orders", "restore-dynamodb-table:one")

        assert name == "orders-restored-5aab0be3eaf7"
        assert name.startswith(beginning("orders"))

    def test_fits_however_long_the_tables_is(self):
        assert len(restored_name("x" * 255, "run")) == 255


class TestDescribe:
    def test_keys_indexes_and_settings(self, stubbed):
        tables, stubber = stubbed
        described(
            stubber,
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"},
            DeletionProtectionEnabled=True,
        )

        assert tables.describe(NAME) == TableState(
            table_name=NAME,
            table_arn=ARN,
            key_schema="id HASH",
            key_names=("id",),
            indexes={"by-day": "day HASH, id RANGE: INCLUDE owner total"},
            item_count=7,
            stream_view_type="KEYS_ONLY",
            deletion_protected=True,
        )

    def test_unfinished(self, stubbed):
        tables, stubber = stubbed
        described(
            stubber,
            GlobalSecondaryIndexes=[{**BY_DAY, "IndexStatus": "CREATING"}],
            RestoreSummary={"RestoreDateTime": NOON, "RestoreInProgress": True},
        )

        found = tables.describe(NAME)

        assert found is not None
        assert (found.restoring, found.unfinished_indexes) == (True, ("by-day",))

    def test_absent(self, stubbed):
        tables, stubber = stubbed
        absent(stubber)
        absent(stubber)

        assert (tables.describe(NAME), tables.exists(NAME)) == (None, False)

    def test_a_table_that_is_being_deleted_is_none_but_holds_the_name(self, stubbed):
        tables, stubber = stubbed
        described(stubber, TableStatus="DELETING")
        described(stubber, TableStatus="DELETING")

        assert (tables.describe(NAME), tables.exists(NAME)) == (None, True)


class TestReading:
    def test_a_backup(self, stubbed):
        tables, stubber = stubbed
        stubber.add_response(
            "describe_backup",
            {
                "BackupDescription": {
                    "SourceTableDetails": {
                        "TableName": "orders",
                        "TableId": "1",
                        "KeySchema": KEYS,
                        "TableCreationDateTime": NOON,
                        "ProvisionedThroughput": {
                            "ReadCapacityUnits": 1,
                            "WriteCapacityUnits": 1,
                        },
                        "ItemCount": 5,
                    },
                    "SourceTableFeatureDetails": {"LocalSecondaryIndexes": [BY_DAY]},
                }
            },
            {"BackupArn": BACKUP_ARN},
        )

        assert tables.content(BACKUP_ARN) == BackupContent(
            key_schema="id HASH",
            indexes={"by-day": "day HASH, id RANGE: INCLUDE owner total"},
            item_count=5,
        )

    @pytest.mark.parametrize(
        ("point", "expected"),
        [
            ({"PointInTimeRecoveryStatus": "DISABLED"}, Recovery()),
            (
                {
                    "PointInTimeRecoveryStatus": "ENABLED",
                    "RecoveryPeriodInDays": 7,
                    "EarliestRestorableDateTime": NOON,
                    "LatestRestorableDateTime": NOON,
                },
                Recovery(period_days=7, earliest=NOON, latest=NOON),
            ),
        ],
        ids=["off", "on"],
    )
    def test_point_in_time_recovery(self, stubbed, point, expected):
        tables, stubber = stubbed
        stubber.add_response(
            "describe_continuous_backups",
            {
                "ContinuousBackupsDescription": {
                    "ContinuousBackupsStatus": "ENABLED",
                    "PointInTimeRecoveryDescription": point,
                }
            },
            NAMED,
        )

        assert tables.recovery(NAME) == expected

    @pytest.mark.parametrize(
        ("status", "expected"),
        [("ENABLED", "until"), ("ENABLING", "until"), ("DISABLING", None), ("DISABLED", None)],
    )
    def test_time_to_live(self, stubbed, status, expected):
        tables, stubber = stubbed
        stubber.add_response(
            "describe_time_to_live",
            {"TimeToLiveDescription": {"TimeToLiveStatus": status, "AttributeName": "until"}},
            NAMED,
        )

        assert tables.time_to_live(NAME) == expected

    def count(self, stubbed, max_pages: int) -> tuple[int, bool]:
        tables, stubber = stubbed
        more = {"id": {"S": "a"}}
        asked = {**NAMED, "Select": "COUNT"}
        stubber.add_response("scan", {"Count": 3, "LastEvaluatedKey": more}, asked)
        if max_pages > 1:
            stubber.add_response("scan", {"Count": 2}, {**asked, "ExclusiveStartKey": more})
        return tables.count(NAME, max_pages)

    def test_items_are_counted_over_all_pages(self, stubbed):
        assert self.count(stubbed, 2) == (5, True)

    def test_counting_stops_at_the_limit_and_says_so(self, stubbed):
        assert self.count(stubbed, 1) == (3, False)

    def test_only_keys_of_a_sample_are_read(self, stubbed):
        tables, stubber = stubbed
        keys = {"ProjectionExpression": "#k0", "ExpressionAttributeNames": {"#k0": "id"}}
        first, second = {"id": {"S": "a"}}, {"id": {"S": "b"}}
        stubber.add_response(
            "scan", {"Items": [first, second]}, {"TableName": "orders", "Limit": 5, **keys}
        )
        for key, answer in ((first, {"Item": first}), (second, {})):
            stubber.add_response(
                "get_item", answer, {**NAMED, "Key": key, "ConsistentRead": True, **keys}
            )

        assert tables.sample("orders", NAME, ("id",), 5) == (1, 2)

    def test_no_sample_is_read_if_none_is_wanted(self, stubbed):
        tables, _ = stubbed

        assert tables.sample("orders", NAME, ("id",), 0) == (0, 0)


STREAM, TTL, RECOVERY, TAGS = settings_calls(
    ARN,
    stream_view_type="NEW_IMAGE",
    time_to_live="until",
    recovery_period_days=7,
    tags={"team": "payments"},
)
PROTECT = protect(ARN, reversible=True)


class TestCalls:
    @pytest.mark.parametrize(
        ("call", "operation", "arguments"),
        [
            (
                FROM_BACKUP,
                "restore_table_from_backup",
                {"TargetTableName": NAME, "BackupArn": BACKUP_ARN},
            ),
            (
                restore_to_point_in_time(ARN, SOURCE_ARN, NOON, reversible=True),
                "restore_table_to_point_in_time",
                {
                    "TargetTableName": NAME,
                    "SourceTableArn": SOURCE_ARN,
                    "RestoreDateTime": NOON,
                },
            ),
            (
                restore_to_point_in_time(ARN, SOURCE_ARN, None, reversible=True),
                "restore_table_to_point_in_time",
                {
                    "TargetTableName": NAME,
                    "SourceTableArn": SOURCE_ARN,
                    "UseLatestRestorableTime": True,
                },
            ),
            (FROM_BACKUP.inverse(), "delete_table", NAMED),
            (
                STREAM,
                "update_table",
                {
                    **NAMED,
                    "StreamSpecification": {
                        "StreamEnabled": True,
                        "StreamViewType": "NEW_IMAGE",
                    },
                },
            ),
            (
                TTL,
                "update_time_to_live",
                {
                    **NAMED,
                    "TimeToLiveSpecification": {"Enabled": True, "AttributeName": "until"},
                },
            ),
            (
                RECOVERY,
                "update_continuous_backups",
                {
                    **NAMED,
                    "PointInTimeRecoverySpecification": {
                        "PointInTimeRecoveryEnabled": True,
                        "RecoveryPeriodInDays": 7,
                    },
                },
            ),
            (
                TAGS,
                "tag_resource",
                {"ResourceArn": ARN, "Tags": [{"Key": "team", "Value": "payments"}]},
            ),
            (PROTECT, "update_table", {**NAMED, "DeletionProtectionEnabled": True}),
            (PROTECT.inverse(), "update_table", {**NAMED, "DeletionProtectionEnabled": False}),
        ],
        ids=[
            "backup",
            "moment",
            "latest",
            "delete",
            "stream",
            "time to live",
            "recovery",
            "tags",
            "protect",
            "unprotect",
        ],
    )
    def test_request(self, stubbed, call, operation, arguments):
        tables, stubber = stubbed
        stubber.add_response(operation, {}, arguments)

        tables.apply(call)

    def test_a_deleted_table_does_not_come_back(self, stubbed):
        tables, _ = stubbed

        with pytest.raises(ChangeFailedError):
            tables.apply(FROM_BACKUP.inverse().inverse())

    def test_recovery_of_a_new_table_is_waited_for(self, stubbed):
        tables, stubber = stubbed
        stubber.add_client_error(
            "update_continuous_backups", "ContinuousBackupsUnavailableException"
        )

        with pytest.raises(ResourceBusyError):
            tables.apply(RECOVERY)

    @pytest.mark.parametrize("call", [FROM_BACKUP, STREAM, TTL, RECOVERY, TAGS, PROTECT])
    def test_a_table_that_is_not_there_has_no_settings(self, stubbed, call: PlannedCall):
        tables, stubber = stubbed
        absent(stubber)

        assert tables.present(call) == call.before

    @pytest.mark.parametrize("call", [STREAM, PROTECT])
    def test_nor_has_a_fresh_one(self, stubbed, call: PlannedCall):
        tables, stubber = stubbed
        described(stubber)

        assert tables.present(call) == call.before

    def test_a_restored_table_is_there_as_soon_as_its_name_is(self, stubbed):
        tables, stubber = stubbed
        described(stubber, TableStatus="CREATING")

        assert tables.present(FROM_BACKUP) == FROM_BACKUP.after

    def test_only_the_planned_tags_are_looked_at(self, stubbed):
        tables, stubber = stubbed
        described(stubber)
        tags = [{"Key": "team", "Value": "payments"}, {"Key": "more", "Value": "x"}]
        stubber.add_response("list_tags_of_resource", {"Tags": tags}, {"ResourceArn": ARN})

        assert tables.present(TAGS) == TAGS.after
