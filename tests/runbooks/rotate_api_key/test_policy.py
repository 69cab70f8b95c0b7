"""Decisions of rotate_api_key: what can be rotated, what counts as done, what can be taken back."""

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lambdas.remediation.contracts import Plan, Verdict, Verification, decode, encode
from lambdas.remediation.errors import ChangeFailedError, PrerequisiteNotMetError
from lambdas.remediation.platform import Function, Secret
from lambdas.remediation.resources.secret import SecretState
from lambdas.remediation.resources.service_credentials import ServiceKey
from lambdas.runbooks.rotate_api_key.policy import (
    Consumer,
    Situation,
    decide,
    judge,
    settled,
    undo_obstacle,
    version_id,
)
from lambdas.runbooks.rotate_api_key.runbook import RotateApiKeyLimits

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
ARN = "arn:aws:secretsmanager:us-east-1:123456789012:secret:keys/chat-AbCdEf"
FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:remediation-rotation"
OLD, NEW = "old-version", "bd0d3a5c-a6b6-5cd4-b9fb-c0a8a6c0b0a0"
LIMITS = RotateApiKeyLimits(grace_seconds=3_600, error_rate_percent=10, minimum_invocations=5)
READY = SecretState(
    arn=ARN,
    name="keys/chat",
    stages={OLD: ("AWSCURRENT",)},
    rotation_enabled=True,
    rotation_function_arn=FUNCTION,
)
CONSUMER = Function(function_name="chat", alias="live", smoke_event={})


def situation(state: SecretState = READY, **overrides: Any) -> Situation:
    values: dict[str, Any] = {
        "state": state,
        "created": {OLD: NOW - timedelta(days=30)},
        "function_arn": FUNCTION,
        "version_id": NEW,
        "consumers": [CONSUMER],
        "limits": LIMITS,
        "now": NOW,
        **overrides,
    }
    return Situation(**values)


def ready(**overrides: Any) -> SecretState:
    return dataclasses.replace(READY, **overrides)


CALL = decide(situation()).calls[0]


def test_the_version_of_a_run_is_known_before_and_has_the_form_of_a_uuid() -> None:
    assert version_id("rotate-api-key:one") == "fd2813a4-5c09-5ec6-b4c3-7ae69d569912"
    assert version_id("rotate-api-key:one") != version_id("rotate-api-key:two")


def test_the_plan_is_one_call_without_a_value() -> None:
    plan = decide(situation())

    assert encode(plan.calls) == [
        {
            "api": "secretsmanager:RotateSecret",
            "resource": ARN,
            "arguments": {"SecretId": ARN, "ClientRequestToken": NEW},
            "before": {"AWSCURRENT": OLD},
            "after": {"AWSCURRENT": NEW},
            "reversible": True,
        }
    ]
    assert plan.reason == (
        "Rotate secret keys/chat: a new key becomes AWSCURRENT, the old one stays valid."
    )
    assert decode(Plan, encode(plan)) == plan


def test_the_plan_says_which_consumers_are_not_tried() -> None:
    plan = decide(situation(consumers=[CONSUMER, Function(function_name="batch", alias="live")]))

    assert plan.reason.endswith("Not tried, for want of alias and smoke_event: batch.")


@pytest.mark.parametrize(
    ("state", "problem"),
    [
        (ready(deleted=True), "its deletion is scheduled"),
        (ready(managed_by="rds"), "rds manages it"),
        (ready(primary_region="eu-west-1"), "it is a replica; rotate it in eu-west-1"),
        (ready(rotation_function_arn=f"{FUNCTION}-other"), f"it is rotated by {FUNCTION}-other"),
        (ready(stages={}), "no version is AWSCURRENT"),
        (
            ready(stages={OLD: ("AWSCURRENT",), "third": ("AWSPENDING",)}),
            "a rotation to version third has not ended; if it never will: aws secretsmanager "
            "update-secret-version-stage --secret-id keys/chat --version-stage AWSPENDING "
            "--remove-from-version-id third",
        ),
    ],
)
def test_refuses_what_cannot_be_rotated(state: SecretState, problem: str) -> None:
    with pytest.raises(PrerequisiteNotMetError) as caught:
        decide(situation(state))

    assert str(caught.value).startswith(f"secret keys/chat: {problem}")


