"""Decisions of `rotate_api_key`: pure functions, no AWS call, no clock, no environment."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import datetime, timedelta

from lambdas.remediation.contracts import Check, Decision, Plan, PlannedCall, Verdict, Verification
from lambdas.remediation.errors import ChangeFailedError, PrerequisiteNotMetError
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.platform import Function, Secret
from lambdas.remediation.resources.secret import CURRENT, PENDING, PREVIOUS, SecretState
from lambdas.remediation.resources.service_credentials import (
    ACTIVE,
    ServiceKey,
    key_of,
    to_give_up,
)
from lambdas.remediation.targets import Place
from lambdas.runbooks.rotate_api_key.runbook import RotateApiKeyLimits

# Turning rotation on needs a schedule of Secrets Manager's own: the longest that there is.
_LONGEST_DAYS = 1_000


def version_id(run_id: str) -> str:
    """Id of the version that a run makes: known before, and the same for every try."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, run_id))


def rotation_function(prefix: str) -> str:
    """Name of the rotation function of this product (stacks/rotation.py)."""
    return f"{prefix}-rotation"


def rotation_log_group(prefix: str) -> str:
    """Name of its log group (stacks/functions.py)."""
    return f"/aws/lambda/{rotation_function(prefix)}"


def rotation_function_arn(prefix: str, place: Place) -> str:
    """ARN of that function."""
    return (
        f"arn:{place.partition}:lambda:{place.region}:{place.account}:function:"
        f"{rotation_function(prefix)}"
    )


class Situation(Frozen):
    """Everything the decision rests on.

    Parameters
    ----------
    created
        When each labelled version was made, by its id.
    function_arn
        The rotation function that the secret has to have.
    version_id
        Id of the version to be made.
    keys
        Credentials of the issuing IAM user; None with another issuer.
    consumers
        Functions that read the secret.
    """

    state: SecretState
    created: Mapping[str, datetime] = field(default_factory=dict)
    function_arn: str
    version_id: str
    keys: Sequence[ServiceKey] | None = None
    consumers: Sequence[Function] = ()
    limits: RotateApiKeyLimits
    now: datetime


def decide(situation: Situation) -> Plan:
    """Plan one rotation.

    Raises
    ------
    PrerequisiteNotMetError
        The secret cannot be rotated now; the message says why and what to do.
    """
    state = situation.state
    _require_rotatable(state, situation.function_arn)
    _require_grace(situation)
    if situation.keys is not None:
        # The same question that the rotation function asks: better answered before anything starts.
        to_give_up(
            situation.keys,
            state,
            now=situation.now,
            grace_seconds=situation.limits.grace_seconds,
        )
    tried = [c.function_name for c in situation.consumers if can_be_tried(c)]
    untried = [c.function_name for c in situation.consumers if not can_be_tried(c)]
    reason = f"Rotate secret {state.name}: a new key becomes {CURRENT}, the old one stays valid."
    if untried:
        reason += f" Not tried, for want of alias and smoke_event: {', '.join(untried)}."
    return Plan(
        decision=Decision.CHANGE,
        reason=reason,
        calls=[state.rotated_to(situation.version_id)],
        evidence={"tried_consumers": tried, "untried_consumers": untried},
    )


def can_be_tried(consumer: Function) -> bool:
    """Whether the platform file says how to invoke a consumer without changing anything."""
    return consumer.alias is not None and consumer.smoke_event is not None


def _require_rotatable(state: SecretState, function_arn: str) -> None:
    problem = None
    if state.deleted:
        problem = "its deletion is scheduled; restore it, or take it out of platform.json"
    elif state.managed_by:
        problem = f"{state.managed_by} manages it, and rotates it by itself"
    elif state.primary_region not in {None, state.region}:
        problem = f"it is a replica; rotate it in {state.primary_region}"
    elif state.rotation_function_arn not in {None, function_arn}:
        problem = (
            f"it is rotated by {state.rotation_function_arn}, not by {function_arn}; use that one, "
            "or take the secret out of platform.json"
        )
    elif not state.rotation_enabled or state.rotation_function_arn is None:
        problem = f"rotation is off; turn it on, once: {_turn_on(state, function_arn)}"
    elif state.holder(CURRENT) is None:
        problem = f"no version is {CURRENT}; give it a value"
    elif state.holder(PENDING) not in {None, state.holder(CURRENT)}:
        pending = state.holder(PENDING)
        problem = (
            f"a rotation to version {pending} has not ended; if it never will: "
            f"aws secretsmanager update-secret-version-stage --secret-id {state.name} "
            f"--version-stage {PENDING} --remove-from-version-id {pending}"
        )
    if problem:
        raise PrerequisiteNotMetError(f"secret {state.name}: {problem}")


def _turn_on(state: SecretState, function_arn: str) -> str:
    return (
        f"aws secretsmanager rotate-secret --secret-id {state.name} "
        f"--rotation-lambda-arn {function_arn} "
        f"--rotation-rules AutomaticallyAfterDays={_LONGEST_DAYS} --no-rotate-immediately"
    )


def _require_grace(situation: Situation) -> None:
    """The key before the current one is given up by a rotation: nobody may still use it."""
    state, created = situation.state, situation.created
    current, previous = state.holder(CURRENT), state.holder(PREVIOUS)
    if current is None or previous is None or not {current, previous} <= set(created):
        return
    changed_at = max(created[current], created[previous])
    free_at = changed_at + timedelta(seconds=situation.limits.grace_seconds)
    if situation.now < free_at:
        raise PrerequisiteNotMetError(
            f"secret {state.name}: its key changed at {changed_at:%Y-%m-%d %H:%M} UTC, and the one "
            f"before has to stay valid until {free_at:%Y-%m-%d %H:%M} UTC "
            "(limits.grace_seconds of rotate_api_key)"
        )


