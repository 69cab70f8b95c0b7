"""Steps of `restore_dynamodb_table`: read through resources, decide in policy, return a contract.

The life of a restore: start it, wait until DynamoDB is done, set what a restore leaves out, prove
the table, and only then move the application to it, if that was asked for and approved.
"""

import dataclasses
from collections.abc import Sequence

from lambdas.remediation import changes
from lambdas.remediation.changes import Position, Resource
from lambdas.remediation.contracts import (
    Change,
    Kind,
    Plan,
    Prepared,
    Run,
    Verdict,
    Verification,
    encode,
    parse_time,
)
from lambdas.remediation.errors import (
    ChangeFailedError,
    ConcurrentChangeError,
    InvalidRequestError,
    PrerequisiteNotMetError,
    RemediationError,
    ResourceBusyError,
    RollbackFailedError,
    TargetNotFoundError,
    ThrottledError,
)
from lambdas.remediation.observability import logger
from lambdas.remediation.platform import Platform
from lambdas.remediation.resources.dynamodb_backup import DynamoDbBackups
from lambdas.remediation.resources.restored_table import RestoredTables, restored_name
from lambdas.remediation.resources.ssm_parameter import SsmParameters
from lambdas.remediation.resources.table_scaling import TableScaling
from lambdas.remediation.step import Attempt, Clock, Role, step
from lambdas.runbooks.restore_dynamodb_table import policy
from lambdas.runbooks.restore_dynamodb_table.policy import Compared, Situation, Wanted
from lambdas.runbooks.restore_dynamodb_table.runbook import RestoreDynamoDbTableLimits

RESOURCES = (RestoredTables, TableScaling, SsmParameters)

READ_SETTINGS = (
    "application-autoscaling:DescribeScalableTargets",
    "application-autoscaling:DescribeScalingPolicies",
    "dynamodb:DescribeContinuousBackups@restored",
    "dynamodb:DescribeTable@restored",
    "dynamodb:DescribeTimeToLive@restored",
    "dynamodb:ListTagsOfResource@restored",
)
COMPARE = (
    *READ_SETTINGS,
    "dynamodb:DescribeTable",
    "dynamodb:GetItem@restored",
    "dynamodb:Scan",
    "dynamodb:Scan@restored",
)
# DynamoDB writes the items with the rights of whoever asks for the restore.
RESTORE = (
    "dynamodb:BatchWriteItem@restored",
    "dynamodb:DeleteItem@restored",
    "dynamodb:DescribeTable@restored",
    "dynamodb:GetItem@restored",
    "dynamodb:PutItem@restored",
    "dynamodb:Query@restored",
    "dynamodb:RestoreTableFromBackup",
    "dynamodb:RestoreTableToPointInTime",
    "dynamodb:Scan@restored",
    "dynamodb:UpdateItem@restored",
)
# Application Auto Scaling makes and deletes the alarms of its policies for whoever asks it.
SCALE = (
    "application-autoscaling:DeregisterScalableTarget",
    "application-autoscaling:PutScalingPolicy",
    "application-autoscaling:RegisterScalableTarget",
    "cloudwatch:DeleteAlarms@scaling",
    "cloudwatch:DescribeAlarms",
    "cloudwatch:PutMetricAlarm@scaling",
)


