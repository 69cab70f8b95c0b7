"""Decisions of `restore_dynamodb_table`: pure functions, no AWS call, no clock, no environment."""

import dataclasses
from collections.abc import Sequence
from datetime import datetime

from lambdas.remediation.contracts import (
    Check,
    Decision,
    Mode,
    Plan,
    PlannedCall,
    Verdict,
    Verification,
    iso,
)
from lambdas.remediation.errors import (
    InvalidRequestError,
    PrerequisiteNotMetError,
    ResourceBusyError,
)
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.resources.dynamodb_backup import AVAILABLE, Backup
from lambdas.remediation.resources.restored_table import (
    ACTIVE,
    PROTECTION,
    RESTORE_FROM_BACKUP,
    RESTORE_TO_POINT_IN_TIME,
    TABLE_NAME,
    BackupContent,
    Recovery,
    TableState,
    protect,
    restore_from_backup,
    restore_to_point_in_time,
    settings_calls,
)
from lambdas.remediation.resources.scalable_target import REGISTER_SCALABLE_TARGET
from lambdas.remediation.resources.ssm_parameter import (
    PLAIN,
    PUT_PARAMETER,
    Parameter,
    put_parameter,
)
from lambdas.remediation.targets import place_of

_UNREADY = ("CREATING", "DELETING")
_RESTORES = (RESTORE_FROM_BACKUP, RESTORE_TO_POINT_IN_TIME)
_NOT_CARRIED_OVER = (
    "A resource policy, Kinesis streaming, Contributor Insights, alarms, stream triggers and "
    "replicas are not carried over."
)
ASK_FIRST = 'start again with "mode": "propose"'


class Wanted(Frozen):
    """What the person asks to be restored, and whether to put it into use."""

    backup_arn: str | None = None
    restore_time: datetime | None = None
    cut_over: bool = False


class Origin(Frozen):
    """What is restored: a backup, or a moment (None: the latest) of the table itself."""

    backup: Backup | None = None
    moment: datetime | None = None


class Situation(Frozen):
    """Everything the plan rests on.

    Parameters
    ----------
    content
        What the backup holds, if one is restored.
    scaling
        Calls that carry auto scaling over.
    pointer
        Parameter that names the table to the application, if it is to be changed.
    """

    source: TableState
    new_name: str
    origin: Origin
    recovery: Recovery
    content: BackupContent | None = None
    time_to_live: str | None = None
    tags: dict[str, str]
    scaling: Sequence[PlannedCall] = ()
    pointer: Parameter | None = None


class Compared(Frozen):
    """The restored table next to what it was restored from.

    Parameters
    ----------
    items, counted_all
        Items counted, and whether that were all.
    found, sampled
        How many of some items of the original are in the restored table.
    settings
        How many of the planned settings are set.
    """

    table: TableState
    items: int
    counted_all: bool
    found: int
    sampled: int
    settings: int


def check_request(asked: Wanted, mode: Mode, pointer_name: str | None) -> None:
    """Refuse what cannot be right before anything is read.

    Raises
    ------
    InvalidRequestError
        A backup and a moment are both named, or a cut-over is asked for without asking first.
    PrerequisiteNotMetError
        A cut-over is asked for without a parameter to change.
    """
    if asked.backup_arn and asked.restore_time:
        raise InvalidRequestError(
            "parameters.restore_time: cannot stand beside backup_arn; leave one of them out"
        )
    if asked.cut_over and pointer_name is None:
        raise PrerequisiteNotMetError(
            "parameters.cut_over: the table has no pointer_parameter in platform.json; add it, or "
            "restore without cut_over and put the table into use by hand"
        )
    if asked.cut_over and mode is Mode.ACT:
        raise InvalidRequestError(
            f"parameters.cut_over: moves the application to another table, which needs a yes; "
            f"{ASK_FIRST}"
        )


def check_source(
    table_name: str, source: TableState | None, backups: Sequence[Backup]
) -> TableState:
    """The original, if its settings can be read.

    Raises
    ------
    ResourceBusyError
        It is being created.
    PrerequisiteNotMetError
        The table is gone, so its settings cannot be read.
    """
    if source is None:
        newest = _newest(backups)
        way = (
            f"; restore it under its own name by hand: aws dynamodb restore-table-from-backup "
            f"--target-table-name {table_name} --backup-arn {newest.backup_arn}"
            if newest
            else ", and it has no backup"
        )
        raise PrerequisiteNotMetError(
            f"table {table_name} does not exist, so its settings cannot be read{way}"
        )
    if source.status in _UNREADY:
        raise ResourceBusyError(f"table {table_name} is {source.status}, look again later")
    return source


