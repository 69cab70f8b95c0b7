"""On-demand backups of DynamoDB tables."""

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

from lambdas.remediation.contracts import PlannedCall
from lambdas.remediation.errors import (
    ChangeFailedError,
    PrerequisiteNotMetError,
    TargetNotFoundError,
)
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.resources.client_errors import changing, reading

CREATE_BACKUP = "dynamodb:CreateBackup"
DELETE_BACKUP = "dynamodb:DeleteBackup"
# The one key of a planned call: a name where there is a backup, None where there is none.
BACKUP_NAME = "BackupName"
AVAILABLE = "AVAILABLE"
CREATING = "CREATING"
DELETED = "DELETED"
ACTIVE = "ACTIVE"
# Amazon DynamoDB API Reference, CreateBackup: BackupName.
_VALID_NAME = re.compile(r"[a-zA-Z0-9_.-]{3,255}")
_MAX_NAME = 255
_STAMP = "%Y%m%dT%H%M%SZ"
_ENDING = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{12}")
_ENDING_LENGTH = 29


class BackupSource(Frozen):
    """A table as far as a backup of it can be compared with it.

    Parameters
    ----------
    table_id
        Tells this table from an earlier or later one of the same name.
    index_names
        Its local indexes, and those global ones that are complete.
    """

    table_name: str
    table_arn: str
    table_id: str
    status: str
    index_names: tuple[str, ...] = ()


class Backup(Frozen):
    """A backup as ListBackups tells it; `table_id` is of the table it was made from."""

    backup_arn: str
    backup_name: str
    status: str
    created_at: datetime
    table_id: str | None = None


class BackupDescription(Frozen):
    """A backup as DescribeBackup tells it, with the table and the indexes that are in it."""

    backup_arn: str
    backup_name: str
    status: str
    table_id: str | None = None
    index_names: tuple[str, ...] = ()


def is_backup_name(name: str) -> bool:
    """Whether DynamoDB accepts a name for a backup."""
    return _VALID_NAME.fullmatch(name) is not None


def backup_name(prefix: str, table_name: str, run_id: str, started_at: datetime) -> str:
    """Name of the backup of a run: always the same for the same run, and no other run's.

    Raises
    ------
    PrerequisiteNotMetError
        The prefix has characters that DynamoDB does not take.
    """
    digest = hashlib.sha256(run_id.encode()).hexdigest()[:12]
    name = f"{_beginning(prefix, table_name)}{started_at.astimezone(UTC):{_STAMP}}-{digest}"
    if not is_backup_name(name):
        raise PrerequisiteNotMetError(
            f"{name!r} cannot be the name of a backup: DynamoDB takes 3 to 255 letters, digits, "
            "`_`, `.` and `-`; change the prefix in cdk.json"
        )
    return name


def is_own_name(name: str, prefix: str, table_name: str) -> bool:
    """Whether a backup of a table has a name that one of our runs gave it."""
    beginning = _beginning(prefix, table_name)
    return name.startswith(beginning) and bool(_ENDING.fullmatch(name.removeprefix(beginning)))


def _beginning(prefix: str, table_name: str) -> str:
    # Backups are listed by table, so a long table name may be cut.
    room = _MAX_NAME - _ENDING_LENGTH - 1
    return f"{prefix}-{table_name}"[:room] + "-"


def create_backup(table_name: str, table_arn: str, backup_name: str) -> PlannedCall:
    """The call that makes a backup; its inverse deletes every backup of that name."""
    return PlannedCall(
        api=CREATE_BACKUP,
        resource=table_arn,
        arguments={"TableName": table_name, "BackupName": backup_name},
        before={BACKUP_NAME: None},
        after={BACKUP_NAME: backup_name},
    )


def delete_backup(backup: Backup) -> PlannedCall:
    """The call that deletes a backup, for good."""
    return PlannedCall(
        api=DELETE_BACKUP,
        resource=backup.backup_arn,
        arguments={"BackupArn": backup.backup_arn},
        before={BACKUP_NAME: backup.backup_name},
        after={BACKUP_NAME: None},
        reversible=False,
    )


