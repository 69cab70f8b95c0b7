"""Throttle events of tables and their indexes together."""

from datetime import UTC, datetime, timedelta

import pytest

from lambdas.remediation import clients
from lambdas.remediation.platform import Table
from lambdas.remediation.resources.table_throttling import TableThrottling

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
ORDERS = Table(table_name="orders", indexes=("by-day",))
USERS = Table(table_name="users")


@pytest.fixture
def cloudwatch(aws):
    return clients.client("cloudwatch")


def put(cloudwatch, name: str, value: float, *, at: datetime = NOON, **dimensions: str) -> None:
    cloudwatch.put_metric_data(
        Namespace="AWS/DynamoDB",
        MetricData=[
            {
                "MetricName": name,
                "Dimensions": [{"Name": n, "Value": v} for n, v in dimensions.items()],
                "Timestamp": at,
                "Value": value,
            }
        ],
    )


def throttled(cloudwatch, *tables: Table) -> dict[str, float]:
    start, end = NOON - timedelta(minutes=5), NOON + timedelta(minutes=1)
    return TableThrottling(cloudwatch).throttled(tables, start=start, end=end, period_seconds=60)


def test_adds_reads_and_writes_of_table_and_indexes(cloudwatch):
    put(cloudwatch, "ReadThrottleEvents", 1, TableName="orders")
    put(cloudwatch, "WriteThrottleEvents", 20, TableName="orders")
    index = {"TableName": "orders", "GlobalSecondaryIndexName": "by-day"}
    put(cloudwatch, "WriteThrottleEvents", 300, **index)

    assert throttled(cloudwatch, ORDERS) == {"orders": 321.0}


def test_most_throttled_first_and_the_others_not_at_all(cloudwatch):
    put(cloudwatch, "ReadThrottleEvents", 2, TableName="orders")
    put(cloudwatch, "ReadThrottleEvents", 3, TableName="users")

    found = throttled(cloudwatch, ORDERS, USERS, Table(table_name="calm"))

    assert list(found.items()) == [("users", 3.0), ("orders", 2.0)]


def test_what_was_before_does_not_count(cloudwatch):
    put(cloudwatch, "ReadThrottleEvents", 2, at=NOON - timedelta(minutes=6), TableName="orders")

    assert throttled(cloudwatch, ORDERS) == {}


def test_a_platform_without_tables_asks_nothing(cloudwatch, calls_of):
    asked = calls_of("cloudwatch", "GetMetricData")

    assert throttled(cloudwatch) == {}
    assert asked.made == []
