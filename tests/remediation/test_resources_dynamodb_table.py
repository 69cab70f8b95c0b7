"""Throughput of tables: real shapes of DescribeTable, the one UpdateTable call, its errors."""

import dataclasses
from datetime import UTC, datetime

import boto3
import pytest
from botocore.exceptions import ReadTimeoutError
from botocore.stub import Stubber
from moto import mock_aws

from lambdas.remediation.contracts import PlannedCall
from lambdas.remediation.errors import (
    ChangeFailedError,
    ResourceBusyError,
    TargetNotFoundError,
    ThrottledError,
)
from lambdas.remediation.resources.dynamodb_table import (
    DynamoDbTables,
    TableDescription,
    TableOrIndex,
    update_table_arguments,
)

ARN = "arn:aws:dynamodb:us-east-1:000000000000:table/orders"
SWITCHED = datetime(2026, 3, 1, 8, 30, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _credentials(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


@pytest.fixture
def client():
    return boto3.client("dynamodb", region_name="us-east-1")


@pytest.fixture
def stub(client):
    with Stubber(client) as stubber:
        yield stubber
    stubber.assert_no_pending_responses()


def described(**overrides) -> dict:
    table = {
        "TableName": "orders",
        "TableArn": ARN,
        "TableStatus": "ACTIVE",
        "ProvisionedThroughput": {
            "NumberOfDecreasesToday": 1,
            "ReadCapacityUnits": 4,
            "WriteCapacityUnits": 5,
        },
        "GlobalSecondaryIndexes": [
            {
                "IndexName": "by-day",
                "IndexStatus": "ACTIVE",
                "ProvisionedThroughput": {"ReadCapacityUnits": 6, "WriteCapacityUnits": 7},
            }
        ],
    }
    return {"Table": {**table, **overrides}}


def call(before: dict, after: dict) -> PlannedCall:
    return PlannedCall(
        api="dynamodb:UpdateTable", resource=ARN, arguments={}, before=before, after=after
    )


RAISE = call(
    {"WriteCapacityUnits": 5, "index/by-day/WriteCapacityUnits": 7},
    {"WriteCapacityUnits": 10, "index/by-day/WriteCapacityUnits": 14},
)
RAISE_ARGUMENTS = {
    "TableName": "orders",
    "ProvisionedThroughput": {"ReadCapacityUnits": 4, "WriteCapacityUnits": 10},
    "GlobalSecondaryIndexUpdates": [
        {
            "Update": {
                "IndexName": "by-day",
                "ProvisionedThroughput": {"ReadCapacityUnits": 6, "WriteCapacityUnits": 14},
            }
        }
    ],
}


class TestRead:
    def test_a_table_that_was_never_on_demand_has_no_billing_mode_summary(self, client, stub):
        stub.add_response("describe_table", described(), {"TableName": "orders"})

        table = DynamoDbTables(client).read("orders")

        assert table == TableDescription(
            table_name="orders",
            table_arn=ARN,
            billing_mode="PROVISIONED",
            table_and_indexes=(
                TableOrIndex(
                    read_capacity_units=4, write_capacity_units=5, number_of_decreases_today=1
                ),
                TableOrIndex(index_name="by-day", read_capacity_units=6, write_capacity_units=7),
            ),
        )

    def test_zero_units_of_an_on_demand_table_are_no_capacity(self, client, stub):
        none = {"ReadCapacityUnits": 0, "WriteCapacityUnits": 0}
        summary = {
            "BillingMode": "PAY_PER_REQUEST",
            "LastUpdateToPayPerRequestDateTime": SWITCHED,
        }
        index = {
            "IndexName": "by-day",
            "IndexStatus": "ACTIVE",
            "ProvisionedThroughput": none,
            "OnDemandThroughput": {"MaxReadRequestUnits": -1, "MaxWriteRequestUnits": 30},
        }
        stub.add_response(
            "describe_table",
            described(
                BillingModeSummary=summary,
                ProvisionedThroughput=none,
                OnDemandThroughput={"MaxReadRequestUnits": 40, "MaxWriteRequestUnits": 50},
                GlobalSecondaryIndexes=[index],
            ),
        )

        table = DynamoDbTables(client).read("orders")

        assert table.last_update_to_pay_per_request_at == SWITCHED
        assert table.settings() == {
            "BillingMode": "PAY_PER_REQUEST",
            "ReadCapacityUnits": None,
            "WriteCapacityUnits": None,
            "MaxReadRequestUnits": 40,
            "MaxWriteRequestUnits": 50,
            "index/by-day/ReadCapacityUnits": None,
            "index/by-day/WriteCapacityUnits": None,
            "index/by-day/MaxReadRequestUnits": None,
            "index/by-day/MaxWriteRequestUnits": 30,
        }

    def test_a_global_table_names_its_replicas(self, client, stub):
        stub.add_response("describe_table", described(Replicas=[{"RegionName": "eu-west-1"}]))

        assert DynamoDbTables(client).read("orders").replica_regions == ("eu-west-1",)

    def test_unknown_table(self, client, stub):
        stub.add_client_error("describe_table", "ResourceNotFoundException", "no table orders")

        with pytest.raises(TargetNotFoundError) as caught:
            DynamoDbTables(client).read("orders")

        assert "table orders" in str(caught.value)

    def test_throttled(self, client, stub):
        stub.add_client_error("describe_table", "ThrottlingException")

        with pytest.raises(ThrottledError):
            DynamoDbTables(client).read("orders")

    @mock_aws
    def test_a_table_made_by_the_api(self, client):
        client.create_table(
            TableName="orders",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            ProvisionedThroughput={"ReadCapacityUnits": 2, "WriteCapacityUnits": 3},
        )

        table = DynamoDbTables(client).read("orders")

        assert table.settled
        assert (table.billing_mode, table.settings()["WriteCapacityUnits"]) == ("PROVISIONED", 3)


class TestPresent:
    def test_has_exactly_the_keys_of_the_call(self, client, stub):
        stub.add_response("describe_table", described(), {"TableName": "orders"})

        assert DynamoDbTables(client).present(RAISE) == RAISE.before

    @pytest.mark.parametrize(
        "overrides",
        [
            {"TableStatus": "UPDATING"},
            {"GlobalSecondaryIndexes": [{"IndexName": "by-day", "IndexStatus": "UPDATING"}]},
        ],
    )
    def test_is_not_known_while_an_update_is_under_way(self, client, stub, overrides):
        stub.add_response("describe_table", described(**overrides))

        with pytest.raises(ResourceBusyError):
            DynamoDbTables(client).present(RAISE)

    def test_an_index_that_is_gone_equals_nothing(self, client, stub):
        stub.add_response("describe_table", described(GlobalSecondaryIndexes=[]))

        present = DynamoDbTables(client).present(RAISE)

        assert present == {"WriteCapacityUnits": 5, "index/by-day/WriteCapacityUnits": None}


class TestApply:
    def test_table_and_indexes_go_in_one_call(self, client, stub):
        stub.add_response("describe_table", described())
        stub.add_response(
            "update_table", {"TableDescription": described()["Table"]}, RAISE_ARGUMENTS
        )

        DynamoDbTables(client).apply(RAISE)

    def test_equal_values_are_not_sent(self, client, stub):
        stub.add_response("describe_table", described())

        DynamoDbTables(client).apply(call(RAISE.after, RAISE.before))

    @pytest.mark.parametrize("code", ["LimitExceededException", "ValidationException"])
    def test_refused_by_aws(self, client, stub, code):
        stub.add_response("describe_table", described())
        stub.add_client_error("update_table", code, "too many decreases")
        stub.add_response("describe_table", described())

        with pytest.raises(ChangeFailedError) as caught:
            DynamoDbTables(client).apply(RAISE)

        assert "too many decreases" in str(caught.value)

    def test_busy(self, client, stub):
        stub.add_response("describe_table", described())
        stub.add_client_error("update_table", "ResourceInUseException", "being updated")

        with pytest.raises(ResourceBusyError):
            DynamoDbTables(client).apply(RAISE)

    def test_no_answer_but_the_update_is_under_way(self, client):
        fake = NoAnswer(described(), described(TableStatus="UPDATING"))

        with pytest.raises(ResourceBusyError):
            DynamoDbTables(fake).apply(RAISE)

    def test_no_answer_but_the_values_are_there(self):
        done = described(
            ProvisionedThroughput={"ReadCapacityUnits": 4, "WriteCapacityUnits": 10},
            GlobalSecondaryIndexes=[
                {
                    "IndexName": "by-day",
                    "IndexStatus": "ACTIVE",
                    "ProvisionedThroughput": {"ReadCapacityUnits": 6, "WriteCapacityUnits": 14},
                }
            ],
        )
        fake = NoAnswer(described(), done)

        DynamoDbTables(fake).apply(RAISE)

        assert fake.updates == [RAISE_ARGUMENTS]

    @mock_aws
    def test_to_on_demand_and_back_with_every_capacity(self, client):
        client.create_table(
            TableName="orders",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[
                {"AttributeName": "id", "AttributeType": "S"},
                {"AttributeName": "day", "AttributeType": "S"},
            ],
            ProvisionedThroughput={"ReadCapacityUnits": 2, "WriteCapacityUnits": 3},
            GlobalSecondaryIndexes=[
                {
                    "IndexName": "by-day",
                    "KeySchema": [{"AttributeName": "day", "KeyType": "HASH"}],
                    "Projection": {"ProjectionType": "ALL"},
                    "ProvisionedThroughput": {"ReadCapacityUnits": 4, "WriteCapacityUnits": 5},
                }
            ],
        )
        tables = DynamoDbTables(client)
        switch = call(
            {
                "BillingMode": "PROVISIONED",
                "ReadCapacityUnits": 2,
                "WriteCapacityUnits": 3,
                "index/by-day/ReadCapacityUnits": 4,
                "index/by-day/WriteCapacityUnits": 5,
            },
            {
                "BillingMode": "PAY_PER_REQUEST",
                "ReadCapacityUnits": None,
                "WriteCapacityUnits": None,
                "index/by-day/ReadCapacityUnits": None,
                "index/by-day/WriteCapacityUnits": None,
            },
        )

        tables.apply(switch)
        switched = tables.present(switch)
        tables.apply(switch.inverse())

        assert switched == switch.after
        assert tables.present(switch) == switch.before


class NoAnswer:
    """A client whose UpdateTable answer is lost; DescribeTable gives the prepared answers."""

    def __init__(self, *answers: dict) -> None:
        self.answers = list(answers)
        self.updates: list[dict] = []

    def describe_table(self, **_: str) -> dict:
        return self.answers.pop(0)

    def update_table(self, **arguments: object) -> dict:
        self.updates.append(arguments)
        raise ReadTimeoutError(endpoint_url="https://dynamodb.us-east-1.amazonaws.com")


PROVISIONED_TABLE = TableDescription(
    table_name="orders",
    table_arn=ARN,
    billing_mode="PROVISIONED",
    table_and_indexes=(
        TableOrIndex(read_capacity_units=4, write_capacity_units=5),
        TableOrIndex(index_name="by-day", read_capacity_units=6, write_capacity_units=7),
    ),
)
ON_DEMAND_TABLE = dataclasses.replace(
    PROVISIONED_TABLE,
    billing_mode="PAY_PER_REQUEST",
    table_and_indexes=(
        TableOrIndex(max_read_request_units=40, max_write_request_units=50),
        TableOrIndex(index_name="by-day", max_write_request_units=30),
    ),
)


class TestArguments:
    def test_unchanged_parts_are_left_out(self):
        found = update_table_arguments(
            PROVISIONED_TABLE, {"ReadCapacityUnits": 4, "index/by-day/ReadCapacityUnits": 9}
        )

        assert found == {
            "TableName": "orders",
            "GlobalSecondaryIndexUpdates": [
                {
                    "Update": {
                        "IndexName": "by-day",
                        "ProvisionedThroughput": {"ReadCapacityUnits": 9, "WriteCapacityUnits": 7},
                    }
                }
            ],
        }

    def test_on_demand_maxima(self):
        found = update_table_arguments(
            ON_DEMAND_TABLE,
            {"MaxWriteRequestUnits": 100, "index/by-day/MaxWriteRequestUnits": 60},
        )

        assert found == {
            "TableName": "orders",
            "OnDemandThroughput": {"MaxReadRequestUnits": 40, "MaxWriteRequestUnits": 100},
            "GlobalSecondaryIndexUpdates": [
                {
                    "Update": {
                        "IndexName": "by-day",
                        "OnDemandThroughput": {"MaxWriteRequestUnits": 60},
                    }
                }
            ],
        }

    def test_to_on_demand_names_the_mode_only(self):
        found = update_table_arguments(
            PROVISIONED_TABLE,
            {"BillingMode": "PAY_PER_REQUEST", "ReadCapacityUnits": None},
        )

        assert found == {"TableName": "orders", "BillingMode": "PAY_PER_REQUEST"}


class TestContributorInsights:
    def test_rules_of_an_index(self, client, stub):
        stub.add_response(
            "describe_contributor_insights",
            {
                "TableName": "orders",
                "IndexName": "by-day",
                "ContributorInsightsStatus": "ENABLED",
                "ContributorInsightsRuleList": ["DynamoDBContributorInsights-PKT-orders-1"],
            },
            {"TableName": "orders", "IndexName": "by-day"},
        )

        rules = DynamoDbTables(client).contributor_insights_rules("orders", "by-day")

        assert rules == ["DynamoDBContributorInsights-PKT-orders-1"]

    def test_rules_left_over_from_a_disabled_one_are_not_read(self, client, stub):
        stub.add_response(
            "describe_contributor_insights",
            {"ContributorInsightsStatus": "DISABLED", "ContributorInsightsRuleList": ["old"]},
            {"TableName": "orders"},
        )

        assert DynamoDbTables(client).contributor_insights_rules("orders", None) == []
