"""Tables that are restored under a new name, and the settings that DynamoDB does not restore."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

from botocore.exceptions import ClientError

from lambdas.remediation.contracts import PlannedCall, iso, parse_time
from lambdas.remediation.errors import ChangeFailedError, ResourceBusyError, TargetNotFoundError
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.resources.client_errors import changing, reading

RESTORE_FROM_BACKUP = "dynamodb:RestoreTableFromBackup"
RESTORE_TO_POINT_IN_TIME = "dynamodb:RestoreTableToPointInTime"
TAG = "dynamodb:TagResource"
UPDATE_TIME_TO_LIVE = "dynamodb:UpdateTimeToLive"
UPDATE_CONTINUOUS_BACKUPS = "dynamodb:UpdateContinuousBackups"
UPDATE_TABLE = "dynamodb:UpdateTable"
ACTIVE = "ACTIVE"
DELETING = "DELETING"
# Keys of planned calls. A table that is not there has none of these settings: each is what a table
# fresh from a restore has, so that `before` holds before and after the restore.
TABLE_NAME = "TableName"
TIME_TO_LIVE = "TimeToLiveAttribute"
RECOVERY_PERIOD = "RecoveryPeriodInDays"
STREAM = "StreamViewType"
PROTECTION = "DeletionProtectionEnabled"
_TAG_KEY = "tag/"
# Amazon DynamoDB API Reference, PointInTimeRecoverySpecification: the default.
_DEFAULT_RECOVERY_DAYS = 35
_NOT_YET = "ContinuousBackupsUnavailableException"
_MAX_NAME = 255
_DIGEST = 12
_INFIX = "-restored-"


class TableState(Frozen):
    """A table as DescribeTable tells it.

    Parameters
    ----------
    key_schema
        As text: attributes with their role, `id HASH, day RANGE`.
    indexes
        Name to key schema and projection, as text; local and global ones.
    unfinished_indexes
        Global ones that are not ACTIVE.
    restoring
        Whether a restore into it is under way.
    item_count
        As of about six hours ago.
    """

    table_name: str
    table_arn: str
    status: str = ACTIVE
    key_schema: str
    key_names: tuple[str, ...]
    indexes: dict[str, str]
    unfinished_indexes: tuple[str, ...] = ()
    restoring: bool = False
    item_count: int = 0
    stream_view_type: str | None = None
    deletion_protected: bool = False


class BackupContent(Frozen):
    """What a backup holds; `item_count` was up to six hours old then."""

    key_schema: str
    indexes: dict[str, str]
    item_count: int


class Recovery(Frozen):
    """Point-in-time recovery of a table; `period_days` is None if it is off."""

    period_days: int | None = None
    earliest: datetime | None = None
    latest: datetime | None = None


def restored_name(table_name: str, run_id: str) -> str:
    """Name of the restored table of a run: always the same for it, and no other run's."""
    digest = hashlib.sha256(run_id.encode()).hexdigest()[:_DIGEST]
    return f"{beginning(table_name)}{digest}"


def beginning(table_name: str) -> str:
    """Beginning of the names of restored tables; a long table name is cut."""
    return f"{table_name[: _MAX_NAME - len(_INFIX) - _DIGEST]}{_INFIX}"


def restore_from_backup(table_arn: str, backup_arn: str, *, reversible: bool) -> PlannedCall:
    """The call that makes a table from a backup; its inverse deletes that table."""
    return _restore(
        RESTORE_FROM_BACKUP, table_arn, {"BackupArn": backup_arn}, reversible=reversible
    )


def restore_to_point_in_time(
    table_arn: str, source_arn: str, moment: datetime | None, *, reversible: bool
) -> PlannedCall:
    """The call that makes a table from another one's past; its inverse deletes the new table.

    Parameters
    ----------
    moment
        None for the latest that is restorable when the call is made.
    """
    when = {"UseLatestRestorableTime": True} if moment is None else {"RestoreDateTime": iso(moment)}
    return _restore(
        RESTORE_TO_POINT_IN_TIME,
        table_arn,
        {"SourceTableArn": source_arn, **when},
        reversible=reversible,
    )