@step(
    Role.OBSERVE,
    calls=[
        "application-autoscaling:DescribeScalableTargets",
        "application-autoscaling:DescribeScalingPolicies",
        "dynamodb:DescribeBackup",
        "dynamodb:DescribeContinuousBackups",
        "dynamodb:DescribeTable",
        "dynamodb:DescribeTimeToLive",
        "dynamodb:ListBackups",
        "dynamodb:ListTagsOfResource",
        "ssm:GetParameter@pointers",
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
    tables: RestoredTables,
    backups: DynamoDbBackups,
    scaling: TableScaling,
    parameters: SsmParameters,
) -> Prepared:
    """Record the original's settings, choose what to restore, and plan it; changes nothing."""
    name = run.target["table_name"]
    pointer_name = platform.table(name).pointer_parameter
    asked = _wanted(run)
    policy.check_request(asked, run.mode, pointer_name)
    existing = backups.of_table(name)
    source = policy.check_source(name, tables.describe(name), existing)
    recovery = tables.recovery(name)
    origin = policy.origin(asked, existing, recovery)
    content = tables.content(origin.backup.backup_arn) if origin.backup else None
    new_name = restored_name(name, run.id)
    pointer = None
    if asked.cut_over and pointer_name:
        pointer = policy.check_pointer(parameters.read(pointer_name), name)
    situation = Situation(
        source=source,
        new_name=new_name,
        origin=origin,
        recovery=recovery,
        content=content,
        time_to_live=tables.time_to_live(name),
        tags=tables.tags(source.table_arn),
        scaling=scaling.copied(
            name,
            new_name,
            sorted(content.indexes if content else source.indexes),
            reversible=pointer is None,
        ),
        pointer=pointer,
    )
    snapshot = {"table": encode(source), "pointer": encode(pointer) if pointer else None}
    return Prepared(snapshot=snapshot, plan=policy.decide(situation))


def _wanted(run: Run) -> Wanted:
    given = run.parameters
    moment = given.get("restore_time")
    return Wanted(
        backup_arn=given.get("backup_arn"),
        restore_time=parse_time(moment) if moment else None,
        cut_over=given.get("cut_over", False),
    )


@step(
    Role.CHANGE,
    calls=RESTORE,
    raises=[ChangeFailedError, ConcurrentChangeError, ResourceBusyError, ThrottledError],
)
def start_restore(*, plan: Plan, clock: Clock, tables: RestoredTables) -> Change:
    """Start the restore into a new table, unless it is there; never touches the original."""
    call = policy.restore_call(plan)
    return changes.apply([call] if call else [], (tables,), clock.now)


@step(Role.OBSERVE, calls=["dynamodb:DescribeTable@restored"], raises=[ThrottledError])
def check_restore(*, plan: Plan, attempt: Attempt, tables: RestoredTables) -> Verification:
    """Look whether DynamoDB is done with the table and its indexes; changes nothing."""
    return policy.judge_restore(tables.describe(_restored(plan)), final=attempt.final)


@step(
    Role.CHANGE,
    calls=[
        *READ_SETTINGS,
        *SCALE,
        "dynamodb:TagResource@restored",
        "dynamodb:UpdateContinuousBackups@restored",
        "dynamodb:UpdateTable@restored",
        "dynamodb:UpdateTimeToLive@restored",
    ],
    raises=[ResourceBusyError, ThrottledError],
)
def apply_settings(
    *,
    plan: Plan,
    change: Change | None,
    clock: Clock,
    tables: RestoredTables,
    scaling: TableScaling,
) -> Change:
    """Give the restored table the original's settings; never touches the original.

    A setting that AWS refuses does not cost the restored table, which may have taken hours:
    `verify` says that it is missing.
    """
    made = Change(calls=[], applied_at=clock.now())
    for call in policy.setting_calls(plan):
        try:
            made = _after(made, changes.apply([call], (tables, scaling), clock.now))
        except (ChangeFailedError, ConcurrentChangeError) as error:
            logger().warning("setting not made", resource=call.resource, error=str(error))
    return _after(change, made)


@step(
    Role.OBSERVE,
    calls=COMPARE,
    raises=[ThrottledError],
)
def check_copy(
    *, run: Run, plan: Plan, tables: RestoredTables, scaling: TableScaling
) -> Verification:
    """Compare the restored table with what it was restored from; changes nothing."""
    return _compared(run, plan, tables, scaling)


@step(Role.CHANGE, calls=["ssm:GetParameter@pointers", "ssm:PutParameter@pointers"])
def cut_over(
    *, plan: Plan, change: Change | None, clock: Clock, parameters: SsmParameters
) -> Change:
    """Make the pointer name the restored table, if the plan says so; never touches a table.

    What goes wrong here does not cost the restored table, which may have taken hours: `verify` says
    that it is not in use.
    """
    call = policy.pointer_call(plan)
    made = Change(calls=[], applied_at=clock.now())
    try:
        made = changes.apply([call] if call else [], (parameters,), clock.now)
    except RemediationError as error:
        logger().warning("pointer not changed", error=str(error))
    return _after(change, made)


@step(
    Role.OBSERVE,
    calls=[*COMPARE, "ssm:GetParameter@pointers"],
    raises=[ThrottledError],
)
def verify(
    *,
    run: Run,
    plan: Plan,
    attempt: Attempt,
    tables: RestoredTables,
    scaling: TableScaling,
    parameters: SsmParameters,
) -> Verification:
    """Compare table and pointer with the plan, or for an undo see that they are back.

    Changes nothing.
    """
    if run.kind is Kind.UNDO:
        return _taken_back(plan, tables, parameters, final=attempt.final)
    return _judged(run, plan, tables, scaling, parameters)


@step(
    Role.OBSERVE,
    calls=[*COMPARE, "ssm:GetParameter@pointers"],
    raises=[ThrottledError],
)
def watch_hold(
    *,
    run: Run,
    plan: Plan,
    tables: RestoredTables,
    scaling: TableScaling,
    parameters: SsmParameters,
) -> Verification:
    """Look whether the table is still as restored; changes nothing. Not used unless asked for."""
    return _judged(run, plan, tables, scaling, parameters)


@step(
    Role.OBSERVE,
    calls=["dynamodb:DescribeTable", "ssm:GetParameter@pointers"],
    raises=[PrerequisiteNotMetError, ThrottledError],
)
def check_undo(
    *,
    run: Run,
    plan: Plan,
    platform: Platform,
    tables: RestoredTables,
    parameters: SsmParameters,
) -> None:
    """Refuse to delete a table that is in use, or without asking first; changes nothing."""
    name = run.target["table_name"]
    pointer_name = platform.table(name).pointer_parameter
    pointer = None
    if pointer_name and policy.restore_call(plan):
        try:
            pointer = parameters.read(pointer_name)
        except TargetNotFoundError:
            pointer = None
    policy.check_undo(plan, run.mode, pointer, tables.describe(name))


@step(
    Role.CHANGE,
    calls=[
        *READ_SETTINGS,
        *SCALE,
        "dynamodb:DeleteTable@restored",
        "dynamodb:DescribeTable",
        "dynamodb:UpdateTable@restored",
        "ssm:GetParameter@pointers",
        "ssm:PutParameter@pointers",
    ],
    raises=[ResourceBusyError, RollbackFailedError, ThrottledError],
)
def roll_back(
    *,
    run: Run,
    plan: Plan,
    clock: Clock,
    tables: RestoredTables,
    scaling: TableScaling,
    parameters: SsmParameters,
) -> Change:
    """Delete the restored table, unless the application was moved to it: then move it back.

    Never touches the original.
    """
    resources: Sequence[Resource] = (tables, scaling, parameters)
    if run.kind is Kind.UNDO:
        return changes.restore(plan.calls, resources, clock.now)
    pointer = policy.pointer_call(plan)
    if pointer is not None:
        (name,) = pointer.after
        if parameters.read(name).version != plan.evidence["pointer_version"]:
            # Items may have been written to it: this run or a person had moved the application.
            return changes.restore([pointer], resources, clock.now)
    original, copy = run.target["table_name"], _restored(plan)
    if tables.describe(original) is None and tables.describe(copy) is not None:
        raise RollbackFailedError(f"table {original} is gone: {copy} stays, as the only copy")
    return changes.restore(policy.unused(plan), resources, clock.now)


def _restored(plan: Plan) -> str:
    call = policy.restore_call(plan)
    if call is None:
        raise PrerequisiteNotMetError("the plan restores no table")
    return policy.table_of(call)


def _after(earlier: Change | None, made: Change) -> Change:
    """Both changes as one: the answer tells all calls of the run."""
    before = list(earlier.calls) if earlier else []
    return dataclasses.replace(made, calls=[*before, *made.calls])


def _compared(run: Run, plan: Plan, tables: RestoredTables, scaling: TableScaling) -> Verification:
    limits = RestoreDynamoDbTableLimits(**run.limits)
    name = _restored(plan)
    table = tables.describe(name)
    settled = policy.judge_restore(table, final=True)
    if table is None or settled.verdict is not Verdict.PASSED:
        return settled
    items, counted_all = tables.count(name, limits.max_count_pages)
    found, sampled = 0, 0
    original = tables.describe(plan.evidence["original"])
    if original is not None and original.key_schema == table.key_schema:
        found, sampled = tables.sample(
            original.table_name, name, table.key_names, limits.sampled_items
        )
    where = [changes.position(c, (tables, scaling)) for c in policy.setting_calls(plan)]
    return policy.judge_copy(
        plan,
        Compared(
            table=table,
            items=items,
            counted_all=counted_all,
            found=found,
            sampled=sampled,
            settings=where.count(Position.AFTER),
        ),
    )


def _judged(
    run: Run,
    plan: Plan,
    tables: RestoredTables,
    scaling: TableScaling,
    parameters: SsmParameters,
) -> Verification:
    compared = _compared(run, plan, tables, scaling)
    pointer = policy.pointer_call(plan)
    if pointer is None:
        return compared
    (name,) = pointer.after
    return policy.with_pointer(
        compared, pointer, parameters.read(name), plan.evidence["pointer_version"]
    )


def _taken_back(
    plan: Plan, tables: RestoredTables, parameters: SsmParameters, *, final: bool
) -> Verification:
    pointer, deletion = policy.pointer_call(plan), policy.restore_call(plan)
    back = deleted = None
    name = ""
    if pointer is not None:
        back = changes.position(pointer, (parameters,)) is Position.AFTER
        (name,) = pointer.before.values()
    if deletion is not None:
        name = policy.table_of(deletion)
        deleted = not tables.exists(name)
    return policy.judge_undo(pointer_back=back, deleted=deleted, table_name=name, final=final)
