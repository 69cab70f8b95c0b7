"""update_lambda_code as a whole: what may be asked, and the ways through its machine."""

from typing import Any

import pytest

from lambdas.remediation.contracts import Mode
from lambdas.remediation.errors import InvalidRequestError
from lambdas.remediation.platform import Function, Platform
from lambdas.remediation.request import read_request
from lambdas.runbooks.update_lambda_code.runbook import RUNBOOK
from stacks.catalog import discover
from stacks.runbook import composed

PLATFORM = Platform(name="test", functions=(Function(function_name="chat", alias="live"),))
CHANGING = ["UpdateCode", "PublishVersion", "StartCanary", "ShiftTraffic"]


def read(**given: Any):
    given = {"target": {"function_name": "chat"}, **given}
    return read_request(RUNBOOK, PLATFORM, "remediation", given)


def test_acts_unless_asked_for_less():
    assert read().mode is Mode.ACT
    assert read(mode="observe").mode is Mode.OBSERVE


def test_nobody_names_another_bucket():
    with pytest.raises(InvalidRequestError) as caught:
        read(parameters={"bucket": "theirs"})
    assert "parameters.bucket: unknown field" in str(caught.value)


def test_a_canary_of_nothing_is_accepted():
    assert read(parameters={"canary_percent": 0}).parameters == {"canary_percent": 0}


def test_nothing_starts_it_by_an_alarm():
    assert RUNBOOK.alarms(PLATFORM, "remediation") == ()


@pytest.fixture(scope="module")
def states() -> dict[str, Any]:
    (entry,) = [e for e in discover() if e.runbook.name == RUNBOOK.name]
    machine: dict[str, Any] = composed(entry, PLATFORM)["States"]
    return machine


def test_every_change_is_looked_at_before_the_next(states):
    good = [states[n]["Choices"][0]["Next"] for n in ("HasCodeSettled", "IsVersionGood")]

    assert [states[n]["Next"] for n in CHANGING] == [
        "CheckCode",
        "CheckVersion",
        "CheckCanary",
        "Verify",
    ]
    assert [*good, states["IsCanaryGood"]["Choices"][0]["Next"]] == CHANGING[1:]


def test_a_canary_without_traffic_goes_on_and_a_version_that_is_not_proven_does_not(states):
    assert "inconclusive" in states["IsCanaryGood"]["Choices"][0]["Condition"]
    assert "inconclusive" not in states["IsVersionGood"]["Choices"][0]["Condition"]


def test_each_loop_counts_its_own_looks(states):
    assert [n for n in CHANGING if states[n]["Assign"].get("poll_attempt") == 0] == [
        "PublishVersion",
        "StartCanary",
    ]


def test_whatever_fails_after_the_first_change_is_rolled_back(states):
    for name in [*CHANGING[1:], "CheckCode", "CheckVersion", "CheckCanary"]:
        assert [(c["ErrorEquals"], c["Next"]) for c in states[name]["Catch"]] == [
            (["States.ALL"], "RollBack")
        ]