def _restore(
    api: str, table_arn: str, arguments: dict[str, Any], *, reversible: bool
) -> PlannedCall:
    name = _name(table_arn)
    return PlannedCall(
        api=api,
        resource=table_arn,
        arguments={"TargetTableName": name, **arguments},
        before={TABLE_NAME: None},
        after={TABLE_NAME: name},
        reversible=reversible,
    )


def settings_calls(
    table_arn: str,
    *,
    stream_view_type: str | None,
    time_to_live: str | None,
    recovery_period_days: int | None,
    tags: Mapping[str, str],
) -> list[PlannedCall]:
    """The calls that give a restored table the settings of the original; they go with the table."""
    calls = []
    if stream_view_type:
        calls.append(_setting(UPDATE_TABLE, table_arn, {STREAM: stream_view_type}))
    if time_to_live:
        calls.append(_setting(UPDATE_TIME_TO_LIVE, table_arn, {TIME_TO_LIVE: time_to_live}))
    if recovery_period_days:
        wanted = {RECOVERY_PERIOD: recovery_period_days}
        calls.append(_setting(UPDATE_CONTINUOUS_BACKUPS, table_arn, wanted))
    if tags:
        calls.append(_setting(TAG, table_arn, {f"{_TAG_KEY}{k}": v for k, v in tags.items()}))
    return calls


def protect(table_arn: str, *, reversible: bool) -> PlannedCall:
    """The call that protects a table from deletion; its inverse must go before the deletion."""
    return PlannedCall(
        api=UPDATE_TABLE,
        resource=table_arn,
        arguments={TABLE_NAME: _name(table_arn)},
        before={PROTECTION: False},
        after={PROTECTION: True},
        reversible=reversible,
    )


def _setting(api: str, table_arn: str, after: dict[str, Any]) -> PlannedCall:
    return PlannedCall(
        api=api,
        resource=table_arn,
        arguments={TABLE_NAME: _name(table_arn)},
        before=dict.fromkeys(after),
        after=after,
        reversible=False,
    )


