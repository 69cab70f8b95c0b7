"""Steps of `deploy_infrastructure`: read through resources, decide in policy, return a contract.

What is deployed is recorded and the touched tables are backed up before the change set is executed.
An alarm that turns red in the half hour after it takes the deployment back.
"""

import contextlib
import dataclasses
import hashlib
from collections.abc import Iterator

from lambdas.remediation import changes
from lambdas.remediation.alarms import ApiErrorRateAlarm, FunctionErrorRateAlarm, TableThrottleAlarm
from lambdas.remediation.contracts import (
    CallResult,
    Change,
    Kind,
    Mode,
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
from lambdas.remediation.messages import machine_arn, start_command
from lambdas.remediation.platform import Platform
from lambdas.remediation.resources.alarms import Alarms
from lambdas.remediation.resources.dynamodb_backup import DynamoDbBackups, backup_name
from lambdas.remediation.resources.lambda_alias import LambdaAliases
from lambdas.remediation.resources.stack_deployments import (
    CHANGE_SET,
    RELEASE,
    ChangeSet,
    StackDeployments,
    StackRelease,
    StackState,
    parameters_of,
    stack_name_of,
)
from lambdas.remediation.resources.stack_events import StackEvents
from lambdas.remediation.settings import settings
from lambdas.remediation.standing_runs import StandingRuns
from lambdas.remediation.step import Attempt, Clock, Role, step
from lambdas.remediation.targets import place_of
from lambdas.runbooks.deploy_infrastructure import policy
from lambdas.runbooks.deploy_infrastructure.policy import Situation, Watch
from lambdas.runbooks.deploy_infrastructure.runbook import RUNBOOK

RESOURCES = (StackDeployments, DynamoDbBackups)
_ALARMS = (TableThrottleAlarm(), FunctionErrorRateAlarm(), ApiErrorRateAlarm())
_PRESENT = ["cloudformation:DescribeStacks", "cloudformation:GetTemplate"]
_SUBMITTED = "s3:GetObject@templates"
_RECORDED = ["s3:GetObject@releases", "s3:ListBucket@releases"]


@step(
    Role.OBSERVE,
    calls=[
        *_PRESENT,
        *_RECORDED,
        _SUBMITTED,
        "cloudformation:DescribeChangeSet",
        "cloudformation:ListStackResources",
        "cloudwatch:DescribeAlarms",
        "dynamodb:DescribeTable",
        "dynamodb:ListBackups",
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
    platform: Platform,
    stacks: StackDeployments,
    backups: DynamoDbBackups,
    alarms: Alarms,
    runs: StandingRuns,
) -> Prepared:
    """Review the change set and plan record, backups and deployment; changes nothing.

    From a template, what its change set must come to is reviewed.
    """
    key = policy.template_key(run.parameters, run.target["stack_name"])
    name = _request_id(run)
    if key is None:
        name = policy.required_name(run.parameters.get("change_set_name"))
    stack = stacks.state(run.target["stack_name"])
    bucket = policy.require_ready(stack, platform.stack(stack.stack_name))
    deployed = stacks.release(stack)
    if key is None:
        change_set = policy.require_executable(stack, name, stacks.change_set(stack, name))
        after = stacks.release_of(stack, change_set)
    else:
        text = stacks.submitted(bucket, key)
        after = StackRelease(template=text, parameters=parameters_of(text, stack))
        held = stacks.physical_ids(stack.stack_name)
        change_set = policy.foreseen(name, deployed, after, held)
    tables = policy.touched_tables(change_set, platform)
    prefix, started_at = settings().prefix, run.execution.started_at
    plan = policy.decide(
        Situation(
            stack=stack,
            change_set=change_set,
            before=deployed.digest,
            after=after.digest,
            bucket=bucket,
            recorded=stacks.recorded(stack.stack_name, deployed.digest) is not None,
            backups={
                backup_name(prefix, table, run.id, started_at): backups.source(table)
                for table in tables
            },
            undone=policy.undone_by(change_set, runs.read(), platform, own=run.runbook),
            red=_red(platform, alarms),
            request_id=_request_id(run),
            mode=run.mode,
            template_key=key,
            accept_data_loss=tuple(run.parameters.get("accept_data_loss", ())),
            accept_undoing=tuple(run.parameters.get("accept_undoing", ())),
        )
    )
    # Names only: values of parameters are kept in the template bucket.
    snapshot = {
        "status": stack.status,
        "release": deployed.digest,
        "parameters": sorted(stack.parameters),
        "drift": stack.drift,
        "drift_checked_at": encode(stack.drift_checked_at),
    }
    return Prepared(snapshot=snapshot, plan=plan)


@step(
    Role.CHANGE,
    calls=[
        *_PRESENT,
        _SUBMITTED,
        "cloudformation:CreateChangeSet",
        "cloudformation:DeleteChangeSet",
        "cloudformation:DescribeChangeSet",
        "iam:PassRole@cloudformation",
    ],
    raises=[
        ChangeFailedError,
        ConcurrentChangeError,
        PrerequisiteNotMetError,
        ResourceBusyError,
        TargetNotFoundError,
        ThrottledError,
    ],
)
def make_change_set(*, run: Run, plan: Plan, clock: Clock, stacks: StackDeployments) -> Change:
    """Make the change set from the template, if it is not there yet; never executes it.

    One that would do more than the plan tells stays, for a person to review; a useless one is
    deleted.
    """
    calls = policy.creation_calls(plan)
    made = changes.apply(calls, (stacks,), clock.now)
    for call in calls:
        stack, name = stacks.state(call.resource), call.after[CHANGE_SET]
        found = stacks.change_set(stack, name)
        if found is None or found.creating:
            raise ResourceBusyError(f"change set {name} is being made, look again later")
        why = policy.useless(found) or _exchanged(plan, stack, found, stacks)
        if why is not None:
            stacks.delete(stack, found)
            raise PrerequisiteNotMetError(why)
        _require_seen(run, plan, found)
    return made


def _exchanged(
    plan: Plan, stack: StackState, found: ChangeSet, stacks: StackDeployments
) -> str | None:
    return policy.exchanged(plan, found, stacks.release_of(stack, found).digest)


def _require_seen(run: Run, plan: Plan, found: ChangeSet) -> None:
    """Leave it to a person, who gets the input that names the change set as it is."""
    given = {k: v for k, v in run.parameters.items() if k != "template_key" and v is not None}
    review = {
        "target": run.target,
        "parameters": {**given, "change_set_name": found.name},
        "mode": Mode.PROPOSE.value,
    }
    machine = machine_arn(place_of(run.execution.arn), settings().prefix, RUNBOOK.kebab)
    why = policy.unseen(plan, found, review=start_command(machine, review))
    if why is not None:
        raise ChangeFailedError(why)


@step(
    Role.CHANGE,
    calls=[
        *_PRESENT,
        *_RECORDED,
        "dynamodb:CreateBackup",
        "dynamodb:ListBackups",
        "s3:PutObject@releases",
    ],
    raises=[
        ChangeFailedError,
        ConcurrentChangeError,
        PrerequisiteNotMetError,
        ResourceBusyError,
        TargetNotFoundError,
        ThrottledError,
    ],
)
def record_release(
    *, plan: Plan, clock: Clock, stacks: StackDeployments, backups: DynamoDbBackups
) -> Change:
    """Keep what is deployed and start the backups; never touches the stack."""
    return changes.apply(policy.first_calls(plan), (stacks, backups), clock.now)


@step(
    Role.OBSERVE,
    calls=["dynamodb:ListBackups"],
    raises=[ChangeFailedError, ThrottledError],
)
def check_backups(*, plan: Plan, attempt: Attempt, backups: DynamoDbBackups) -> Verification:
    """Look whether every backup is AVAILABLE; changes nothing."""
    made = [backup for call in policy.backup_calls(plan) for backup in backups.made_by(call)]
    found = policy.judge_backups(plan, made, final=attempt.final)
    if found.verdict is Verdict.FAILED:
        raise ChangeFailedError(f"nothing was deployed: backups {found.reason}")
    return found


@step(
    Role.CHANGE,
    calls=[
        *_PRESENT,
        "cloudformation:DescribeChangeSet",
        "cloudformation:DescribeStackEvents",
        "cloudformation:ExecuteChangeSet",
    ],
    raises=[
        ChangeFailedError,
        ConcurrentChangeError,
        ResourceBusyError,
        TargetNotFoundError,
        ThrottledError,
    ],
)
def execute_change_set(
    *, run: Run, plan: Plan, clock: Clock, stacks: StackDeployments, events: StackEvents
) -> Change:
    """Execute the change set, once; never one that was made anew under its name."""
    call = policy.deploy_call(plan)
    if _executed(call, stacks, events):
        done = CallResult(
            api=call.api,
            resource=call.resource,
            before=call.before,
            after=call.after,
            already_applied=True,
        )
        return Change(calls=[done], applied_at=clock.now())
    if policy.creation_calls(plan):
        call = _by_arn(run, plan, call, stacks)
    return changes.apply([call], (stacks,), clock.now)


def _by_arn(run: Run, plan: Plan, call: PlannedCall, stacks: StackDeployments) -> PlannedCall:
    """The call on the very change set that is looked at here, which the plan could only name."""
    stack, name = stacks.state(call.resource), call.arguments["ChangeSetName"]
    found = stacks.change_set(stack, name)
    if found is None or not found.executable:
        raise ChangeFailedError(f"change set {name} cannot be executed any more")
    why = _exchanged(plan, stack, found, stacks)
    if why is not None:
        raise ChangeFailedError(why)
    _require_seen(run, plan, found)
    return dataclasses.replace(call, arguments={**call.arguments, "ChangeSetName": found.arn})


@step(
    Role.OBSERVE,
    calls=[
        *_PRESENT,
        "cloudformation:DescribeChangeSet",
        "cloudformation:DescribeStackEvents",
    ],
    raises=[ChangeFailedError, TargetNotFoundError, ThrottledError],
)
def check_stack(
    *, plan: Plan, attempt: Attempt, stacks: StackDeployments, events: StackEvents
) -> Verification:
    """Look how far CloudFormation is, and if it failed, at what; changes nothing."""
    call = policy.deploy_call(plan)
    stack = stacks.state(call.resource)
    found = policy.judge_stack(
        stack.status,
        stacks.release(stack).digest if stack.settled else None,
        call,
        begun=_executed(call, stacks, events),
        final=attempt.final,
    )
    if found.verdict is Verdict.FAILED:
        causes = events.failures(stack.stack_name, _mark(call))
        told = f": {'; '.join(causes)}" if causes else ""
        raise ChangeFailedError(f"{found.reason}{told}")
    return found


@step(
    Role.OBSERVE,
    calls=[
        *_PRESENT,
        "cloudformation:DescribeStackEvents",
        "cloudformation:ListStackResources",
        "cloudwatch:DescribeAlarms",
        "lambda:InvokeFunction",
    ],
    raises=[ResourceBusyError, TargetNotFoundError, ThrottledError],
)
def verify(
    *,
    run: Run,
    plan: Plan,
    attempt: Attempt,
    clock: Clock,
    platform: Platform,
    stacks: StackDeployments,
    events: StackEvents,
    alarms: Alarms,
    aliases: LambdaAliases,
) -> Verification:
    """Watch the platform's alarms, then ask the stack's functions; for an undo, look at the stack.

    Never passes before the watch is over. The events it sends to functions are those that the
    platform file names for that; they change nothing.
    """
    call = policy.deploy_call(plan)
    waiting = Verdict.INCONCLUSIVE if attempt.final else Verdict.PENDING
    try:
        present = stacks.present(call)
    except ResourceBusyError as error:
        return Verification(verdict=waiting, reason=str(error))
    if run.kind is Kind.UNDO:
        if present == call.after:
            smoke = _smoke(run.target["stack_name"], platform, stacks, aliases)
            return policy.judge_undo(smoke)
        return Verification(verdict=waiting, reason="the recorded template is not deployed")
    if present != call.after:
        reason = f"someone else has deployed since: the stack has {present[RELEASE]}"
        return Verification(verdict=Verdict.INCONCLUSIVE, reason=reason)
    stack_name, window = run.target["stack_name"], run.limits["verify_window_seconds"]
    ended = events.last_operation(stack_name)
    watch = Watch(
        since=ended.at if ended else run.execution.started_at,
        now=clock.now(),
        red=tuple(n for n in _red(platform, alarms) if n not in plan.evidence["red_before"]),
        alarms=len(_alarm_names(platform)),
    )
    if not watch.red and watch.over(window):
        watch = dataclasses.replace(watch, smoke=_smoke(stack_name, platform, stacks, aliases))
    return policy.judge(watch, window_seconds=window, final=attempt.final)


@step(
    Role.OBSERVE,
    calls=["cloudwatch:DescribeAlarms"],
    raises=[ThrottledError],
)
def watch_hold(*, plan: Plan, platform: Platform, alarms: Alarms) -> Verification:
    """Look whether an alarm turned red later; changes nothing. Not used unless a limit asks."""
    red = [name for name in _red(platform, alarms) if name not in plan.evidence["red_before"]]
    if red:
        return Verification(verdict=Verdict.FAILED, reason=f"red later: {', '.join(red)}")
    return Verification(verdict=Verdict.PASSED, reason="no alarm turned red")


@step(
    Role.OBSERVE,
    calls=[*_PRESENT, *_RECORDED],
    raises=[PrerequisiteNotMetError, ResourceBusyError, TargetNotFoundError, ThrottledError],
)
def check_undo(*, plan: Plan, stacks: StackDeployments) -> None:
    """Refuse a way back whose template is gone, or over a deployment that failed; changes nothing.

    Whether the old template would take data away is seen when its change set is made: then it is
    not executed.
    """
    call = policy.deploy_call(plan)
    stack = stacks.state(call.resource)
    if stack.status == "UPDATE_ROLLBACK_COMPLETE":
        raise PrerequisiteNotMetError(
            f"stack {stack.stack_name} is {stack.status}: someone's deployment has failed since; "
            "see its events, and deploy by hand"
        )
    if stacks.recorded(stack.stack_name, str(call.after[RELEASE])) is None:
        raise PrerequisiteNotMetError(
            f"stack {stack.stack_name}: the template to go back to is no longer in the template "
            "bucket, or was changed there; deploy it from source control"
        )


@step(
    Role.CHANGE,
    calls=[
        *_PRESENT,
        *_RECORDED,
        "cloudformation:CancelUpdateStack",
        "cloudformation:ContinueUpdateRollback",
        "cloudformation:CreateChangeSet",
        "cloudformation:DeleteChangeSet",
        "cloudformation:DescribeChangeSet",
        "cloudformation:DescribeStackEvents",
        "cloudformation:ExecuteChangeSet",
        "cloudformation:RollbackStack",
        "iam:PassRole@cloudformation",
    ],
    raises=[ResourceBusyError, RollbackFailedError, ThrottledError],
)
def roll_back(*, plan: Plan, clock: Clock, stacks: StackDeployments, events: StackEvents) -> Change:
    """End what this run has begun, or deploy what was there before; never ends another deployment.

    Raises ResourceBusyError while CloudFormation is at it: the state machine calls again.
    """
    call = policy.deploy_call(plan)
    with _still_there():
        if call.arguments:
            if not _executed(call, stacks, events):
                return Change(calls=[], applied_at=clock.now())
            last = events.request_ids(stack_name_of(call.resource))[:1]
            if last and last[0].startswith(_mark(call)):
                stacks.settle(call)
        return changes.restore([call], (stacks,), clock.now)


@contextlib.contextmanager
def _still_there() -> Iterator[None]:
    try:
        yield
    except TargetNotFoundError as error:
        raise RollbackFailedError(f"cannot be taken back: {error}") from error


def _executed(call: PlannedCall, stacks: StackDeployments, events: StackEvents) -> bool:
    """Whether CloudFormation has begun to execute the run's change set."""
    stack_name = stack_name_of(call.resource)
    if _mark(call) in events.request_ids(stack_name):
        return True
    found = stacks.change_set(stacks.state(call.resource), call.arguments["ChangeSetName"])
    return found is not None and found.executed


def _mark(call: PlannedCall) -> str:
    return str(call.arguments["ClientRequestToken"])


def _request_id(run: Run) -> str:
    return f"{settings().prefix}-{hashlib.sha256(run.id.encode()).hexdigest()[:32]}"


def _red(platform: Platform, alarms: Alarms) -> tuple[str, ...]:
    return tuple(sorted(a["AlarmName"] for a in alarms.red(_alarm_names(platform))))


def _alarm_names(platform: Platform) -> list[str]:
    """Every alarm that starts a runbook: those of tables, functions and APIs."""
    return [a.name for kind in _ALARMS for a in kind.alarms(platform, settings().prefix)]


def _smoke(
    stack_name: str, platform: Platform, stacks: StackDeployments, aliases: LambdaAliases
) -> dict[str, bool]:
    """The stack's functions that can be asked, and whether each answered."""
    held = set(stacks.physical_ids(stack_name).values())
    answered = {}
    for function in platform.functions:
        name, event = function.function_name, function.smoke_event
        if name in held and event is not None and function.alias is not None:
            try:
                answered[name] = aliases.invoke(name, function.alias, event).function_error is None
            except TargetNotFoundError:
                answered[name] = False
    return answered
