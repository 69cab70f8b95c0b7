"""Declaration of `restore_dynamodb_table`: pure data, safe to import at synth."""

from datetime import datetime

from lambdas.remediation.contracts import Mode, Severity
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.runbook import Limits, Runbook, limit
from lambdas.remediation.targets import DynamoDbTable


class RestoreDynamoDbTableLimits(Limits):
    """Limits of this runbook. A restore takes minutes to hours."""

    poll_interval_seconds: int = limit(180, 1, 300, "first wait for the restore; grows")
    poll_attempts: int = limit(42, 1, 200, "looks at the restore before it is left to a person")
    # What is looked at does not need traffic; an undo waits for DynamoDB to delete the table.
    verify_interval_seconds: int = limit(30, 1, 600, "wait between two verifications")
    hold_checks: int = limit(0, 0, 48, "looks at a restored table; it cannot turn bad again")
    mitigation_lease_seconds: int = limit(
        604_800, 60, 2_592_000, "when a person is reminded of the restored table, which costs money"
    )
    max_count_pages: int = limit(10, 1, 100, "megabytes of the restored table that are counted")
    sampled_items: int = limit(
        10, 0, 100, "items of the original whose keys are looked for in the restored table"
    )


class RestoreDynamoDbTableParameters(Frozen):
    """What a person may set.

    Parameters
    ----------
    backup_arn
        Backup of a table of this name to restore.
    restore_time
        Moment to restore, within what point-in-time recovery holds; ISO 8601. Without it and
        `backup_arn`: the latest moment if point-in-time recovery is on, else the newest backup.
    cut_over
        `true` makes the table's `pointer_parameter` name the restored table, once that is proven.
        Only after a yes.
    """

    backup_arn: str | None = None
    restore_time: datetime | None = None
    cut_over: bool | None = None


RUNBOOK = Runbook(
    name="restore_dynamodb_table",
    title="Restore of a DynamoDB table",
    category="Backup and recovery",
    severity=Severity.P1,
    target=DynamoDbTable(),
    parameters=RestoreDynamoDbTableParameters,
    example={"cut_over": False},
    limits=RestoreDynamoDbTableLimits(),
    mode=Mode.PROPOSE,
    source="Operations Runbook, Backup and Recovery, Restore DynamoDB from Backup",
    deviations=(
        "A moment of point-in-time recovery can be restored too: it is usually nearer to the "
        "accident than the last backup.",
        "Tags, time to live, stream, point-in-time recovery, auto scaling and deletion protection "
        "of the original are set on the new table: DynamoDB restores none of them.",
        "A resource policy, Kinesis streaming, Contributor Insights, alarms, triggers of the "
        "stream and replicas are not carried over; the plan says so.",
        "Restored is not in use: a table cannot be renamed. The SSM parameter that names the table "
        "to the application is changed, if that is asked for, approved, and the data is proven.",
        "Instead of a look at ten items, keys and indexes are compared, items are counted and some "
        "keys of the original are looked for. The number is compared with zero only: the recorded "
        "one is up to six hours old, and that the two tables differ may be why one is restored.",
        "Undo before a cut-over deletes the restored table, after a yes. Undo of a cut-over moves "
        "the parameter back and leaves the restored table: what was written since is nowhere else.",
    ),
)
