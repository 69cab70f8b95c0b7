"""Global secondary indexes: what is described, and what DynamoDB is asked."""

import boto3
import pytest
from botocore.stub import ANY, Stubber

from lambdas.remediation.errors import ChangeFailedError, ResourceBusyError
from lambdas.remediation.resources.table_indexes import TableIndexes, create_index, definition

ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/orders"
WANTED = definition({"owner": "S", "day": "N"}, ("title", "colour"))
DESCRIBED = {
    "keys": ["owner S HASH", "day N RANGE"],
    "projection": "INCLUDE",
    "included": ["colour", "title"],
}
INDEX = {
    "IndexName": "by-owner",
    "KeySchema": [
        {"AttributeName": "owner", "KeyType": "HASH"},
        {"AttributeName": "day", "KeyType": "RANGE"},
    ],
    "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["title", "colour"]},
}
TABLE = {
    "TableName": "orders",
    "TableArn": ARN,
    "TableStatus": "ACTIVE",
    "AttributeDefinitions": [
        {"AttributeName": "id", "AttributeType": "S"},
        {"AttributeName": "owner", "AttributeType": "S"},
        {"AttributeName": "day", "AttributeType": "N"},
    ],
    "ProvisionedThroughput": {
        "ReadCapacityUnits": 7,
        "WriteCapacityUnits": 9,
        "NumberOfDecreasesToday": 1,
    },
}
CAPACITY = {"ProvisionedThroughput": {"ReadCapacityUnits": 7, "WriteCapacityUnits": 9}}
ON_DEMAND = {
    "BillingModeSummary": {"BillingMode": "PAY_PER_REQUEST"},
    "ProvisionedThroughput": {"ReadCapacityUnits": 0, "WriteCapacityUnits": 0},
}


@pytest.fixture
def stub():
    client = boto3.client(
        "dynamodb",
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    with Stubber(client) as stubber:
        stubber.indexes = TableIndexes(client)
        yield stubber
    stubber.assert_no_pending_responses()


def described(stub, *indexes: dict, **fields) -> None:
    found = {**TABLE, "GlobalSecondaryIndexes": list(indexes), **fields}
    stub.add_response("describe_table", {"Table": found}, {"TableName": "orders"})


def planned(stub, **fields):
    described(stub, **fields)
    return create_index(stub.indexes.read("orders"), "by-owner", WANTED)


def create(throughput: dict) -> dict:
    return {
        "TableName": "orders",
        "AttributeDefinitions": [
            {"AttributeName": "owner", "AttributeType": "S"},
            {"AttributeName": "day", "AttributeType": "N"},
        ],
        "GlobalSecondaryIndexUpdates": [
            {
                "Create": {
                    "IndexName": "by-owner",
                    "KeySchema": INDEX["KeySchema"],
                    "Projection": {
                        "ProjectionType": "INCLUDE",
                        "NonKeyAttributes": ["colour", "title"],
                    },
                    **throughput,
                }
            }
        ],
    }


def test_keys_only_is_the_default():
    assert definition({"owner": "S"}) == {
        "keys": ["owner S HASH"],
        "projection": "KEYS_ONLY",
        "included": [],
    }


class TestRead:
    def test_an_index_in_the_words_of_a_plan(self, stub):
        described(stub, {**INDEX, "IndexStatus": "ACTIVE"})

        found = stub.indexes.read("orders")

        assert found.indexes["by-owner"].definition == DESCRIBED == WANTED
        assert found.indexes["by-owner"].ready
        assert found.throughput == CAPACITY
        assert found.settled

    @pytest.mark.parametrize(
        ("fields", "ready", "settled"),
        [
            ({"IndexStatus": "CREATING", "Backfilling": True}, False, False),
            ({"IndexStatus": "ACTIVE", "Backfilling": True}, False, True),
            ({"IndexStatus": "UPDATING"}, False, False),
        ],
        ids=str,
    )
    def test_an_index_that_queries_cannot_use_yet(self, stub, fields, ready, settled):
        described(stub, {**INDEX, **fields})

        found = stub.indexes.read("orders")

        assert (found.indexes["by-owner"].ready, found.settled) == (ready, settled)

    @pytest.mark.parametrize(
        ("maximum", "throughput"),
        [
            ({}, {}),
            (
                {"MaxReadRequestUnits": 50, "MaxWriteRequestUnits": -1},
                {"OnDemandThroughput": {"MaxReadRequestUnits": 50}},
            ),
        ],
        ids=["no maximum", "reads only"],
    )
    def test_throughput_on_demand(self, stub, maximum, throughput):
        described(stub, **ON_DEMAND, OnDemandThroughput=maximum)

        assert stub.indexes.read("orders").throughput == throughput


class TestPresent:
    @pytest.mark.parametrize(
        ("status", "present"),
        [("CREATING", DESCRIBED), ("ACTIVE", DESCRIBED), ("DELETING", None)],
    )
    def test_by_status(self, stub, status, present):
        call = planned(stub)
        described(stub, {**INDEX, "IndexStatus": status})

        assert stub.indexes.present(call) == {"index/by-owner": present}

    def test_another_index_is_none_of_its_business(self, stub):
        call = planned(stub)
        described(stub, {**INDEX, "IndexName": "other"})

        assert stub.indexes.present(call.inverse()) == {"index/by-owner": None}


class TestApply:
    def test_creates_with_the_capacity_of_the_table(self, stub):
        call = planned(stub)
        stub.add_response("update_table", {}, create(CAPACITY))

        stub.indexes.apply(call)

    def test_creates_without_capacity_on_demand(self, stub):
        call = planned(stub, **ON_DEMAND)
        stub.add_response("update_table", {}, create({}))

        stub.indexes.apply(call)

    def test_deletes_this_index(self, stub):
        call = planned(stub)
        delete = [{"Delete": {"IndexName": "by-owner"}}]
        stub.add_response(
            "update_table", {}, {"TableName": "orders", "GlobalSecondaryIndexUpdates": delete}
        )

        stub.indexes.apply(call.inverse())

    def test_creates_again_from_the_definition_alone(self, stub):
        call = planned(stub).inverse().inverse()
        described(stub)
        stub.add_response("update_table", {}, create(CAPACITY))

        stub.indexes.apply(call)

    @pytest.mark.parametrize(
        ("code", "error", "read_back"),
        [
            ("ResourceInUseException", ResourceBusyError, False),
            ("LimitExceededException", ChangeFailedError, True),
            ("ValidationException", ChangeFailedError, True),
        ],
    )
    def test_refused(self, stub, code, error, read_back):
        call = planned(stub)
        stub.add_client_error("update_table", code, "why", expected_params={**ANY_UPDATE})
        if read_back:
            described(stub)

        with pytest.raises(error, match=code):
            stub.indexes.apply(call)


ANY_UPDATE = {
    "TableName": "orders",
    "AttributeDefinitions": ANY,
    "GlobalSecondaryIndexUpdates": ANY,
}
