"""The machine of restore_dynamodb_table: which way leads to the application, and which does not."""

from typing import Any

import pytest

from lambdas.remediation.platform import Platform, Table
from lambdas.runbooks.restore_dynamodb_table.runbook import RUNBOOK
from stacks.catalog import discover
from stacks.runbook import composed

PLATFORM = Platform(name="test", tables=(Table(table_name="orders"),))


@pytest.fixture(scope="module")
def states() -> dict[str, Any]:
    (entry,) = [e for e in discover() if e.runbook.name == RUNBOOK.name]
    machine: dict[str, Any] = composed(entry, PLATFORM)["States"]
    return machine


def ways_to(states: dict[str, Any], wanted: str) -> list[str]:
    return [
        name
        for name, state in states.items()
        for holder in [state, *state.get("Choices", []), *state.get("Catch", [])]
        if wanted in (holder.get("Next"), holder.get("Default"))
    ]


def test_only_a_proven_table_is_put_into_use(states):
    assert ways_to(states, "CutOver") == ["IsCopyGood"]
    assert states["IsCopyGood"]["Choices"] == [
        {"Condition": "{% $settled.verdict = 'passed' %}", "Next": "CutOver"}
    ]
    assert states["IsCopyGood"]["Default"] == "Verify"


def test_settings_are_made_once_dynamodb_is_done(states):
    assert ways_to(states, "ApplySettings") == ["IsRestored"]
    assert states["IsRestored"]["Default"] == "Verify"


def test_what_fails_while_the_application_is_moved_does_not_delete_the_table(states):
    assert [c["Next"] for c in states["CutOver"]["Catch"]] == ["Verify"]


def test_a_restore_may_take_hours(states):
    limits = RUNBOOK.limits.as_dict()

    assert states["WaitForRestore"]["Next"] == "CheckRestore"
    assert limits["poll_interval_seconds"] * limits["poll_attempts"] >= 2 * 3_600