def origin(asked: Wanted, backups: Sequence[Backup], recovery: Recovery) -> Origin:
    """What to restore: what the person names, else the latest moment, else the newest backup.

    Raises
    ------
    InvalidRequestError
        The backup is not a finished one of a table of this name, or the moment is not held.
    PrerequisiteNotMetError
        There is nothing to restore from.
    """
    if asked.backup_arn:
        return Origin(backup=_named(asked.backup_arn, backups))
    if asked.restore_time:
        _check_moment(asked.restore_time, recovery)
        return Origin(moment=asked.restore_time)
    if recovery.period_days is not None:
        return Origin()
    newest = _newest(backups)
    if newest is None:
        raise PrerequisiteNotMetError(
            "point-in-time recovery is off and there is no finished backup: nothing to restore from"
        )
    return Origin(backup=newest)


def _named(backup_arn: str, backups: Sequence[Backup]) -> Backup:
    found = next((b for b in backups if b.backup_arn == backup_arn), None)
    if found is None:
        known = ", ".join(b.backup_arn for b in backups[-5:]) or "none"
        raise InvalidRequestError(
            f"parameters.backup_arn: {backup_arn!r} is not an on-demand backup of a table of this "
            f"name; the newest are: {known}"
        )
    if found.status != AVAILABLE:
        raise InvalidRequestError(
            f"parameters.backup_arn: {backup_arn} is {found.status}, not {AVAILABLE}; try again "
            "later or name another"
        )
    return found


def _check_moment(moment: datetime, recovery: Recovery) -> None:
    earliest, latest = recovery.earliest, recovery.latest
    if earliest is None or latest is None:
        raise InvalidRequestError(
            "parameters.restore_time: point-in-time recovery of this table is off; leave it out, "
            "or name a backup_arn"
        )
    if not earliest <= moment <= latest:
        raise InvalidRequestError(
            f"parameters.restore_time: {iso(moment)} is outside of what can be restored, "
            f"{iso(earliest)} to {iso(latest)}"
        )


def _newest(backups: Sequence[Backup]) -> Backup | None:
    finished = [b for b in backups if b.status == AVAILABLE]
    return finished[-1] if finished else None


def check_pointer(pointer: Parameter, table_name: str) -> Parameter:
    """The parameter, if it can be changed from the original to the restored table.

    Raises
    ------
    PrerequisiteNotMetError
        The pointer is a secret, or names another table.
    """
    if pointer.type != PLAIN:
        raise PrerequisiteNotMetError(
            f"parameter {pointer.name} is a {pointer.type}, a table's name must be a {PLAIN}"
        )
    if pointer.value != table_name:
        raise PrerequisiteNotMetError(
            f"parameter {pointer.name} names another table ({pointer.value}) than {table_name}; "
            "the application does not use what you want to replace, look before you cut over"
        )
    return pointer


def decide(situation: Situation) -> Plan:
    """Plan the restore, the settings, and the cut-over if it is asked for.

    With a cut-over only that can be taken back: the restored table may then hold items that are
    nowhere else, so no run deletes it.
    """
    source, pointer = situation.source, situation.pointer
    table_arn = f"{source.table_arn.rpartition('/')[0]}/{situation.new_name}"
    alone = pointer is None
    calls = [_restore_call(situation, table_arn, reversible=alone)]
    calls += settings_calls(
        table_arn,
        stream_view_type=source.stream_view_type,
        time_to_live=situation.time_to_live,
        recovery_period_days=situation.recovery.period_days,
        tags=situation.tags,
    )
    calls += situation.scaling
    if source.deletion_protected:
        calls.append(protect(table_arn, reversible=alone))
    if pointer is not None:
        place = place_of(source.table_arn)
        calls.append(put_parameter(pointer.name, place, source.table_name, situation.new_name))
    held = situation.content
    return Plan(
        decision=Decision.CHANGE,
        reason=_reason(situation),
        calls=calls,
        evidence={
            "key_schema": held.key_schema if held else source.key_schema,
            "indexes": held.indexes if held else source.indexes,
            "recorded_items": held.item_count if held else source.item_count,
            "original": source.table_name,
            "pointer_version": pointer.version if pointer else None,
        },
    )