@pytest.mark.parametrize(
    "state", [ready(rotation_enabled=False), ready(rotation_function_arn=None)]
)
def test_the_refusal_shows_how_to_turn_rotation_on(state: SecretState) -> None:
    with pytest.raises(PrerequisiteNotMetError) as caught:
        decide(situation(state))

    assert str(caught.value) == (
        "secret keys/chat: rotation is off; turn it on, once: aws secretsmanager rotate-secret "
        f"--secret-id keys/chat --rotation-lambda-arn {FUNCTION} "
        "--rotation-rules AutomaticallyAfterDays=1000 --no-rotate-immediately"
    )


def test_pending_on_the_current_version_is_what_a_finished_rotation_may_leave() -> None:
    state = ready(stages={OLD: ("AWSCURRENT", "AWSPENDING")})

    assert decide(situation(state)).calls


ROTATED = ready(stages={OLD: ("AWSCURRENT",), "older": ("AWSPREVIOUS",)})


def made(old_minutes: float, older_minutes: float) -> dict[str, datetime]:
    return {
        OLD: NOW - timedelta(minutes=old_minutes),
        "older": NOW - timedelta(minutes=older_minutes),
    }


@pytest.mark.parametrize("created", [made(59, 999), made(999, 59)])
def test_refuses_within_the_grace_also_after_an_undo(created: dict[str, datetime]) -> None:
    with pytest.raises(PrerequisiteNotMetError) as caught:
        decide(situation(ROTATED, created=created))

    assert "its key changed at 2026-03-02 11:01 UTC" in str(caught.value)
    assert "until 2026-03-02 12:01 UTC" in str(caught.value)


def test_rotates_at_the_end_of_the_grace_and_a_first_key_at_once() -> None:
    assert decide(situation(ROTATED, created=made(60, 999))).calls
    assert decide(situation(READY, created={OLD: NOW})).calls


def test_two_credentials_of_which_none_may_go_are_refused_before_anything_starts() -> None:
    keys = [
        ServiceKey(id="a", status="Active", created_at=NOW - timedelta(days=2)),
        ServiceKey(id="b", status="Active", created_at=NOW - timedelta(days=1)),
    ]

    with pytest.raises(PrerequisiteNotMetError, match="has 2 credentials"):
        decide(situation(keys=keys))


# --- settled ---

PENDING = ready(stages={OLD: ("AWSCURRENT",), NEW: ("AWSPENDING",)})
DONE = ready(stages={OLD: ("AWSPREVIOUS",), NEW: ("AWSCURRENT",)})


def look(state: SecretState, *, key_field: str | None = None, **which: bool) -> Verification:
    entry = Secret(secret_id="keys/chat", key_field=key_field)
    given = {"first": False, "final": False, **which}
    return settled(CALL, state, entry, log_group="/aws/lambda/remediation-rotation", **given)


def test_settled_when_the_new_version_is_current() -> None:
    assert look(DONE).verdict is Verdict.PASSED
    assert look(PENDING).verdict is Verdict.PENDING


@pytest.mark.parametrize(
    ("key_field", "shape"),
    [
        ("api_key", "a JSON object with the text field api_key (key_field in platform.json)"),
        (None, "the key itself, for platform.json names no key_field"),
    ],
)
def test_a_rotation_that_was_given_up_has_failed_long_before_the_last_look(
    key_field: str | None, shape: str
) -> None:
    with pytest.raises(ChangeFailedError) as caught:
        look(READY, key_field=key_field)

    assert str(caught.value) == (
        f"secret keys/chat: the rotation was given up, version {NEW} is no longer AWSPENDING; the "
        f"value has to be {shape}; log group /aws/lambda/remediation-rotation says more"
    )


def test_a_rotation_whose_label_does_not_show_at_once_is_waited_for() -> None:
    assert look(READY, first=True).verdict is Verdict.PENDING


def test_a_rotation_that_never_ends_has_failed() -> None:
    with pytest.raises(ChangeFailedError) as caught:
        look(PENDING, final=True)

    assert str(caught.value) == (
        f"secret keys/chat: the rotation has not ended, version {NEW} is still AWSPENDING; log "
        "group /aws/lambda/remediation-rotation says why"
    )


