"""Decisions of `deploy_infrastructure`: pure functions, no AWS call, no clock, no environment.

A change set is executed if it can be, if nothing that holds data is taken away unseen, and if no
change that another run has made beside the template is undone unseen.
"""

import dataclasses
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from datetime import datetime, timedelta

from lambdas.remediation.contracts import (
    Check,
    Decision,
    Mode,
    Plan,
    PlannedCall,
    Verdict,
    Verification,
)
from lambdas.remediation.errors import InvalidRequestError, PrerequisiteNotMetError
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.platform import CloudFormationStack, Platform
from lambdas.remediation.resources.dynamodb_backup import (
    ACTIVE,
    AVAILABLE,
    CREATE_BACKUP,
    Backup,
    BackupSource,
    create_backup,
)
from lambdas.remediation.resources.stack_deployments import (
    CREATE_CHANGE_SET,
    EXECUTE_CHANGE_SET,
    FORESEEN,
    RELEASE,
    TEMPLATES,
    ChangeSet,
    ResourceChange,
    StackRelease,
    StackState,
    creation,
    deployment,
    parsed,
    record,
)
from lambdas.remediation.standing_runs import StandingRun

TABLES = ("AWS::DynamoDB::GlobalTable", "AWS::DynamoDB::Table")
# AWS CloudFormation API Reference, DescribeChangeSet: ChangeSetName.
_CHANGE_SET_NAME = re.compile(r"[a-zA-Z][-a-zA-Z0-9]{0,127}")
# The key becomes part of a URL, in which others would have a meaning.
_TEMPLATE_NAME = re.compile(r"[-a-zA-Z0-9._/]{1,512}")
_NAMED, _KEPT = 10, 100


class Situation(Frozen):
    """Everything the plan rests on.

    Parameters
    ----------
    before, after
        Digests of the deployed release, and of the one after the change set.
    recorded
        Whether the deployed release is in the template bucket already.
    backups
        Each touched table, and the name of the backup to make.
    undone
        Runs whose changes the change set touches.
    red
        Alarms of the platform that are red before the deployment.
    request_id
        Marks the deployment in CloudFormation's events.
    template_key
        Template in the bucket that the change set is yet to be made from; None if it is there.
    """

    stack: StackState
    change_set: ChangeSet
    before: str
    after: str
    bucket: str
    recorded: bool
    backups: dict[str, BackupSource] = field(default_factory=dict)
    undone: tuple[StandingRun, ...] = ()
    red: tuple[str, ...] = ()
    request_id: str
    mode: Mode
    template_key: str | None = None
    accept_data_loss: tuple[str, ...] = ()
    accept_undoing: tuple[str, ...] = ()


def required_name(given: object) -> str:
    """Name of the change set to execute.

    Raises
    ------
    InvalidRequestError
        No change set is named, or not as CloudFormation names them.
    """
    if given is None:
        raise InvalidRequestError(
            "parameters.change_set_name: missing; the name of the change set to execute, which "
            "`cdk deploy --method=prepare-change-set --change-set-name <name>` prepares; or give "
            "parameters.template_key"
        )
    if not isinstance(given, str) or not _CHANGE_SET_NAME.fullmatch(given):
        raise InvalidRequestError(
            f"parameters.change_set_name: {given!r} is no name of a change set; prepare one with "
            "`cdk deploy --method=prepare-change-set --change-set-name <name>` and give its name, "
            "or give parameters.template_key"
        )
    return given


def template_key(given: Mapping[str, object], stack_name: str) -> str | None:
    """Template in the bucket to make the change set from; None if one is named instead.

    Raises
    ------
    InvalidRequestError
        Both are given, or the key is not of this stack's templates.
    """
    key = given.get("template_key")
    if key is None:
        return None
    if given.get("change_set_name") is not None:
        raise InvalidRequestError(
            "parameters: give change_set_name or template_key, for a run deploys one of the two"
        )
    prefix = f"{TEMPLATES}/{stack_name}/"
    name = key.removeprefix(prefix) if isinstance(key, str) else ""
    if name == key or not isinstance(key, str) or not _TEMPLATE_NAME.fullmatch(name):
        raise InvalidRequestError(
            f"parameters.template_key: {key!r} does not begin with {prefix}, where the template "
            "bucket keeps the templates of this stack, or goes on with other characters than "
            "letters, digits and . _ - /"
        )
    return key