class RestoredTables:
    """Restores tables under a new name, sets what a restore leaves out, and compares.

    Parameters
    ----------
    client
        boto3 client of DynamoDB.
    """

    service: ClassVar[str] = "dynamodb"
    apis: ClassVar[tuple[str, ...]] = (
        RESTORE_FROM_BACKUP,
        RESTORE_TO_POINT_IN_TIME,
        TAG,
        UPDATE_TIME_TO_LIVE,
        UPDATE_CONTINUOUS_BACKUPS,
        UPDATE_TABLE,
    )

    def __init__(self, client: Any) -> None:
        self._client = client

    # --- reading ---

    def describe(self, table_name: str) -> TableState | None:
        """Describe a table; None if there is none, or if it is being deleted."""
        try:
            with reading(f"table {table_name}"):
                found = self._client.describe_table(TableName=table_name)["Table"]
        except TargetNotFoundError:
            return None
        if found["TableStatus"] == DELETING:
            return None
        global_indexes = found.get("GlobalSecondaryIndexes", ())
        stream = found.get("StreamSpecification") or {}
        return TableState(
            table_name=found["TableName"],
            table_arn=found["TableArn"],
            status=found["TableStatus"],
            key_schema=_keys(found["KeySchema"]),
            key_names=tuple(k["AttributeName"] for k in found["KeySchema"]),
            indexes=_indexes(global_indexes, found.get("LocalSecondaryIndexes", ())),
            unfinished_indexes=tuple(
                i["IndexName"] for i in global_indexes if i.get("IndexStatus", ACTIVE) != ACTIVE
            ),
            restoring=bool(found.get("RestoreSummary", {}).get("RestoreInProgress")),
            item_count=found.get("ItemCount", 0),
            stream_view_type=stream.get("StreamViewType") if stream.get("StreamEnabled") else None,
            deletion_protected=bool(found.get(PROTECTION)),
        )

    def exists(self, table_name: str) -> bool:
        """Whether the name is taken, by a table that is being deleted too."""
        try:
            with reading(f"table {table_name}"):
                self._client.describe_table(TableName=table_name)
        except TargetNotFoundError:
            return False
        return True

    def content(self, backup_arn: str) -> BackupContent:
        """What a backup holds.

        Raises
        ------
        TargetNotFoundError
            There is no such backup.
        """
        with reading(f"backup {backup_arn}"):
            found = self._client.describe_backup(BackupArn=backup_arn)["BackupDescription"]
        table, features = found["SourceTableDetails"], found.get("SourceTableFeatureDetails", {})
        return BackupContent(
            key_schema=_keys(table["KeySchema"]),
            indexes=_indexes(
                features.get("GlobalSecondaryIndexes", ()),
                features.get("LocalSecondaryIndexes", ()),
            ),
            item_count=table.get("ItemCount", 0),
        )

    def recovery(self, table_name: str) -> Recovery:
        """Point-in-time recovery of a table."""
        with reading(f"continuous backups of table {table_name}"):
            found = self._client.describe_continuous_backups(TableName=table_name)
        point = found["ContinuousBackupsDescription"].get("PointInTimeRecoveryDescription", {})
        if point.get("PointInTimeRecoveryStatus") != "ENABLED":
            return Recovery()
        return Recovery(
            period_days=point.get(RECOVERY_PERIOD, _DEFAULT_RECOVERY_DAYS),
            earliest=point["EarliestRestorableDateTime"].astimezone(UTC),
            latest=point["LatestRestorableDateTime"].astimezone(UTC),
        )

    def time_to_live(self, table_name: str) -> str | None:
        """Attribute by which items expire, None if none do."""
        with reading(f"time to live of table {table_name}"):
            found = self._client.describe_time_to_live(TableName=table_name)
        setting = found["TimeToLiveDescription"]
        on = setting.get("TimeToLiveStatus") in ("ENABLED", "ENABLING")
        return setting.get("AttributeName") if on else None

    def tags(self, table_arn: str) -> dict[str, str]:
        """Tags of a table, without those that only AWS sets."""
        pages = self._client.get_paginator("list_tags_of_resource").paginate(ResourceArn=table_arn)
        with reading(f"tags of {table_arn}"):
            found = [tag for page in pages for tag in page["Tags"]]
        return {t["Key"]: t["Value"] for t in found if not t["Key"].startswith("aws:")}

    def count(self, table_name: str, max_pages: int) -> tuple[int, bool]:
        """Items of a table, and whether all were counted.

        Parameters
        ----------
        max_pages
            Pages of 1 MB to read at most.
        """
        pages = self._client.get_paginator("scan").paginate(TableName=table_name, Select="COUNT")
        items = 0
        with reading(f"items of table {table_name}"):
            for number, page in enumerate(pages, start=1):
                items += page["Count"]
                if number == max_pages:
                    return items, "LastEvaluatedKey" not in page
        return items, True

    def sample(self, source: str, copy: str, keys: Sequence[str], number: int) -> tuple[int, int]:
        """How many of some items of one table are in another, and how many were looked for.

        Only keys are read, and nobody is shown them.
        """
        if number == 0:
            return 0, 0
        names = {f"#k{i}": key for i, key in enumerate(keys)}
        with reading(f"items of table {source}"):
            some = self._client.scan(
                TableName=source,
                Limit=number,
                ProjectionExpression=", ".join(names),
                ExpressionAttributeNames=names,
            )["Items"]
        with reading(f"items of table {copy}"):
            found = [
                "Item"
                in self._client.get_item(
                    TableName=copy,
                    Key=key,
                    ConsistentRead=True,
                    ProjectionExpression=", ".join(names),
                    ExpressionAttributeNames=names,
                )
                for key in some
            ]
        return sum(found), len(some)

    # --- changing ---

    def present(self, call: PlannedCall) -> dict[str, Any]:
        """Present values of the call's keys."""
        table = self.describe(_name(call.resource))
        found: dict[str, Any] = {TABLE_NAME: table and table.table_name, PROTECTION: False}
        if table is not None:
            found |= self._settings(call, table)
        return {key: found.get(key) for key in call.after}

    def _settings(self, call: PlannedCall, table: TableState) -> dict[str, Any]:
        if call.api == UPDATE_TABLE:
            return {STREAM: table.stream_view_type, PROTECTION: table.deletion_protected}
        if call.api == UPDATE_TIME_TO_LIVE:
            return {TIME_TO_LIVE: self.time_to_live(table.table_name)}
        if call.api == UPDATE_CONTINUOUS_BACKUPS:
            return {RECOVERY_PERIOD: self.recovery(table.table_name).period_days}
        if call.api == TAG:
            return {f"{_TAG_KEY}{k}": v for k, v in self.tags(table.table_arn).items()}
        return {}

    def apply(self, call: PlannedCall) -> None:
        """Make the call, so that the present values become `call.after`.

        Raises
        ------
        ResourceBusyError
            The step may be repeated: the table is still being completed.
        ChangeFailedError
            DynamoDB does not accept the change, or a deleted table would have to come back.
        """
        operation, arguments = self._request(call)
        with changing(call, self.present):
            try:
                getattr(self._client, operation)(**arguments)
            except ClientError as error:
                if error.response["Error"]["Code"] != _NOT_YET:
                    raise
                # For some minutes after a table was made.
                raise ResourceBusyError(f"{call.resource}: backups are being enabled") from error

    def _request(self, call: PlannedCall) -> tuple[str, dict[str, Any]]:
        name, after = _name(call.resource), call.after
        if TABLE_NAME in after:
            return _restore_request(call, name)
        if call.api == UPDATE_TIME_TO_LIVE:
            setting = {"Enabled": True, "AttributeName": after[TIME_TO_LIVE]}
            return "update_time_to_live", {TABLE_NAME: name, "TimeToLiveSpecification": setting}
        if call.api == UPDATE_CONTINUOUS_BACKUPS:
            recovery = {
                "PointInTimeRecoveryEnabled": True,
                RECOVERY_PERIOD: after[RECOVERY_PERIOD],
            }
            return "update_continuous_backups", {
                TABLE_NAME: name,
                "PointInTimeRecoverySpecification": recovery,
            }
        if call.api == TAG:
            tags = [{"Key": k.removeprefix(_TAG_KEY), "Value": v} for k, v in after.items()]
            return "tag_resource", {"ResourceArn": call.resource, "Tags": tags}
        if STREAM in after:
            stream = {"StreamEnabled": True, STREAM: after[STREAM]}
            return "update_table", {TABLE_NAME: name, "StreamSpecification": stream}
        return "update_table", {TABLE_NAME: name, PROTECTION: after[PROTECTION]}


def _restore_request(call: PlannedCall, name: str) -> tuple[str, dict[str, Any]]:
    if call.after[TABLE_NAME] is None:
        return "delete_table", {TABLE_NAME: name}
    arguments = dict(call.arguments)
    if not arguments:
        raise ChangeFailedError(f"{call.resource}: a deleted table cannot be brought back")
    if call.api == RESTORE_FROM_BACKUP:
        return "restore_table_from_backup", arguments
    if "RestoreDateTime" in arguments:
        arguments["RestoreDateTime"] = parse_time(arguments["RestoreDateTime"])
    return "restore_table_to_point_in_time", arguments


def _name(table_arn: str) -> str:
    return table_arn.rpartition("/")[2]


def _keys(schema: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(f"{k['AttributeName']} {k['KeyType']}" for k in schema)


def _indexes(*groups: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    found = {}
    for index in (index for group in groups for index in group):
        projection = index.get("Projection", {})
        held = [
            projection.get("ProjectionType", "ALL"),
            *sorted(projection.get("NonKeyAttributes", ())),
        ]
        found[index["IndexName"]] = f"{_keys(index['KeySchema'])}: {' '.join(held)}"
    return found
