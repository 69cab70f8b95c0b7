"""Decisions of `reset_user_password`: pure functions, no AWS call, no clock, no environment.

| status of the user | what is done |
|---|---|
| `CONFIRMED`, `RESET_REQUIRED` | the password is reset; Cognito sends a code |
| `FORCE_CHANGE_PASSWORD` | the invitation is sent again, with a new temporary password |
| any other, or disabled | nothing; the reason is told |
"""

from lambdas.remediation.contracts import (
    Change,
    Check,
    Decision,
    Plan,
    PlannedCall,
    Verdict,
    Verification,
)
from lambdas.remediation.errors import PrerequisiteNotMetError
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.resources.cognito_users import (
    CONFIRMED,
    INVITED,
    RESET,
    RESET_REQUIRED,
    SIGN_OUT,
    User,
    UserPool,
    invite_again,
    reset_password,
    sign_out,
)

# Amazon Cognito Developer Guide, "Forgotten passwords": a pool without a setting of its own.
_DEFAULT_RECOVERY = ("verified_phone_number", "verified_email")
_REFUSED = {
    "EXTERNAL_PROVIDER": "signs in with another identity provider, reset the password there",
    "UNCONFIRMED": "has not confirmed the sign-up; send the confirmation code again",
}


class Situation(Frozen):
    """Everything the plan rests on.

    Parameters
    ----------
    username
        As the person typed it.
    user
        Who that is; None if nobody.
    end_sessions
        Whether the user is signed out too.
    """

    pool: UserPool
    pool_arn: str
    username: str
    user: User | None = None
    end_sessions: bool = True


def decide(situation: Situation) -> Plan:
    """Plan the reset, or the new invitation, and then the end of the sessions.

    Raises
    ------
    PrerequisiteNotMetError
        There is no such user, its status has no reset, or Cognito could not reach it.
    """
    username, user, pool = situation.username, situation.user, situation.pool
    if user is None:
        raise PrerequisiteNotMetError(f"user pool {pool.pool_id} has no user {username}")
    if not user.enabled:
        raise PrerequisiteNotMetError(f"user {username} is disabled; enable it first")
    if user.status == INVITED:
        call = _invitation(situation, user)
        told = f"Send user {username} of {pool.pool_id} a new invitation, by {_medium(user)}."
    elif user.status in (CONFIRMED, RESET_REQUIRED):
        _require_recovery(pool, user, username)
        call = reset_password(situation.pool_arn, user)
        told = f"Reset the password of user {username} of {pool.pool_id}; Cognito sends a code."
    else:
        why = _REFUSED.get(user.status, f"is {user.status}, which has no reset")
        raise PrerequisiteNotMetError(f"user {username} {why}")
    calls = [call]
    if situation.end_sessions:
        told += " Then end its sessions."
        calls.append(sign_out(situation.pool_arn, user.username))
    return Plan(
        decision=Decision.CHANGE,
        reason=f"{told} This cannot be undone.",
        calls=calls,
        evidence={"status": user.status},
    )


def _require_recovery(pool: UserPool, user: User, username: str) -> None:
    ways = pool.recovery or _DEFAULT_RECOVERY
    verified = {
        "verified_email": user.email is not None and user.email_verified,
        "verified_phone_number": user.phone_number is not None and user.phone_number_verified,
    }
    open_ways = [way for way in ways if way in verified]
    if not open_ways:
        raise PrerequisiteNotMetError(
            f"user pool {pool.pool_id} lets only administrators recover a user; allow "
            "verified_email in its AccountRecoverySetting"
        )
    if not any(verified[way] for way in open_ways):
        raise PrerequisiteNotMetError(
            f"user {username} has no {' or '.join(w.replace('_', ' ') for w in open_ways)}, so a "
            "code would reach nobody; have an address verified first"
        )


def _medium(user: User) -> str:
    return "EMAIL" if user.email else "SMS"


def _invitation(situation: Situation, user: User) -> PlannedCall:
    if not (user.email or user.phone_number):
        raise PrerequisiteNotMetError(
            f"user {situation.username} has neither e-mail address nor phone number; add one first"
        )
    names = {"email": user.email, "phone_number": user.phone_number}
    # A pool without usernames takes the address that people sign in with, not its own name.
    addresses = [names[a] for a in situation.pool.username_attributes if names.get(a)]
    return invite_again(
        situation.pool_arn,
        user,
        sign_in_name=(addresses or [user.username])[0] or user.username,
        medium=_medium(user),
    )


def lead_call(plan: Plan) -> PlannedCall:
    """The reset, or the new invitation."""
    return next(call for call in plan.calls if call.api != SIGN_OUT)


def sign_out_calls(plan: Plan) -> list[PlannedCall]:
    """The call that ends the sessions, if that was asked for."""
    return [call for call in plan.calls if call.api == SIGN_OUT]


def judge(
    plan: Plan, user: User | None, change: Change | None, *, changed: bool, final: bool
) -> Verification:
    """Whether Cognito has changed the user since the plan, into the right status.

    Parameters
    ----------
    user
        As it is now; None if it is gone.
    change
        What was done.
    changed
        Whether the present values are those that the plan wants.
    final
        Whether this is the last look.
    """
    if user is None:
        return Verification(verdict=Verdict.INCONCLUSIVE, reason="somebody has deleted the user")
    wanted = RESET_REQUIRED if lead_call(plan).api == RESET else INVITED
    made = {call.api for call in change.calls} if change else set()
    checks = [
        _check(f"user is {wanted}", user.status == wanted),
        _check("user was changed since the plan", changed),
        *(_check("sign-out was accepted", c.api in made) for c in sign_out_calls(plan)),
    ]
    if all(check.passed for check in checks):
        return Verification(
            verdict=Verdict.PASSED,
            reason=f"the user is {user.status}, changed since the plan",
            checks=checks,
        )
    missing = ", ".join(f"{check.name}: no" for check in checks if not check.passed)
    verdict = Verdict.INCONCLUSIVE if final else Verdict.PENDING
    return Verification(
        verdict=verdict,
        reason=f"Cognito has accepted the call, but the user is {user.status} ({missing})",
        checks=checks,
    )


def _check(name: str, passed: bool) -> Check:
    return Check(name=name, observed=float(passed), threshold=1, samples=1, passed=passed)
