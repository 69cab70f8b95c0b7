"""Declaration of `back_up_dynamodb_table`: pure data, safe to import at synth."""

from lambdas.remediation.contracts import Mode, Severity
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.runbook import Limits, Runbook, limit
from lambdas.remediation.targets import DynamoDbTable


class BackUpDynamoDbTableLimits(Limits):
    """Limits of this runbook. They bound which of its own earlier backups a run may delete."""

    # A backup changes nothing in the table: it may be repeated soon, and before other runbooks.
    max_changes_per_hour: int = limit(4, 1, 20, "backups of one table in a clock hour")
    cool_down_seconds: int = limit(60, 0, 86_400, "pause on a table after a backup")
    # What is looked at does not need traffic: it is there, or not yet.
    verify_interval_seconds: int = limit(10, 1, 600, "wait between two verifications")
    verify_attempts: int = limit(6, 1, 120, "verifications before the answer is final")
    hold_checks: int = limit(0, 0, 48, "looks at a finished backup; it cannot turn bad again")
    mitigation_lease_seconds: int = limit(
        2_592_000, 60, 2_592_000, "when a person is reminded of the undo; a backup may well stay"
    )
    retention_days: int = limit(35, 1, 3_650, "age from which a backup of this runbook expires")
    minimum_kept: int = limit(
        1, 1, 100, "newest earlier backups that stay, however old; the new one does not count"
    )
    max_pruned_per_run: int = limit(10, 0, 25, "expired backups that one run deletes")


class BackUpDynamoDbTableParameters(Frozen):
    """What a person may set.

    Parameters
    ----------
    prune
        `false` keeps expired backups this time: deleting them is the one thing here that cannot be
        undone. There is none that deletes more than the limits say.
    """

    prune: bool | None = None


RUNBOOK = Runbook(
    name="back_up_dynamodb_table",
    title="DynamoDB backup",
    category="Backup and recovery",
    severity=Severity.P2,
    target=DynamoDbTable(),
    parameters=BackUpDynamoDbTableParameters,
    example={"prune": False},
    limits=BackUpDynamoDbTableLimits(),
    mode=Mode.ACT,
    schedulable=True,
    harmless=True,
    keep_when_ineffective=False,
    source="Operations Runbook, Backup and Recovery, Create DynamoDB Backup",
    deviations=(
        "The name holds the table, the time and a digest of the run, and is looked for first: "
        "DynamoDB gives the same name twice, so a call whose answer was lost would be repeated.",
        "The run waits until the backup is AVAILABLE, instead of leaving that to a person.",
        '"Backup size matches table size" is not checked: both numbers are estimates, refreshed '
        "about every six hours. The backup must be of this very table (`TableId`) and hold its "
        "indexes.",
        "Expired backups of this runbook are deleted, after the new one is proven: on-demand "
        "backups never expire by themselves. Those of people, of AWS Backup and of an earlier "
        "table of the same name are never touched.",
        "Scaling settings, TTL, tags, alarms, resource policies and the point-in-time setting are "
        "not part of a DynamoDB backup, so neither are they of this one.",
    ),
)
