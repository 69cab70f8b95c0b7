"""On-demand backups: what is read, made and deleted, and what a lost answer leads to."""

from datetime import UTC, datetime

import boto3
import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from botocore.stub import Stubber
from moto import mock_aws

from lambdas.remediation.contracts import PlannedCall
from lambdas.remediation.errors import (
    ChangeFailedError,
    ResourceBusyError,
    TargetNotFoundError,
    ThrottledError,
)
from lambdas.remediation.resources.dynamodb_backup import (
    Backup,
    BackupDescription,
    BackupSource,
    DynamoDbBackups,
    create_backup,
    delete_backup,
    is_backup_name,
)

ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/orders"
FIRST, SECOND = f"{ARN}/backup/01234567890123-11111111", f"{ARN}/backup/01234567890123-22222222"
TABLE_ID = "0a0a0a0a-1b1b-2c2c-3d3d-4e4e4e4e4e4e"
NAME = "remediation-orders-20260302T120000Z-0123456789ab"
MARCH = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
FEBRUARY = datetime(2026, 2, 2, 12, 0, tzinfo=UTC)
CREATE = create_backup("orders", ARN, NAME)
OLD = Backup(
    backup_arn=FIRST, backup_name=NAME, status="AVAILABLE", created_at=FEBRUARY, table_id=TABLE_ID
)
DELETE = delete_backup(OLD)
LISTED = {"TableName": "orders", "BackupType": "USER"}


