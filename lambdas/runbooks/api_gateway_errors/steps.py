"""Steps of `api_gateway_errors`: read through resources, decide in policy, return a contract."""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from lambdas.remediation import changes
from lambdas.remediation.company import OpenRuns
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
from lambdas.remediation.diagnosis import Diagnosis
from lambdas.remediation.errors import (
    ChangeFailedError,
    ConcurrentChangeError,
    PrerequisiteNotMetError,
    ResourceBusyError,
    RollbackFailedError,
    TargetNotFoundError,
    ThrottledError,
)
from lambdas.remediation.ledger import Release, ReleaseLedger, Seen, release
from lambdas.remediation.platform import Api, Function, Platform
from lambdas.remediation.resources.api_stage import HttpStages, RestStages, Stage, Stages
from lambdas.remediation.resources.lambda_alias import Alias, LambdaAliases
from lambdas.remediation.resources.metrics import Metric, Metrics, stage_metrics
from lambdas.remediation.resources.stack_events import StackEvents, StackOperation
from lambdas.remediation.resources.table_throttling import TableThrottling
from lambdas.remediation.step import Attempt, Clock, Role, step
from lambdas.remediation.targets import LambdaFunction, place_of
from lambdas.remediation.verification import (
    Series,
    complete_periods,
    period_start,
    periods_in,
    total,
)
from lambdas.runbooks.api_gateway_errors import policy
from lambdas.runbooks.api_gateway_errors.policy import Calm, FunctionFinding, Situation
from lambdas.runbooks.api_gateway_errors.runbook import ApiGatewayErrorsLimits

RESOURCES = (RestStages, HttpStages)


@step(Role.OBSERVE, calls=["apigateway:GET"], raises=[ResourceBusyError, ThrottledError])
def current_releases(*, platform: Platform, rest: RestStages, http: HttpStages) -> dict[str, str]:
    """Deployment that the stage of each API serves; changes nothing.

    A missing stage has none, and one that was never deployed neither.
    """
    found = {}
    for api in platform.apis:
        with contextlib.suppress(TargetNotFoundError):
            stage = _stages(api, rest, http).read(api.api_id, api.stage)
            if stage.deployment_id is not None:
                found[api.api_name] = stage.deployment_id
    return found


@step(
    Role.OBSERVE,
    calls=[
        "apigateway:GET",
        "cloudformation:DescribeStackEvents",
        "cloudwatch:GetMetricData",
        "lambda:GetAlias",
    ],
    raises=[PrerequisiteNotMetError, ResourceBusyError, TargetNotFoundError, ThrottledError],
)
def prepare(
    *,
    run: Run,
    clock: Clock,
    platform: Platform,
    rest: RestStages,
    http: HttpStages,
    ledger: ReleaseLedger,
    runs: OpenRuns,
    aliases: LambdaAliases,
    metrics: Metrics,
    tables: TableThrottling,
    stacks: StackEvents,
) -> Prepared:
    """Find out why the stage answers with errors and choose one remedy; changes nothing.

    Everything is read at the same time. A finding that cannot be read is unknown, which is never a
    reason to act; only the stage itself has to be readable.
    """
    limits = ApiGatewayErrorsLimits(**run.limits)
    now = clock.now()
    api = platform.api(run.target["api_name"])
    stages = _stages(api, rest, http)
    names, table_names = platform.behind(api)
    functions = [platform.function(name) for name in names]
    behind = [t for t in platform.tables if t.table_name in table_names]
    place = place_of(run.execution.arn)
    periods = _look_back(limits, now)
    period = limits.metric_period_seconds
    end = periods[-1] + timedelta(seconds=period)
    wanted = [*stage_metrics(api), *(m for f in functions for m in _function_metrics(f))]
    with Diagnosis() as ask:
        measured = ask(
            "metrics", metrics.read, wanted, start=periods[0], end=end, period_seconds=period
        )
        throttled = ask(
            "throttled tables",
            tables.throttled,
            behind,
            start=periods[0],
            end=end,
            period_seconds=period,
        )
        stage_seen = ask("ledger of the stage", ledger.read, run.target_arn)
        arns = [LambdaFunction().arn(f.function_name, platform, place) for f in functions]
        seen = [ask(f"ledger of {arn}", ledger.read, arn) for arn in arns]
        at_work = [ask(f"runs on {arn}", runs.of, "lambda_errors", arn, now) for arn in arns]
        served = [ask(f"alias of {f.function_name}", _alias, f, aliases) for f in functions]
        operations = [
            ask(f"stack {s.stack_name}", stacks.last_operation, s.stack_name)
            for s in platform.stacks
        ]
        # Read here, so that its own errors end the step.
        stage = stages.read(api.api_id, api.stage)
        ask.settle()
        current = _release(ask.answer(stage_seen), stage.deployment_id, limits, now)
        exists = ask("last good deployment", _exists, api, stages, current)
        canary_made = ask("deployment of the canary", _canary_made, api, stages, stage)
        ask.settle()
    series = ask.answer(measured)
    traffic = burst = None
    if series is not None:
        traffic = _traffic(api, series, periods, limits)
        burst = _traffic(api, series, policy.burst_of(traffic, limits), limits)
    situation = Situation(
        arn=run.target_arn,
        stage=stage,
        traffic=traffic,
        burst=burst,
        release=current,
        previous_exists=ask.answer(exists),
        canary_made_at=ask.answer(canary_made),
        functions=tuple(
            _with_counts(
                dataclasses.replace(
                    _with_release(f, ask.answer(alias), ask.answer(entries), limits, now),
                    in_hands_of=ask.answer(busy),
                ),
                f,
                series,
                burst,
            )
            for f, alias, entries, busy in zip(functions, served, seen, at_work, strict=True)
        ),
        throttled=ask.answer(throttled),
        operations=_recent([ask.answer(o) for o in operations], limits, now),
        unknown=tuple(ask.unknown),
        limits=limits,
        now=now,
    )
    return Prepared(snapshot={"stage": encode(stage)}, plan=policy.decide(situation))


