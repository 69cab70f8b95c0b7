"""Declaration of `disable_user`: pure data, safe to import at synth."""

from lambdas.remediation.contracts import Mode, Severity
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.runbook import Limits, Runbook, limit
from lambdas.remediation.targets import CognitoUserPool


class DisableUserLimits(Limits):
    """Limits of this runbook."""

    # Somebody may have to shut several people out at once.
    max_changes_per_hour: int = limit(20, 1, 20, "users of one pool disabled in a clock hour")
    cool_down_seconds: int = limit(0, 0, 86_400, "pause on a pool after a user was disabled")
    # Cognito answers when it is done.
    verify_interval_seconds: int = limit(5, 1, 600, "wait between two verifications")
    verify_attempts: int = limit(3, 1, 120, "verifications before the answer is final")
    hold_checks: int = limit(0, 0, 48, "looks at a disabled user; only a person enables it")
    mitigation_lease_seconds: int = limit(
        2_592_000, 60, 2_592_000, "when a person is reminded that the user is still disabled"
    )
    max_app_clients: int = limit(
        20, 1, 60, "app clients of the pool that are asked how long their tokens stay good"
    )


class DisableUserParameters(Frozen):
    """What a person may set.

    Parameters
    ----------
    username
        The user: username, id, or the address that it signs in with. Required.
    """

    username: str | None = None


RUNBOOK = Runbook(
    name="disable_user",
    title="Disable user",
    category="User management",
    severity=Severity.P1,
    target=CognitoUserPool(),
    parameters=DisableUserParameters,
    example={"username": "former.colleague@example.com"},
    limits=DisableUserLimits(),
    mode=Mode.ACT,
    # To enable the user again because a session could not be ended would make it worse.
    keep_when_ineffective=True,
    source="Operations Runbook, User Management, Disable User Account",
    deviations=(
        "The user is signed out everywhere after it is disabled. The procedure says that sessions "
        "are invalidated and does nothing for it.",
        "The plan says how long tokens that are out already stay good: whoever checks them without "
        "asking Cognito (an API Gateway authorizer) accepts them until they expire.",
        "That the sign-out took effect is not verified, for no API tells: verified is that Cognito "
        "accepted it.",
        "Undo enables the user only if it was enabled before; the ended sessions do not come back.",
    ),
)
