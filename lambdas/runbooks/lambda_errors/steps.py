"""Steps of `lambda_errors`: read through resources, decide in policy, return a contract."""

import contextlib
from collections.abc import Iterator
from datetime import datetime, timedelta

from lambdas.remediation import changes
from lambdas.remediation.contracts import (
    Change,
    Decision,
    Kind,
    Plan,
    Prepared,
    Run,
    Trigger,
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
from lambdas.remediation.ledger import Release, ReleaseLedger, release
from lambdas.remediation.platform import Function, Platform
from lambdas.remediation.resources.function_logs import FunctionLogs
from lambdas.remediation.resources.lambda_alias import (
    LATEST,
    VERSION,
    Alias,
    FunctionState,
    LambdaAliases,
)
from lambdas.remediation.resources.metrics import Metric, Metrics
from lambdas.remediation.resources.table_throttling import TableThrottling
from lambdas.remediation.step import Attempt, Clock, Role, step
from lambdas.remediation.verification import complete_periods, period_start, periods_in
from lambdas.runbooks.lambda_errors import policy
from lambdas.runbooks.lambda_errors.policy import Health, Situation, Traffic
from lambdas.runbooks.lambda_errors.runbook import LambdaErrorsLimits

RESOURCES = (LambdaAliases,)


@step(Role.OBSERVE, calls=["lambda:GetAlias"], raises=[ResourceBusyError, ThrottledError])
def current_releases(*, platform: Platform, aliases: LambdaAliases) -> dict[str, str]:
    """Version behind the alias of each function; changes nothing.

    A missing alias has none, and `$LATEST` is no release: it keeps its name when the code changes.
    """
    found = {}
    for function in platform.functions:
        with contextlib.suppress(TargetNotFoundError):
            alias = _alias(function, aliases)
            if alias is not None and alias.version != LATEST:
                found[function.function_name] = alias.version
    return found


@step(
    Role.OBSERVE,
    calls=[
        "cloudwatch:GetMetricData",
        "lambda:GetAlias",
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
    aliases: LambdaAliases,
    metrics: Metrics,
    throttling: TableThrottling,
    ledger: ReleaseLedger,
    logs: FunctionLogs,
) -> Prepared:
    """Find out whether a release is to blame and where to go back to; changes nothing."""
    asked = policy.asked_version(run.parameters.get("version"))
    function = platform.function(run.target["function_name"])
    limits = LambdaErrorsLimits(**run.limits)
    now = clock.now()
    _require_settled(function.function_name, aliases.state(function.function_name))
    alias = _alias(function, aliases)
    known = _release(run, alias, ledger, limits, now)
    periods = _look_back(limits, now)
    versions = [alias.version, *alias.weights] if alias and alias.weights else []
    measured = _traffic(function, metrics, limits, periods, versions)
    wanted = policy.candidate_version(asked, known)
    throttled: dict[str, float] = {}
    # Only where no release explains it: an incident's way to its change is not held up.
    if known.known and not known.recent:
        throttled = throttling.throttled(
            platform.tables,
            start=periods[0],
            end=periods[-1] + timedelta(seconds=limits.metric_period_seconds),
            period_seconds=limits.metric_period_seconds,
        )
    plan = policy.decide(
        Situation(
            function_name=function.function_name,
            alias=alias,
            traffic=measured[None],
            by_version={v: measured[v] for v in versions},
            release=known if alias else None,
            asked_version=asked,
            candidate=_candidate(function.function_name, wanted, aliases),
            throttled=throttled,
            by_person=run.trigger is Trigger.PERSON,
            is_child=run.parent is not None,
            limits=limits,
        )
    )
    if plan.decision is Decision.HAND_OVER:
        plan = _with_errors(plan, function, logs, limits, now)
    return Prepared(snapshot={"alias": encode(alias), "release": encode(known)}, plan=plan)


@step(
    Role.CHANGE,
    calls=["lambda:GetAlias", "lambda:UpdateAlias"],
    raises=[ChangeFailedError, ConcurrentChangeError, ResourceBusyError, ThrottledError],
)
def move_alias(*, plan: Plan, clock: Clock, aliases: LambdaAliases) -> Change:
    """Move the alias to the planned version; never if anyone has touched it since the plan."""
    with _still_there():
        return changes.apply(plan.calls, (aliases,), clock.now)


@step(
    Role.OBSERVE,
    calls=["cloudwatch:GetMetricData", "lambda:GetAlias", "lambda:InvokeFunction"],
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
    aliases: LambdaAliases,
    metrics: Metrics,
    ledger: ReleaseLedger,
) -> Verification:
    """Look whether the error rate has fallen, or for an undo whether the alias is back.

    Never counts silence as healed. The one invocation it may make, at the last look, sends the
    event that the platform file names for that; it changes nothing of the platform.
    """
    function = platform.function(run.target["function_name"])
    with _still_there():
        moved = _moved_away(plan, aliases)
        if run.kind is Kind.UNDO:
            return _back(moved, final=attempt.final)
        if moved is not None:
            reason = f"someone else has moved the alias to {moved} since"
            return Verification(verdict=Verdict.INCONCLUSIVE, reason=reason)
        limits = LambdaErrorsLimits(**run.limits)
        health = _health(
            run, function, change, metrics, now=clock.now(), seconds=limits.verify_window_seconds
        )
        judged = policy.judge(health, final=attempt.final)
        if judged.verdict is Verdict.INCONCLUSIVE:
            judged = _smoke(run, plan, aliases, function=function, judged=judged, health=health)
    if judged.verdict is Verdict.PASSED and plan.calls:
        call = plan.calls[0]
        ledger.note_own_move(
            run.target_arn,
            bad=policy.left_version(call),
            current=call.after[VERSION],
            run_id=run.id,
            now=clock.now(),
        )
    return judged


@step(Role.OBSERVE, calls=["cloudwatch:GetMetricData"], raises=[ThrottledError])
def watch_hold(
    *, run: Run, change: Change | None, clock: Clock, platform: Platform, metrics: Metrics
) -> Verification:
    """Look whether too many invocations failed since the last look; changes nothing."""
    limits = LambdaErrorsLimits(**run.limits)
    health = _health(
        run,
        platform.function(run.target["function_name"]),
        change,
        metrics,
        now=clock.now(),
        seconds=limits.hold_interval_seconds,
    )
    return policy.judge(health, final=True)


@step(
    Role.OBSERVE,
    calls=["lambda:GetFunctionConfiguration"],
    raises=[PrerequisiteNotMetError, ResourceBusyError, ThrottledError],
)
def check_undo(*, run: Run, plan: Plan, aliases: LambdaAliases) -> None:
    """Refuse a way back to a version that is gone or cannot serve; changes nothing.

    That this version failed is no obstacle: whoever undoes the run knows it.
    """
    name = run.target["function_name"]
    for version in [v for call in plan.calls for v in policy.versions_in(call.after)]:
        state = _candidate(name, version, aliases)
        if state is None or not state.serves:
            why = "is deleted" if state is None else f"is {state.state}"
            raise PrerequisiteNotMetError(
                f"function {name}: not taken back: version {version} {why}"
            )


@step(
    Role.CHANGE,
    calls=["lambda:GetAlias", "lambda:UpdateAlias"],
    raises=[ResourceBusyError, RollbackFailedError, ThrottledError],
)
def roll_back(*, plan: Plan, clock: Clock, aliases: LambdaAliases) -> Change:
    """Move the alias back to where it was, if this run moved it; never touches anything else."""
    try:
        return changes.restore(plan.calls, (aliases,), clock.now)
    except TargetNotFoundError as error:
        raise RollbackFailedError(f"cannot be taken back: {error}") from error


@contextlib.contextmanager
def _still_there() -> Iterator[None]:
    """What was there when the run planned and is gone now was deleted by someone else."""
    try:
        yield
    except TargetNotFoundError as error:
        raise ConcurrentChangeError(f"{error}; it was there when this run began") from error


def _alias(function: Function, aliases: LambdaAliases) -> Alias | None:
    if function.alias is None:
        return None
    return aliases.read(function.function_name, function.alias)


def _require_settled(function_name: str, state: FunctionState) -> None:
    if not state.settled:
        raise ResourceBusyError(
            f"function {function_name}: version {state.version} is being updated, look again later"
        )


def _candidate(
    function_name: str, version: str | None, aliases: LambdaAliases
) -> FunctionState | None:
    """State of a version that may have to serve; None if there is none."""
    if version is None:
        return None
    try:
        state = aliases.state(function_name, version)
    except TargetNotFoundError:
        return None
    _require_settled(function_name, state)
    return state


def _release(
    run: Run, alias: Alias | None, ledger: ReleaseLedger, limits: LambdaErrorsLimits, now: datetime
) -> Release:
    if alias is None:
        return Release(current="", known=False)
    return release(
        ledger.read(run.target_arn),
        alias.version,
        now=now,
        look_back_seconds=limits.release_look_back_seconds,
    )


def _look_back(limits: LambdaErrorsLimits, now: datetime) -> tuple[datetime, ...]:
    """Periods of the look-back, oldest first, the one that is not over yet included."""
    period = limits.metric_period_seconds
    before = complete_periods(now, period_seconds=period, seconds=limits.look_back_seconds)
    return (*before, period_start(now, period))


def _traffic(
    function: Function,
    metrics: Metrics,
    limits: LambdaErrorsLimits,
    periods: tuple[datetime, ...],
    versions: list[str] | None = None,
) -> dict[str | None, Traffic]:
    """Traffic through the alias (None), and of each of these versions behind it."""
    held: list[str | None] = [None, *(versions or [])]
    if not periods:
        return {None: Traffic()}
    series = metrics.read(
        [_metric(function, n, v) for v in held for n in ("Errors", "Invocations")],
        start=periods[0],
        end=periods[-1] + timedelta(seconds=limits.metric_period_seconds),
        period_seconds=limits.metric_period_seconds,
    )
    return {
        v: policy.traffic(
            series[_metric(function, "Errors", v)],
            series[_metric(function, "Invocations", v)],
            periods,
            limits,
        )
        for v in held
    }


def _metric(function: Function, name: str, version: str | None) -> Metric:
    dimensions = list(function.dimensions.items())
    if version is not None:
        dimensions.append(("ExecutedVersion", version))
    return Metric("AWS/Lambda", name, tuple(dimensions))


def _with_errors(
    plan: Plan, function: Function, logs: FunctionLogs, limits: LambdaErrorsLimits, now: datetime
) -> Plan:
    """Evidence for a person, not needed for the decision: no failure here stops the run."""
    start = now - timedelta(seconds=limits.look_back_seconds)
    try:
        return policy.with_errors(
            plan, function.logs, logs.errors(function.logs, start=start, end=now)
        )
    except Exception as error:
        return policy.without_errors(plan, function.logs, str(error))


def _moved_away(plan: Plan, aliases: LambdaAliases) -> str | None:
    """Where the alias points, if not where the plan wants it."""
    places = (policy.moved_away(call, aliases.present(call)) for call in plan.calls)
    return next((place for place in places if place is not None), None)


def _back(moved: str | None, *, final: bool) -> Verification:
    if moved is None:
        return Verification(verdict=Verdict.PASSED, reason="the alias is where it was")
    verdict = Verdict.FAILED if final else Verdict.PENDING
    return Verification(verdict=verdict, reason=f"the alias points to {moved}")


def _smoke(
    run: Run,
    plan: Plan,
    aliases: LambdaAliases,
    *,
    function: Function,
    judged: Verification,
    health: Health,
) -> Verification:
    """Ask the function itself, where the platform file says how and the option is on."""
    event = function.smoke_event if run.options.get("allow_smoke_invocation", False) else None
    if event is None or function.alias is None:
        return judged
    answer = aliases.invoke(function.function_name, function.alias, event)
    version = plan.calls[0].after[VERSION] if plan.calls else None
    return policy.with_smoke(judged, health, answer, version)


def _health(
    run: Run,
    function: Function,
    change: Change | None,
    metrics: Metrics,
    *,
    now: datetime,
    seconds: int,
) -> Health:
    """Measure the last complete periods of which no part was before the change."""
    limits = LambdaErrorsLimits(**run.limits)
    period = limits.metric_period_seconds
    periods = complete_periods(
        now,
        period_seconds=period,
        seconds=seconds,
        after=change.applied_at if change else run.execution.started_at,
    )
    wanted = periods_in(seconds, period)
    return Health(
        traffic=_traffic(function, metrics, limits, periods)[None],
        periods=len(periods),
        wanted_periods=wanted,
        minimum_samples=min(limits.verify_minimum_samples, wanted),
        limits=limits,
    )
