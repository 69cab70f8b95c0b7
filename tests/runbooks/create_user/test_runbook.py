"""create_user as a whole: its declaration and its machine."""

from typing import Any

import pytest

from lambdas.remediation.contracts import Mode
from lambdas.remediation.errors import InvalidRequestError
from lambdas.remediation.platform import Platform, UserPool
from lambdas.remediation.request import read_request
from lambdas.runbooks.create_user.runbook import RUNBOOK
from stacks.catalog import discover
from stacks.runbook import composed

PLATFORM = Platform(
    name="test", user_pools=(UserPool(user_pool_id="us-east-1_Pool", groups=("Analysts",)),)
)


def read(**given: Any):
    target = {"user_pool_id": "us-east-1_Pool"}
    return read_request(RUNBOOK, PLATFORM, "remediation", {"target": target, **given})


@pytest.fixture(scope="module")
def states() -> dict[str, Any]:
    (entry,) = [e for e in discover() if e.runbook.name == RUNBOOK.name]
    machine: dict[str, Any] = composed(entry, PLATFORM)["States"]
    return machine


def test_two_users_can_be_handled_one_after_another():
    assert RUNBOOK.limits.cool_down_seconds == 0
    assert RUNBOOK.limits.max_changes_per_hour >= 10


def test_acts_unless_asked_for_less():
    assert read().mode is Mode.ACT
    assert read(mode="observe").mode is Mode.OBSERVE


def test_parameters_are_a_username_and_groups():
    given = {"username": "new@example.com", "groups": ["Analysts"]}

    assert read(parameters=given).parameters == given


@pytest.mark.parametrize(
    "parameters",
    [{"username": 1}, {"groups": "Analysts"}, {"temporary_password": "x"}, {"max_groups": 9}],
    ids=str,
)
def test_nothing_else_is_accepted(parameters):
    with pytest.raises(InvalidRequestError):
        read(parameters=parameters)


def test_a_user_that_is_not_complete_is_deleted(states):
    assert states["CreateUser"]["Next"] == "Verify"
    assert states["CreateUser"]["Catch"][-1]["Next"] == "RollBack"
