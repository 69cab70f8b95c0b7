"""Contributor Insights of a table: what DynamoDB's statuses come to, and what it is asked."""

import boto3
import pytest
from botocore.stub import Stubber

from lambdas.remediation.errors import ChangeFailedError, TargetNotFoundError
from lambdas.remediation.resources.contributor_insights import (
    ContributorInsights,
    Insights,
    switch_insights,
)

ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/orders"
ON = switch_insights(ARN, "OFF", "THROTTLED_KEYS")


@pytest.fixture
def stub():
    client = boto3.client(
        "dynamodb",
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    with Stubber(client) as stubber:
        stubber.insights = ContributorInsights(client)
        yield stubber
    stubber.assert_no_pending_responses()


def described(stub, status: str, mode: str | None = None, **fields) -> None:
    modes = {"ContributorInsightsMode": mode} if mode else {}
    stub.add_response(
        "describe_contributor_insights",
        {"ContributorInsightsStatus": status, **modes, **fields},
        {"TableName": "orders"},
    )


@pytest.mark.parametrize(
    ("status", "mode", "found"),
    [
        ("DISABLED", None, Insights(mode="OFF")),
        ("DISABLED", "THROTTLED_KEYS", Insights(mode="OFF")),
        ("DISABLING", "THROTTLED_KEYS", Insights(mode="OFF", settled=False)),
        ("ENABLING", "THROTTLED_KEYS", Insights(mode="THROTTLED_KEYS", settled=False)),
        ("ENABLED", "THROTTLED_KEYS", Insights(mode="THROTTLED_KEYS")),
        ("ENABLED", None, Insights(mode="ACCESSED_AND_THROTTLED_KEYS")),
    ],
)
def test_status_and_mode(stub, status, mode, found):
    described(stub, status, mode)

    assert stub.insights.read("orders") == found


def test_why_it_could_not_be_switched_on(stub):
    failure = {"ExceptionName": "AccessDenied", "ExceptionDescription": "no role"}
    described(stub, "FAILED", "THROTTLED_KEYS", FailureException=failure)

    assert stub.insights.read("orders") == Insights(mode="OFF", failure="AccessDenied: no role")


def test_no_such_table(stub):
    stub.add_client_error("describe_contributor_insights", "ResourceNotFoundException")

    with pytest.raises(TargetNotFoundError):
        stub.insights.read("orders")


def test_present_is_where_it_is_going(stub):
    described(stub, "ENABLING", "THROTTLED_KEYS")

    assert stub.insights.present(ON) == {"ContributorInsights": "THROTTLED_KEYS"}


@pytest.mark.parametrize(
    ("call", "asked"),
    [
        (
            ON,
            {"ContributorInsightsAction": "ENABLE", "ContributorInsightsMode": "THROTTLED_KEYS"},
        ),
        (ON.inverse(), {"ContributorInsightsAction": "DISABLE"}),
    ],
    ids=["on", "back off"],
)
def test_what_dynamodb_is_asked(stub, call, asked):
    stub.add_response("update_contributor_insights", {}, {"TableName": "orders", **asked})

    stub.insights.apply(call)


def test_refused(stub):
    stub.add_client_error("update_contributor_insights", "ValidationException", "why")
    described(stub, "DISABLED")

    with pytest.raises(ChangeFailedError, match="ValidationException: why"):
        stub.insights.apply(ON)
