"""Declaration of `export_dynamodb_table`: pure data, safe to import at synth."""

from datetime import datetime
from enum import StrEnum

from lambdas.remediation.contracts import Mode, Severity
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.runbook import Limits, Runbook, limit
from lambdas.remediation.targets import DynamoDbTable


class ExportFormat(StrEnum):
    """How DynamoDB writes the items."""

    DYNAMODB_JSON = "DYNAMODB_JSON"
    ION = "ION"


class ExportDynamoDbTableLimits(Limits):
    """Limits of this runbook. An export is paid by the size of the table."""

    # An export takes minutes at least, hours for a large table.
    poll_interval_seconds: int = limit(20, 1, 300, "first wait for the export to finish; grows")
    poll_attempts: int = limit(60, 1, 200, "looks at an export before the run lets go of it")
    # What is looked at does not need traffic: it is there, or it is not.
    verify_interval_seconds: int = limit(10, 1, 600, "wait between two verifications")
    verify_attempts: int = limit(6, 1, 120, "verifications before the answer is final")
    hold_checks: int = limit(0, 0, 48, "looks at a finished export; it cannot turn bad again")
    mitigation_lease_seconds: int = limit(
        2_592_000, 60, 2_592_000, "when a person is reminded of the undo; an export may well stay"
    )


class ExportDynamoDbTableParameters(Frozen):
    """What a person may set.

    Parameters
    ----------
    export_time
        ISO 8601: the moment that the export shows the table at, within the recovery window of the
        table. The newest that the window has if left out.
    format
        `DYNAMODB_JSON` (default) or `ION`.
    """

    export_time: datetime | None = None
    format: ExportFormat | None = None


RUNBOOK = Runbook(
    name="export_dynamodb_table",
    title="DynamoDB export",
    category="Data management",
    severity=Severity.P2,
    target=DynamoDbTable(),
    parameters=ExportDynamoDbTableParameters,
    example={"format": "DYNAMODB_JSON"},
    limits=ExportDynamoDbTableLimits(),
    mode=Mode.ACT,
    schedulable=True,
    harmless=True,
    keep_when_ineffective=False,
    source="Operations Runbook, Data Management, Export DynamoDB Data",
    deviations=(
        "Point-in-time recovery must be on, which the procedure takes for granted; it is never "
        "switched on here, because it costs by the month.",
        "The bucket is the table's `export_bucket` of platform.json, not one that is typed: it "
        "must be of this account, encrypted by default and closed to the public.",
        "Each run has a prefix of its own, with the table, the time and a digest of the run: a "
        "prefix of the date alone mixes the exports of a day.",
        "Nothing is copied to anybody's laptop (`s3 sync`): production data stays in its bucket.",
        '"Completes successfully" is not enough: the items that the manifest sums up must be as '
        "many as DynamoDB counted, and every data file must be there.",
        "The table is not changed, so undo concerns the export alone: it deletes the objects below "
        "the prefix of that run. In a versioned bucket their versions stay for its lifecycle "
        "rules. A failed export is cleared away in the same manner.",
        "DynamoDB cannot stop an export. One that is still running at the last look goes on: the "
        "run ends `ineffective`, says so, and can be undone once the export is finished.",
    ),
)
