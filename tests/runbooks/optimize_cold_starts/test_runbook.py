"""optimize_cold_starts as a whole: its declaration and its machine."""

from typing import Any

import pytest

from lambdas.remediation.contracts import Mode
from lambdas.remediation.errors import InvalidRequestError
from lambdas.remediation.platform import Function, Platform
from lambdas.remediation.request import read_request
from lambdas.runbooks.optimize_cold_starts.runbook import RUNBOOK
from stacks.catalog import discover
from stacks.runbook import composed

PLATFORM = Platform(name="test", functions=(Function(function_name="chat", alias="live"),))


def read(**given: Any):
    return read_request(
        RUNBOOK, PLATFORM, "remediation", {"target": {"function_name": "chat"}, **given}
    )


class TestDeclaration:
    def test_acts_unless_asked_for_less(self):
        assert read().mode is Mode.ACT
        assert read(mode="observe").mode is Mode.OBSERVE

    @pytest.mark.parametrize("number", [1, 10])
    def test_takes_a_number_up_to_the_limit(self, number):
        asked = {"provisioned_concurrency": number}

        assert read(parameters=asked).parameters == asked

    @pytest.mark.parametrize("number", [0, -1, 11])
    def test_any_other_number_is_refused_with_the_ceiling(self, number):
        with pytest.raises(InvalidRequestError) as caught:
            read(parameters={"provisioned_concurrency": number})

        assert f"parameters.provisioned_concurrency: {number} is outside 1 to 10" in str(
            caught.value
        )

    def test_what_it_provisions_is_lent_out_for_a_day(self):
        assert RUNBOOK.harmless is False
        assert RUNBOOK.limits.mitigation_lease_seconds == 86_400


class TestMachine:
    @pytest.fixture(scope="class")
    def states(self) -> dict[str, Any]:
        (entry,) = [e for e in discover() if e.runbook.name == RUNBOOK.name]
        machine: dict[str, Any] = composed(entry, PLATFORM)["States"]
        return machine

    def test_waits_for_the_allocation_before_it_measures(self, states):
        assert states["ChooseMode"]["Default"] == "ProvisionConcurrency"
        assert states["ProvisionConcurrency"]["Next"] == "CheckAllocation"
        assert states["CheckAllocation"]["Next"] == "IsAllocated"
        assert states["WaitForAllocation"]["Next"] == "CheckAllocation"

    def test_a_failed_allocation_is_rolled_back_with_its_reason(self, states):
        done, waiting, failed = states["IsAllocated"]["Choices"]

        assert (done["Next"], waiting["Next"]) == ("Verify", "WaitForAllocation")
        assert failed == {
            "Condition": "{% $settled.verdict = 'failed' %}",
            "Assign": {
                "failure": {"Error": "ChangeFailedError", "Cause": "{% $settled.reason %}"},
                "failed_state": "CheckAllocation",
            },
            "Next": "RollBack",
        }
        assert states["IsAllocated"]["Default"] == "RollBack"
