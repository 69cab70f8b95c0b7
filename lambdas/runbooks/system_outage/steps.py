"""Steps of `system_outage`: read through resources, decide in policy, return a contract.

It has no change of its own: the states between Prepare and Finish are those of the envelope that
start other runbooks, and measure after each.
"""

from datetime import timedelta

from lambdas.remediation.alarms import (
    Alarm,
    ApiErrorRateAlarm,
    FunctionErrorRateAlarm,
    TableThrottleAlarm,
)
from lambdas.remediation.contracts import Change, Plan, Prepared, Run, Verification
from lambdas.remediation.diagnosis import Diagnosis
from lambdas.remediation.errors import (
    PrerequisiteNotMetError,
    ResourceBusyError,
    TargetNotFoundError,
    ThrottledError,
)
from lambdas.remediation.ledger import ReleaseLedger, release
from lambdas.remediation.platform import Platform
from lambdas.remediation.resources.alarms import Alarms
from lambdas.remediation.resources.api_stage import HttpStages, RestStages
from lambdas.remediation.resources.lambda_alias import LambdaAliases
from lambdas.remediation.resources.metrics import Metrics, stage_metrics
from lambdas.remediation.resources.stack_events import StackEvents
from lambdas.remediation.settings import settings
from lambdas.remediation.step import Attempt, Clock, Role, step
from lambdas.remediation.targets import ApiStage, LambdaFunction, Place, place_of
from lambdas.remediation.verification import complete_periods, periods_in, samples, total
from lambdas.runbooks.system_outage import policy
from lambdas.runbooks.system_outage.policy import Answers, Recovery, Red, Situation
from lambdas.runbooks.system_outage.runbook import SystemOutageLimits

RESOURCES: tuple[type, ...] = ()
_KINDS: tuple[tuple[str, Alarm], ...] = (
    (policy.FUNCTION, FunctionErrorRateAlarm()),
    (policy.STAGE, ApiErrorRateAlarm()),
    (policy.TABLE, TableThrottleAlarm()),
)


@step(
    Role.OBSERVE,
    calls=[
        "apigateway:GET",
        "cloudformation:DescribeStackEvents",
        "cloudwatch:DescribeAlarms",
        "lambda:GetAlias",
    ],
    raises=[PrerequisiteNotMetError],
)
def prepare(
    *,
    run: Run,
    clock: Clock,
    platform: Platform,
    alarms: Alarms,
    ledger: ReleaseLedger,
    aliases: LambdaAliases,
    rest: RestStages,
    http: HttpStages,
    stacks: StackEvents,
) -> Prepared:
    """Find what is red and what changed last, and order the runbooks to try; changes nothing.

    Everything is read at the same time. What cannot be read is unknown, which is never a reason to
    act.
    """
    limits = SystemOutageLimits(**run.limits)
    now, place = clock.now(), place_of(run.execution.arn)
    since = now - timedelta(seconds=limits.release_look_back_seconds)
    specs = {
        spec.name: (runbook, spec)
        for runbook, kind in _KINDS
        for spec in kind.alarms(platform, settings().prefix)
    }

    def current(runbook: str, name: str) -> str | None:
        """What a function or a stage serves now."""
        if runbook == policy.FUNCTION:
            alias = platform.function(name).alias
            return aliases.read(name, alias).version if alias else None
        if runbook == policy.STAGE:
            api = platform.api(name)
            stages = rest if api.protocol == "REST" else http
            return stages.read(api.api_id, api.stage).deployment_id
        return None

    with Diagnosis() as ask:
        red_asked = ask("alarms", alarms.red, list(specs))
        operations = [
            ask(f"stack {s.stack_name}", stacks.last_operation, s.stack_name)
            for s in platform.stacks
        ]
        ask.settle()
        red = [(*specs[a["AlarmName"]], a) for a in ask.answer(red_asked) or []]
        asked = []
        for runbook, spec, _ in red:
            name = next(iter(spec.target.values()))
            arn = _arn(runbook, name, platform, place)
            asked.append(
                (
                    ask(f"what {name} serves", current, runbook, name),
                    ask(f"ledger of {name}", ledger.read, arn) if arn else None,
                )
            )
        ask.settle()
    found = []
    for (runbook, spec, alarm), (serves, entries) in zip(red, asked, strict=True):
        served, seen = ask.answer(serves), ask.answer(entries) if entries else None
        known = None
        if served is not None and seen is not None:
            known = release(
                seen, served, now=now, look_back_seconds=limits.release_look_back_seconds
            )
        found.append(
            Red(
                runbook=runbook,
                target=spec.target,
                alarm_name=spec.name,
                since=alarm.get("StateTransitionedTimestamp") or alarm["StateUpdatedTimestamp"],
                release=known,
            )
        )
    recent = [o for one in operations if (o := ask.answer(one)) is not None]
    situation = Situation(
        red=None if ask.answer(red_asked) is None else tuple(found),
        operations=tuple(o for o in recent if o.running or o.at >= since),
        unknown=tuple(ask.unknown),
        limits=limits,
    )
    return Prepared(snapshot=policy.evidence(situation), plan=policy.decide(situation))


