"""optimize_dynamodb_queries as a whole: what a person may ask for, and the ways of its machine."""

from typing import Any

import pytest

from lambdas.remediation.contracts import Mode
from lambdas.remediation.errors import InvalidRequestError
from lambdas.remediation.platform import Platform, Table
from lambdas.remediation.request import read_request
from lambdas.runbooks.optimize_dynamodb_queries.runbook import RUNBOOK
from stacks.catalog import discover
from stacks.runbook import composed

PLATFORM = Platform(name="test", tables=(Table(table_name="orders"),))
INDEX = {"index_name": "by-owner", "partition_key": "owner", "partition_key_type": "S"}


class TestDeclaration:
    def read(self, **given: Any):
        target = {"table_name": "orders"}
        return read_request(RUNBOOK, PLATFORM, "remediation", {"target": target, **given})

    def test_proposes_and_never_acts_unasked(self):
        assert self.read().mode is Mode.PROPOSE
        with pytest.raises(InvalidRequestError, match="act is above the ceiling propose"):
            self.read(mode="act")

    def test_an_index_travels_as_it_was_typed(self):
        found = self.read(parameters={"index": {**INDEX, "include": ["title"]}}).parameters

        assert found == {
            "index": {**INDEX, "sort_key": None, "sort_key_type": None, "include": ["title"]}
        }

    @pytest.mark.parametrize(
        ("parameters", "told"),
        [
            ({"insights": "all"}, "'all' is not one of throttled_keys, accessed_and"),
            ({"index": {**INDEX, "partition_key_type": "X"}}, "'X' is not one of S, N, B"),
            ({"index": {"index_name": "by-owner"}}, "parameters.index.partition_key: missing"),
            ({"index": {**INDEX, "projection": "ALL"}}, "parameters.index.projection: unknown"),
            ({"show_keys": "yes"}, "parameters.show_keys: must be a boolean"),
        ],
        ids=str,
    )
    def test_anything_else_is_refused(self, parameters, told):
        with pytest.raises(InvalidRequestError) as caught:
            self.read(parameters=parameters)

        assert told in str(caught.value)


@pytest.fixture(scope="module")
def states() -> dict[str, Any]:
    (entry,) = [e for e in discover() if e.runbook.name == RUNBOOK.name]
    machine: dict[str, Any] = composed(entry, PLATFORM)["States"]
    return machine


class TestMachine:
    def test_a_change_is_waited_for_and_then_verified_whatever_became_of_it(self, states):
        assert states["ChangeTable"]["Next"] == "CheckTable"
        assert states["CheckTable"]["Next"] == "IsTableReady"
        assert states["IsTableReady"]["Choices"] == [
            {"Condition": "{% $settled.verdict = 'pending' %}", "Next": "WaitForTable"}
        ]
        assert states["IsTableReady"]["Default"] == "Verify"
        assert states["WaitForTable"]["Next"] == "CheckTable"
