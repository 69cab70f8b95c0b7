"""Steps of `create_user`: read through resources, decide in policy, return a contract."""

from lambdas.remediation import changes
from lambdas.remediation.contracts import (
    Change,
    Kind,
    Plan,
    Prepared,
    Run,
    Verdict,
    Verification,
)
from lambdas.remediation.errors import (
    ChangeFailedError,
    ConcurrentChangeError,
    InvalidRequestError,
    PrerequisiteNotMetError,
    ResourceBusyError,
    RollbackFailedError,
    TargetNotFoundError,
    ThrottledError,
)
from lambdas.remediation.platform import Platform
from lambdas.remediation.resources.cognito_users import NewUsers, username_of
from lambdas.remediation.step import Attempt, Clock, Role, step
from lambdas.runbooks.create_user import policy
from lambdas.runbooks.create_user.policy import Situation

RESOURCES = (NewUsers,)


@step(
    Role.OBSERVE,
    calls=["cognito-idp:AdminGetUser", "cognito-idp:DescribeUserPool", "cognito-idp:GetGroup"],
    raises=[InvalidRequestError, PrerequisiteNotMetError, TargetNotFoundError, ThrottledError],
)
def prepare(*, run: Run, platform: Platform, users: NewUsers) -> Prepared:
    """Look at the pool, its groups and who has that name, and plan the user; changes nothing."""
    pool_id = run.target["user_pool_id"]
    username = policy.asked_username(run.parameters.get("username"))
    (listed,) = [p for p in platform.user_pools if p.user_pool_id == pool_id]
    groups = policy.asked_groups(
        run.parameters.get("groups"), accepted=listed.groups, most=run.limits["max_groups"]
    )
    plan = policy.decide(
        Situation(
            pool=users.pool(pool_id),
            pool_arn=run.target_arn,
            username=username,
            user=users.user(pool_id, username),
            groups=tuple(groups),
            absent_groups=tuple(g for g in groups if not users.group_exists(pool_id, g)),
            not_before=run.execution.started_at,
            not_after=run.lease_until,
        )
    )
    return Prepared(snapshot={"user": None}, plan=plan)


@step(
    Role.CHANGE,
    calls=[
        "cognito-idp:AdminAddUserToGroup",
        "cognito-idp:AdminCreateUser",
        "cognito-idp:AdminGetUser",
        "cognito-idp:AdminListGroupsForUser",
    ],
    raises=[ChangeFailedError, ConcurrentChangeError, ResourceBusyError, ThrottledError],
)
def create_user(*, plan: Plan, clock: Clock, users: NewUsers) -> Change:
    """Create and invite the user, then add it to its groups; never touches another user."""
    return changes.apply(plan.calls, (users,), clock.now)


@step(
    Role.OBSERVE,
    calls=["cognito-idp:AdminGetUser", "cognito-idp:AdminListGroupsForUser"],
    raises=[ThrottledError],
)
def verify(*, run: Run, plan: Plan, attempt: Attempt, users: NewUsers) -> Verification:
    """Look whether the user is there and in its groups, or for an undo gone; changes nothing."""
    if run.kind is Kind.UNDO:
        (call,) = plan.calls
        if changes.position(call, (users,)) is changes.Position.AFTER:
            return Verification(verdict=Verdict.PASSED, reason="the user is deleted")
        verdict = Verdict.FAILED if attempt.final else Verdict.PENDING
        return Verification(verdict=verdict, reason="there still is such a user")
    return _judged(run, plan, users, final=attempt.final)


@step(
    Role.OBSERVE,
    calls=["cognito-idp:AdminGetUser", "cognito-idp:AdminListGroupsForUser"],
    raises=[ThrottledError],
)
def watch_hold(*, run: Run, plan: Plan, users: NewUsers) -> Verification:
    """Look whether the user is still there; changes nothing. Not used unless a limit asks."""
    return _judged(run, plan, users, final=True)


@step(
    Role.OBSERVE,
    calls=["cognito-idp:AdminGetUser"],
    raises=[PrerequisiteNotMetError, ThrottledError],
)
def check_undo(*, run: Run, plan: Plan, users: NewUsers) -> None:
    """Refuse to delete a user that has signed in; changes nothing."""
    username = username_of(plan.calls[0])
    obstacle = policy.undo_obstacle(users.user(run.target["user_pool_id"], username), username)
    if obstacle:
        raise PrerequisiteNotMetError(f"undo: {obstacle}")


@step(
    Role.CHANGE,
    calls=["cognito-idp:AdminDeleteUser", "cognito-idp:AdminGetUser"],
    raises=[ResourceBusyError, RollbackFailedError, ThrottledError],
)
def roll_back(*, plan: Plan, clock: Clock, users: NewUsers) -> Change:
    """Delete the user if this run created it; never one that was there before."""
    return changes.restore(plan.calls, (users,), clock.now)


def _judged(run: Run, plan: Plan, users: NewUsers, *, final: bool) -> Verification:
    pool_id, username = run.target["user_pool_id"], username_of(plan.calls[0])
    return policy.judge(
        plan, users.user(pool_id, username), users.groups_of(pool_id, username), final=final
    )
