"""Steps of `review_iam_permissions`: read by resources, decide in policy, return a contract."""

import dataclasses
import json
from datetime import datetime, timedelta

from lambdas.remediation import changes
from lambdas.remediation.contracts import (
    Change,
    Decision,
    Kind,
    Plan,
    PlannedCall,
    Prepared,
    Run,
    Verdict,
    Verification,
    encode,
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
from lambdas.remediation.platform import Function, Platform
from lambdas.remediation.resources.access_analyzer import AccessAnalyzer
from lambdas.remediation.resources.function_logs import FunctionLogs
from lambdas.remediation.resources.lambda_alias import LATEST, LambdaAliases
from lambdas.remediation.resources.metrics import Metric, Metrics
from lambdas.remediation.resources.role_policies import (
    Role,
    RolePolicies,
    RolePolicy,
    document_of,
)
from lambdas.remediation.resources.stack_membership import StackMembership
from lambdas.remediation.settings import settings
from lambdas.remediation.step import Attempt, Clock, step
from lambdas.remediation.step import Role as Privilege
from lambdas.remediation.verification import complete_periods, periods_in, samples, total
from lambdas.runbooks.review_iam_permissions import policy
from lambdas.runbooks.review_iam_permissions.policy import Health, Situation
from lambdas.runbooks.review_iam_permissions.runbook import ReviewIamPermissionsLimits

RESOURCES = (RolePolicies,)


@step(
    Privilege.OBSERVE,
    calls=[
        "access-analyzer:CheckNoNewAccess",
        "access-analyzer:ValidatePolicy",
        "cloudformation:DescribeStackResources",
        "cloudwatch:GetMetricData",
        "iam:GenerateServiceLastAccessedDetails",
        "iam:GetPolicy",
        "iam:GetPolicyVersion",
        "iam:GetRole",
        "iam:GetRolePolicy",
        "iam:GetServiceLastAccessedDetails",
        "iam:ListAttachedRolePolicies",
        "iam:ListRolePolicies",
        "iam:SimulateCustomPolicy",
        "lambda:GetFunctionConfiguration",
        "logs:FilterLogEvents",
    ],
    raises=[
        InvalidRequestError,
        PrerequisiteNotMetError,
        ResourceBusyError,
        TargetNotFoundError,
        ThrottledError,
    ],
)
def prepare(
    *,
    run: Run,
    clock: Clock,
    platform: Platform,
    policies: RolePolicies,
    analyzer: AccessAnalyzer,
    stacks: StackMembership,
    functions: LambdaAliases,
    metrics: Metrics,
    logs: FunctionLogs,
) -> Prepared:
    """Find the unused actions, and check the policies without them; changes nothing."""
    name = run.target["role_name"]
    limits = ReviewIamPermissionsLimits(**run.limits)
    keep = _keep(run, platform)
    role = policies.role(name)
    # Before all other reading: IAM makes the report meanwhile, and a retry repeats no more.
    use = policies.use(role.arn)
    inline, managed = policies.inline(name), policies.managed(name)
    users = _users(role, platform, functions)
    now = clock.now()
    plan = policy.decide(
        Situation(
            role=role,
            inline=inline,
            managed=managed,
            use=use,
            keep=keep,
            stack_name=role.stack_name or stacks.stack_of(name),
            is_own=_is_own([*inline, *managed]),
            functions=tuple(f.function_name for f in users),
            edit_deployed_roles=run.options.get("edit_deployed_roles", False),
            limits=limits,
            now=now,
        )
    )
    if plan.decision is Decision.CHANGE:
        for call in plan.calls:
            _check(call, keep, analyzer, policies)
        before = _health(
            users, metrics, logs, limits=limits, now=now, seconds=limits.look_back_seconds
        )
        plan = dataclasses.replace(plan, evidence=policy.with_baseline(plan, before))
    return Prepared(snapshot={"role": encode(role), "inline": encode(list(inline))}, plan=plan)


@step(
    Privilege.CHANGE,
    calls=["iam:GetRolePolicy", "iam:PutRolePolicy"],
    raises=[ChangeFailedError, ConcurrentChangeError, ResourceBusyError, ThrottledError],
)
def narrow_policies(*, plan: Plan, clock: Clock, policies: RolePolicies) -> Change:
    """Put the smaller inline policies in force; never one that someone has changed since."""
    return changes.apply(plan.calls, (policies,), clock.now)


@step(
    Privilege.OBSERVE,
    calls=["cloudwatch:GetMetricData", "iam:GetRolePolicy", "logs:FilterLogEvents"],
    raises=[ResourceBusyError, ThrottledError],
)
def verify(
    *,
    run: Run,
    plan: Plan,
    change: Change | None,
    attempt: Attempt,
    clock: Clock,
    platform: Platform,
    policies: RolePolicies,
    metrics: Metrics,
    logs: FunctionLogs,
) -> Verification:
    """Look whether the functions work with the smaller policies, or for an undo whether it is done.

    Changes nothing, and never counts silence as proof.
    """
    moved = [n for call in plan.calls if policies.present(call) != call.after for n in call.after]
    if run.kind is Kind.UNDO:
        return policy.put_back(plan.calls, moved, final=attempt.final)
    if moved:
        reason = f"someone else has changed {', '.join(moved)} since"
        return Verification(verdict=Verdict.INCONCLUSIVE, reason=reason)
    return _judged(
        run,
        plan,
        change,
        now=clock.now(),
        platform=platform,
        metrics=metrics,
        logs=logs,
        final=attempt.final,
    )


@step(
    Privilege.OBSERVE,
    calls=["cloudwatch:GetMetricData", "logs:FilterLogEvents"],
    raises=[ResourceBusyError, ThrottledError],
)
def watch_hold(
    *,
    run: Run,
    plan: Plan,
    change: Change | None,
    clock: Clock,
    platform: Platform,
    metrics: Metrics,
    logs: FunctionLogs,
) -> Verification:
    """Look whether calls were denied since the change; changes nothing."""
    return _judged(
        run,
        plan,
        change,
        now=clock.now(),
        platform=platform,
        metrics=metrics,
        logs=logs,
        final=True,
    )


@step(Privilege.OBSERVE)
def check_undo() -> None:
    """Refuse nothing: access that was there before may come back while the policy is unchanged."""


@step(
    Privilege.CHANGE,
    calls=["iam:GetRolePolicy", "iam:PutRolePolicy"],
    raises=[ResourceBusyError, RollbackFailedError, ThrottledError],
)
def roll_back(*, plan: Plan, clock: Clock, policies: RolePolicies) -> Change:
    """Put the recorded policies back where this run replaced them; never touches another one."""
    return changes.restore(plan.calls, (policies,), clock.now)


def _keep(run: Run, platform: Platform) -> tuple[str, ...]:
    """Actions that must stay: of the platform file, and those that this run was told."""
    listed = next(r for r in platform.roles if r.role_name == run.target["role_name"])
    return (*listed.must_allow, *policy.asked_to_keep(run.parameters.get("keep")))


def _is_own(policies: list[RolePolicy]) -> bool:
    """Whether a role is one of the product's: all of those use the run table, and no other does."""
    return any(settings().run_table_name in json.dumps(p.document) for p in policies)


def _users(role: Role, platform: Platform, functions: LambdaAliases) -> list[Function]:
    """Functions of the platform file that have the role."""
    found = []
    for function in platform.functions:
        try:
            state = functions.state(function.function_name, function.alias or LATEST)
        except TargetNotFoundError:
            continue
        if state.role_arn == role.arn:
            found.append(function)
    return found


def _check(
    call: PlannedCall, keep: tuple[str, ...], analyzer: AccessAnalyzer, policies: RolePolicies
) -> None:
    """Have AWS check a smaller policy: valid, nothing new, and what must stay is allowed."""
    ((name, value),) = call.after.items()
    old, new = document_of(call.before[name]), document_of(value)
    policy.require_sound(name, analyzer.problems(new, old))
    actions, resources = policy.simulated(old, keep)
    if actions:
        before = policies.allowed(old, actions, resources)
        after = policies.allowed(new, actions, resources)
        policy.require_sound(name, policy.lost(before, after))


def _judged(
    run: Run,
    plan: Plan,
    change: Change | None,
    *,
    now: datetime,
    platform: Platform,
    metrics: Metrics,
    logs: FunctionLogs,
    final: bool,
) -> Verification:
    limits = ReviewIamPermissionsLimits(**run.limits)
    health = _health(
        [platform.function(name) for name in plan.evidence["functions"]],
        metrics,
        logs,
        limits=limits,
        now=now,
        seconds=limits.verify_window_seconds,
        after=change.applied_at if change else run.execution.started_at,
    )
    return policy.judge(plan, health, limits, final=final)


def _health(
    functions: list[Function],
    metrics: Metrics,
    logs: FunctionLogs,
    *,
    limits: ReviewIamPermissionsLimits,
    now: datetime,
    seconds: int,
    after: datetime | None = None,
) -> Health:
    """Measure the last complete periods, and count denied calls, neither before `after`."""
    period = limits.metric_period_seconds
    periods = complete_periods(now, period_seconds=period, seconds=seconds, after=after)
    # Never more time than the baseline has.
    back = now - timedelta(seconds=limits.look_back_seconds)
    start = max(after, back) if after else back
    denials = sum(logs.denials(f.logs, start=start, end=now) for f in functions)
    wanted = periods_in(seconds, period)
    if not periods:
        return Health(denials=denials, wanted_periods=wanted)
    pairs = [(_metric(f, "Errors"), _metric(f, "Invocations")) for f in functions]
    series = metrics.read(
        [metric for pair in pairs for metric in pair],
        start=periods[0],
        end=periods[-1] + timedelta(seconds=period),
        period_seconds=period,
    )
    invocations = [series[invoked] for _, invoked in pairs]
    return Health(
        errors=total([series[failed] for failed, _ in pairs], periods),
        invocations=total(invocations, periods),
        samples=samples(invocations, periods),
        denials=denials,
        periods=len(periods),
        wanted_periods=wanted,
    )


def _metric(function: Function, name: str) -> Metric:
    return Metric("AWS/Lambda", name, tuple(function.dimensions.items()))
