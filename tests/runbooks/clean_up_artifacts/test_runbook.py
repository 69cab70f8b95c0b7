"""clean_up_artifacts as a whole: what a person may ask for, and the ways through its machine.

Runs through its functions, observed, undone and rolled back, are in test_steps.py.
"""

from typing import Any

import pytest

from lambdas.remediation.contracts import Mode
from lambdas.remediation.errors import InvalidRequestError, TargetNotFoundError
from lambdas.remediation.platform import Bucket, Platform
from lambdas.remediation.request import read_request
from lambdas.runbooks.clean_up_artifacts.runbook import RUNBOOK
from stacks.catalog import discover
from stacks.runbook import composed

PLATFORM = Platform(
    name="test", buckets=(Bucket(bucket_name="artifacts", prefixes=("renders/", "logs/")),)
)


def read(**given: Any):
    given = {"target": {"bucket_name": "artifacts"}, **given}
    return read_request(RUNBOOK, PLATFORM, "remediation", given)


@pytest.fixture(scope="module")
def states() -> dict[str, Any]:
    (entry,) = [e for e in discover() if e.runbook.name == RUNBOOK.name]
    machine: dict[str, Any] = composed(entry, PLATFORM)["States"]
    return machine


def test_what_cannot_be_undone_is_asked_first():
    assert read().mode is Mode.PROPOSE
    with pytest.raises(InvalidRequestError, match="act is above the ceiling propose"):
        read(mode="act")


def test_prefix_and_age_may_be_said():
    assert read(parameters={"prefix": "logs/", "days": 60}).parameters == {
        "prefix": "logs/",
        "days": 60,
    }


@pytest.mark.parametrize(
    "parameters",
    [{"days": "60"}, {"prefix": 7}, {"minimum_days": 1}, {"max_expired_unasked": 9_999}],
    ids=str,
)
def test_nobody_can_have_more_expire(parameters):
    with pytest.raises(InvalidRequestError):
        read(parameters=parameters)


def test_other_buckets_are_refused():
    with pytest.raises(TargetNotFoundError, match=r"'backups' is not in platform\.json"):
        read(target={"bucket_name": "backups"})


def test_neither_an_alarm_nor_the_clock_starts_it():
    assert RUNBOOK.alarms(PLATFORM, "remediation") == ()
    assert RUNBOOK.schedulable is False


def test_a_young_object_never_expires_by_default():
    limits = RUNBOOK.limits_for(PLATFORM)

    assert (limits.minimum_days, limits.default_days, limits.noncurrent_days) == (30, 90, 30)


def test_the_rule_is_the_only_change_and_is_looked_at(states):
    changing = [
        name
        for name, state in states.items()
        if "${ChangeFunctionArn}" in str(state.get("Arguments", {}).get("FunctionName"))
    ]

    assert changing == ["Undo", "RollBack", "PutLifecycleRule"]
    assert states["PutLifecycleRule"]["Next"] == "Verify"


def test_a_rule_that_may_have_been_set_is_taken_away_and_a_refused_one_is_not(states):
    refused, anything = states["PutLifecycleRule"]["Catch"]

    assert refused["Next"] == "Finish"
    assert {"PrerequisiteNotMetError", "WorldMovedError"} <= set(refused["ErrorEquals"])
    assert (anything["ErrorEquals"], anything["Next"]) == (["States.ALL"], "RollBack")


def test_a_rule_that_is_not_in_force_is_taken_away(states):
    assert RUNBOOK.keep_when_ineffective is False
    assert {
        "Condition": "{% $verification.verdict = 'failed' "
        "and $run.keep_when_ineffective = false %}",
        "Next": "RollBack",
    } in states["JudgeVerification"]["Choices"]