def _restore_call(situation: Situation, table_arn: str, *, reversible: bool) -> PlannedCall:
    backup = situation.origin.backup
    if backup is not None:
        return restore_from_backup(table_arn, backup.backup_arn, reversible=reversible)
    return restore_to_point_in_time(
        table_arn, situation.source.table_arn, situation.origin.moment, reversible=reversible
    )


def _reason(situation: Situation) -> str:
    source, backup = situation.source, situation.origin.backup
    if backup is not None:
        what = f"from backup {backup.backup_name} of {iso(backup.created_at)}"
    elif situation.origin.moment is not None:
        what = f"as of {iso(situation.origin.moment)}"
    else:
        latest = situation.recovery.latest
        what = f"as of the latest restorable moment ({iso(latest)} by now)" if latest else ""
    told = [f"Restore table {source.table_name} {what} as {situation.new_name}."]
    held = situation.content
    lacking = sorted(set(source.indexes) - set(held.indexes)) if held else []
    if lacking:
        told.append(f"The backup lacks {', '.join(f'index {name}' for name in lacking)}.")
    if situation.pointer:
        told.append(f"Then make {situation.pointer.name} name it.")
    if situation.time_to_live:
        told.append("Items past their time to live will expire in it, as they would have.")
    told.append(_NOT_CARRIED_OVER)
    return " ".join(told)


# --- reading a plan ---


def restore_call(plan: Plan) -> PlannedCall | None:
    """The call that restores, or in an undo run the one that deletes; None if there is none."""
    return next((c for c in plan.calls if c.api in _RESTORES), None)


def pointer_call(plan: Plan) -> PlannedCall | None:
    """The call that changes the pointer, if there is one."""
    return next((c for c in plan.calls if c.api == PUT_PARAMETER), None)


def setting_calls(plan: Plan) -> list[PlannedCall]:
    """The calls between the restore and the cut-over."""
    return [c for c in plan.calls if c.api not in {*_RESTORES, PUT_PARAMETER}]


def table_of(call: PlannedCall) -> str:
    """Name of the table that a restoring or deleting call is about."""
    return str(call.after[TABLE_NAME] or call.before[TABLE_NAME])


# --- judging ---


def judge_restore(table: TableState | None, *, final: bool) -> Verification:
    """Whether DynamoDB is done with the restore.

    A restore that is not done in time is left alone: it cannot be deleted, and may still end well.
    """
    if table is None:
        verdict = Verdict.FAILED if final else Verdict.PENDING
        return Verification(verdict=verdict, reason="the restored table is not there")
    busy = [f"index {name} is not {ACTIVE}" for name in table.unfinished_indexes]
    if table.status != ACTIVE:
        busy.append(f"table {table.table_name} is {table.status}")
    elif table.restoring:
        busy.append(f"table {table.table_name} is being restored")
    if not busy:
        return Verification(verdict=Verdict.PASSED, reason=f"table {table.table_name} is {ACTIVE}")
    verdict = Verdict.INCONCLUSIVE if final else Verdict.PENDING
    return Verification(verdict=verdict, reason="; ".join(busy))


def judge_copy(plan: Plan, compared: Compared) -> Verification:
    """Whether the restored table is like what it was restored from, and holds data.

    No data where some was recorded, or none of the sampled items, is `inconclusive`: it may be what
    that backup or moment had. So is a missing setting, which a person can still make.
    """
    table, recorded = compared.table, int(plan.evidence["recorded_items"])
    indexes: dict[str, str] = plan.evidence["indexes"]
    alike = sum(table.indexes.get(name) == shape for name, shape in indexes.items())
    same_keys = table.key_schema == plan.evidence["key_schema"]
    same_indexes = alike == len(indexes) == len(table.indexes)
    wanted = len(setting_calls(plan))
    has_items = compared.items > 0 or recorded == 0
    has_samples = compared.found > 0 or compared.sampled == 0
    checks = [
        _check("key schema as recorded", same_keys, 1, same_keys),
        _check("indexes as recorded", alike, len(indexes), same_indexes),
        _check("settings as planned", compared.settings, wanted, compared.settings == wanted),
        _check("items", compared.items, min(recorded, 1), has_items),
        _check("sampled items found", compared.found, min(compared.sampled, 1), has_samples),
    ]
    counted = f"{'' if compared.counted_all else 'more than '}{compared.items:,} items"
    told = f"table {table.table_name} is {ACTIVE} with {counted} ({recorded:,} recorded)"
    if compared.sampled:
        told += f", {compared.found} of {compared.sampled} sampled ones among them"
    if not same_keys or not same_indexes:
        what = "keys" if not same_keys else "indexes"
        return Verification(
            verdict=Verdict.FAILED,
            reason=f"table {table.table_name} has other {what} than what it was restored from",
            checks=checks,
        )
    doubts = [check.name for check in checks if not check.passed]
    if doubts:
        return Verification(
            verdict=Verdict.INCONCLUSIVE,
            reason=f"{told}; look at it by hand: {', '.join(doubts)}",
            checks=checks,
        )
    return Verification(verdict=Verdict.PASSED, reason=told, checks=checks)


