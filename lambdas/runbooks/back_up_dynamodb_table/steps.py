"""Steps of `back_up_dynamodb_table`: read through resources, decide in policy, return a contract.

The life of a backup: CreateBackup, look until it is AVAILABLE and right, and only then delete what
has expired. Nothing that goes wrong with the old ones takes the new one back.
"""

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
    PrerequisiteNotMetError,
    RemediationError,
    ResourceBusyError,
    RollbackFailedError,
    TargetNotFoundError,
    ThrottledError,
)
from lambdas.remediation.observability import logger
from lambdas.remediation.resources.dynamodb_backup import DynamoDbBackups, backup_name
from lambdas.remediation.settings import settings
from lambdas.remediation.step import Attempt, Clock, Role, step
from lambdas.runbooks.back_up_dynamodb_table import policy
from lambdas.runbooks.back_up_dynamodb_table.policy import Situation
from lambdas.runbooks.back_up_dynamodb_table.runbook import BackUpDynamoDbTableLimits

RESOURCES = (DynamoDbBackups,)


@step(
    Role.OBSERVE,
    calls=["dynamodb:DescribeTable", "dynamodb:ListBackups"],
    raises=[PrerequisiteNotMetError, ResourceBusyError, TargetNotFoundError, ThrottledError],
)
def prepare(*, run: Run, clock: Clock, backups: DynamoDbBackups) -> Prepared:
    """Look at the table and its backups, and plan one more; changes nothing."""
    table_name = run.target["table_name"]
    prefix = settings().prefix
    source = backups.source(table_name)
    existing = backups.of_table(table_name)
    plan = policy.decide(
        Situation(
            source=source,
            backups=existing,
            prefix=prefix,
            backup_name=backup_name(prefix, table_name, run.id, run.execution.started_at),
            limits=BackUpDynamoDbTableLimits(**run.limits),
            prune=run.parameters.get("prune", True),
            now=clock.now(),
        )
    )
    earlier = policy.own(existing, prefix=prefix, table_name=table_name, table_id=source.table_id)
    return Prepared(snapshot={"table": encode(source), "backups": encode(list(earlier))}, plan=plan)


@step(
    Role.CHANGE,
    calls=["dynamodb:CreateBackup", "dynamodb:ListBackups"],
    raises=[ChangeFailedError, ResourceBusyError, ThrottledError],
)
def create_backup(*, plan: Plan, clock: Clock, backups: DynamoDbBackups) -> Change:
    """Start the backup, unless this run has started it before; never touches another one."""
    return changes.apply([policy.backup_call(plan)], (backups,), clock.now)


@step(
    Role.OBSERVE,
    calls=["dynamodb:DescribeBackup", "dynamodb:ListBackups"],
    raises=[ThrottledError],
)
def check_backup(*, plan: Plan, attempt: Attempt, backups: DynamoDbBackups) -> Verification:
    """Look whether the backup is AVAILABLE, of this table and complete; changes nothing."""
    return _judged(plan, backups, final=attempt.final)


@step(
    Role.CHANGE,
    calls=["dynamodb:DeleteBackup", "dynamodb:DescribeBackup", "dynamodb:ListBackups"],
)
def prune_backups(
    *, plan: Plan, change: Change | None, clock: Clock, backups: DynamoDbBackups
) -> Change:
    """Delete the planned expired backups, once the new one is seen to be good; never any other.

    One that cannot be deleted now is left for the next run: no reason to lose the new backup.
    """
    made = list(change.calls) if change else []
    try:
        proven = _judged(plan, backups, final=True).verdict is Verdict.PASSED
    except RemediationError as error:
        logger().warning("nothing pruned: the new backup could not be read", error=str(error))
        proven = False
    for call in policy.prune_calls(plan) if proven else ():
        try:
            made += changes.apply([call], (backups,), clock.now).calls
        except RemediationError as error:
            logger().warning("backup not pruned", backup=call.resource, error=str(error))
    return Change(calls=made, applied_at=clock.now())


@step(
    Role.OBSERVE,
    calls=["dynamodb:DescribeBackup", "dynamodb:ListBackups"],
    raises=[ThrottledError],
)
def verify(*, run: Run, plan: Plan, attempt: Attempt, backups: DynamoDbBackups) -> Verification:
    """Look whether the backup is good and what has expired is gone, or for an undo that it is gone.

    Never fails a good backup because an expired one is still there.
    """
    if run.kind is Kind.UNDO:
        return _gone(plan, backups, final=attempt.final)
    judged = _judged(plan, backups, final=attempt.final)
    if not policy.prune_calls(plan):
        return judged
    return policy.with_pruning(judged, plan, backups.of_table(run.target["table_name"]))


@step(
    Role.OBSERVE,
    calls=["dynamodb:DescribeBackup", "dynamodb:ListBackups"],
    raises=[ThrottledError],
)
def watch_hold(*, plan: Plan, backups: DynamoDbBackups) -> Verification:
    """Look whether the backup is still there; changes nothing. Not used unless a limit asks."""
    return _judged(plan, backups, final=True)


@step(
    Role.OBSERVE,
    calls=["dynamodb:DescribeTable", "dynamodb:ListBackups"],
    raises=[PrerequisiteNotMetError, ThrottledError],
)
def check_undo(*, run: Run, plan: Plan, backups: DynamoDbBackups) -> None:
    """Refuse to delete a backup that is unfinished, or whose table is gone; changes nothing.

    Whether it is being restored only DeleteBackup tells (BackupInUseException).
    """
    table_name = run.target["table_name"]
    try:
        source = backups.source(table_name)
    except TargetNotFoundError:
        source = None
    obstacles = policy.undo_obstacles(backups.made_by(policy.backup_call(plan)), source)
    if obstacles:
        raise PrerequisiteNotMetError(
            f"table {table_name}: backup not deleted: {'; '.join(obstacles)}"
        )


@step(
    Role.CHANGE,
    calls=["dynamodb:DeleteBackup", "dynamodb:ListBackups"],
    raises=[ResourceBusyError, RollbackFailedError, ThrottledError],
)
def roll_back(*, plan: Plan, clock: Clock, backups: DynamoDbBackups) -> Change:
    """Delete the backup that this run made, if it is there; never touches any other."""
    return changes.restore([policy.backup_call(plan)], (backups,), clock.now)


def _judged(plan: Plan, backups: DynamoDbBackups, *, final: bool) -> Verification:
    made = backups.made_by(policy.backup_call(plan))
    return policy.judge(plan, backups.describe(made[0].backup_arn) if made else None, final=final)


def _gone(plan: Plan, backups: DynamoDbBackups, *, final: bool) -> Verification:
    left = backups.made_by(policy.backup_call(plan))
    if not left:
        return Verification(verdict=Verdict.PASSED, reason="the backup is deleted")
    verdict = Verdict.FAILED if final else Verdict.PENDING
    return Verification(verdict=verdict, reason=f"backup {left[0].backup_arn} is still there")