def test_a_version_that_somebody_else_made_current_has_failed() -> None:
    state = ready(stages={"third": ("AWSCURRENT",), NEW: ("AWSPENDING",)})

    with pytest.raises(ChangeFailedError, match="someone else has made third AWSCURRENT"):
        look(state)


# --- judge ---


def judged(*consumers: Consumer, state: SecretState = DONE, **how: bool) -> tuple[Verdict, str]:
    given = {"whole": True, "final": False, **how}
    found = judge(CALL, state, consumers, limits=LIMITS, **given)
    return found.verdict, found.reason


def test_passed_at_the_end_of_the_window() -> None:
    chat = Consumer(function_name="chat", errors=1, invocations=10)

    assert judged(chat) == (
        Verdict.PASSED,
        f"version {NEW} is AWSCURRENT; chat: no trouble, 10 invocations",
    )
    assert judged(chat, whole=False)[0] is Verdict.PENDING
    assert judged(chat, whole=False, final=True)[0] is Verdict.INCONCLUSIVE


def test_without_consumers_there_is_nothing_to_wait_for() -> None:
    assert judged(whole=False) == (
        Verdict.PASSED,
        f"version {NEW} is AWSCURRENT; no consumer is known",
    )


@pytest.mark.parametrize(
    ("consumer", "reason"),
    [
        (Consumer(function_name="chat", problem="it broke"), "chat: it broke"),
        (
            Consumer(function_name="chat", errors=2, invocations=10),
            "chat: 2 of 10 invocations failed",
        ),
    ],
)
def test_a_bad_sign_counts_at_once(consumer: Consumer, reason: str) -> None:
    assert judged(consumer, whole=False) == (Verdict.FAILED, reason)


def test_a_rate_of_few_invocations_says_nothing() -> None:
    assert judged(Consumer(function_name="chat", errors=4, invocations=4))[0] is Verdict.PASSED


def test_failed_if_the_new_version_is_not_current_any_more() -> None:
    verdict, reason = judged(state=READY)

    assert (verdict, reason) == (
        Verdict.FAILED,
        f"version {OLD} is AWSCURRENT, not {NEW}",
    )


# --- undo ---

BACK = CALL.inverse()
ISSUED = Secret(secret_id="keys/chat", issuer="iam", user_name="caller", service_name="bedrock")


def obstacle(state: SecretState, *statuses: tuple[str, str]) -> str | None:
    keys = [ServiceKey(id=i, status=s, created_at=NOW) for i, s in statuses] if statuses else None
    return undo_obstacle(BACK, state, ISSUED, keys)


def test_the_previous_version_can_become_current_again() -> None:
    assert obstacle(DONE) is None


@pytest.mark.parametrize(
    ("state", "why"),
    [
        (dataclasses.replace(DONE, deleted=True), "its deletion is scheduled"),
        (
            ready(stages={NEW: ("AWSCURRENT",)}),
            f"version {OLD} is no longer AWSPREVIOUS: its key may be gone",
        ),
        (
            ready(stages={**DONE.stages, "third": ("AWSPENDING",)}),
            "a rotation to version third has not ended",
        ),
    ],
)
def test_undo_is_refused(state: SecretState, why: str) -> None:
    assert obstacle(state) == why


NOTED = ready(stages={OLD: ("AWSPREVIOUS", "credential-a"), NEW: ("AWSCURRENT", "credential-b")})


def test_undo_needs_the_old_credential_to_be_active() -> None:
    assert obstacle(NOTED, ("a", "Active"), ("b", "Active")) is None
    assert obstacle(NOTED, ("a", "Inactive"), ("b", "Active")) == (
        "credential a of user caller is inactive, so the old key does not work"
    )
    assert obstacle(NOTED, ("b", "Active")) == (
        "credential a of user caller is gone, so the old key does not work"
    )


def test_undo_of_the_first_rotation_takes_the_other_credential_for_the_old_one() -> None:
    state = ready(stages={OLD: ("AWSPREVIOUS",), NEW: ("AWSCURRENT", "credential-b")})

    assert obstacle(state, ("a", "Active"), ("b", "Active")) is None
    assert obstacle(state, ("a", "Inactive"), ("b", "Active")) is not None
    assert obstacle(state, ("b", "Active")) is not None