class DynamoDbBackups:
    """Reads, makes and deletes on-demand backups.

    A backup that a run makes is found again by its name, which only that run uses: its ARN is not
    known before the call, nor after one that got no answer.

    Parameters
    ----------
    client
        boto3 client of DynamoDB.
    """

    service: ClassVar[str] = "dynamodb"
    apis: ClassVar[tuple[str, ...]] = (CREATE_BACKUP, DELETE_BACKUP)

    def __init__(self, client: Any) -> None:
        self._client = client

    def source(self, table_name: str) -> BackupSource:
        """Describe the table to back up.

        Raises
        ------
        TargetNotFoundError
            There is no such table.
        """
        with reading(f"table {table_name}"):
            found = self._client.describe_table(TableName=table_name)["Table"]
        complete = [
            index
            for index in found.get("GlobalSecondaryIndexes", ())
            if index.get("IndexStatus", ACTIVE) in (ACTIVE, "UPDATING")
        ]
        return BackupSource(
            table_name=found["TableName"],
            table_arn=found["TableArn"],
            table_id=found["TableId"],
            status=found["TableStatus"],
            index_names=_names(found.get("LocalSecondaryIndexes", ()), complete),
        )

    def of_table(self, table_name: str) -> tuple[Backup, ...]:
        """Backups that were made of tables of this name, oldest first, deleted ones left out.

        Those of an earlier table of the same name are among them.
        """
        pages = self._client.get_paginator("list_backups").paginate(
            TableName=table_name, BackupType="USER"
        )
        with reading(f"backups of table {table_name}"):
            found = [_backup(s) for page in pages for s in page.get("BackupSummaries", ())]
        present = [backup for backup in found if backup.status != DELETED]
        return tuple(sorted(present, key=lambda b: (b.created_at, b.backup_arn)))

    def describe(self, backup_arn: str) -> BackupDescription | None:
        """Describe a backup; None if it does not exist (any more)."""
        try:
            with reading(f"backup {backup_arn}"):
                found = self._client.describe_backup(BackupArn=backup_arn)["BackupDescription"]
        except TargetNotFoundError:
            return None
        details = found["BackupDetails"]
        if details["BackupStatus"] == DELETED:
            return None
        features = found.get("SourceTableFeatureDetails", {})
        return BackupDescription(
            backup_arn=details["BackupArn"],
            backup_name=details["BackupName"],
            status=details["BackupStatus"],
            table_id=found.get("SourceTableDetails", {}).get("TableId"),
            index_names=_names(
                features.get("LocalSecondaryIndexes", ()),
                features.get("GlobalSecondaryIndexes", ()),
            ),
        )

    def made_by(self, call: PlannedCall) -> tuple[Backup, ...]:
        """Backups that a CreateBackup call, or its inverse, is about; oldest first.

        More than one only if DynamoDB hid the first from a retry: names are not unique.
        """
        name = _backup_name(call)
        return tuple(b for b in self.of_table(_table_name(call)) if b.backup_name == name)

    def present(self, call: PlannedCall) -> dict[str, Any]:
        """The name of the call's backup, or None if there is none."""
        if call.api == DELETE_BACKUP:
            found = self.describe(call.resource)
            return {BACKUP_NAME: found and found.backup_name}
        return {BACKUP_NAME: _backup_name(call) if self.made_by(call) else None}

    def apply(self, call: PlannedCall) -> None:
        """Make or delete the call's backup, so that the present value becomes `call.after`.

        Raises
        ------
        ChangeFailedError
            DynamoDB would not take the name, or does not accept the change.
        """
        if call.after[BACKUP_NAME] is None:
            self._delete(call)
        else:
            self._create(call)

    def _create(self, call: PlannedCall) -> None:
        name = call.after[BACKUP_NAME]
        if not call.arguments:
            # Taking a deletion back: another backup of that name would hold other data.
            raise ChangeFailedError(f"{call.resource}: a deleted backup cannot be brought back")
        if not is_backup_name(name):
            raise ChangeFailedError(f"{call.resource}: {name!r} cannot be the name of a backup")
        with changing(call, self.present):
            self._client.create_backup(TableName=_table_name(call), BackupName=name)

    def _delete(self, call: PlannedCall) -> None:
        if call.api == DELETE_BACKUP:
            backup_arns = [call.resource]
        else:
            backup_arns = [b.backup_arn for b in self.made_by(call)]
        for backup_arn in backup_arns:
            with changing(call, self.present):
                self._client.delete_backup(BackupArn=backup_arn)


def _table_name(call: PlannedCall) -> str:
    return call.resource.rpartition("/")[2]


def _backup_name(call: PlannedCall) -> str:
    # An inverse has no arguments, and its name in `before`.
    return str(call.before[BACKUP_NAME] or call.after[BACKUP_NAME])


def _backup(found: Mapping[str, Any]) -> Backup:
    return Backup(
        backup_arn=found["BackupArn"],
        backup_name=found["BackupName"],
        status=found["BackupStatus"],
        created_at=found["BackupCreationDateTime"].astimezone(UTC),
        table_id=found.get("TableId"),
    )


def _names(*indexes: Any) -> tuple[str, ...]:
    return tuple(sorted(index["IndexName"] for group in indexes for index in group))
