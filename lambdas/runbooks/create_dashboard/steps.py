"""Steps of `create_dashboard`: read through resources, decide in policy, return a contract."""

from lambdas.remediation import changes
from lambdas.remediation.contracts import Change, Plan, Prepared, Run, Verification
from lambdas.remediation.errors import (
    ChangeFailedError,
    ConcurrentChangeError,
    InvalidRequestError,
    PrerequisiteNotMetError,
    ResourceBusyError,
    RollbackFailedError,
    ThrottledError,
)
from lambdas.remediation.platform import Platform
from lambdas.remediation.resources.dashboard import BODY, Dashboards, digest, unpack
from lambdas.remediation.step import Attempt, Clock, Role, step
from lambdas.remediation.targets import place_of
from lambdas.runbooks.create_dashboard import policy, widgets
from lambdas.runbooks.create_dashboard.policy import Situation

RESOURCES = (Dashboards,)


@step(
    Role.OBSERVE,
    calls=["cloudwatch:GetDashboard"],
    raises=[InvalidRequestError, PrerequisiteNotMetError, ResourceBusyError, ThrottledError],
)
def prepare(*, run: Run, platform: Platform, dashboards: Dashboards) -> Prepared:
    """Read the dashboard and make the body that it is to have; changes nothing."""
    period = policy.period_seconds(
        run.parameters.get("period_seconds"), run.limits["graph_period_seconds"]
    )
    name = run.target["dashboard_name"]
    present = dashboards.body(name)
    plan = policy.decide(
        Situation(
            dashboard_name=name,
            arn=run.target_arn,
            present=present,
            # A dashboard belongs to no Region, each of its graphs does.
            wanted=widgets.body(
                platform, region=place_of(run.execution.arn).region, period_seconds=period
            ),
        )
    )
    # The body itself is in the plan.
    digests = {"body_sha256": None if present is None else digest(present)}
    return Prepared(snapshot=digests, plan=plan)


@step(
    Role.CHANGE,
    calls=["cloudwatch:GetDashboard", "cloudwatch:PutDashboard"],
    raises=[ChangeFailedError, ConcurrentChangeError, ResourceBusyError, ThrottledError],
)
def write_dashboard(*, plan: Plan, clock: Clock, dashboards: Dashboards) -> Change:
    """Give the dashboard the planned body; never if anyone has changed it since the plan."""
    return changes.apply(plan.calls, (dashboards,), clock.now)


@step(
    Role.OBSERVE,
    calls=["cloudwatch:GetDashboard"],
    raises=[ResourceBusyError, ThrottledError],
)
def verify(*, run: Run, plan: Plan, attempt: Attempt, dashboards: Dashboards) -> Verification:
    """Look whether the dashboard reads as planned, for an undo as it was; changes nothing."""
    return _judged(run, plan, dashboards, final=attempt.final)


@step(
    Role.OBSERVE,
    calls=["cloudwatch:GetDashboard"],
    raises=[ResourceBusyError, ThrottledError],
)
def watch_hold(*, run: Run, plan: Plan, dashboards: Dashboards) -> Verification:
    """Look whether it still does; changes nothing. Not used unless a limit asks."""
    return _judged(run, plan, dashboards, final=True)


@step(Role.OBSERVE)
def check_undo() -> None:
    """Nothing to refuse: that nobody else has changed the dashboard was looked at before."""


@step(
    Role.CHANGE,
    calls=["cloudwatch:DeleteDashboards", "cloudwatch:GetDashboard", "cloudwatch:PutDashboard"],
    raises=[ResourceBusyError, RollbackFailedError, ThrottledError],
)
def roll_back(*, plan: Plan, clock: Clock, dashboards: Dashboards) -> Change:
    """Put the old body back, or delete what was not there; never touches another dashboard."""
    return changes.restore(plan.calls, (dashboards,), clock.now)


def _judged(run: Run, plan: Plan, dashboards: Dashboards, *, final: bool) -> Verification:
    packed = plan.calls[0].after[BODY]
    return policy.judge(
        None if packed is None else unpack(packed),
        dashboards.body(run.target["dashboard_name"]),
        final=final,
    )
