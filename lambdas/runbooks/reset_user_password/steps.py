"""Steps of `reset_user_password`: read through resources, decide in policy, return a contract."""

from lambdas.remediation import changes
from lambdas.remediation.contracts import (
    Change,
    Plan,
    Prepared,
    Run,
    Verification,
)
from lambdas.remediation.errors import (
    ChangeFailedError,
    ConcurrentChangeError,
    InvalidRequestError,
    PrerequisiteNotMetError,
    ResourceBusyError,
    TargetNotFoundError,
    ThrottledError,
)
from lambdas.remediation.resources.cognito_users import (
    UsersToReset,
    checked_username,
    username_of,
)
from lambdas.remediation.step import Attempt, Clock, Role, step
from lambdas.runbooks.reset_user_password import policy
from lambdas.runbooks.reset_user_password.policy import Situation

RESOURCES = (UsersToReset,)


@step(
    Role.OBSERVE,
    calls=["cognito-idp:AdminGetUser", "cognito-idp:DescribeUserPool"],
    raises=[InvalidRequestError, PrerequisiteNotMetError, TargetNotFoundError, ThrottledError],
)
def prepare(*, run: Run, users: UsersToReset) -> Prepared:
    """Look who the user is and how Cognito could reach it; changes nothing."""
    pool_id = run.target["user_pool_id"]
    username = checked_username(run.parameters.get("username"))
    pool = users.pool(pool_id)
    user = users.user(pool_id, username)
    plan = policy.decide(
        Situation(
            pool=pool,
            pool_arn=run.target_arn,
            username=username,
            user=user,
            end_sessions=run.parameters.get("sign_out", True),
        )
    )
    before = {"username": user.username, "status": user.status} if user else None
    return Prepared(snapshot={"user": before}, plan=plan)


@step(
    Role.CHANGE,
    calls=[
        "cognito-idp:AdminCreateUser",
        "cognito-idp:AdminGetUser",
        "cognito-idp:AdminResetUserPassword",
    ],
    raises=[ChangeFailedError, ConcurrentChangeError, ResourceBusyError, ThrottledError],
)
def reset_user(*, plan: Plan, clock: Clock, users: UsersToReset) -> Change:
    """Reset the user, or send a new invitation; never sees or sets a password itself."""
    return changes.apply([policy.lead_call(plan)], (users,), clock.now)


@step(
    Role.CHANGE,
    calls=["cognito-idp:AdminUserGlobalSignOut"],
    raises=[ChangeFailedError, ResourceBusyError, ThrottledError],
)
def sign_out(*, plan: Plan, change: Change | None, clock: Clock, users: UsersToReset) -> Change:
    """End all sessions of the user; never touches another user."""
    made = changes.apply(policy.sign_out_calls(plan), (users,), clock.now)
    before = change.calls if change else []
    return Change(calls=[*before, *made.calls], applied_at=made.applied_at)


@step(Role.OBSERVE, calls=["cognito-idp:AdminGetUser"], raises=[ThrottledError])
def verify(
    *, run: Run, plan: Plan, change: Change | None, attempt: Attempt, users: UsersToReset
) -> Verification:
    """Look whether the user has to choose a new password now; changes nothing."""
    return _judged(run, plan, change, users, final=attempt.final)


@step(Role.OBSERVE, calls=["cognito-idp:AdminGetUser"], raises=[ThrottledError])
def watch_hold(*, run: Run, plan: Plan, change: Change | None, users: UsersToReset) -> Verification:
    """Look whether the user still has to; changes nothing. Not used unless a limit asks."""
    return _judged(run, plan, change, users, final=True)


def _judged(
    run: Run, plan: Plan, change: Change | None, users: UsersToReset, *, final: bool
) -> Verification:
    call = policy.lead_call(plan)
    changed = changes.position(call, (users,)) is changes.Position.AFTER
    user = users.user(run.target["user_pool_id"], username_of(call))
    return policy.judge(plan, user, change, changed=changed, final=final)
