from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.engine.decrease_quota import decreases_today, may_decrease
from tests.local.workbench import Workbench

# 2026-03-01T12:00:00Z
NOON = 1_772_366_400.0
HOUR = 3_600.0


def test_four_decreases_are_free_at_any_time_of_the_day() -> None:
    assert may_decrease([], NOON)
    assert may_decrease([NOON - 3, NOON - 2, NOON - 1], NOON)


def test_fifth_decrease_waits_for_an_hour_without_one() -> None:
    four = [NOON - 3 * HOUR, NOON - 2 * HOUR, NOON - HOUR, NOON - HOUR + 1]
    assert not may_decrease(four, NOON)
    assert may_decrease(four, NOON + 1)


def test_count_starts_again_at_midnight_utc() -> None:
    midnight = NOON + 12 * HOUR
    four = [midnight - 4, midnight - 3, midnight - 2, midnight - 1]
    assert decreases_today(four, midnight - 1) == 4
    assert decreases_today(four, midnight) == 0
    assert may_decrease(four, midnight)


def units(count: int) -> dict[str, int]:
    return {"ReadCapacityUnits": count, "WriteCapacityUnits": count}


def make_table(bench: Workbench, name: str, **fields: Any) -> None:
    keys = [{"AttributeName": "pk", "KeyType": "HASH"}]
    index = {
        "IndexName": "by-pk",
        "KeySchema": keys,
        "Projection": {"ProjectionType": "ALL"},
        "ProvisionedThroughput": units(10),
    }
    bench.client("dynamodb").create_table(
        TableName=name,
        KeySchema=keys,
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        ProvisionedThroughput=units(10),
        GlobalSecondaryIndexes=[index],
    )


def set_table(bench: Workbench, name: str, count: int) -> dict[str, Any]:
    return bench.client("dynamodb").update_table(
        TableName=name, ProvisionedThroughput=units(count)
    )["TableDescription"]["ProvisionedThroughput"]


def set_index(bench: Workbench, name: str, count: int) -> dict[str, Any]:
    change = {"Update": {"IndexName": "by-pk", "ProvisionedThroughput": units(count)}}
    described = bench.client("dynamodb").update_table(
        TableName=name, GlobalSecondaryIndexUpdates=[change]
    )["TableDescription"]
    return described["GlobalSecondaryIndexes"][0]["ProvisionedThroughput"]


def describe(bench: Workbench, name: str) -> dict[str, Any]:
    return bench.client("dynamodb").describe_table(TableName=name)["Table"]


@pytest.mark.engine
def test_decreases_are_counted_and_the_fifth_is_refused(bench: Workbench, name: str) -> None:
    make_table(bench, name)
    assert describe(bench, name)["ProvisionedThroughput"]["NumberOfDecreasesToday"] == 0
    assert set_table(bench, name, 20)["NumberOfDecreasesToday"] == 0
    for number, count in enumerate((19, 18, 17, 16), 1):
        assert set_table(bench, name, count)["NumberOfDecreasesToday"] == number
    with pytest.raises(ClientError, match="LimitExceededException"):
        set_table(bench, name, 15)
    described = describe(bench, name)["ProvisionedThroughput"]
    assert described["WriteCapacityUnits"] == 16
    assert described["LastDecreaseDateTime"] >= described["LastIncreaseDateTime"]
    assert set_table(bench, name, 30)["WriteCapacityUnits"] == 30


@pytest.mark.engine
def test_index_has_a_count_of_its_own_and_refuses_the_same_value(
    bench: Workbench, name: str
) -> None:
    make_table(bench, name)
    set_table(bench, name, 9)
    assert set_index(bench, name, 8)["NumberOfDecreasesToday"] == 1
    assert describe(bench, name)["ProvisionedThroughput"]["NumberOfDecreasesToday"] == 1
    with pytest.raises(ClientError, match="will not change"):
        set_index(bench, name, 8)
    with pytest.raises(ClientError, match="will not change"):
        set_table(bench, name, 9)


@pytest.mark.engine
def test_billing_mode_summary_appears_with_the_first_switch(bench: Workbench, name: str) -> None:
    make_table(bench, name)
    dynamodb = bench.client("dynamodb")
    assert "BillingModeSummary" not in describe(bench, name)
    dynamodb.update_table(TableName=name, BillingMode="PAY_PER_REQUEST")
    on_demand = describe(bench, name)
    assert on_demand["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    switched = on_demand["BillingModeSummary"]["LastUpdateToPayPerRequestDateTime"]
    assert on_demand["ProvisionedThroughput"]["WriteCapacityUnits"] == 0
    index = on_demand["GlobalSecondaryIndexes"][0]
    assert index["ProvisionedThroughput"]["WriteCapacityUnits"] == 0

    back = {"BillingMode": "PROVISIONED", "ProvisionedThroughput": units(5)}
    with pytest.raises(ClientError, match="by-pk"):
        dynamodb.update_table(TableName=name, **back)
    change = {"Update": {"IndexName": "by-pk", "ProvisionedThroughput": units(6)}}
    dynamodb.update_table(TableName=name, **back, GlobalSecondaryIndexUpdates=[change])
    provisioned = describe(bench, name)
    assert provisioned["BillingModeSummary"] == {
        "BillingMode": "PROVISIONED",
        "LastUpdateToPayPerRequestDateTime": switched,
    }
    assert provisioned["ProvisionedThroughput"]["NumberOfDecreasesToday"] == 0
    index = provisioned["GlobalSecondaryIndexes"][0]
    assert index["ProvisionedThroughput"]["WriteCapacityUnits"] == 6


@pytest.mark.engine
def test_capacity_raised_by_hand_survives_an_unrelated_stack_update(
    bench: Workbench, name: str
) -> None:
    keys = [{"AttributeName": "pk", "KeyType": "HASH"}]
    table = {
        "Type": "AWS::DynamoDB::Table",
        "Properties": {
            "TableName": name,
            "KeySchema": keys,
            "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
            "ProvisionedThroughput": units(5),
            "GlobalSecondaryIndexes": [
                {
                    "IndexName": "by-pk",
                    "KeySchema": keys,
                    "Projection": {"ProjectionType": "ALL"},
                    "ProvisionedThroughput": units(5),
                }
            ],
        },
    }
    queue = {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": name}}
    bench.deploy(name, {"Table": table})
    set_table(bench, name, 50)
    set_index(bench, name, 50)
    bench.deploy(name, {"Table": table, "Queue": queue})
    described = describe(bench, name)
    index = described["GlobalSecondaryIndexes"][0]
    assert described["ProvisionedThroughput"]["WriteCapacityUnits"] == 50
    assert index["ProvisionedThroughput"]["WriteCapacityUnits"] == 50
    assert index["IndexStatus"] == "ACTIVE"
