"""Steps that every runbook shares which releases a version of a Lambda function.

A runbook's `steps` imports the whole steps, and calls the rest from steps of its own.
"""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from lambdas.remediation import changes, releases
from lambdas.remediation.contracts import (
    CallResult,
    Change,
    Kind,
    Plan,
    PlannedCall,
    Run,
    Verdict,
    Verification,
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
from lambdas.remediation.releases import ReleaseLimits, Traffic
from lambdas.remediation.resources.lambda_alias import REVISION_ID, VERSION
from lambdas.remediation.resources.lambda_release import PUBLISH, LambdaReleases, function_of
from lambdas.remediation.resources.metrics import Metric, Metrics
from lambdas.remediation.step import Attempt, Clock, Role, StepInfo, step
from lambdas.remediation.verification import complete_periods, period_start, periods_in

_LIMITS = {f.name for f in dataclasses.fields(ReleaseLimits)}


# --- whole steps ---


@step(
    Role.CHANGE,
    calls=[
        "lambda:GetFunctionConfiguration",
        "lambda:ListVersionsByFunction",
        "lambda:PublishVersion",
    ],
    raises=[ChangeFailedError, ConcurrentChangeError, ResourceBusyError, ThrottledError],
)
def publish_version(
    *, plan: Plan, change: Change | None, clock: Clock, versions: LambdaReleases
) -> Change:
    """Publish what this run has put there as a version of it; never anything else."""
    with still_there():
        wanted = releases.of_api(plan, PUBLISH)[-1:]
        if wanted and _before(wanted[0], versions):
            wanted = [_seen(wanted[0], plan, versions)]
        made = changes.apply(wanted, (versions,), clock.now)
    return releases.together(change, made)


def _seen(publish: PlannedCall, plan: Plan, versions: LambdaReleases) -> PlannedCall:
    """The call, so that it can only publish what is there now and was looked at."""
    # Read before the calls are looked at: with it, what is set in between cannot be published.
    revision = versions.configuration(function_of(publish.resource)).revision_id
    for call in releases.unpublished(plan):
        if changes.position(call, (versions,)) is not changes.Position.AFTER:
            raise ConcurrentChangeError(
                f"{call.resource}: someone else changed it after {call.api}, nothing published"
            )
    return dataclasses.replace(publish, arguments={**publish.arguments, REVISION_ID: revision})


@step(
    Role.OBSERVE,
    calls=[
        "lambda:GetFunctionConfiguration",
        "lambda:InvokeFunction@versions",
        "lambda:ListVersionsByFunction",
    ],
    raises=[ChangeFailedError, ConcurrentChangeError, ResourceBusyError, ThrottledError],
)
def check_version(
    *, run: Run, plan: Plan, attempt: Attempt, platform: Platform, versions: LambdaReleases
) -> Verification:
    """Look whether the version can serve, and invoke it before any traffic does.

    The invocation sends the event that the platform file names for that. Changes nothing.
    """
    function = platform.function(run.target["function_name"])
    with still_there():
        version = versions.version_of(
            function.function_name, releases.alias_call(plan).after[VERSION]
        )
        found = versions.configuration(function.function_name, version)
        judged = releases.judge_version(found, releases.code_of(plan), final=attempt.final)
        if judged.verdict is not Verdict.PASSED or function.smoke_event is None:
            return not_failed(judged, plan)
        answer = versions.invoke(function.function_name, version, function.smoke_event)
    return not_failed(releases.with_smoke(judged, answer, version), plan)


@step(
    Role.CHANGE,
    calls=[
        "lambda:GetAlias",
        "lambda:GetFunctionConfiguration",
        "lambda:ListVersionsByFunction",
        "lambda:UpdateAlias",
    ],
    raises=[ChangeFailedError, ConcurrentChangeError, ResourceBusyError, ThrottledError],
)
def start_canary(
    *, plan: Plan, change: Change | None, clock: Clock, versions: LambdaReleases
) -> Change:
    """Give the new version its first share of the traffic; never if the alias was touched."""
    canary = releases.canary_call(plan)
    with still_there():
        made = changes.apply([canary] if canary else [], (versions,), clock.now)
    return releases.together(change, made)


@step(
    Role.OBSERVE,
    calls=["cloudwatch:GetMetricData", "lambda:ListVersionsByFunction"],
    raises=[ChangeFailedError, ConcurrentChangeError, ResourceBusyError, ThrottledError],
)
def check_canary(
    *,
    run: Run,
    plan: Plan,
    change: Change | None,
    attempt: Attempt,
    clock: Clock,
    platform: Platform,
    metrics: Metrics,
    versions: LambdaReleases,
) -> Verification:
    """Look how many invocations of the new version fail; changes nothing."""
    canary = releases.canary_call(plan)
    if canary is None or change is None:
        return Verification(verdict=Verdict.PASSED, reason="no canary was asked for")
    limits = limits_of(run)
    function = platform.function(run.target["function_name"])
    with still_there():
        version = versions.version_of(function.function_name, canary.arguments[VERSION])
    period = limits.metric_period_seconds
    now = clock.now()
    # The version served nobody before: the running periods tell of the canary alone.
    first, last = period_start(change.applied_at, period), period_start(now, period)
    count = int((last - first).total_seconds()) // period
    before = complete_periods(now, period_seconds=period, seconds=count * period) if count else ()
    seen = measured(function, metrics, limits, (*before, last), version=version)
    return not_failed(releases.judge_canary(seen, limits, final=attempt.final), plan)


@step(
    Role.CHANGE,
    calls=[
        "lambda:GetAlias",
        "lambda:GetFunctionConfiguration",
        "lambda:ListVersionsByFunction",
        "lambda:UpdateAlias",
    ],
    raises=[ChangeFailedError, ConcurrentChangeError, ResourceBusyError, ThrottledError],
)
def shift_traffic(
    *, plan: Plan, change: Change | None, clock: Clock, versions: LambdaReleases
) -> Change:
    """Give the new version all the traffic; never if anyone has touched the alias since."""
    with still_there():
        made = changes.apply([releases.shift_call(plan)], (versions,), clock.now)
    return releases.together(change, made)


@step(
    Role.OBSERVE,
    calls=[
        "cloudwatch:GetMetricData",
        "lambda:GetAlias",
        "lambda:GetFunctionConfiguration",
        "lambda:InvokeFunction",
        "lambda:ListVersionsByFunction",
    ],
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
    versions: LambdaReleases,
    metrics: Metrics,
) -> Verification:
    """Look whether the alias serves the release well, or for an undo whether it is back.

    Never counts silence as a pass: with too little traffic the last look is a test invocation.
    """
    with still_there():
        if run.kind is Kind.UNDO:
            back = [changes.position(c, (versions,)) is changes.Position.AFTER for c in plan.calls]
            judged = releases.judge_undo(all(back), final=attempt.final)
            return _with_unpublished(judged, run, platform, versions)
        call = releases.alias_call(plan)
        moved = releases.moved_away(call, versions.present(call))
        if moved is not None:
            return moved
        function = platform.function(run.target["function_name"])
        limits = limits_of(run)
        seconds = limits.verify_window_seconds
        seen = _since(run, change, platform, metrics, now=clock.now(), seconds=seconds)
        judged = releases.judge_traffic(seen, limits, final=attempt.final)
        smoke = function.smoke_event
        if smoke is not None and releases.may_be_proven_by_smoke(judged, seen, limits):
            version = versions.version_of(function.function_name, call.after[VERSION])
            answer = versions.invoke(function.function_name, function.alias or "", smoke)
            judged = releases.with_smoke(judged, answer, version)
        return releases.told(judged, plan)


@step(Role.OBSERVE, calls=["cloudwatch:GetMetricData"], raises=[ThrottledError])
def watch_hold(
    *, run: Run, change: Change | None, clock: Clock, platform: Platform, metrics: Metrics
) -> Verification:
    """Look whether too many invocations failed since the last look; changes nothing."""
    limits = limits_of(run)
    seconds = limits.hold_interval_seconds
    seen = _since(run, change, platform, metrics, now=clock.now(), seconds=seconds)
    return releases.judge_traffic(seen, limits, final=True)


@step(
    Role.OBSERVE,
    calls=["lambda:GetFunctionConfiguration"],
    raises=[PrerequisiteNotMetError, ResourceBusyError, ThrottledError],
)
def check_undo(*, run: Run, plan: Plan, versions: LambdaReleases) -> None:
    """Refuse a way back to a version that is gone or cannot serve; changes nothing."""
    name = run.target["function_name"]
    for call in plan.calls:
        if VERSION not in call.after:
            continue
        version = call.after[VERSION]
        try:
            found = versions.configuration(name, version)
        except TargetNotFoundError:
            raise PrerequisiteNotMetError(
                f"function {name}: not taken back: version {version} is deleted"
            ) from None
        if not found.serves:
            raise PrerequisiteNotMetError(
                f"function {name}: not taken back: version {version} is {found.state}"
            )


@step(
    Role.CHANGE,
    calls=[
        "lambda:GetAlias",
        "lambda:GetFunctionConfiguration",
        "lambda:ListVersionsByFunction",
        "lambda:UpdateAlias",
    ],
    raises=[ResourceBusyError, RollbackFailedError, ThrottledError],
)
def roll_back(*, plan: Plan, clock: Clock, versions: LambdaReleases) -> Change:
    """Move the alias back, out of the canary too, then the rest; never what somebody else set."""
    call = releases.alias_call(plan)
    made: list[CallResult] = []
    try:
        now = versions.present(call)
        if releases.is_canary(plan, now):
            stage = dataclasses.replace(call, after=now)
            made += changes.restore([stage], (versions,), clock.now).calls
        # Of what was not done nothing is known but that: its way back may not even exist.
        done = [c for c in plan.calls if not _before(c, versions)]
        if any(c.reversible for c in done):
            made += changes.restore(done, (versions,), clock.now).calls
        if not made and any(not c.reversible for c in done):
            # Only what serves nobody was changed: the alias is, as it must be, where it was.
            made.append(
                CallResult(
                    api=call.api,
                    resource=call.resource,
                    before=call.before,
                    after=call.before,
                    already_applied=True,
                )
            )
    except TargetNotFoundError as error:
        raise RollbackFailedError(f"cannot be taken back: {error}") from error
    return Change(calls=made, applied_at=clock.now())


def step_with(
    shared: Callable[..., Any], kind: type[LambdaReleases], *, calls: Sequence[str] = ()
) -> Callable[..., Any]:
    """A whole step, on a resource that makes more calls than every release.

    Parameters
    ----------
    kind
        The resource to give it.
    calls
        IAM actions that this takes beside the step's own.
    """

    @functools.wraps(shared)
    def own(**known: Any) -> Any:
        return shared(**known)

    info: StepInfo = shared.step  # type: ignore[attr-defined]
    own.__annotations__ = {**shared.__annotations__, "versions": kind}
    own.step = dataclasses.replace(info, calls=(*info.calls, *calls))  # type: ignore[attr-defined]
    return own


# --- what the steps of a runbook call ---


def not_failed(judged: Verification, plan: Plan) -> Verification:
    """The verdict of a look before `Verify`, unless it is bad.

    Raises
    ------
    ChangeFailedError
        With the reason: only an error carries one to the answer of the run.
    """
    if judged.verdict is Verdict.FAILED:
        raise ChangeFailedError(releases.told(judged, plan).reason)
    return judged


def _with_unpublished(
    judged: Verification, run: Run, platform: Platform, versions: LambdaReleases
) -> Verification:
    function = platform.function(run.target["function_name"])
    name = function.function_name
    if judged.verdict is not Verdict.PASSED or function.alias is None:
        return judged
    served = versions.configuration(name, versions.read(name, function.alias).version)
    return releases.with_unpublished(judged, name, versions.configuration(name), served)


def _before(call: PlannedCall, resource: LambdaReleases) -> bool:
    return changes.position(call, (resource,)) is changes.Position.BEFORE


@contextlib.contextmanager
def still_there() -> Iterator[None]:
    """What was there when the run planned and is gone now was deleted by someone else."""
    try:
        yield
    except TargetNotFoundError as error:
        raise ConcurrentChangeError(f"{error}; it was there when this run began") from error


def limits_of(run: Run) -> ReleaseLimits:
    """Limits in force, as far as every release has them."""
    return ReleaseLimits(**{k: v for k, v in run.limits.items() if k in _LIMITS})


def measured(
    function: Function,
    metrics: Metrics,
    limits: ReleaseLimits,
    periods: Sequence[datetime],
    *,
    version: str | None = None,
    wanted_periods: int = 0,
) -> Traffic:
    """Traffic through the alias in some periods, or of one version behind it."""
    if not periods:
        return Traffic(wanted_periods=wanted_periods)
    dimensions = list(function.dimensions.items())
    if version is not None:
        dimensions.append(("ExecutedVersion", version))
    errors, invocations = (
        Metric("AWS/Lambda", name, tuple(dimensions)) for name in ("Errors", "Invocations")
    )
    series = metrics.read(
        [errors, invocations],
        start=periods[0],
        end=periods[-1] + timedelta(seconds=limits.metric_period_seconds),
        period_seconds=limits.metric_period_seconds,
    )
    return releases.traffic(
        series[errors], series[invocations], periods, wanted_periods=wanted_periods
    )


def _since(
    run: Run,
    change: Change | None,
    platform: Platform,
    metrics: Metrics,
    *,
    now: datetime,
    seconds: int,
) -> Traffic:
    """Traffic of the last complete periods of which no part was before the change."""
    limits = limits_of(run)
    period = limits.metric_period_seconds
    periods = complete_periods(
        now,
        period_seconds=period,
        seconds=seconds,
        after=change.applied_at if change else run.execution.started_at,
    )
    return measured(
        platform.function(run.target["function_name"]),
        metrics,
        limits,
        periods,
        wanted_periods=periods_in(seconds, period),
    )
