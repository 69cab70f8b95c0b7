"""Steps of rotate_api_key: what is started is not started again, what is unfinished is stopped."""

from datetime import UTC, datetime
from typing import Any

import pytest

from lambdas.remediation.contracts import Decision, Plan, encode
from lambdas.remediation.errors import ConcurrentChangeError, RollbackFailedError
from lambdas.remediation.resources.secret import Secrets
from lambdas.remediation.step import Clock
from lambdas.runbooks.rotate_api_key import steps
from tests.runbooks.rotate_api_key.test_policy import ARN, CALL, NEW, OLD

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
PLAN = Plan(decision=Decision.CHANGE, reason="", calls=[CALL])


class FixedClock(Clock):
    def now(self) -> datetime:
        return NOON


class Vault:
    """Secrets Manager with one secret: its labels, and the changing calls it got."""

    def __init__(self, **labels: list[str]) -> None:
        self.labels = labels
        self.made: list[tuple[str, ...]] = []

    def describe_secret(self, **_: Any) -> dict[str, Any]:
        return {"ARN": ARN, "Name": "keys/chat", "VersionIdsToStages": self.labels}

    def rotate_secret(self, **given: Any) -> None:
        assert given["RotateImmediately"] is True
        self.made.append(("rotate", given["ClientRequestToken"]))
        self.labels[given["ClientRequestToken"]] = ["AWSPENDING"]

    def update_secret_version_stage(self, **given: Any) -> None:
        label, source = given["VersionStage"], given["RemoveFromVersionId"]
        destination = given.get("MoveToVersionId", "")
        self.made.append((label, source, destination))
        self.labels[source].remove(label)
        if destination:
            self.labels[destination].append(label)


def vault(**labels: list[str]) -> Vault:
    """`old` and `new` stand for the versions of the plan."""
    return Vault(**{{"old": OLD, "new": NEW}.get(k, k): v for k, v in labels.items()})


def start(found: Vault) -> Any:
    return steps.start_rotation(plan=PLAN, clock=FixedClock(), secrets=Secrets(found))


def roll_back(found: Vault) -> Any:
    return steps.roll_back(plan=PLAN, clock=FixedClock(), secrets=Secrets(found))


def test_a_rotation_is_started_once() -> None:
    found = vault(old=["AWSCURRENT"])

    first, second = start(found), start(found)

    assert found.made == [("rotate", NEW)]
    assert [c.already_applied for c in (*first.calls, *second.calls)] == [False, True]
    assert encode(first.calls[0].after) == {"AWSCURRENT": NEW}


def test_a_rotation_that_has_ended_meanwhile_is_not_started_again() -> None:
    found = vault(old=["AWSPREVIOUS"], new=["AWSCURRENT"])

    assert start(found).calls[0].already_applied
    assert found.made == []


def test_a_secret_that_somebody_else_has_changed_is_left_alone() -> None:
    found = vault(third=["AWSCURRENT"], old=["AWSPREVIOUS"])

    with pytest.raises(ConcurrentChangeError):
        start(found)

    assert found.made == []


def test_a_rotation_that_has_not_ended_is_stopped_and_current_stays() -> None:
    found = vault(old=["AWSCURRENT"], new=["AWSPENDING"])

    assert roll_back(found).calls == []
    assert found.made == [("AWSPENDING", NEW, "")]
    assert found.labels[OLD] == ["AWSCURRENT"]


def test_a_rotation_that_has_ended_is_taken_back_with_the_label_that_would_block_the_next() -> None:
    found = vault(old=["AWSPREVIOUS"], new=["AWSCURRENT", "AWSPENDING"])

    assert len(roll_back(found).calls) == 1
    assert found.made == [("AWSPENDING", NEW, ""), ("AWSCURRENT", NEW, OLD)]


def test_nothing_is_taken_back_twice() -> None:
    found = vault(old=["AWSCURRENT"], new=["AWSPREVIOUS"])

    assert roll_back(found).calls == []
    assert found.made == []


def test_what_somebody_else_has_made_current_is_not_taken_back() -> None:
    found = vault(third=["AWSCURRENT"], new=["AWSPREVIOUS"])

    with pytest.raises(RollbackFailedError):
        roll_back(found)

    assert found.made == []


def test_a_rotation_under_way_is_neither_before_nor_after() -> None:
    """A run that lost its function is not closed as untouched while the secret may yet change."""
    found = vault(old=["AWSCURRENT"], new=["AWSPENDING"])

    assert Secrets(found).present(CALL) == {"AWSCURRENT": f"{OLD}, with {NEW} pending"}
