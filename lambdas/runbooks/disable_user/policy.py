"""Decisions of `disable_user`: pure functions, no AWS call, no clock, no environment.

First the user is disabled, so that nobody can sign in again, then all its sessions are ended. If
only the second fails, the user stays disabled and a person is told.
"""

from collections.abc import Sequence

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
    SIGN_OUT,
    AppClient,
    User,
    disable_user,
    sign_out,
)


class Situation(Frozen):
    """Everything the plan rests on.

    Parameters
    ----------
    username
        As the person typed it.
    user
        Who that is; None if nobody.
    app_clients
        Those of the pool that were read; None if they could not be.
    """

    pool_id: str
    pool_arn: str
    username: str
    user: User | None = None
    app_clients: tuple[AppClient, ...] | None = ()


def decide(situation: Situation) -> Plan:
    """Plan to disable the user and to end its sessions.

    Raises
    ------
    PrerequisiteNotMetError
        There is no such user, or it is disabled already.
    """
    username, user = situation.username, situation.user
    if user is None:
        raise PrerequisiteNotMetError(f"user pool {situation.pool_id} has no user {username}")
    if not user.enabled:
        raise PrerequisiteNotMetError(f"nothing to do: user {username} is disabled already")
    seconds = exposure_seconds(situation.app_clients)
    return Plan(
        decision=Decision.CHANGE,
        reason=(
            f"Disable user {username} of {situation.pool_id} and end its sessions. "
            f"{_exposure(seconds)}"
        ),
        calls=[
            disable_user(situation.pool_arn, user.username),
            sign_out(situation.pool_arn, user.username),
        ],
        evidence={
            "longest_validity_seconds": seconds,
            "app_clients": {
                c.name: {"access_seconds": c.access_seconds, "id_seconds": c.id_seconds}
                for c in situation.app_clients or ()
            },
        },
    )


def exposure_seconds(app_clients: Sequence[AppClient] | None) -> int | None:
    """How long the longest-lived access or id token stays good; None if that is not known."""
    if app_clients is None:
        return None
    return max((max(c.access_seconds, c.id_seconds) for c in app_clients), default=0)


def _exposure(seconds: int | None) -> str:
    if seconds == 0:
        return "The pool has no app client, so nobody holds a token of it."
    known = "an unknown time" if seconds is None else f"up to {_minutes(seconds)}"
    return (
        f"Tokens that are out already stay good for {known} where Cognito is not asked, as at "
        "API Gateway authorizers."
    )


def _minutes(seconds: int) -> str:
    minutes = -(-seconds // 60)
    return f"{minutes} minute{'' if minutes == 1 else 's'}"


def call_of(plan: Plan, api: str) -> PlannedCall:
    """The one call of that API."""
    return next(call for call in plan.calls if call.api == api)


def judge(user: User | None, change: Change | None, *, undoing: bool, final: bool) -> Verification:
    """Whether the user is disabled and its sign-out was accepted, or enabled again.

    Parameters
    ----------
    user
        As it is now; None if it is gone.
    change
        What was done.
    undoing
        Whether the user is to be enabled.
    final
        Whether this is the last look: what is not so then has failed.
    """
    waiting = Verdict.FAILED if final else Verdict.PENDING
    if user is None:
        return Verification(verdict=Verdict.INCONCLUSIVE, reason="somebody has deleted the user")
    state = "enabled" if user.enabled else "disabled"
    flag = Check(
        name="user is enabled",
        observed=float(user.enabled),
        threshold=float(undoing),
        samples=1,
        passed=user.enabled is undoing,
    )
    if undoing or not flag.passed:
        verdict = Verdict.PASSED if flag.passed else waiting
        return Verification(verdict=verdict, reason=f"the user is {state}", checks=[flag])
    signed_out = change is not None and any(call.api == SIGN_OUT for call in change.calls)
    accepted = Check(
        name="sign-out was accepted",
        observed=float(signed_out),
        threshold=1,
        samples=1,
        passed=signed_out,
    )
    if not signed_out:
        return Verification(
            verdict=Verdict.FAILED,
            reason="the user is disabled, but its sessions were not ended; sign it out by hand "
            "(aws cognito-idp admin-user-global-sign-out)",
            checks=[flag, accepted],
        )
    return Verification(
        verdict=Verdict.PASSED,
        reason="the user is disabled, and Cognito has accepted its sign-out",
        checks=[flag, accepted],
    )