def _check(name: str, observed: float, threshold: float, passed: bool) -> Check:
    return Check(
        name=name, observed=float(observed), threshold=float(threshold), samples=1, passed=passed
    )


def with_pointer(
    verification: Verification, call: PlannedCall, now: Parameter, planned_version: int
) -> Verification:
    """The answer about the table, with that about the cut-over.

    Parameters
    ----------
    planned_version
        Version of the parameter when the plan was made: it tells whether anybody has changed it.
    """
    moved = now.value == call.after[now.name]
    check = _check("pointer names the restored table", moved, 1, moved)
    checks = [*verification.checks, check]
    told, verdict = verification.reason, verification.verdict
    restored = str(call.after[now.name])
    if moved:
        told += f"; parameter {now.name} names it"
    elif now.version == planned_version:
        told += f"; parameter {now.name} was not changed, so nothing uses it; {_drop(restored)}"
        verdict = Verdict.INCONCLUSIVE if verdict is Verdict.PASSED else verdict
    else:
        told += f"; somebody else changed parameter {now.name}, to {now.value}"
        verdict = Verdict.INCONCLUSIVE
    return Verification(verdict=verdict, reason=told, checks=checks)


def judge_undo(
    *, pointer_back: bool | None, deleted: bool | None, table_name: str, final: bool
) -> Verification:
    """Whether everything of the run is taken back.

    Parameters
    ----------
    pointer_back
        Whether the parameter names the original again; None if it was never changed.
    deleted
        Whether the restored table is gone; None if it stays.
    """
    if pointer_back is False or deleted is False:
        what = "the pointer" if pointer_back is False else f"table {table_name}"
        # What DynamoDB has begun to delete nobody can bring back.
        verdict = Verdict.INCONCLUSIVE if final else Verdict.PENDING
        return Verification(verdict=verdict, reason=f"{what} is not taken back yet")
    if deleted:
        return Verification(verdict=Verdict.PASSED, reason=f"table {table_name} is deleted")
    return Verification(
        verdict=Verdict.PASSED,
        reason=f"the pointer names the original again. Table {table_name} stays, because it may "
        f"hold items that are nowhere else; {_drop(table_name)}",
    )


def _drop(table_name: str) -> str:
    return f"once it is not needed: aws dynamodb delete-table --table-name {table_name}"


# --- undo ---


def unused(plan: Plan) -> list[PlannedCall]:
    """The calls that made a table nobody was moved to: it may go, whatever the plan is for."""
    made = [c for c in plan.calls if c.api in {*_RESTORES, REGISTER_SCALABLE_TARGET}]
    made += [c for c in plan.calls if PROTECTION in c.after]
    return [dataclasses.replace(c, reversible=True) for c in made]


def check_undo(
    plan: Plan, mode: Mode, pointer: Parameter | None, original: TableState | None
) -> None:
    """Refuse to delete a table that is needed, or unasked, and to point to one that is gone.

    Parameters
    ----------
    pointer
        The parameter that names the table to the application, if the table has one.
    original
        The table that was restored from; None if it is gone.

    Raises
    ------
    PrerequisiteNotMetError
        An undo would delete a table that is needed, or unasked, or point to one that is gone.
    """
    back = pointer_call(plan)
    if back is not None and original is None:
        raise PrerequisiteNotMetError(
            f"undo: {back.resource} would name a table that does not exist any more"
        )
    deletion = restore_call(plan)
    if deletion is None:
        return
    name = table_of(deletion)
    if original is None:
        raise PrerequisiteNotMetError(
            f"undo: the original is gone, {name} is the only copy; delete it by hand if it is not "
            "needed"
        )
    if pointer is not None and pointer.value == name:
        raise PrerequisiteNotMetError(
            f"undo: parameter {pointer.name} names {name}, the application uses it; not deleted"
        )
    if mode is Mode.ACT:
        raise PrerequisiteNotMetError(f"undo: deletes table {name}, which needs a yes; {ASK_FIRST}")
