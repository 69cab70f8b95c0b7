"""Steps of `optimize_cold_starts`: read through resources, decide in policy, return a contract."""

import contextlib
from collections.abc import Iterator
from datetime import datetime, timedelta

from lambdas.remediation import changes
from lambdas.remediation.contracts import (
    Change,
    Kind,
    Plan,
    Prepared,
    Run,
    Verdict,
    Verification,
    encode,
)
from lambdas.remediation.errors import (
    ChangeFailedError,
    ConcurrentChangeError,
    PrerequisiteNotMetError,
    ResourceBusyError,
    RollbackFailedError,
    TargetNotFoundError,
    ThrottledError,
)
from lambdas.remediation.platform import Function, Platform
from lambdas.remediation.resources.function_logs import FunctionLogs, Reports
from lambdas.remediation.resources.lambda_alias import LambdaAliases, alias_of
from lambdas.remediation.resources.metrics import Metric, Metrics
from lambdas.remediation.resources.provisioned_concurrency import ProvisionedConcurrency
from lambdas.remediation.resources.scalable_target import ScalableTargets
from lambdas.remediation.step import Attempt, Clock, Role, step
from lambdas.remediation.verification import (
    complete_periods,
    peak,
    period_start,
    periods_in,
    samples,
    total,
)
from lambdas.runbooks.optimize_cold_starts import policy
from lambdas.runbooks.optimize_cold_starts.policy import ColdStarts, Served, Situation
from lambdas.runbooks.optimize_cold_starts.runbook import OptimizeColdStartsLimits

RESOURCES = (ProvisionedConcurrency,)


@step(
    Role.OBSERVE,
    calls=[
        "application-autoscaling:DescribeScalableTargets",
        "cloudwatch:GetMetricData",
        "lambda:GetAccountSettings",
        "lambda:GetAlias",
        "lambda:GetFunctionConcurrency",
        "lambda:GetFunctionConfiguration",
        "lambda:GetProvisionedConcurrencyConfig",
        "logs:FilterLogEvents",
    ],
    raises=[PrerequisiteNotMetError, ResourceBusyError, TargetNotFoundError, ThrottledError],
)
def prepare(
    *,
    run: Run,
    clock: Clock,
    platform: Platform,
    aliases: LambdaAliases,
    concurrency: ProvisionedConcurrency,
    targets: ScalableTargets,
    logs: FunctionLogs,
    metrics: Metrics,
) -> Prepared:
    """Count cold starts and decide how many environments to keep ready; changes nothing."""
    function = platform.function(run.target["function_name"])
    name = function.function_name
    limits = OptimizeColdStartsLimits(**run.limits)
    now = clock.now()
    alias = aliases.read(name, policy.require_alias(name, function.alias))
    present = concurrency.read(name, alias.name)
    cold_starts = _cold_starts(function, alias.version, logs, limits, now)
    plan = policy.decide(
        Situation(
            alias=alias,
            state=aliases.state(name, alias.version),
            setup=concurrency.setup(name, alias.version),
            present=present,
            cold_starts=cold_starts,
            peak_concurrency=_peak_concurrency(function, metrics, limits, now),
            headroom=concurrency.headroom(name),
            scaled=targets.scales_alias(name, alias.name),
            asked=run.parameters.get("provisioned_concurrency"),
            limits=limits,
        )
    )
    snapshot = {"alias": encode(alias), "provisioned": encode(present)}
    return Prepared(snapshot=snapshot, plan=plan)


@step(
    Role.CHANGE,
    calls=["lambda:GetProvisionedConcurrencyConfig", "lambda:PutProvisionedConcurrencyConfig"],
    raises=[ChangeFailedError, ConcurrentChangeError, ResourceBusyError, ThrottledError],
)
def provision_concurrency(
    *, plan: Plan, clock: Clock, concurrency: ProvisionedConcurrency
) -> Change:
    """Ask for the planned environments; never if anyone has changed their number since the plan."""
    with _still_there():
        return changes.apply(plan.calls, (concurrency,), clock.now)


@step(
    Role.OBSERVE,
    calls=["lambda:GetProvisionedConcurrencyConfig"],
    raises=[ConcurrentChangeError, ResourceBusyError, ThrottledError],
)
def check_allocation(
    *, plan: Plan, attempt: Attempt, concurrency: ProvisionedConcurrency
) -> Verification:
    """Look whether Lambda has allocated all environments; changes nothing."""
    with _still_there():
        return _allocated(plan, concurrency, final=attempt.final)


@step(
    Role.OBSERVE,
    calls=["cloudwatch:GetMetricData", "lambda:GetProvisionedConcurrencyConfig"],
    raises=[ConcurrentChangeError, ResourceBusyError, ThrottledError],
)
def verify(
    *,
    run: Run,
    plan: Plan,
    change: Change | None,
    attempt: Attempt,
    clock: Clock,
    platform: Platform,
    concurrency: ProvisionedConcurrency,
    metrics: Metrics,
) -> Verification:
    """Look whether invocations start warm, or for an undo whether the old number is back.

    Changes nothing. Never takes allocation for warm starts where there is traffic to measure.
    """
    with _still_there():
        allocated = _allocated(plan, concurrency, final=attempt.final)
    if run.kind is Kind.UNDO or allocated.verdict is not Verdict.PASSED:
        return allocated
    served = _served(
        run,
        platform.function(run.target["function_name"]),
        change,
        metrics,
        now=clock.now(),
        seconds=run.limits["verify_window_seconds"],
    )
    before = plan.evidence["cold_start_percent"]
    return policy.judge(allocated, served, before_percent=before, final=attempt.final)


