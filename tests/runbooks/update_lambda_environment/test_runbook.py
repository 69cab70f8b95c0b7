"""update_lambda_environment as a whole: what may be asked, and the ways through its machine."""

from typing import Any

import pytest

from lambdas.remediation.contracts import Mode
from lambdas.remediation.errors import InvalidRequestError
from lambdas.remediation.platform import Function, Platform
from lambdas.remediation.request import read_request
from lambdas.runbooks.update_lambda_environment.runbook import RUNBOOK
from stacks.catalog import discover
from stacks.runbook import composed

PLATFORM = Platform(name="test", functions=(Function(function_name="chat", alias="live"),))
CHANGING = ["UpdateVariables", "PublishVersion", "StartCanary", "ShiftTraffic"]


def read(**given: Any):
    given = {"target": {"function_name": "chat"}, **given}
    return read_request(RUNBOOK, PLATFORM, "remediation", given)


def test_acts_unless_asked_for_less():
    assert read().mode is Mode.ACT
    assert read(mode="observe").mode is Mode.OBSERVE


def test_values_cannot_be_typed():
    with pytest.raises(InvalidRequestError) as caught:
        read(parameters={"set": {"MODE": "hunter2"}})
    assert "parameters.set: must be a list" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_nobody_names_another_secret():
    with pytest.raises(InvalidRequestError) as caught:
        read(parameters={"secret_id": "theirs"})
    assert "parameters.secret_id: unknown field" in str(caught.value)


def test_nothing_starts_it_by_an_alarm():
    assert RUNBOOK.alarms(PLATFORM, "remediation") == ()


@pytest.fixture(scope="module")
def states() -> dict[str, Any]:
    (entry,) = [e for e in discover() if e.runbook.name == RUNBOOK.name]
    machine: dict[str, Any] = composed(entry, PLATFORM)["States"]
    return machine


def test_every_change_is_looked_at_before_the_next(states):
    looks = ("HaveVariablesSettled", "IsVersionGood", "IsCanaryGood")

    assert [states[n]["Next"] for n in CHANGING] == [
        "CheckVariables",
        "CheckVersion",
        "CheckCanary",
        "Verify",
    ]
    assert [states[n]["Choices"][0]["Next"] for n in looks] == CHANGING[1:]


def test_whatever_fails_after_the_first_change_is_rolled_back(states):
    for name in [*CHANGING[1:], "CheckVariables", "CheckVersion", "CheckCanary"]:
        assert [(c["ErrorEquals"], c["Next"]) for c in states[name]["Catch"]] == [
            (["States.ALL"], "RollBack")
        ]
