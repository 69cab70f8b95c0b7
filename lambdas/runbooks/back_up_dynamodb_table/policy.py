"""Decisions of `back_up_dynamodb_table`: pure functions, no AWS call, no clock, no environment.

A backup belongs to this runbook if its name is one that this runbook gives, and it was made of
this very table. Only such backups expire; the newest of them stay, however old, without counting
the new one: undoing a run never leaves the table without a backup that it had before.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from lambdas.remediation.contracts import (
    Check,
    Decision,
    Plan,
    PlannedCall,
    Verdict,
    Verification,
)
from lambdas.remediation.errors import PrerequisiteNotMetError, ResourceBusyError
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.resources.dynamodb_backup import (
    ACTIVE,
    AVAILABLE,
    CREATE_BACKUP,
    CREATING,
    Backup,
    BackupDescription,
    BackupSource,
    create_backup,
    delete_backup,
    is_own_name,
)
from lambdas.runbooks.back_up_dynamodb_table.runbook import BackUpDynamoDbTableLimits

# Amazon DynamoDB API Reference, CreateBackup, TableInUseException: being created or deleted. A
# table that is being updated can be backed up.
_READY = (ACTIVE, "UPDATING")


class Situation(Frozen):
    """Everything the plan rests on.

    Parameters
    ----------
    backups
        All that were made of tables of this name.
    backup_name
        Name of the backup to make.
    """

    source: BackupSource
    backups: tuple[Backup, ...] = ()
    prefix: str
    backup_name: str
    limits: BackUpDynamoDbTableLimits
    prune: bool = True
    now: datetime


def own(
    backups: Iterable[Backup], *, prefix: str, table_name: str, table_id: str
) -> tuple[Backup, ...]:
    """Finished backups that this runbook made of this very table, oldest first."""
    found = [
        backup
        for backup in backups
        if backup.status == AVAILABLE
        and backup.table_id == table_id
        and is_own_name(backup.backup_name, prefix, table_name)
    ]
    return tuple(sorted(found, key=lambda b: (b.created_at, b.backup_arn)))


def expired(
    backups: Sequence[Backup], *, now: datetime, limits: BackUpDynamoDbTableLimits
) -> tuple[Backup, ...]:
    """Backups to delete, oldest first.

    Parameters
    ----------
    backups
        Own ones, oldest first, without the one that is to be made.
    """
    dispensable = backups[: max(0, len(backups) - limits.minimum_kept)]
    before = now - timedelta(days=limits.retention_days)
    return tuple(b for b in dispensable if b.created_at < before)[: limits.max_pruned_per_run]


def decide(situation: Situation) -> Plan:
    """Plan one backup, and then the deletion of what has expired.

    Raises
    ------
    ResourceBusyError
        The table is being created.
    PrerequisiteNotMetError
        The table is in a state in which DynamoDB makes no backup.
    """
    source, limits = situation.source, situation.limits
    if source.status == CREATING:
        raise ResourceBusyError(f"table {source.table_name} is {CREATING}, look again later")
    if source.status not in _READY:
        raise PrerequisiteNotMetError(
            f"table {source.table_name} is {source.status}, it must be {ACTIVE}"
        )
    # A retried Prepare must not count the backup of its own run among the earlier ones.
    earlier = [
        backup
        for backup in own(
            situation.backups,
            prefix=situation.prefix,
            table_name=source.table_name,
            table_id=source.table_id,
        )
        if backup.backup_name != situation.backup_name
    ]
    old = expired(earlier, now=situation.now, limits=limits) if situation.prune else ()
    reason = f"Back up table {source.table_name} as {situation.backup_name}."
    if old:
        reason += (
            f" Then delete {_count(len(old), 'backup')} of this runbook, older than "
            f"{_count(limits.retention_days, 'day')}; that cannot be undone."
        )
    return Plan(
        decision=Decision.CHANGE,
        reason=reason,
        calls=[
            create_backup(source.table_name, source.table_arn, situation.backup_name),
            *(delete_backup(b) for b in old),
        ],
        evidence={
            "table_id": source.table_id,
            "index_names": list(source.index_names),
            "own_backups": len(earlier),
            "pruning": situation.prune,
        },
    )


def backup_call(plan: Plan) -> PlannedCall:
    """The call that makes the backup, or in an undo run the one that deletes it."""
    return next(call for call in plan.calls if call.api == CREATE_BACKUP)


def prune_calls(plan: Plan) -> list[PlannedCall]:
    """The calls that delete expired backups."""
    return [call for call in plan.calls if call.api != CREATE_BACKUP]


def judge(plan: Plan, found: BackupDescription | None, *, final: bool) -> Verification:
    """Whether the backup is finished, of the planned table, and holds its indexes.

    The table is not asked again: if it is gone by now, the backup is worth all the more.

    Parameters
    ----------
    found
        The backup; None if it is not there.
    final
        Whether this is the last look: what is not finished then has failed.
    """
    waiting = Verdict.FAILED if final else Verdict.PENDING
    if found is None:
        return Verification(verdict=waiting, reason="there is no such backup")
    if found.status != AVAILABLE:
        return Verification(verdict=waiting, reason=f"the backup is {found.status}")
    wanted_id, wanted_indexes = plan.evidence["table_id"], plan.evidence["index_names"]
    missing = [name for name in wanted_indexes if name not in found.index_names]
    checks = [
        Check(
            name="backup is of the planned table",
            observed=float(found.table_id == wanted_id),
            threshold=1,
            samples=1,
            passed=found.table_id == wanted_id,
        ),
        Check(
            name="indexes in the backup",
            observed=len(wanted_indexes) - len(missing),
            threshold=len(wanted_indexes),
            samples=1,
            passed=not missing,
        ),
    ]
    problems = []
    if found.table_id != wanted_id:
        problems.append(f"the backup is of table {found.table_id}, not of {wanted_id}")
    if missing:
        problems.append(f"the backup lacks {', '.join(f'index {name}' for name in missing)}")
    if problems:
        return Verification(verdict=Verdict.FAILED, reason="; ".join(problems), checks=checks)
    reason = f"backup {found.backup_arn} is {AVAILABLE}, of the right table"
    if wanted_indexes:
        reason += f", with {_count(len(wanted_indexes), 'index', 'indexes')}"
    return Verification(verdict=Verdict.PASSED, reason=reason, checks=checks)


def with_pruning(verification: Verification, plan: Plan, backups: Iterable[Backup]) -> Verification:
    """The answer about the backup, with what is left of the expired ones.

    An expired backup that could not be deleted costs a little and the next run tries again: it does
    not make the new one bad.
    """
    planned = {call.resource for call in prune_calls(plan)}
    if not planned or verification.verdict is not Verdict.PASSED:
        return verification
    left = len(planned & {backup.backup_arn for backup in backups})
    check = Check(
        name="expired backups left", observed=left, threshold=0, samples=1, passed=left == 0
    )
    told = f"{_count(len(planned) - left, 'expired backup')} deleted"
    if left:
        told += f", {left} left for the next run"
    return Verification(
        verdict=verification.verdict,
        reason=f"{verification.reason}; {told}",
        checks=[*verification.checks, check],
    )


def undo_obstacles(backups: Sequence[Backup], source: BackupSource | None) -> list[str]:
    """Why the backups of a run cannot be deleted now.

    Parameters
    ----------
    backups
        Those that the run made.
    source
        The table as it is now; None if it is gone.
    """
    found = []
    for backup in backups:
        if backup.status != AVAILABLE:
            found.append(f"{backup.backup_name} is {backup.status}, try again when it is finished")
        if source is None or backup.table_id != source.table_id:
            found.append(
                f"the table that {backup.backup_name} was made of is gone, so it may be the last "
                "copy; delete it by hand if it is not needed"
            )
    return found


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
