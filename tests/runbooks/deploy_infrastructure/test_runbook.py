"""deploy_infrastructure as a whole: its declaration and the way through its machine."""

import dataclasses
from typing import Any

import pytest

from lambdas.remediation.contracts import Mode
from lambdas.remediation.errors import InvalidRequestError
from lambdas.remediation.platform import CloudFormationStack, Platform, RunbookSettings
from lambdas.remediation.request import read_request
from lambdas.runbooks.deploy_infrastructure.runbook import RUNBOOK
from stacks.catalog import discover
from stacks.runbook import composed

PLATFORM = Platform(name="test", stacks=(CloudFormationStack(stack_name="app"),))


def read(**given: Any):
    return read_request(
        RUNBOOK, PLATFORM, "remediation", {"target": {"stack_name": "app"}, **given}
    )


def test_asks_before_it_deploys():
    assert read().mode is Mode.PROPOSE


def test_takes_lists_of_what_was_reviewed():
    given = {"change_set_name": "r", "accept_data_loss": ["Orders"], "accept_undoing": ["x:1"]}

    assert read(parameters=given).parameters == given


@pytest.mark.parametrize(
    "parameters",
    [{"change_set_name": 7}, {"template_key": 7}, {"accept_data_loss": "Orders"}, {"force": True}],
    ids=str,
)
def test_takes_nothing_else(parameters):
    with pytest.raises(InvalidRequestError):
        read(parameters=parameters)


def test_half_an_hour_of_watching_fits_into_the_looks():
    limits = RUNBOOK.limits
    waits = [min(n, 3) * limits.verify_interval_seconds for n in range(1, limits.verify_attempts)]

    assert sum(waits) >= limits.verify_window_seconds == 1_800


@pytest.fixture(scope="module")
def states() -> dict[str, Any]:
    (entry,) = [e for e in discover() if e.runbook.name == RUNBOOK.name]
    machine: dict[str, Any] = composed(entry, PLATFORM)["States"]
    return machine


@pytest.mark.parametrize("name", ["RollBack", "Undo"])
def test_the_way_back_has_an_hour_and_its_time_is_the_machines(states, name):
    """Full jitter halves each wait on average."""
    (busy,) = [r for r in states[name]["Retry"] if r["ErrorEquals"] == ["ResourceBusyError"]]
    (entry,) = [e for e in discover() if e.runbook.name == RUNBOOK.name]
    whole = composed(entry, PLATFORM)["TimeoutSeconds"]

    assert busy["MaxAttempts"] * busy["MaxDelaySeconds"] / 2 > 4_200
    assert whole > 2 * busy["MaxAttempts"] * busy["MaxDelaySeconds"] * 0.95


def test_the_way_back_is_as_long_as_the_platform_file_says():
    platform = dataclasses.replace(
        PLATFORM,
        runbooks={RUNBOOK.name: RunbookSettings(limits={"way_back_attempts": 33})},
    )
    (entry,) = [e for e in discover() if e.runbook.name == RUNBOOK.name]
    states = composed(entry, platform)["States"]

    assert [r["MaxAttempts"] for r in states["RollBack"]["Retry"]] == [4, 5, 33]


def test_nothing_is_executed_before_the_backups_are_good(states):
    ways = [
        name
        for name, state in states.items()
        for holder in [state, *state.get("Choices", []), *state.get("Catch", [])]
        if "ExecuteChangeSet" in (holder.get("Next"), holder.get("Default"))
    ]

    assert states["ChooseMode"]["Default"] == "MakeChangeSet"
    assert states["MakeChangeSet"]["Next"] == "RecordRelease"
    assert states["RecordRelease"]["Next"] == "CheckBackups"
    assert ways == ["AreBackupsGood"]


def test_the_stack_has_all_its_looks_whatever_the_backups_took(states):
    assert states["ExecuteChangeSet"]["Assign"]["poll_attempt"] == 0


def test_whatever_fails_once_it_may_be_executed_is_rolled_back(states):
    for name in ("ExecuteChangeSet", "CheckStack"):
        (catch,) = states[name]["Catch"]
        assert (catch["ErrorEquals"], catch["Next"]) == (["States.ALL"], "RollBack")
