"""Declaration of `create_user`: pure data, safe to import at synth."""

from lambdas.remediation.contracts import Mode, Severity
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.runbook import Limits, Runbook, limit
from lambdas.remediation.targets import CognitoUserPool


class CreateUserLimits(Limits):
    """Limits of this runbook."""

    # Several new users in a row are normal; one run creates one.
    max_changes_per_hour: int = limit(10, 1, 20, "new users of one pool in a clock hour")
    cool_down_seconds: int = limit(0, 0, 86_400, "pause on a pool after a new user")
    # Cognito answers when it is done: what is not there after some seconds will not come.
    verify_interval_seconds: int = limit(5, 1, 600, "wait between two verifications")
    verify_attempts: int = limit(3, 1, 120, "verifications before the answer is final")
    hold_checks: int = limit(0, 0, 48, "looks at a verified user; it does not change by itself")
    mitigation_lease_seconds: int = limit(
        2_592_000, 60, 2_592_000, "when a person is reminded of the undo; a user may well stay"
    )
    max_groups: int = limit(5, 0, 20, "groups that one new user is added to")


class CreateUserParameters(Frozen):
    """What a person may set.

    Parameters
    ----------
    username
        E-mail address of the new user: the name to sign in with, and where the invitation goes.
        Required.
    groups
        Groups to add the user to, out of those that `platform.json` names for the pool. None if
        left out.
    """

    username: str | None = None
    groups: list[str] | None = None


RUNBOOK = Runbook(
    name="create_user",
    title="Create user",
    category="User management",
    severity=Severity.P2,
    target=CognitoUserPool(),
    parameters=CreateUserParameters,
    example={"username": "new.colleague@example.com", "groups": ["Analysts"]},
    preparation=(
        "aws cognito-idp create-group --user-pool-id <user_pool_id> --group-name Analysts",
    ),
    limits=CreateUserLimits(),
    mode=Mode.ACT,
    keep_when_ineffective=False,
    source="Operations Runbook, User Management, Create New User",
    deviations=(
        "Cognito makes up the temporary password and mails it: none on a command line. With "
        "`SUPPRESS`, as in the procedure, the user would never learn it.",
        "No permanent password is set: it would be known to whoever set it. The user chooses one "
        "at the first sign-in.",
        "`email_verified` is not set: nothing proves the address before the user has answered the "
        "invitation.",
        "A user that exists is never touched. The procedure's roll-back deletes a user that may "
        "have been there before; here only one that was created while the run lived can be "
        "deleted, and not after its first sign-in.",
        "Groups are those that `platform.json` names: IAM cannot narrow a role to users or groups.",
        "A user of the same name that somebody else creates in the seconds between the plan and "
        "the change counts as the run's: Cognito keeps no mark of who created a user.",
    ),
)
