"""Steps of `rotate_api_key`: read through resources, decide in policy, return a contract.

The values are seen by the rotation function only. Here there are version ids and labels.
"""

from datetime import timedelta

from lambdas.remediation import changes
from lambdas.remediation.contracts import (
    CallResult,
    Change,
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
    PrerequisiteNotMetError,
    ResourceBusyError,
    RollbackFailedError,
    TargetNotFoundError,
    ThrottledError,
)
from lambdas.remediation.platform import Function, Platform, Secret
from lambdas.remediation.resources.lambda_alias import LambdaAliases
from lambdas.remediation.resources.metrics import Metric, Metrics
from lambdas.remediation.resources.secret import CURRENT, Secrets
from lambdas.remediation.resources.service_credentials import ServiceCredentials, ServiceKey
from lambdas.remediation.settings import settings
from lambdas.remediation.step import Attempt, Clock, Role, step
from lambdas.remediation.targets import place_of
from lambdas.remediation.verification import complete_periods, periods_in, total
from lambdas.runbooks.rotate_api_key import policy
from lambdas.runbooks.rotate_api_key.policy import Consumer, Situation
from lambdas.runbooks.rotate_api_key.runbook import RotateApiKeyLimits

RESOURCES = (Secrets,)


@step(
    Role.OBSERVE,
    calls=[
        "iam:ListServiceSpecificCredentials",
        "secretsmanager:DescribeSecret",
        "secretsmanager:ListSecretVersionIds",
    ],
    raises=[PrerequisiteNotMetError, ResourceBusyError, TargetNotFoundError, ThrottledError],
)
def prepare(
    *,
    run: Run,
    clock: Clock,
    platform: Platform,
    secrets: Secrets,
    credentials: ServiceCredentials,
) -> Prepared:
    """Look whether the secret can be rotated, and plan it; changes nothing, reads no value."""
    entry = platform.secret(run.target["secret_id"])
    prefix = settings().prefix
    state = secrets.describe(entry.secret_id)
    plan = policy.decide(
        Situation(
            state=state,
            created=secrets.created(state.arn),
            function_arn=policy.rotation_function_arn(prefix, place_of(run.target_arn)),
            version_id=policy.version_id(run.id),
            keys=_keys(entry, credentials),
            consumers=_consumers(entry, platform),
            limits=RotateApiKeyLimits(**run.limits),
            now=clock.now(),
        )
    )
    return Prepared(snapshot={"secret": encode(state)}, plan=plan)


@step(
    Role.CHANGE,
    calls=["secretsmanager:DescribeSecret", "secretsmanager:RotateSecret"],
    raises=[ChangeFailedError, ConcurrentChangeError, ResourceBusyError, ThrottledError],
)
def start_rotation(*, plan: Plan, clock: Clock, secrets: Secrets) -> Change:
    """Start the rotation, unless this run has started it before; never touches another one."""
    (call,) = plan.calls
    if secrets.under_way(call):
        made = CallResult(
            api=call.api,
            resource=call.resource,
            before=call.before,
            after=call.after,
            already_applied=True,
        )
        return Change(calls=[made], applied_at=clock.now())
    return changes.apply([call], (secrets,), clock.now)


@step(
    Role.OBSERVE,
    calls=["secretsmanager:DescribeSecret"],
    raises=[ChangeFailedError, TargetNotFoundError, ThrottledError],
)
def check_rotation(
    *, run: Run, plan: Plan, attempt: Attempt, platform: Platform, secrets: Secrets
) -> Verification:
    """Look whether Secrets Manager has gone through the four steps; changes nothing."""
    (call,) = plan.calls
    return policy.settled(
        call,
        secrets.describe(call.resource),
        platform.secret(run.target["secret_id"]),
        log_group=policy.rotation_log_group(settings().prefix),
        first=attempt.number == 1,
        final=attempt.final,
    )