@step(
    Role.OBSERVE,
    calls=["cloudwatch:GetMetricData", "lambda:InvokeFunction"],
    raises=[ResourceBusyError, ThrottledError],
)
def verify(
    *,
    run: Run,
    attempt: Attempt,
    clock: Clock,
    platform: Platform,
    metrics: Metrics,
    aliases: LambdaAliases,
) -> Verification:
    """Measure whether every API answers again, and ask the functions that have a smoke event.

    Never counts silence as healed, nor an alarm that is merely not red.
    """
    limits = SystemOutageLimits(**run.limits)
    seen = _recovery(
        run, platform, metrics, aliases, clock=clock, seconds=limits.verify_window_seconds
    )
    return policy.judge(seen, final=attempt.final)


@step(
    Role.OBSERVE,
    calls=["cloudwatch:GetMetricData", "lambda:InvokeFunction"],
    raises=[ResourceBusyError, ThrottledError],
)
def watch_hold(
    *, run: Run, clock: Clock, platform: Platform, metrics: Metrics, aliases: LambdaAliases
) -> Verification:
    """Measure the same since the last look; changes nothing."""
    limits = SystemOutageLimits(**run.limits)
    seen = _recovery(
        run, platform, metrics, aliases, clock=clock, seconds=limits.hold_interval_seconds
    )
    return policy.judge(seen, final=True)


@step(Role.OBSERVE, raises=[PrerequisiteNotMetError])
def check_undo(*, plan: Plan) -> None:
    """Refuse: what was done was done by other runbooks, each of which has its own undo."""
    raise PrerequisiteNotMetError(f"undo the runbooks that were started: {plan.reason}")


@step(Role.CHANGE)
def roll_back(*, clock: Clock) -> Change:
    """Take back nothing: this runbook changes nothing itself, and never what its children did."""
    return Change(calls=[], applied_at=clock.now())


def _arn(runbook: str, name: str, platform: Platform, place: Place) -> str | None:
    """What the ledger knows it by; tables have no releases."""
    if runbook == policy.FUNCTION:
        return LambdaFunction().arn(name, platform, place)
    return ApiStage().arn(name, platform, place) if runbook == policy.STAGE else None


def _recovery(
    run: Run,
    platform: Platform,
    metrics: Metrics,
    aliases: LambdaAliases,
    *,
    clock: Clock,
    seconds: int,
) -> Recovery:
    limits = SystemOutageLimits(**run.limits)
    period = limits.metric_period_seconds
    periods = complete_periods(
        clock.now(), period_seconds=period, seconds=seconds, after=run.execution.started_at
    )
    smoke = _smoke(platform, aliases)
    answers = []
    wanted = [m for api in platform.apis for m in stage_metrics(api)] if periods else []
    series = (
        metrics.read(
            wanted,
            start=periods[0],
            end=periods[-1] + timedelta(seconds=period),
            period_seconds=period,
        )
        if wanted
        else {}
    )
    for api in platform.apis:
        errors, requests = (series.get(m, {}) for m in stage_metrics(api))
        functions, _ = platform.behind(api)
        answers.append(
            Answers(
                api_name=api.api_name,
                errors=total([errors], periods),
                requests=total([requests], periods),
                samples=samples([requests], periods),
                smoke_tested=any(name in smoke for name in functions),
            )
        )
    return Recovery(
        apis=tuple(answers),
        periods=len(periods),
        wanted_periods=periods_in(seconds, period),
        smoke=smoke,
        limits=limits,
    )


def _smoke(platform: Platform, aliases: LambdaAliases) -> dict[str, bool]:
    """Function to whether it answered its smoke event; one that is gone did not."""
    found = {}
    for function in platform.functions:
        if function.smoke_event is None or function.alias is None:
            continue
        try:
            answer = aliases.invoke(function.function_name, function.alias, function.smoke_event)
        except TargetNotFoundError:
            found[function.function_name] = False
        else:
            found[function.function_name] = answer.function_error is None
    return found