@step(
    Role.OBSERVE,
    calls=["cloudwatch:GetMetricData", "lambda:GetProvisionedConcurrencyConfig"],
    raises=[ConcurrentChangeError, ResourceBusyError, ThrottledError],
)
def watch_hold(
    *,
    run: Run,
    plan: Plan,
    change: Change | None,
    clock: Clock,
    platform: Platform,
    concurrency: ProvisionedConcurrency,
    metrics: Metrics,
) -> Verification:
    """Look whether invocations still started warm since the last look; changes nothing."""
    with _still_there():
        allocated = _allocated(plan, concurrency, final=True)
    if allocated.verdict is not Verdict.PASSED:
        return allocated
    served = _served(
        run,
        platform.function(run.target["function_name"]),
        change,
        metrics,
        now=clock.now(),
        seconds=run.limits["hold_interval_seconds"],
    )
    before = plan.evidence["cold_start_percent"]
    return policy.judge(allocated, served, before_percent=before, final=True)


@step(
    Role.OBSERVE,
    calls=["lambda:GetAccountSettings", "lambda:GetFunctionConcurrency"],
    raises=[PrerequisiteNotMetError, ResourceBusyError, TargetNotFoundError, ThrottledError],
)
def check_undo(*, run: Run, plan: Plan, concurrency: ProvisionedConcurrency) -> None:
    """Refuse a way back to a higher number that there is no room for now; changes nothing."""
    name = run.target["function_name"]
    obstacles = policy.undo_obstacles(
        plan.calls, concurrency.headroom(name), OptimizeColdStartsLimits(**run.limits)
    )
    if obstacles:
        raise PrerequisiteNotMetError(f"function {name}: not taken back: {'; '.join(obstacles)}")


@step(
    Role.CHANGE,
    calls=[
        "lambda:DeleteProvisionedConcurrencyConfig",
        "lambda:GetProvisionedConcurrencyConfig",
        "lambda:PutProvisionedConcurrencyConfig",
    ],
    raises=[ResourceBusyError, RollbackFailedError, ThrottledError],
)
def roll_back(*, plan: Plan, clock: Clock, concurrency: ProvisionedConcurrency) -> Change:
    """Set the old number, or remove what this run provisioned; never touches anything else."""
    try:
        return changes.restore(plan.calls, (concurrency,), clock.now)
    except TargetNotFoundError as error:
        raise RollbackFailedError(f"cannot be taken back: {error}") from error


@contextlib.contextmanager
def _still_there() -> Iterator[None]:
    """What was there when the run planned and is gone now was deleted by someone else."""
    try:
        yield
    except TargetNotFoundError as error:
        raise ConcurrentChangeError(f"{error}; it was there when this run began") from error


def _allocated(plan: Plan, concurrency: ProvisionedConcurrency, *, final: bool) -> Verification:
    (call,) = plan.calls
    return policy.judge_allocation(call, concurrency.read(*alias_of(call.resource)), final=final)


def _cold_starts(
    function: Function,
    version: str,
    logs: FunctionLogs,
    limits: OptimizeColdStartsLimits,
    now: datetime,
) -> ColdStarts:
    start = now - timedelta(seconds=limits.look_back_seconds)
    try:
        return policy.measure(logs.reports(function.logs, version, start=start, end=now))
    except TargetNotFoundError:
        # Lambda makes the log group with the first invocation.
        return policy.measure(Reports())


def _metric(function: Function, name: str, statistic: str = "Sum") -> Metric:
    return Metric("AWS/Lambda", name, tuple(function.dimensions.items()), statistic)


def _peak_concurrency(
    function: Function, metrics: Metrics, limits: OptimizeColdStartsLimits, now: datetime
) -> float:
    """Most invocations at once in the look-back, the period that is not over yet included."""
    period = limits.metric_period_seconds
    asked = _metric(function, "ConcurrentExecutions", "Maximum")
    series = metrics.read(
        [asked],
        start=period_start(now - timedelta(seconds=limits.look_back_seconds), period),
        end=period_start(now, period) + timedelta(seconds=period),
        period_seconds=period,
    )
    return peak(series[asked])


def _served(
    run: Run,
    function: Function,
    change: Change | None,
    metrics: Metrics,
    *,
    now: datetime,
    seconds: int,
) -> Served:
    """Measure the last complete periods of which no part was before the change."""
    period = run.limits["metric_period_seconds"]
    periods = complete_periods(
        now,
        period_seconds=period,
        seconds=seconds,
        after=change.applied_at if change else run.execution.started_at,
    )
    invocations, warm, spilled = (
        _metric(function, name)
        for name in (
            "Invocations",
            "ProvisionedConcurrencyInvocations",
            "ProvisionedConcurrencySpilloverInvocations",
        )
    )
    series = {}
    if periods:
        series = metrics.read(
            [invocations, warm, spilled],
            start=periods[0],
            end=periods[-1] + timedelta(seconds=period),
            period_seconds=period,
        )
    wanted = periods_in(seconds, period)
    return Served(
        invocations=total([series.get(invocations, {})], periods),
        warm=total([series.get(warm, {})], periods),
        spilled=total([series.get(spilled, {})], periods),
        samples=samples([series.get(invocations, {})], periods),
        minimum_samples=min(run.limits["verify_minimum_samples"], wanted),
        periods=len(periods),
        wanted_periods=wanted,
    )