@pytest.fixture(autouse=True)
def _credentials(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


@pytest.fixture
def client():
    return boto3.client("dynamodb", region_name="us-east-1")


@pytest.fixture
def backups(client) -> DynamoDbBackups:
    return DynamoDbBackups(client)


@pytest.fixture
def stub(client):
    with Stubber(client) as stubber:
        yield stubber
    stubber.assert_no_pending_responses()


def summary(**overrides) -> dict:
    return {
        "TableName": "orders",
        "TableId": TABLE_ID,
        "TableArn": ARN,
        "BackupArn": FIRST,
        "BackupName": NAME,
        "BackupCreationDateTime": FEBRUARY,
        "BackupStatus": "AVAILABLE",
        "BackupType": "USER",
        **overrides,
    }


def described(**details) -> dict:
    key_schema = [{"AttributeName": "id", "KeyType": "HASH"}]
    return {
        "BackupDescription": {
            "BackupDetails": {
                "BackupArn": FIRST,
                "BackupName": NAME,
                "BackupStatus": "AVAILABLE",
                "BackupType": "USER",
                "BackupCreationDateTime": FEBRUARY,
                **details,
            },
            "SourceTableDetails": {
                "TableName": "orders",
                "TableId": TABLE_ID,
                "KeySchema": key_schema,
                "TableCreationDateTime": FEBRUARY,
                "ProvisionedThroughput": {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1},
            },
            "SourceTableFeatureDetails": {
                "GlobalSecondaryIndexes": [{"IndexName": "by-day"}],
                "LocalSecondaryIndexes": [{"IndexName": "by-age"}],
            },
        }
    }


def listing(*summaries: dict) -> dict:
    return {"BackupSummaries": list(summaries)}


# --- names and planned calls ---


@pytest.mark.parametrize(
    ("name", "valid"),
    [
        ("abc", True),
        ("a.B_c-9", True),
        ("a" * 255, True),
        ("ab", False),
        ("a" * 256, False),
        ("orders backup", False),
        ("orders:backup", False),
        ("bestellungen-ü", False),
        ("abc\n", False),
    ],
)
def test_names_that_dynamodb_takes(name, valid):
    assert is_backup_name(name) is valid


def test_making_a_backup_can_be_taken_back():
    assert (
        PlannedCall(
            api="dynamodb:CreateBackup",
            resource=ARN,
            arguments={"TableName": "orders", "BackupName": NAME},
            before={"BackupName": None},
            after={"BackupName": NAME},
            reversible=True,
        )
        == CREATE
    )


def test_deleting_a_backup_cannot():
    assert (
        PlannedCall(
            api="dynamodb:DeleteBackup",
            resource=FIRST,
            arguments={"BackupArn": FIRST},
            before={"BackupName": NAME},
            after={"BackupName": None},
            reversible=False,
        )
        == DELETE
    )


# --- the table ---


class TestSource:
    def table(self, **overrides) -> dict:
        return {
            "Table": {
                "TableName": "orders",
                "TableArn": ARN,
                "TableId": TABLE_ID,
                "TableStatus": "ACTIVE",
                **overrides,
            }
        }

    def test_a_table_without_indexes(self, backups, stub):
        stub.add_response("describe_table", self.table(), {"TableName": "orders"})

        assert backups.source("orders") == BackupSource(
            table_name="orders", table_arn=ARN, table_id=TABLE_ID, status="ACTIVE"
        )

    def test_an_index_that_is_not_complete_cannot_be_in_a_backup(self, backups, stub):
        table = self.table(
            GlobalSecondaryIndexes=[
                {"IndexName": "by-day", "IndexStatus": "ACTIVE"},
                {"IndexName": "growing", "IndexStatus": "UPDATING"},
                {"IndexName": "new", "IndexStatus": "CREATING"},
                {"IndexName": "old", "IndexStatus": "DELETING"},
            ],
            LocalSecondaryIndexes=[{"IndexName": "by-age"}],
        )
        stub.add_response("describe_table", table)

        assert backups.source("orders").index_names == ("by-age", "by-day", "growing")

    def test_no_such_table(self, backups, stub):
        stub.add_client_error("describe_table", "ResourceNotFoundException")

        with pytest.raises(TargetNotFoundError):
            backups.source("orders")


# --- reading backups ---


class TestOfTable:
    def test_reads_every_page_oldest_first(self, backups, stub):
        newer = summary(BackupArn=SECOND, BackupCreationDateTime=MARCH)
        stub.add_response(
            "list_backups", listing(newer) | {"LastEvaluatedBackupArn": SECOND}, LISTED
        )
        stub.add_response(
            "list_backups", listing(summary()), LISTED | {"ExclusiveStartBackupArn": SECOND}
        )

        found = backups.of_table("orders")

        assert found[0] == OLD
        assert [b.backup_arn for b in found] == [FIRST, SECOND]

    def test_leaves_out_what_is_deleted(self, backups, stub):
        stub.add_response("list_backups", listing(summary(BackupStatus="DELETED")))

        assert backups.of_table("orders") == ()

    def test_none(self, backups, stub):
        stub.add_response("list_backups", {})

        assert backups.of_table("orders") == ()

    def test_throttled(self, backups, stub):
        stub.add_client_error("list_backups", "ThrottlingException")

        with pytest.raises(ThrottledError):
            backups.of_table("orders")


class TestDescribe:
    def test_tells_table_and_indexes(self, backups, stub):
        stub.add_response("describe_backup", described(), {"BackupArn": FIRST})

        assert backups.describe(FIRST) == BackupDescription(
            backup_arn=FIRST,
            backup_name=NAME,
            status="AVAILABLE",
            table_id=TABLE_ID,
            index_names=("by-age", "by-day"),
        )

    def test_a_backup_that_is_gone(self, backups, stub):
        stub.add_client_error("describe_backup", "BackupNotFoundException")

        assert backups.describe(FIRST) is None

    def test_a_backup_that_is_being_forgotten(self, backups, stub):
        stub.add_response("describe_backup", described(BackupStatus="DELETED"))

        assert backups.describe(FIRST) is None

    def test_throttled(self, backups, stub):
        stub.add_client_error("describe_backup", "InternalServerError")

        with pytest.raises(ThrottledError):
            backups.describe(FIRST)


# --- the planned calls against simulated DynamoDB ---


class TestAgainstDynamoDb:
    @pytest.fixture(autouse=True)
    def _table(self):
        with mock_aws():
            self.client = boto3.client("dynamodb", region_name="us-east-1")
            self.client.create_table(
                TableName="orders",
                KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
                AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
                BillingMode="PAY_PER_REQUEST",
            )
            self.backups = DynamoDbBackups(self.client)
            yield

    def names(self) -> list[str]:
        return [b.backup_name for b in self.backups.of_table("orders")]

    def test_makes_the_backup(self):
        before = self.backups.present(CREATE)
        self.backups.apply(CREATE)

        assert (before, self.backups.present(CREATE)) == (
            {"BackupName": None},
            {"BackupName": NAME},
        )
        assert self.names() == [NAME]

    def test_the_inverse_deletes_that_backup_and_no_other(self):
        self.client.create_backup(TableName="orders", BackupName="by-a-person")
        self.backups.apply(CREATE)

        self.backups.apply(CREATE.inverse())

        assert self.names() == ["by-a-person"]
        assert self.backups.present(CREATE.inverse()) == {"BackupName": None}

    def test_the_inverse_deletes_both_if_a_retry_made_two(self):
        self.backups.apply(CREATE)
        self.backups.apply(CREATE)

        self.backups.apply(CREATE.inverse())

        assert self.names() == []

    def test_what_was_deleted_is_not_made_again(self):
        with pytest.raises(ChangeFailedError):
            self.backups.apply(CREATE.inverse().inverse())

        assert self.names() == []

    def test_deletes_one_backup_by_its_arn(self):
        self.backups.apply(CREATE)
        self.client.create_backup(TableName="orders", BackupName=NAME)
        first, second = self.backups.of_table("orders")
        call = delete_backup(first)
        before = self.backups.present(call)

        self.backups.apply(call)

        assert (before, self.backups.present(call)) == (
            {"BackupName": NAME},
            {"BackupName": None},
        )
        assert self.backups.of_table("orders") == (second,)

    def test_deleting_cannot_be_taken_back(self):
        with pytest.raises(ChangeFailedError):
            self.backups.apply(DELETE.inverse())

    def test_a_name_that_dynamodb_would_refuse_is_not_sent(self):
        with pytest.raises(ChangeFailedError) as caught:
            self.backups.apply(create_backup("orders", ARN, "orders backup"))

        assert "'orders backup' cannot be the name of a backup" in str(caught.value)
        assert self.names() == []

    def test_a_table_that_is_gone(self):
        self.client.delete_table(TableName="orders")

        with pytest.raises(ChangeFailedError):
            self.backups.apply(CREATE)

    def lose(self, moment: str) -> None:
        def lose(**_):
            raise ReadTimeoutError(endpoint_url="https://dynamodb.us-east-1.amazonaws.com")

        self.client.meta.events.register(f"{moment}.dynamodb.CreateBackup", lose)

    def test_a_lost_answer_is_settled_by_the_list(self):
        self.lose("after-call")

        self.backups.apply(CREATE)

        assert self.names() == [NAME]

    def test_a_lost_call_is_repeated_by_the_state(self):
        self.client.create_backup(TableName="orders", BackupName="by-a-person")
        self.lose("before-call")

        with pytest.raises(ResourceBusyError):
            self.backups.apply(CREATE)

        assert self.names() == ["by-a-person"]


# --- errors of changing calls ---


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("BackupInUseException", ResourceBusyError),
        ("TableInUseException", ResourceBusyError),
        ("ThrottlingException", ThrottledError),
        ("InternalServerError", ThrottledError),
    ],
)
def test_making_a_backup_may_be_repeated_after(backups, stub, code, expected):
    stub.add_client_error("create_backup", code)

    with pytest.raises(expected):
        backups.apply(CREATE)


@pytest.mark.parametrize(
    "code",
    ["ContinuousBackupsUnavailableException", "LimitExceededException", "TableNotFoundException"],
)
def test_dynamodb_refuses_to_make_a_backup(backups, stub, code):
    stub.add_client_error("create_backup", code)
    stub.add_response("list_backups", listing(), LISTED)

    with pytest.raises(ChangeFailedError) as caught:
        backups.apply(CREATE)

    assert str(caught.value).startswith(f"{ARN}: AWS refuses dynamodb:CreateBackup: {code}")


def test_an_unknown_error_stays_what_it_is(backups, stub):
    stub.add_client_error("create_backup", "AccessDeniedException")

    with pytest.raises(ClientError):
        backups.apply(CREATE)


def test_a_backup_that_is_being_restored_is_busy(backups, stub):
    stub.add_client_error("delete_backup", "BackupInUseException")

    with pytest.raises(ResourceBusyError):
        backups.apply(DELETE)


def test_a_backup_that_somebody_deleted_first_is_deleted(backups, stub):
    stub.add_client_error("delete_backup", "BackupNotFoundException")
    stub.add_client_error("describe_backup", "BackupNotFoundException")

    backups.apply(DELETE)
