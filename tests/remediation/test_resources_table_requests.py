"""A table's requests: averages over the whole time, and keys that never appear as they are."""

from datetime import UTC, datetime, timedelta

import boto3
import pytest
from botocore.stub import ANY, Stubber

from lambdas.remediation.resources.table_requests import Requests, TableRequests

START = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
END = START + timedelta(minutes=5)
ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/orders"


@pytest.fixture
def stub():
    client = boto3.client(
        "cloudwatch",
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    with Stubber(client) as stubber:
        stubber.requests = TableRequests(client)
        yield stubber
    stubber.assert_no_pending_responses()


def series(stub, *values: list[float]) -> None:
    """What CloudWatch has of each metric, in the order they are asked for."""
    results = [
        {
            "Id": f"m{number}",
            "Timestamps": [START + timedelta(minutes=n) for n in range(len(one))],
            "Values": one,
            "StatusCode": "Complete",
        }
        for number, one in enumerate(values)
    ]
    stub.add_response("get_metric_data", {"MetricDataResults": results})


def test_latency_is_averaged_over_requests_not_over_periods(stub):
    # Read units; sum and count of Query; sum and count of Scan.
    series(stub, [100, 200], [900, 10], [90, 10], [], [])

    found = stub.requests.read("orders", start=START, end=END, period_seconds=60)

    assert found == Requests(milliseconds={"Query": 9.1}, read_units_per_second=1.0)


def test_without_traffic_there_is_no_latency(stub):
    series(stub, [], [], [], [], [])

    found = stub.requests.read("orders", start=START, end=END, period_seconds=60)

    assert found == Requests(milliseconds={}, read_units_per_second=0.0)


def test_what_an_index_is_read_for(stub):
    series(stub, [1.5, 2])

    found = stub.requests.index_read_units(
        "orders", "by-day", start=START, end=END, period_seconds=60
    )

    assert found == 3.5


def test_throttled_keys_are_digests(stub):
    asked = {"StartTime": START, "EndTime": END, "Period": 60, "OrderBy": "Sum"}
    stub.add_response(
        "get_insight_rule_report",
        {
            "Contributors": [
                {
                    "Keys": ["alice@example.org"],
                    "ApproximateAggregateValue": 12.0,
                    "Datapoints": [],
                }
            ]
        },
        {
            "RuleName": "DynamoDBContributorInsights-PKT-orders-1",
            "MaxContributorCount": ANY,
            **asked,
        },
    )

    found = stub.requests.throttled_keys(
        [
            "DynamoDBContributorInsights-PKC-orders-1",
            "DynamoDBContributorInsights-PKT-orders-1",
        ],
        table_arn=ARN,
        start=START,
        end=END,
    )

    assert found == [{"key_sha256": "408942ebfd1fe965", "throttled": 12.0}]