@step(
    Role.CHANGE,
    calls=["apigateway:GET", "apigateway:PATCH"],
    raises=[ChangeFailedError, ConcurrentChangeError, ResourceBusyError, ThrottledError],
)
def move_stage(*, plan: Plan, clock: Clock, rest: RestStages, http: HttpStages) -> Change:
    """Turn the canary off, or move the stage to the planned deployment.

    Never deploys, never touches stage variables or another stage.
    """
    with _still_there():
        return changes.apply(plan.calls, (rest, http), clock.now)


@step(
    Role.OBSERVE,
    calls=["apigateway:GET", "cloudwatch:GetMetricData"],
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
    rest: RestStages,
    http: HttpStages,
    metrics: Metrics,
    ledger: ReleaseLedger,
) -> Verification:
    """Look whether the errors have stopped, or for an undo whether the stage is back.

    Never counts silence as healed. Where another run had the remedy, the same measurement tells.
    """
    with _still_there():
        as_planned = _as_planned(plan, rest, http)
    if run.kind is Kind.UNDO:
        return _back(as_planned, final=attempt.final)
    if not as_planned:
        return Verification(
            verdict=Verdict.INCONCLUSIVE, reason="someone else has changed the stage since"
        )
    limits = ApiGatewayErrorsLimits(**run.limits)
    calm = _calm(
        run, change, platform, metrics, now=clock.now(), seconds=limits.verify_window_seconds
    )
    judged = policy.judge(calm, final=attempt.final)
    moved = policy.moved_by_us(plan.calls)
    if judged.verdict is Verdict.PASSED and moved is not None:
        bad, current = moved
        ledger.note_own_move(
            run.target_arn, bad=bad, current=current, run_id=run.id, now=clock.now()
        )
    return judged


@step(Role.OBSERVE, calls=["cloudwatch:GetMetricData"], raises=[ThrottledError])
def watch_hold(
    *, run: Run, change: Change | None, clock: Clock, platform: Platform, metrics: Metrics
) -> Verification:
    """Look whether too many requests failed since the last look; changes nothing."""
    limits = ApiGatewayErrorsLimits(**run.limits)
    calm = _calm(
        run, change, platform, metrics, now=clock.now(), seconds=limits.hold_interval_seconds
    )
    return policy.judge(calm, final=True)


@step(
    Role.OBSERVE,
    calls=["apigateway:GET"],
    raises=[PrerequisiteNotMetError, ResourceBusyError, TargetNotFoundError, ThrottledError],
)
def check_undo(
    *, run: Run, plan: Plan, platform: Platform, rest: RestStages, http: HttpStages
) -> None:
    """Refuse a way back to a deployment that is gone; changes nothing.

    That this deployment failed is no obstacle: whoever undoes the run knows it.
    """
    api = platform.api(run.target["api_name"])
    stages = _stages(api, rest, http)
    if stages.read(api.api_id, api.stage).auto_deploy:
        raise PrerequisiteNotMetError(
            f"stage {api.stage} of {api.api_name}: not taken back: AutoDeploy is on by now, and "
            "API Gateway lets nobody move the stage"
        )
    for deployment_id in policy.wanted_deployments(plan.calls):
        if stages.deployed_at(api.api_id, deployment_id) is None:
            raise PrerequisiteNotMetError(
                f"stage {api.stage} of {api.api_name}: not taken back: deployment {deployment_id} "
                "is deleted"
            )


@step(
    Role.CHANGE,
    calls=["apigateway:GET", "apigateway:PATCH"],
    raises=[ResourceBusyError, RollbackFailedError, ThrottledError],
)
def roll_back(*, plan: Plan, clock: Clock, rest: RestStages, http: HttpStages) -> Change:
    """Put stage or canary back to where it was, if this run moved it; never touches anything else.

    A plan that another runbook carried out has no calls, and nothing is taken back here.
    """
    try:
        return changes.restore(plan.calls, (rest, http), clock.now)
    except TargetNotFoundError as error:
        raise RollbackFailedError(f"cannot be taken back: {error}") from error