# --- after the change ---


def settled(
    call: PlannedCall,
    state: SecretState,
    entry: Secret,
    *,
    log_group: str,
    first: bool,
    final: bool,
) -> Verification:
    """Whether the rotation has ended.

    Parameters
    ----------
    log_group
        Log group of the rotation function: it says why a step failed.
    first, final
        Whether this is the first look, at which a label set a moment ago may not show yet, or the
        last.

    Raises
    ------
    ChangeFailedError
        The rotation function has given it up, it never ended, or somebody stopped it.
    """
    new = call.after[CURRENT]
    if state.holder(CURRENT) == new:
        return Verification(verdict=Verdict.PASSED, reason=f"version {new} is {CURRENT}")
    if state.holder(CURRENT) != call.before[CURRENT]:
        raise ChangeFailedError(
            f"secret {state.name}: someone else has made {state.holder(CURRENT)} {CURRENT}"
        )
    if not first and state.holder(PENDING) != new:
        raise ChangeFailedError(
            f"secret {state.name}: the rotation was given up, version {new} is no longer "
            f"{PENDING}; the value has to be {_shape(entry)}; log group {log_group} says more"
        )
    if final:
        raise ChangeFailedError(
            f"secret {state.name}: the rotation has not ended, version {new} is still {PENDING}; "
            f"log group {log_group} says why"
        )
    return Verification(verdict=Verdict.PENDING, reason=f"version {new} is not {CURRENT} yet")


def _shape(entry: Secret) -> str:
    """What the platform file says of a secret's value, which only the rotation function sees."""
    if entry.key_field is None:
        return "the key itself, for platform.json names no key_field"
    return f"a JSON object with the text field {entry.key_field} (key_field in platform.json)"


class Consumer(Frozen):
    """How a function that reads the secret is doing.

    Parameters
    ----------
    problem
        What came of invoking it; None if all went well, or nothing could be tried.
    errors, invocations
        In the complete periods after the rotation.
    """

    function_name: str
    problem: str | None = None
    errors: float = 0
    invocations: float = 0


def judge(
    call: PlannedCall,
    state: SecretState,
    consumers: Sequence[Consumer],
    *,
    whole: bool,
    final: bool,
    limits: RotateApiKeyLimits,
) -> Verification:
    """Whether the new key is in place, and those who read it work with it.

    A consumer may have the old key cached: only at the end of the window does silence of errors
    say something about the new one. A bad sign counts at once.

    Parameters
    ----------
    whole
        Whether the window after the rotation has all its periods.
    final
        No later look.
    """
    new, current = call.after[CURRENT], state.holder(CURRENT)
    bad = [b for b in (_trouble(c, limits) for c in consumers) if b]
    checks = [
        Check(
            name="new version is current",
            observed=float(current == new),
            threshold=1,
            samples=1,
            passed=current == new,
        ),
        Check(
            name="consumers that fail",
            observed=float(len(bad)),
            threshold=0,
            samples=len(consumers),
            passed=not bad,
        ),
    ]
    if current != new:
        bad.insert(0, f"version {current} is {CURRENT}, not {new}")
    if bad:
        return Verification(verdict=Verdict.FAILED, reason="; ".join(bad), checks=checks)
    if consumers and not whole:
        verdict = Verdict.INCONCLUSIVE if final else Verdict.PENDING
        return Verification(
            verdict=verdict, reason="consumers may still have the old key cached", checks=checks
        )
    works = "no consumer is known"
    if consumers:
        seen = sum(c.invocations for c in consumers)
        works = (
            f"{', '.join(c.function_name for c in consumers)}: no trouble, {seen:.0f} invocations"
        )
    return Verification(
        verdict=Verdict.PASSED, reason=f"version {new} is {CURRENT}; {works}", checks=checks
    )


def _trouble(consumer: Consumer, limits: RotateApiKeyLimits) -> str | None:
    if consumer.problem:
        return f"{consumer.function_name}: {consumer.problem}"
    failed, of = consumer.errors, consumer.invocations
    if of >= limits.minimum_invocations and 100 * failed > limits.error_rate_percent * of:
        return f"{consumer.function_name}: {failed:.0f} of {of:.0f} invocations failed"
    return None


# --- undo ---


def undo_obstacle(
    call: PlannedCall, state: SecretState, entry: Secret, keys: Sequence[ServiceKey] | None
) -> str | None:
    """Why AWSCURRENT cannot go back to the version before; None if it can.

    Parameters
    ----------
    call
        The call that moves it back.
    keys
        Credentials of the issuing IAM user; None with another issuer.
    """
    old = call.after[CURRENT]
    if state.deleted:
        return "its deletion is scheduled"
    if state.holder(PREVIOUS) != old:
        return f"version {old} is no longer {PREVIOUS}: its key may be gone"
    if state.holder(PENDING) not in {None, state.holder(CURRENT)}:
        return f"a rotation to version {state.holder(PENDING)} has not ended"
    if keys is None:
        return None
    noted = key_of(state, old)
    in_use = key_of(state, state.holder(CURRENT))
    statuses = {k.id: k.status for k in keys if k.id != in_use}
    if noted is None and len(statuses) == 1:
        # The key from before the first rotation: the user has no other one.
        noted = next(iter(statuses))
    if noted is None or statuses.get(noted) != ACTIVE:
        status = statuses.get(noted or "", "gone")
        return (
            f"credential {noted or 'of the old version'} of user {entry.user_name} is "
            f"{status.lower()}, so the old key does not work"
        )
    return None
