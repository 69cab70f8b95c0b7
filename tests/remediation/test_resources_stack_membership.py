"""The stack that a role belongs to, by CloudFormation's word and not by tags."""

import pytest
from botocore.exceptions import ClientError

from lambdas.remediation import clients
from lambdas.remediation.resources.stack_membership import StackMembership


@pytest.fixture
def stacks(aws):
    return StackMembership(clients.client("cloudformation"))


@pytest.fixture
def described(calls_of):
    return calls_of("cloudformation", "DescribeStackResources")


def member(physical_id, status="CREATE_COMPLETE"):
    return {
        "StackName": "EnergyStack",
        "PhysicalResourceId": physical_id,
        "ResourceStatus": status,
    }


@pytest.mark.parametrize(
    ("members", "stack"),
    [
        ([member("table"), member("chat")], "EnergyStack"),
        # Only the first hundred are told.
        ([member("table")], "EnergyStack"),
        ([member("table"), member("chat", "DELETE_SKIPPED")], None),
        ([member("chat", "DELETE_COMPLETE")], None),
        ([], None),
    ],
)
def test_resource_belongs_to_the_stack_that_still_has_it(stacks, described, members, stack):
    described.will_answer({"StackResources": members})
    assert stacks.stack_of("chat") == stack
    assert described.made == [{"PhysicalResourceId": "chat"}]


def test_resource_of_no_stack(stacks, described):
    error = {"Code": "ValidationError", "Message": "Stack for chat does not exist"}
    described.will_answer({"Error": error})
    assert stacks.stack_of("chat") is None


def test_other_errors_are_no_answer(stacks, described):
    described.will_fail("AccessDenied")
    with pytest.raises(ClientError, match="AccessDenied"):
        stacks.stack_of("chat")