def foreseen(
    name: str, deployed: StackRelease, asked: StackRelease, physical_ids: Mapping[str, str]
) -> ChangeSet:
    """The change set that a template must come to: what the two templates say differently.

    CloudFormation may find more: a replacement, or a resource that follows from another one. Then
    it is not executed, for nobody has seen that (`unseen`).
    """
    before, after = (parsed(r.template).get("Resources", {}) for r in (deployed, asked))
    changes = []
    for logical_id in sorted({*before, *after}):
        old, new = before.get(logical_id), after.get(logical_id)
        if old == new:
            continue
        if logical_id not in physical_ids:
            # A condition has kept it from being made: it can only come.
            old = None
            if new is None:
                continue
        changes.append(
            ResourceChange(
                action="Add" if old is None else "Remove" if new is None else "Modify",
                logical_id=logical_id,
                resource_type=str((new or old or {}).get("Type", "no type")),
                physical_id=physical_ids.get(logical_id, ""),
                policy_action=str((old or {}).get("DeletionPolicy", "")) if new is None else "",
            )
        )
    return ChangeSet(
        arn=name,
        name=name,
        status="CREATE_COMPLETE",
        changes=tuple(changes),
        parameters=asked.parameters,
    )


def useless(found: ChangeSet) -> str | None:
    """Why a change set that was made from the template cannot be executed at all, if so."""
    if found.status != "FAILED":
        return None
    what = "nothing to do: " if _without_changes(found) else ""
    return f"{what}change set {found.name} FAILED: {found.status_reason}"


def exchanged(plan: Plan, found: ChangeSet, release: str) -> str | None:
    """Why a change set is not that of the planned template, if so.

    Parameters
    ----------
    release
        Digest of what it would deploy.
    """
    if release == deploy_call(plan).after[RELEASE]:
        return None
    return (
        f"change set {found.name} would not deploy the planned template with the planned "
        "parameters: the object was exchanged since, or CloudFormation reads it otherwise"
    )


def unseen(plan: Plan, found: ChangeSet, *, review: str) -> str | None:
    """What a change set would do that the plan did not tell, if anything.

    Parameters
    ----------
    review
        Command that proposes the change set as it is.
    """
    (made,) = creation_calls(plan)
    more = [c for c in found.changes if c.summary not in made.arguments[FORESEEN]]
    if not more:
        return None
    return (
        f"change set {found.name} is made but not executed, for it would do what the templates do "
        f"not tell: {_listed(more)}. To have that reviewed: {review}"
    )


def require_ready(stack: StackState, configured: CloudFormationStack) -> str:
    """Bucket for the way back, if the stack can be deployed and taken back.

    Raises
    ------
    PrerequisiteNotMetError
        The stack is being deployed or broken, or there is no bucket or role for it.
    """
    name = stack.stack_name
    if not stack.settled:
        how = (
            "wait for its end"
            if stack.running
            else f"see its events, then: aws cloudformation rollback-stack --stack-name {name}"
        )
        raise PrerequisiteNotMetError(f"stack {name} is {stack.status}: {how}")
    if configured.template_bucket is None:
        raise PrerequisiteNotMetError(
            f"stack {name} has no way back: set stacks[].template_bucket in platform.json"
        )
    if stack.role_arn is None and configured.execution_role is None:
        raise PrerequisiteNotMetError(
            f"stack {name} has no role that CloudFormation changes its resources with: set "
            "stacks[].execution_role in platform.json"
        )
    return configured.template_bucket