@step(
    Role.OBSERVE,
    calls=[
        "cloudwatch:GetMetricData",
        "lambda:InvokeFunction",
        "secretsmanager:DescribeSecret",
    ],
    raises=[ResourceBusyError, TargetNotFoundError, ThrottledError],
)
def verify(
    *,
    run: Run,
    plan: Plan,
    change: Change | None,
    attempt: Attempt,
    clock: Clock,
    platform: Platform,
    secrets: Secrets,
    aliases: LambdaAliases,
    metrics: Metrics,
) -> Verification:
    """Look whether the new key is in place and its consumers work, or for an undo the old one.

    Never sends a consumer anything but the event that the platform file names for that.
    """
    (call,) = plan.calls
    state = secrets.describe(call.resource)
    if run.kind is Kind.UNDO:
        return _back(call, state.holder(CURRENT), final=attempt.final)
    limits = RotateApiKeyLimits(**run.limits)
    period = limits.metric_period_seconds
    periods = complete_periods(
        clock.now(),
        period_seconds=period,
        seconds=limits.verify_window_seconds,
        after=change.applied_at if change else run.execution.started_at,
    )
    entry = platform.secret(run.target["secret_id"])
    consumers = []
    for function in _consumers(entry, platform):
        found = {"Errors": 0.0, "Invocations": 0.0}
        if periods:
            wanted = {
                name: Metric("AWS/Lambda", name, tuple(function.dimensions.items()))
                for name in found
            }
            series = metrics.read(
                list(wanted.values()),
                start=periods[0],
                end=periods[-1] + timedelta(seconds=period),
                period_seconds=period,
            )
            found = {name: total([series[m]], periods) for name, m in wanted.items()}
        consumers.append(
            Consumer(
                function_name=function.function_name,
                problem=_problem(function, aliases),
                errors=found["Errors"],
                invocations=found["Invocations"],
            )
        )
    return policy.judge(
        call,
        state,
        consumers,
        whole=len(periods) >= periods_in(limits.verify_window_seconds, period),
        final=attempt.final,
        limits=limits,
    )


@step(
    Role.OBSERVE,
    calls=["lambda:InvokeFunction", "secretsmanager:DescribeSecret"],
    raises=[ResourceBusyError, TargetNotFoundError, ThrottledError],
)
def watch_hold(
    *, run: Run, plan: Plan, platform: Platform, secrets: Secrets, aliases: LambdaAliases
) -> Verification:
    """Look whether the new key is still in place and consumers work; changes nothing."""
    (call,) = plan.calls
    entry = platform.secret(run.target["secret_id"])
    consumers = [
        Consumer(function_name=f.function_name, problem=_problem(f, aliases))
        for f in _consumers(entry, platform)
    ]
    return policy.judge(
        call,
        secrets.describe(call.resource),
        consumers,
        whole=True,
        final=True,
        limits=RotateApiKeyLimits(**run.limits),
    )


@step(
    Role.OBSERVE,
    calls=["iam:ListServiceSpecificCredentials", "secretsmanager:DescribeSecret"],
    raises=[PrerequisiteNotMetError, ResourceBusyError, TargetNotFoundError, ThrottledError],
)
def check_undo(
    *,
    run: Run,
    plan: Plan,
    platform: Platform,
    secrets: Secrets,
    credentials: ServiceCredentials,
) -> None:
    """Refuse a way back to a key that does not work any more; changes nothing."""
    entry = platform.secret(run.target["secret_id"])
    keys = _keys(entry, credentials)
    for call in plan.calls:
        state = secrets.describe(call.resource)
        obstacle = policy.undo_obstacle(call, state, entry, keys)
        if obstacle:
            raise PrerequisiteNotMetError(f"secret {state.name}: not taken back: {obstacle}")


@step(
    Role.CHANGE,
    calls=["secretsmanager:DescribeSecret", "secretsmanager:UpdateSecretVersionStage"],
    raises=[ResourceBusyError, RollbackFailedError, ThrottledError],
)
def roll_back(*, plan: Plan, clock: Clock, secrets: Secrets) -> Change:
    """Stop the rotation if it has not ended, take it back if it has; never touches another one.

    First the label that each step of the rotation looks for: what comes late changes nothing then.
    """
    try:
        for call in plan.calls:
            if secrets.under_way(call):
                secrets.abandon(call.resource, call.after[CURRENT])
        return changes.restore(plan.calls, (secrets,), clock.now)
    except TargetNotFoundError as error:
        raise RollbackFailedError(f"cannot be taken back: {error}") from error


def _keys(entry: Secret, credentials: ServiceCredentials) -> tuple[ServiceKey, ...] | None:
    """Credentials that the issuer of a secret has given out; None if that is not IAM."""
    if entry.issuer != "iam" or entry.user_name is None or entry.service_name is None:
        return None
    return credentials.of_user(entry.user_name, entry.service_name)


def _consumers(entry: Secret, platform: Platform) -> list[Function]:
    return [platform.function(name) for name in entry.consumers]


def _problem(function: Function, aliases: LambdaAliases) -> str | None:
    """What came of invoking a consumer as the platform file says; None if nothing did."""
    if function.alias is None or function.smoke_event is None:
        return None
    answer = aliases.invoke(function.function_name, function.alias, function.smoke_event)
    if answer.function_error is None:
        return None
    return f"its smoke_event ended with {answer.function_error}"


def _back(call: PlannedCall, current: str | None, *, final: bool) -> Verification:
    old = call.after[CURRENT]
    if current == old:
        return Verification(verdict=Verdict.PASSED, reason=f"version {old} is {CURRENT} again")
    verdict = Verdict.FAILED if final else Verdict.PENDING
    return Verification(verdict=verdict, reason=f"version {current} is {CURRENT}, not {old}")
