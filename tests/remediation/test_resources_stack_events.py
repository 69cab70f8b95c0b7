"""Operations on CloudFormation stacks, as their events tell."""

from datetime import UTC, datetime, timedelta

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from lambdas.remediation.errors import ThrottledError
from lambdas.remediation.resources.stack_events import StackEvents, StackOperation

STACK_ID = "arn:aws:cloudformation:us-east-1:123456789012:stack/app/1-2-3"
NESTED_ID = "arn:aws:cloudformation:us-east-1:123456789012:stack/app-nested/4-5-6"
NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


@pytest.fixture
def client():
    return boto3.client("cloudformation", region_name="us-east-1")


@pytest.fixture
def stub(client):
    with Stubber(client) as stubber:
        yield stubber
    stubber.assert_no_pending_responses()


def event(
    status: str, minute: int, kind: str = "AWS::CloudFormation::Stack", physical: str = STACK_ID
) -> dict:
    return {
        "StackId": STACK_ID,
        "EventId": f"{status}-{minute}",
        "StackName": "app",
        "PhysicalResourceId": physical,
        "ResourceType": kind,
        "Timestamp": NOON + timedelta(minutes=minute),
        "ResourceStatus": status,
    }


def resource(status: str, minute: int) -> dict:
    return event(status, minute, "AWS::ApiGateway::Deployment", "d1")


def page(*events: dict, more: str = "") -> dict:
    return {"StackEvents": list(events)} | ({"NextToken": more} if more else {})


def test_the_newest_event_of_the_stack_itself_tells(client, stub):
    stub.add_response(
        "describe_stack_events",
        page(
            resource("DELETE_COMPLETE", 4),
            event("UPDATE_COMPLETE", 3),
            resource("UPDATE_COMPLETE", 2),
            event("UPDATE_IN_PROGRESS", 1),
        ),
        {"StackName": "app"},
    )

    found = StackEvents(client).last_operation("app")

    assert found == StackOperation(
        stack_name="app", status="UPDATE_COMPLETE", at=NOON + timedelta(minutes=3)
    )
    assert found.running is False


def test_a_nested_stack_does_not_speak_for_its_parent(client, stub):
    nested = event("UPDATE_COMPLETE", 2, physical=NESTED_ID)
    stub.add_response("describe_stack_events", page(nested, event("UPDATE_IN_PROGRESS", 1)))

    found = StackEvents(client).last_operation("app")

    assert found is not None
    assert found.status == "UPDATE_IN_PROGRESS"


@pytest.mark.parametrize(
    ("status", "running"),
    [
        ("CREATE_IN_PROGRESS", True),
        ("UPDATE_ROLLBACK_IN_PROGRESS", True),
        ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", True),
        ("CREATE_COMPLETE", False),
        ("UPDATE_ROLLBACK_FAILED", False),
    ],
)
def test_what_is_running(status, running):
    assert StackOperation(stack_name="app", status=status, at=NOON).running is running


def test_looks_on_the_next_page(client, stub):
    stub.add_response("describe_stack_events", page(resource("UPDATE_COMPLETE", 2), more="more"))
    stub.add_response(
        "describe_stack_events",
        page(event("UPDATE_COMPLETE", 1)),
        {"StackName": "app", "NextToken": "more"},
    )

    found = StackEvents(client).last_operation("app")

    assert found is not None
    assert found.status == "UPDATE_COMPLETE"


def test_three_pages_of_resources_only_are_an_operation_that_goes_on(client, stub):
    for minute in (9, 8, 7):
        stub.add_response(
            "describe_stack_events", page(resource("CREATE_COMPLETE", minute), more=str(minute))
        )

    found = StackEvents(client).last_operation("app")

    assert found == StackOperation(
        stack_name="app", status="UPDATE_IN_PROGRESS", at=NOON + timedelta(minutes=9)
    )


def test_a_stack_without_events(client, stub):
    stub.add_response("describe_stack_events", page())

    assert StackEvents(client).last_operation("app") is None


@pytest.mark.parametrize(
    ("code", "expected"), [("Throttling", ThrottledError), ("ValidationError", ClientError)]
)
def test_events_that_cannot_be_read(client, stub, code, expected):
    stub.add_client_error("describe_stack_events", code)

    with pytest.raises(expected):
        StackEvents(client).last_operation("app")


def marked(found: dict, mark: str, reason: str = "", name: str = "Queue") -> dict:
    return found | {
        "ClientRequestToken": mark,
        "ResourceStatusReason": reason,
        "LogicalResourceId": name,
    }


def test_marks_of_operations_newest_first(client, stub):
    stub.add_response(
        "describe_stack_events",
        page(
            resource("UPDATE_COMPLETE", 5),
            marked(event("UPDATE_COMPLETE", 4), "second"),
            marked(event("UPDATE_IN_PROGRESS", 3), "second"),
            marked(event("CREATE_COMPLETE", 1), "first"),
        ),
        {"StackName": "app"},
    )

    assert StackEvents(client).request_ids("app") == ("second", "first")


def test_failures_of_one_operation_the_first_one_first(client, stub):
    stub.add_response(
        "describe_stack_events",
        page(
            marked(event("UPDATE_FAILED", 6), "mine", "failed: [A]", "app"),
            marked(resource("UPDATE_FAILED", 5), "mine", "Resource update cancelled", "C"),
            marked(resource("CREATE_FAILED", 4), "mine", "name is taken", "B"),
            marked(resource("UPDATE_FAILED", 3), "mine", "not allowed", "A"),
            marked(resource("UPDATE_FAILED", 1), "other", "long ago", "A"),
        ),
        {"StackName": "app"},
    )

    assert StackEvents(client).failures("app", "mine") == (
        "A (AWS::ApiGateway::Deployment): not allowed",
        "B (AWS::ApiGateway::Deployment): name is taken",
    )