def require_executable(stack: StackState, name: str, found: ChangeSet | None) -> ChangeSet:
    """The change set, if it can be executed now.

    Raises
    ------
    PrerequisiteNotMetError
        The change set is absent, not finished, without changes, or out of date.
    """
    prepare = f"cdk deploy {stack.stack_name} --method=prepare-change-set --change-set-name"
    if found is None:
        raise PrerequisiteNotMetError(
            f"stack {stack.stack_name} has no change set {name}; prepare it with: {prepare} {name}"
        )
    if found.creating:
        raise PrerequisiteNotMetError(f"change set {name} is {found.status}: wait for its end")
    if found.status == "FAILED":
        what = "nothing to do: " if _without_changes(found) else ""
        raise PrerequisiteNotMetError(f"{what}change set {name} FAILED: {found.status_reason}")
    if not found.executable:
        raise PrerequisiteNotMetError(
            f"change set {name} is {found.execution_status}, so it cannot be executed; prepare "
            f"another one with: {prepare} <name>"
        )
    return found


def _without_changes(found: ChangeSet) -> bool:
    return any(t in found.status_reason for t in ("contain changes", "No updates"))


def touched_tables(change_set: ChangeSet, platform: Platform) -> tuple[str, ...]:
    """Tables that the change set modifies or removes: those to back up.

    Raises
    ------
    PrerequisiteNotMetError
        A touched table is not in the platform file, so that it cannot be backed up.
    """
    found = tuple(
        c.physical_id for c in change_set.changes if c.resource_type in TABLES and c.action != "Add"
    )
    known = {t.table_name for t in platform.tables}
    for name in found:
        if name not in known:
            raise PrerequisiteNotMetError(
                f"change set {change_set.name} touches table {name}, which is not in "
                "platform.json, so it cannot be backed up first; add it to tables"
            )
    return found


def undone_by(
    change_set: ChangeSet, runs: Iterable[StandingRun], platform: Platform, *, own: str
) -> tuple[StandingRun, ...]:
    """Runs of other runbooks whose target the change set touches."""
    touched = {
        part
        for change in change_set.changes
        for part in re.split(r"[:/|]", change.physical_id)
        if part
    }
    return tuple(run for run in runs if run.runbook != own and touched & run.names(platform))


def decide(situation: Situation) -> Plan:
    """Plan the record of what is deployed, the backups, and the deployment.

    Raises
    ------
    PrerequisiteNotMetError
        The change set would change nothing, take data away unseen, or undo another run unseen.
    """
    stack, change_set = situation.stack, situation.change_set
    if situation.before == situation.after:
        raise PrerequisiteNotMetError(
            f"nothing to do: change set {change_set.name} changes neither template nor parameters"
        )
    _require_data_kept(situation)
    _require_no_run_undone(situation)
    for source in situation.backups.values():
        if source.status not in (ACTIVE, "UPDATING"):
            raise PrerequisiteNotMetError(
                f"table {source.table_name} is {source.status}, so it cannot be backed up"
            )
    calls = [] if situation.recorded else [record(stack, situation.bucket, situation.before)]
    calls += [
        # Taking the deployment back must not take the backups with it.
        dataclasses.replace(
            create_backup(source.table_name, source.table_arn, name), reversible=False
        )
        for name, source in situation.backups.items()
    ]
    if situation.template_key is not None:
        calls.append(
            creation(
                stack,
                change_set,
                bucket=situation.bucket,
                template_key=situation.template_key,
            )
        )
    calls.append(
        deployment(
            stack,
            change_set,
            before=situation.before,
            after=situation.after,
            request_id=situation.request_id,
        )
    )
    return Plan(
        decision=Decision.CHANGE,
        reason=_reason(situation),
        calls=calls,
        evidence={
            "changes": [c.summary for c in change_set.changes][:_KEPT],
            "accepted_data_loss": list(situation.accept_data_loss),
            "undone_runs": [run.run_id for run in situation.undone],
            "red_before": list(situation.red),
            "rollback_triggers": change_set.triggers,
            "rollback_monitoring_minutes": change_set.monitoring_minutes,
            "drift": stack.drift,
        },
    )


