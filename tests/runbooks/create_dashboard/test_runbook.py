"""create_dashboard as a whole: its declaration and its machine."""

import pytest

from lambdas.remediation.contracts import Mode
from lambdas.remediation.errors import InvalidRequestError, TargetNotFoundError
from lambdas.remediation.platform import Dashboard, Platform
from lambdas.remediation.request import read_request
from lambdas.runbooks.create_dashboard.runbook import RUNBOOK
from stacks.catalog import discover
from stacks.runbook import composed

PLATFORM = Platform(name="test", dashboards=(Dashboard(dashboard_name="Orders"),))


def read(**given):
    return read_request(
        RUNBOOK, PLATFORM, "remediation", {"target": {"dashboard_name": "Orders"}, **given}
    )


def test_acts_unless_asked_for_less():
    assert read().mode is Mode.ACT
    assert read(mode="observe").mode is Mode.OBSERVE


def test_takes_a_period():
    assert read(parameters={"period_seconds": 60}).parameters == {"period_seconds": 60}


@pytest.mark.parametrize("parameters", [{"period_seconds": "60"}, {"body": "{}"}], ids=str)
def test_nobody_can_bring_a_body(parameters):
    with pytest.raises(InvalidRequestError):
        read(parameters=parameters)


def test_another_dashboard_is_never_touched():
    with pytest.raises(TargetNotFoundError):
        read(target={"dashboard_name": "Finance"})


def test_a_write_is_verified_at_once_and_rolled_back_when_it_fails():
    (entry,) = [e for e in discover() if e.runbook.name == RUNBOOK.name]
    states = composed(entry, PLATFORM)["States"]

    assert states["ChooseMode"]["Default"] == "WriteDashboard"
    assert states["WriteDashboard"]["Next"] == "Verify"
    assert states["WriteDashboard"]["Catch"][-1] == {
        "ErrorEquals": ["States.ALL"],
        "Assign": {
            "failure": "{% $states.errorOutput %}",
            "failed_state": "{% $states.context.State.Name %}",
        },
        "Next": "RollBack",
    }
