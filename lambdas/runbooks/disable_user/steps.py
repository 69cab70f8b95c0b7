"""Steps of `disable_user`: read through resources, decide in policy, return a contract."""

from lambdas.remediation import changes
from lambdas.remediation.contracts import (
    Change,
    Kind,
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
    RemediationError,
    ResourceBusyError,
    RollbackFailedError,
    TargetNotFoundError,
    ThrottledError,
)
from lambdas.remediation.observability import logger
from lambdas.remediation.resources.cognito_users import (
    DISABLE,
    SIGN_OUT,
    AppClient,
    UsersToDisable,
    checked_username,
    username_of,
)
from lambdas.remediation.step import Attempt, Clock, Role, step
from lambdas.runbooks.disable_user import policy
from lambdas.runbooks.disable_user.policy import Situation

RESOURCES = (UsersToDisable,)


@step(
    Role.OBSERVE,
    calls=[
        "cognito-idp:AdminGetUser",
        "cognito-idp:DescribeUserPoolClient",
        "cognito-idp:ListUserPoolClients",
    ],
    raises=[InvalidRequestError, PrerequisiteNotMetError, TargetNotFoundError, ThrottledError],
)
def prepare(*, run: Run, users: UsersToDisable) -> Prepared:
    """Look who the user is and how long its tokens stay good; changes nothing."""
    pool_id = run.target["user_pool_id"]
    username = checked_username(run.parameters.get("username"))
    user = users.user(pool_id, username)
    plan = policy.decide(
        Situation(
            pool_id=pool_id,
            pool_arn=run.target_arn,
            username=username,
            user=user,
            app_clients=_app_clients(users, pool_id, most=run.limits["max_app_clients"]),
        )
    )
    before = {"username": user.username, "status": user.status} if user else None
    return Prepared(snapshot={"user": before}, plan=plan)


def _app_clients(users: UsersToDisable, pool_id: str, *, most: int) -> tuple[AppClient, ...] | None:
    """The pool's app clients; None if they cannot be read, which keeps nobody from shutting out."""
    try:
        return users.app_clients(pool_id, most=most)
    except RemediationError as error:
        logger().warning("app clients not read", error=str(error))
        return None


@step(
    Role.CHANGE,
    calls=["cognito-idp:AdminDisableUser", "cognito-idp:AdminGetUser"],
    raises=[ChangeFailedError, ConcurrentChangeError, ResourceBusyError, ThrottledError],
)
def disable_user(*, plan: Plan, clock: Clock, users: UsersToDisable) -> Change:
    """Disable the user, unless it is disabled; never touches another user."""
    return changes.apply([policy.call_of(plan, DISABLE)], (users,), clock.now)


@step(Role.CHANGE, calls=["cognito-idp:AdminUserGlobalSignOut"])
def sign_out(*, plan: Plan, change: Change | None, clock: Clock, users: UsersToDisable) -> Change:
    """End all sessions of the user; if that fails, never takes the disabling back."""
    made = list(change.calls) if change else []
    try:
        made += changes.apply([policy.call_of(plan, SIGN_OUT)], (users,), clock.now).calls
    except RemediationError as error:
        logger().warning("user not signed out", error=str(error))
    return Change(calls=made, applied_at=clock.now())


@step(Role.OBSERVE, calls=["cognito-idp:AdminGetUser"], raises=[ThrottledError])
def verify(
    *, run: Run, plan: Plan, change: Change | None, attempt: Attempt, users: UsersToDisable
) -> Verification:
    """Look whether the user is disabled, or for an undo enabled; changes nothing."""
    return _judged(run, plan, change, users, final=attempt.final)


@step(Role.OBSERVE, calls=["cognito-idp:AdminGetUser"], raises=[ThrottledError])
def watch_hold(
    *, run: Run, plan: Plan, change: Change | None, users: UsersToDisable
) -> Verification:
    """Look whether the user is still disabled; changes nothing. Not used unless a limit asks."""
    return _judged(run, plan, change, users, final=True)


@step(Role.OBSERVE, raises=[PrerequisiteNotMetError])
def check_undo(*, plan: Plan) -> None:
    """Refuses nothing more: whether the user is as the run left it has been read before."""


@step(
    Role.CHANGE,
    calls=["cognito-idp:AdminEnableUser", "cognito-idp:AdminGetUser"],
    raises=[ResourceBusyError, RollbackFailedError, ThrottledError],
)
def roll_back(*, plan: Plan, clock: Clock, users: UsersToDisable) -> Change:
    """Enable the user if this run disabled it; never touches another user."""
    return changes.restore(plan.calls, (users,), clock.now)


def _judged(
    run: Run, plan: Plan, change: Change | None, users: UsersToDisable, *, final: bool
) -> Verification:
    user = users.user(run.target["user_pool_id"], username_of(plan.calls[0]))
    return policy.judge(user, change, undoing=run.kind is Kind.UNDO, final=final)