@contextlib.contextmanager
def _still_there() -> Iterator[None]:
    """What was there when the run planned and is gone now was deleted by someone else."""
    try:
        yield
    except TargetNotFoundError as error:
        raise ConcurrentChangeError(f"{error}; it was there when this run began") from error


def _stages(api: Api, rest: RestStages, http: HttpStages) -> Stages:
    return rest if api.protocol == "REST" else http


def _alias(function: Function, aliases: LambdaAliases) -> Alias | None:
    if function.alias is None:
        return None
    return aliases.read(function.function_name, function.alias)


def _exists(api: Api, stages: Stages, current: Release | None) -> bool | None:
    """Whether the deployment to go back to is still there; None if there is none."""
    if current is None or current.previous_good is None:
        return None
    return stages.deployed_at(api.api_id, current.previous_good) is not None


def _canary_made(api: Api, stages: Stages, stage: Stage) -> datetime | None:
    if stage.canary is None:
        return None
    return stages.deployed_at(api.api_id, stage.canary.deployment_id)


def _release(
    seen: tuple[Seen, ...] | None,
    current: str | None,
    limits: ApiGatewayErrorsLimits,
    now: datetime,
) -> Release | None:
    if seen is None or current is None:
        return None
    return release(seen, current, now=now, look_back_seconds=limits.release_look_back_seconds)


def _recent(
    operations: list[StackOperation | None], limits: ApiGatewayErrorsLimits, now: datetime
) -> tuple[StackOperation, ...]:
    since = now - timedelta(seconds=limits.release_look_back_seconds)
    return tuple(o for o in operations if o is not None and (o.running or o.at >= since))


def _look_back(limits: ApiGatewayErrorsLimits, now: datetime) -> tuple[datetime, ...]:
    """Periods of the look-back, oldest first, the one that is not over yet included."""
    period = limits.metric_period_seconds
    before = complete_periods(now, period_seconds=period, seconds=limits.look_back_seconds)
    return (*before, period_start(now, period))


def _function_metrics(function: Function) -> tuple[Metric, Metric, Metric]:
    dimensions = tuple(function.dimensions.items())
    return (
        Metric("AWS/Lambda", "Errors", dimensions),
        Metric("AWS/Lambda", "Invocations", dimensions),
        Metric("AWS/Lambda", "Throttles", dimensions),
    )


def _traffic(
    api: Api,
    series: Mapping[Metric, Series],
    periods: tuple[datetime, ...],
    limits: ApiGatewayErrorsLimits,
) -> policy.Traffic:
    errors, requests = stage_metrics(api)
    return policy.traffic(series[errors], series[requests], periods, limits)


def _with_release(
    function: Function,
    alias: Alias | None,
    seen: tuple[Seen, ...] | None,
    limits: ApiGatewayErrorsLimits,
    now: datetime,
) -> FunctionFinding:
    version = alias.version if alias else None
    return FunctionFinding(
        function_name=function.function_name,
        version=version,
        rolling_out=bool(alias and alias.weights),
        release=_release(seen, version, limits, now),
    )


def _with_counts(
    finding: FunctionFinding,
    function: Function,
    series: Mapping[Metric, Series] | None,
    burst: policy.Traffic | None,
) -> FunctionFinding:
    """Add what the function went through in the burst of errors of the stage."""
    if series is None or burst is None:
        return finding
    errors, invocations, throttles = (
        total([series[m]], burst.bad_periods) for m in _function_metrics(function)
    )
    return dataclasses.replace(finding, errors=errors, invocations=invocations, throttles=throttles)


def _as_planned(plan: Plan, rest: RestStages, http: HttpStages) -> bool:
    return all(
        changes.position(call, (rest, http)) is changes.Position.AFTER for call in plan.calls
    )


def _back(as_planned: bool, *, final: bool) -> Verification:
    if as_planned:
        return Verification(verdict=Verdict.PASSED, reason="the stage is as it was")
    verdict = Verdict.FAILED if final else Verdict.PENDING
    return Verification(verdict=verdict, reason="the stage is not as it was")


def _calm(
    run: Run,
    change: Change | None,
    platform: Platform,
    metrics: Metrics,
    *,
    now: datetime,
    seconds: int,
) -> Calm:
    """Measure the last complete periods of which no part was before the change.

    Without a change of its own, the run measures from its start on: what went before raised it.
    """
    limits = ApiGatewayErrorsLimits(**run.limits)
    period = limits.metric_period_seconds
    api = platform.api(run.target["api_name"])
    periods = complete_periods(
        now,
        period_seconds=period,
        seconds=seconds,
        after=change.applied_at if change else run.execution.started_at,
    )
    traffic = policy.Traffic()
    if periods:
        series = metrics.read(
            stage_metrics(api),
            start=periods[0],
            end=periods[-1] + timedelta(seconds=period),
            period_seconds=period,
        )
        traffic = _traffic(api, series, periods, limits)
    wanted = periods_in(seconds, period)
    return Calm(
        traffic=traffic,
        periods=len(periods),
        wanted_periods=wanted,
        minimum_samples=min(limits.verify_minimum_samples, wanted),
        limits=limits,
    )
