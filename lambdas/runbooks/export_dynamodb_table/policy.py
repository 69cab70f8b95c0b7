"""Decisions of `export_dynamodb_table`: pure functions, no AWS call, no clock, no environment."""

from collections.abc import Collection
from datetime import datetime

from lambdas.remediation.contracts import (
    Check,
    Decision,
    Plan,
    PlannedCall,
    Verdict,
    Verification,
    iso,
)
from lambdas.remediation.errors import InvalidRequestError, PrerequisiteNotMetError
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.resources.dynamodb_export import (
    COMPLETED,
    IN_PROGRESS,
    Export,
    RecoveryWindow,
    export_table,
)
from lambdas.remediation.resources.export_objects import ExportBucket, Manifest
from lambdas.runbooks.export_dynamodb_table.runbook import ExportFormat

# What DynamoDB calls the default encryption of a bucket.
_ALGORITHMS = {"AES256": "AES256", "aws:kms": "KMS"}


class Situation(Frozen):
    """Everything the plan rests on.

    Parameters
    ----------
    location
        `s3://<bucket>/<prefix>`: where this run's export goes.
    account
        Owner of the bucket.
    export_time
        What a person asked for; None for the newest.
    """

    table_name: str
    table_arn: str
    account: str
    run_id: str
    location: str
    bucket: ExportBucket
    window: RecoveryWindow
    export_time: datetime | None = None
    format: ExportFormat = ExportFormat.DYNAMODB_JSON


def bucket_name(table_name: str, configured: str | None) -> str:
    """The bucket that the platform file names.

    Raises
    ------
    PrerequisiteNotMetError
        The platform file names no bucket for the table.
    """
    if configured is None:
        raise PrerequisiteNotMetError(
            f"table {table_name} has no export_bucket; add it to the table in platform.json and "
            "deploy: it is also what the roles may write to"
        )
    return configured


def decide(situation: Situation) -> Plan:
    """Plan one export.

    Raises
    ------
    InvalidRequestError
        The time is out of the recovery window.
    PrerequisiteNotMetError
        Point-in-time recovery is off, or the bucket is not safe.
    """
    export_time = _export_time(situation)
    call = export_table(
        table_arn=situation.table_arn,
        location=situation.location,
        bucket_owner=situation.account,
        encryption=_encryption(situation.bucket),
        export_time=iso(export_time),
        export_format=situation.format.value,
        run_id=situation.run_id,
    )
    return Plan(
        decision=Decision.CHANGE,
        reason=(
            f"Export table {situation.table_name} as of {iso(export_time)} to "
            f"{situation.location}; the table is not changed."
        ),
        calls=[call],
        evidence={"encryption": situation.bucket.encryption},
    )


def _export_time(situation: Situation) -> datetime:
    name, window = situation.table_name, situation.window
    if not window.enabled or window.earliest is None or window.latest is None:
        raise PrerequisiteNotMetError(
            f"table {name} has no point-in-time recovery, which an export reads from; switch it "
            f"on: aws dynamodb update-continuous-backups --table-name {name} "
            "--point-in-time-recovery-specification PointInTimeRecoveryEnabled=true"
        )
    wanted = situation.export_time
    if wanted is not None and not window.earliest <= wanted <= window.latest:
        raise InvalidRequestError(
            f"parameters.export_time: {iso(wanted)} is outside the recovery window of {name}, "
            f"{iso(window.earliest)} to {iso(window.latest)}; type a time in it, or leave it out "
            "for the newest"
        )
    return wanted or window.latest


def _encryption(bucket: ExportBucket) -> dict[str, str]:
    """Arguments that keep the export encrypted as its bucket is."""
    if bucket.open_to_public:
        raise PrerequisiteNotMetError(
            f"bucket {bucket.name} does not block public access ({', '.join(bucket.open_to_public)}"
            f" off); block it: aws s3api put-public-access-block --bucket {bucket.name} "
            "--public-access-block-configuration BlockPublicAcls=true,IgnorePublicAcls=true,"
            "BlockPublicPolicy=true,RestrictPublicBuckets=true"
        )
    algorithm = _ALGORITHMS.get(bucket.encryption or "")
    if algorithm is None:
        raise PrerequisiteNotMetError(
            f"bucket {bucket.name} encrypts by {bucket.encryption or 'nothing'}; a DynamoDB export "
            f"takes {' or '.join(_ALGORITHMS)}: set one as the default encryption of the bucket"
        )
    if algorithm == "KMS" and bucket.kms_key_id is not None:
        return {"S3SseAlgorithm": algorithm, "S3SseKmsKeyId": bucket.kms_key_id}
    return {"S3SseAlgorithm": algorithm}


def progress(export: Export | None, *, final: bool) -> Verification:
    """Whether the export is finished, one way or the other.

    Parameters
    ----------
    export
        None if DynamoDB does not list it yet.
    final
        Whether this is the last look: what still runs then is let go, for it cannot be stopped.
    """
    if export is None:
        verdict = Verdict.FAILED if final else Verdict.PENDING
        return Verification(verdict=verdict, reason="there is no such export")
    if export.status == COMPLETED:
        return Verification(verdict=Verdict.PASSED, reason=f"{export.export_arn} is {COMPLETED}")
    if export.status == IN_PROGRESS:
        return Verification(
            verdict=Verdict.INCONCLUSIVE if final else Verdict.PENDING,
            reason=(
                f"{export.export_arn} is still {IN_PROGRESS}; it goes on by itself and cannot be "
                f"stopped. Look: aws dynamodb describe-export --export-arn {export.export_arn}"
            ),
        )
    why = export.failure or "DynamoDB does not say why"
    return Verification(
        verdict=Verdict.FAILED, reason=f"{export.export_arn} is {export.status}: {why}"
    )


def judge(
    plan: Plan, export: Export, manifest: Manifest | None, keys: Collection[str]
) -> Verification:
    """Whether a completed export holds all that DynamoDB counted, encrypted as its bucket is.

    Parameters
    ----------
    keys
        Keys of the objects that are there.
    """
    if manifest is None or export.items is None:
        return Verification(
            verdict=Verdict.FAILED, reason=f"{export.location} has no manifest to compare with"
        )
    there = len(set(manifest.data_files) & set(keys))
    wanted = plan.evidence["encryption"]
    checks = [
        _check("items in the manifest", manifest.items, export.items),
        _check("data files in the bucket", there, len(set(manifest.data_files))),
        _check("encrypted as the bucket is", float(manifest.encryption == wanted), 1),
    ]
    failed = [f"{c.name}: {c.observed:g}, expected {c.threshold:g}" for c in checks if not c.passed]
    if failed:
        return Verification(verdict=Verdict.FAILED, reason="; ".join(failed), checks=checks)
    return Verification(
        verdict=Verdict.PASSED,
        reason=f"{export.items} items in {there} data files below {export.location}",
        checks=checks,
    )


def _check(name: str, observed: float, threshold: float) -> Check:
    return Check(
        name=name,
        observed=observed,
        threshold=threshold,
        samples=1,
        passed=observed == threshold,
    )


def the_call(plan: Plan) -> PlannedCall:
    """The call that starts the export, or in an undo run the one that deletes its objects."""
    return plan.calls[0]
