"""export_dynamodb_table as a whole: what a person may ask for, and the ways of its machine."""

from typing import Any

import pytest

from lambdas.remediation.contracts import Mode
from lambdas.remediation.errors import InvalidRequestError
from lambdas.remediation.platform import Platform, Table
from lambdas.remediation.request import read_request
from lambdas.runbooks.export_dynamodb_table.runbook import RUNBOOK
from stacks.catalog import discover
from stacks.runbook import composed

PLATFORM = Platform(name="test", tables=(Table(table_name="orders", export_bucket="exported"),))


class TestDeclaration:
    def read(self, **given: Any):
        target = {"table_name": "orders"}
        return read_request(RUNBOOK, PLATFORM, "remediation", {"target": target, **given})

    def test_acts_unless_asked_for_less(self):
        assert self.read().mode is Mode.ACT

    def test_time_and_format_can_be_chosen(self):
        parameters = {"export_time": "2026-03-02T12:00:00+01:00", "format": "ION"}

        assert self.read(parameters=parameters).parameters == {
            "export_time": "2026-03-02T11:00:00.000Z",
            "format": "ION",
        }

    @pytest.mark.parametrize(
        ("parameters", "told"),
        [
            ({"format": "CSV"}, "'CSV' is not one of DYNAMODB_JSON, ION"),
            ({"export_time": "yesterday"}, "'yesterday' is not an ISO 8601 time"),
            ({"bucket": "elsewhere"}, "parameters.bucket: unknown field"),
        ],
        ids=str,
    )
    def test_anything_else_is_refused(self, parameters, told):
        with pytest.raises(InvalidRequestError) as caught:
            self.read(parameters=parameters)

        assert told in str(caught.value)

    def test_may_be_scheduled_and_takes_no_share_of_the_platforms_budget(self):
        assert (RUNBOOK.schedulable, RUNBOOK.harmless) == (True, True)


@pytest.fixture(scope="module")
def states() -> dict[str, Any]:
    (entry,) = [e for e in discover() if e.runbook.name == RUNBOOK.name]
    machine: dict[str, Any] = composed(entry, PLATFORM)["States"]
    return machine


class TestMachine:
    def test_an_export_is_waited_for_and_then_verified_whatever_became_of_it(self, states):
        """Verify says why an export failed: a roll-back without it would have no reason."""
        assert states["StartExport"]["Next"] == "CheckExport"
        assert states["CheckExport"]["Next"] == "IsExportFinished"
        assert states["IsExportFinished"]["Choices"] == [
            {"Condition": "{% $settled.verdict = 'pending' %}", "Next": "WaitForExport"}
        ]
        assert states["IsExportFinished"]["Default"] == "Verify"
        assert states["WaitForExport"]["Next"] == "CheckExport"
