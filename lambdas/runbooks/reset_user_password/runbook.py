"""Declaration of `reset_user_password`: pure data, safe to import at synth."""

from lambdas.remediation.contracts import Mode, Severity
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.runbook import Limits, Runbook, limit
from lambdas.remediation.targets import CognitoUserPool


class ResetUserPasswordLimits(Limits):
    """Limits of this runbook."""

    max_changes_per_hour: int = limit(10, 1, 20, "users of one pool reset in a clock hour")
    cool_down_seconds: int = limit(0, 0, 86_400, "pause on a pool after a reset")
    # Cognito answers when it is done.
    verify_interval_seconds: int = limit(5, 1, 600, "wait between two verifications")
    verify_attempts: int = limit(3, 1, 120, "verifications before the answer is final")
    hold_checks: int = limit(0, 0, 48, "looks at a reset user; the user is to change it")


class ResetUserPasswordParameters(Frozen):
    """What a person may set.

    Parameters
    ----------
    username
        The user: username, id, or the address that it signs in with. Required.
    sign_out
        `false` leaves the sessions open that the user has now. Ended if left out.
    """

    username: str | None = None
    sign_out: bool | None = None


RUNBOOK = Runbook(
    name="reset_user_password",
    title="Reset user password",
    category="User management",
    severity=Severity.P2,
    target=CognitoUserPool(),
    parameters=ResetUserPasswordParameters,
    example={"username": "colleague@example.com", "sign_out": True},
    limits=ResetUserPasswordLimits(),
    mode=Mode.PROPOSE,
    reversible=False,
    keep_when_ineffective=True,
    source="Operations Runbook, User Management, Reset User Password",
    deviations=(
        "It cannot be undone, for nobody can read the old password: it asks for a yes first.",
        "What is done follows from the user's status. Who has never signed in is sent a new "
        "invitation with a new temporary password, because Cognito refuses a reset then; who is "
        "disabled, unconfirmed or of another identity provider is refused with the reason.",
        "The reset code needs a verified address that the pool recovers by: without one the run is "
        "refused before anything changes, instead of locking the user out for good.",
        "No person ever sets a temporary password, as step 3 does (with an option, `--temporary`, "
        "that does not exist): it would be known to two people, and a secret to hand it over would "
        "need somebody to delete it. A user without mail needs a verified address first.",
        "Sessions are ended too, unless asked otherwise: a reset alone leaves them open. That the "
        "sign-out took effect is not verified, for no API tells.",
        '"User can sign in" is not checked, only the user can: verified is the status, and that '
        "Cognito changed the user since the plan. That a new invitation moves "
        "`UserLastModifiedDate` is not written in AWS's documentation; if it does not, the run "
        "ends `ineffective` and says so.",
    ),
)
