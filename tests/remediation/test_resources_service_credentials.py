"""Which credential makes room for a new one: never one that may still be in use."""

from datetime import UTC, datetime, timedelta

import pytest

from lambdas.remediation.errors import PrerequisiteNotMetError
from lambdas.remediation.resources.secret import SecretState
from lambdas.remediation.resources.service_credentials import ServiceKey, to_give_up

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def key(name: str, hours: float, status: str = "Active") -> ServiceKey:
    return ServiceKey(id=name, status=status, created_at=NOW - timedelta(hours=hours))


def chosen(*keys: ServiceKey, **stages: tuple[str, ...]) -> ServiceKey | None:
    state = SecretState(arn="arn", name="keys/bedrock", stages=stages)
    return to_give_up(keys, state, now=NOW, grace_seconds=3_600)


CURRENT = ("AWSCURRENT", "credential-new")
PREVIOUS = ("AWSPREVIOUS", "credential-old")


def test_the_one_before_the_current_one_after_the_grace() -> None:
    assert chosen(key("old", 48), key("new", 1), two=CURRENT, one=PREVIOUS) == key("old", 48)


def test_none_within_the_grace() -> None:
    with pytest.raises(PrerequisiteNotMetError) as caught:
        chosen(key("old", 48), key("new", 0.5), two=CURRENT, one=PREVIOUS)

    assert "credential old was replaced lately and stays valid until 2026-03-02 12:30 UTC" in str(
        caught.value
    )


def test_none_within_the_grace_after_the_current_one_was_put_back() -> None:
    """After an undo the older credential is the current one."""
    with pytest.raises(PrerequisiteNotMetError, match="stays valid until"):
        chosen(
            key("old", 48),
            key("new", 0.5),
            one=("AWSCURRENT", "credential-old"),
            two=("AWSPREVIOUS", "credential-new"),
        )


def test_none_while_there_is_room() -> None:
    assert chosen(key("new", 1), two=CURRENT) is None


def test_the_key_from_before_the_first_rotation() -> None:
    """Nobody noted it, but it is older than the current one, and of the user for this key."""
    assert chosen(key("old", 48), key("new", 2), two=CURRENT, one=("AWSPREVIOUS",)) == key(
        "old", 48
    )


def test_one_of_an_abandoned_rotation_at_once() -> None:
    found = chosen(key("new", 48), key("late", 0.1), two=CURRENT, three=("credential-late",))

    assert found == key("late", 0.1)


def test_one_that_was_made_inactive_at_once() -> None:
    off = key("old", 48, "Inactive")

    assert chosen(off, key("new", 0.1), two=CURRENT, one=PREVIOUS) == off


def test_never_one_that_nobody_knows() -> None:
    with pytest.raises(PrerequisiteNotMetError, match="credential late is newer"):
        chosen(key("new", 48), key("late", 2), two=CURRENT)


def test_never_one_of_two_of_which_either_may_be_current() -> None:
    with pytest.raises(PrerequisiteNotMetError, match=r"has 2 credentials \(a, b\)"):
        chosen(key("a", 48), key("b", 24), one=("AWSCURRENT",))
