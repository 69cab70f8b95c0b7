"""Raw series of CloudWatch."""

from datetime import UTC, datetime, timedelta

import boto3
import pytest
from botocore.stub import Stubber
from moto import mock_aws

from lambdas.remediation.errors import ThrottledError
from lambdas.remediation.resources.metrics import Contributor, Metric, Metrics

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
THROTTLES = Metric("AWS/DynamoDB", "WriteThrottleEvents", (("TableName", "orders"),))
OF_INDEX = Metric(
    "AWS/DynamoDB",
    "WriteThrottleEvents",
    (("TableName", "orders"), ("GlobalSecondaryIndexName", "by-day")),
)
WINDOW = {"start": NOON, "end": NOON + timedelta(minutes=5), "period_seconds": 60}


@pytest.fixture(autouse=True)
def _credentials(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


@pytest.fixture
def client():
    return boto3.client("cloudwatch", region_name="us-east-1")


@pytest.fixture
def stub(client):
    with Stubber(client) as stubber:
        yield stubber
    stubber.assert_no_pending_responses()


def answer(*results: tuple[str, dict[datetime, float], str], token: str | None = None) -> dict:
    found: dict = {
        "MetricDataResults": [
            {"Id": i, "Timestamps": list(s), "Values": list(s.values()), "StatusCode": status}
            for i, s, status in results
        ]
    }
    return {**found, "NextToken": token} if token else found


def query(identifier: str, dimensions: list[dict[str, str]]) -> dict:
    return {
        "Id": identifier,
        "MetricStat": {
            "Metric": {
                "Namespace": "AWS/DynamoDB",
                "MetricName": "WriteThrottleEvents",
                "Dimensions": dimensions,
            },
            "Period": 60,
            "Stat": "Sum",
        },
    }


def test_asks_for_plain_series_and_joins_the_pages(client, stub):
    asked = {
        "MetricDataQueries": [
            query("m0", [{"Name": "TableName", "Value": "orders"}]),
            query(
                "m1",
                [
                    {"Name": "TableName", "Value": "orders"},
                    {"Name": "GlobalSecondaryIndexName", "Value": "by-day"},
                ],
            ),
        ],
        "StartTime": NOON,
        "EndTime": NOON + timedelta(minutes=5),
        "ScanBy": "TimestampAscending",
    }
    minute = timedelta(minutes=1)
    stub.add_response(
        "get_metric_data",
        answer(("m0", {NOON: 1.0}, "PartialData"), ("m1", {}, "Complete"), token="more"),
        asked,
    )
    stub.add_response(
        "get_metric_data",
        answer(("m0", {NOON + minute: 2.0}, "Complete")),
        {**asked, "NextToken": "more"},
    )

    found = Metrics(client).read([THROTTLES, OF_INDEX], **WINDOW)

    assert found == {THROTTLES: {NOON: 1.0, NOON + minute: 2.0}, OF_INDEX: {}}


@pytest.mark.parametrize("status", ["InternalError", "PartialData"])
def test_part_of_a_series_is_no_answer(client, stub, status):
    stub.add_response("get_metric_data", answer(("m0", {NOON: 0.0}, status)))

    with pytest.raises(ThrottledError):
        Metrics(client).read([THROTTLES], **WINDOW)


def test_a_series_that_is_missing_from_the_answer_is_no_answer(client, stub):
    stub.add_response("get_metric_data", answer())

    with pytest.raises(ThrottledError):
        Metrics(client).read([THROTTLES], **WINDOW)


def test_a_forbidden_series_is_not_silence(client, stub):
    stub.add_response("get_metric_data", answer(("m0", {}, "Forbidden")))

    with pytest.raises(PermissionError):
        Metrics(client).read([THROTTLES], **WINDOW)


def test_throttled(client, stub):
    stub.add_client_error("get_metric_data", "Throttling")

    with pytest.raises(ThrottledError):
        Metrics(client).read([THROTTLES], **WINDOW)


def test_more_than_500_series_take_several_calls(client, stub):
    many = [Metric("AWS/DynamoDB", f"M{n}", ()) for n in range(501)]
    stub.add_response(
        "get_metric_data", answer(*((f"m{n}", {NOON: float(n)}, "Complete") for n in range(500)))
    )
    stub.add_response("get_metric_data", answer(("m0", {NOON: 500.0}, "Complete")))

    found = Metrics(client).read(many, **WINDOW)

    assert found[many[499]] == {NOON: 499.0}
    assert found[many[500]] == {NOON: 500.0}


@mock_aws
def test_sums_by_period_and_keeps_table_and_index_apart(client):
    client.put_metric_data(
        Namespace="AWS/DynamoDB",
        MetricData=[
            {
                "MetricName": "WriteThrottleEvents",
                "Dimensions": [{"Name": "TableName", "Value": "orders"}],
                "Timestamp": NOON + timedelta(seconds=seconds),
                "Value": value,
            }
            for seconds, value in ((0, 1.0), (30, 2.0), (70, 4.0))
        ],
    )

    found = Metrics(client).read([THROTTLES, OF_INDEX], **WINDOW)

    assert found == {THROTTLES: {NOON: 3.0, NOON + timedelta(minutes=1): 4.0}, OF_INDEX: {}}


def test_top_contributors(client, stub):
    stub.add_response(
        "get_insight_rule_report",
        {"Contributors": [{"Keys": ["c-1"], "ApproximateAggregateValue": 7.0, "Datapoints": []}]},
        {
            "RuleName": "rule",
            "StartTime": NOON,
            "EndTime": NOON + timedelta(minutes=5),
            "Period": 60,
            "MaxContributorCount": 3,
            "OrderBy": "Sum",
        },
    )

    found = Metrics(client).contributors("rule", count=3, **WINDOW)

    assert found == [Contributor(keys=("c-1",), count=7.0)]