def _require_data_kept(situation: Situation) -> None:
    risky = [c for c in situation.change_set.changes if c.takes_state_away]
    unseen = [c for c in risky if c.logical_id not in situation.accept_data_loss]
    if unseen:
        wanted = [*situation.accept_data_loss, *(c.logical_id for c in unseen)]
        raise PrerequisiteNotMetError(
            f"change set {situation.change_set.name} may take away data: {_listed(unseen)}; if "
            f"that is meant, give parameters.accept_data_loss {json.dumps(wanted)} and mode propose"
        )
    if risky and situation.mode is Mode.ACT:
        raise PrerequisiteNotMetError(
            f"change set {situation.change_set.name} may take away data, so it needs a yes: start "
            "it with mode propose"
        )


def _require_no_run_undone(situation: Situation) -> None:
    for run in situation.undone:
        target = next(iter(run.target.values()))
        if run.under_way:
            raise PrerequisiteNotMetError(
                f"run {run.run_id} is changing {target}, which change set "
                f"{situation.change_set.name} touches: wait for its end"
            )
        if run.run_id not in situation.accept_undoing:
            wanted = json.dumps([*situation.accept_undoing, run.run_id])
            raise PrerequisiteNotMetError(
                f"change set {situation.change_set.name} touches {target}, which run {run.run_id} "
                f"has changed beside the template. Take that back first: {run.undo or 'by hand'}; "
                f"or accept that it may be undone: parameters.accept_undoing {wanted}"
            )


def _reason(situation: Situation) -> str:
    changes = situation.change_set.changes
    what = f"change set {situation.change_set.name}"
    if situation.template_key is not None:
        what = f"template {situation.template_key}, by {what} if that does no more,"
    told = (
        f"Deploy {what} to stack {situation.stack.stack_name}: "
        f"{_listed(changes) or 'no resource changes'}."
    )
    if situation.backups:
        names = ", ".join(source.table_name for source in situation.backups.values())
        told += f" First back up {names}."
    if situation.undone:
        runs = ", ".join(run.run_id for run in situation.undone)
        told += f" It may undo what these runs have changed: {runs}."
    return told


def _listed(changes: Sequence[ResourceChange]) -> str:
    told = "; ".join(c.summary for c in changes[:_NAMED])
    return told + (f"; and {len(changes) - _NAMED} more" if len(changes) > _NAMED else "")


def deploy_call(plan: Plan) -> PlannedCall:
    """The call that deploys, or in an undo run the one that deploys what was there before."""
    return next(call for call in plan.calls if call.api == EXECUTE_CHANGE_SET)


def first_calls(plan: Plan) -> list[PlannedCall]:
    """What goes before the deployment: the record and the backups."""
    return [c for c in plan.calls if c.api not in (CREATE_CHANGE_SET, EXECUTE_CHANGE_SET)]


def creation_calls(plan: Plan) -> list[PlannedCall]:
    """The call that makes the change set from a template; none if it was prepared."""
    return [call for call in plan.calls if call.api == CREATE_CHANGE_SET]


def backup_calls(plan: Plan) -> list[PlannedCall]:
    """The calls that make a backup."""
    return [call for call in plan.calls if call.api == CREATE_BACKUP]


def judge_backups(plan: Plan, found: Iterable[Backup], *, final: bool) -> Verification:
    """Whether all backups of the plan are finished.

    Parameters
    ----------
    found
        Those that the run made.
    """
    good = {b.backup_name for b in found if b.status == AVAILABLE}
    wanted = [str(call.after["BackupName"]) for call in backup_calls(plan)]
    missing = [name for name in wanted if name not in good]
    if not missing:
        return Verification(verdict=Verdict.PASSED, reason=f"backups {AVAILABLE}: {len(wanted)}")
    verdict = Verdict.FAILED if final else Verdict.PENDING
    return Verification(verdict=verdict, reason=f"not {AVAILABLE}: {', '.join(missing)}")


