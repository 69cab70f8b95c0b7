"""reset_user_password as a whole: its declaration and its machine."""

from typing import Any

import pytest

from lambdas.remediation.contracts import Mode
from lambdas.remediation.errors import InvalidRequestError
from lambdas.remediation.platform import Platform, UserPool
from lambdas.remediation.request import read_request
from lambdas.runbooks.reset_user_password.runbook import RUNBOOK
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


def test_asks_first_and_cannot_be_told_not_to():
    assert read().mode is Mode.PROPOSE
    with pytest.raises(InvalidRequestError) as caught:
        read(mode="act")
    assert "above the ceiling propose" in str(caught.value)


@pytest.mark.parametrize("parameters", [{"username": 1}, {"sign_out": "no"}], ids=str)
def test_nothing_else_is_accepted(parameters):
    with pytest.raises(InvalidRequestError):
        read(parameters=parameters)


def test_no_error_leads_to_a_roll_back(states):
    for name in ("ResetUser", "SignOut"):
        assert {c["Next"] for c in states[name]["Catch"]} == {"Finish"}
    assert RUNBOOK.reversible is False


def test_sessions_are_ended_where_the_plan_says_so(states):
    assert states["ShallSignOut"]["Choices"] == [
        {"Condition": "{% $plan.calls > 1 %}", "Next": "SignOut"}
    ]
    assert states["ShallSignOut"]["Default"] == "Verify"