def judge_stack(
    status: str, release: str | None, call: PlannedCall, *, begun: bool, final: bool
) -> Verification:
    """How far the deployment is.

    Parameters
    ----------
    release
        Digest of what is deployed; None while that is not known.
    begun
        Whether CloudFormation has begun with it: before, the status is an older one.
    final
        Whether this is the last look.
    """
    if begun and release == call.after[RELEASE]:
        return Verification(verdict=Verdict.PASSED, reason=f"the stack is {status}")
    if not begun or status.endswith("_IN_PROGRESS"):
        verdict = Verdict.FAILED if final else Verdict.PENDING
        told = "not finished in time" if final else "not finished"
        return Verification(verdict=verdict, reason=f"the stack is {status}: {told}")
    return Verification(verdict=Verdict.FAILED, reason=f"the stack is {status}")


def judge_undo(smoke: Mapping[str, bool]) -> Verification:
    """Whether the platform answers from the recorded template.

    An undo that leaves functions failing is not taken back again: a person has to see it.
    """
    bad = sorted(name for name, answered in smoke.items() if not answered)
    check = Check(
        name="functions that fail their smoke event",
        observed=float(len(bad)),
        threshold=0,
        samples=len(smoke),
        passed=not bad,
    )
    if bad:
        reason = f"deployed from the recorded template, but {', '.join(bad)} fail their smoke event"
        return _answer(Verdict.INCONCLUSIVE, reason, [check])
    return _answer(Verdict.PASSED, "the stack is deployed from the recorded template", [check])


class Watch(Frozen):
    """What is known of the platform after the deployment.

    Parameters
    ----------
    since
        When the deployment ended.
    red
        Alarms that are red and were not before.
    alarms
        How many alarms are watched.
    smoke
        Functions of the stack by name, and whether each answered its smoke event; None before the
        watch is over.
    """

    since: datetime
    now: datetime
    red: tuple[str, ...]
    alarms: int
    smoke: dict[str, bool] | None = None

    def over(self, window_seconds: int) -> bool:
        """Whether the alarms were watched long enough."""
        return self.now >= self.since + timedelta(seconds=window_seconds)


def judge(watch: Watch, *, window_seconds: int, final: bool) -> Verification:
    """Whether the platform bears the deployment; one alarm is enough to take it back at once."""
    seconds = max(0.0, (watch.now - watch.since).total_seconds())
    checks = [
        Check(
            name="alarms newly red",
            observed=float(len(watch.red)),
            threshold=0,
            samples=watch.alarms,
            passed=not watch.red,
        ),
        Check(
            name="seconds watched",
            observed=round(seconds),
            threshold=window_seconds,
            samples=1,
            passed=watch.over(window_seconds),
        ),
    ]
    if watch.red:
        names = ", ".join(watch.red)
        return _answer(Verdict.FAILED, f"red since the deployment: {names}", checks)
    if not watch.over(window_seconds) or watch.smoke is None:
        verdict = Verdict.INCONCLUSIVE if final else Verdict.PENDING
        return _answer(verdict, f"watched for {seconds:.0f} of {window_seconds} s", checks)
    bad = sorted(name for name, answered in watch.smoke.items() if not answered)
    checks.append(
        Check(
            name="functions that fail their smoke event",
            observed=float(len(bad)),
            threshold=0,
            samples=len(watch.smoke),
            passed=not bad,
        )
    )
    if bad:
        return _answer(Verdict.FAILED, f"fails its smoke event: {', '.join(bad)}", checks)
    return _answer(Verdict.PASSED, f"deployed, and no alarm turned red in {seconds:.0f} s", checks)


def _answer(verdict: Verdict, reason: str, checks: list[Check]) -> Verification:
    return Verification(verdict=verdict, reason=reason, checks=checks)
