"""Steps of `export_dynamodb_table`: read through resources, decide in policy, return a contract."""

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
    parse_time,
)
from lambdas.remediation.errors import (
    ChangeFailedError,
    InvalidRequestError,
    PrerequisiteNotMetError,
    ResourceBusyError,
    RollbackFailedError,
    TargetNotFoundError,
    ThrottledError,
)
from lambdas.remediation.platform import Platform
from lambdas.remediation.resources.dynamodb_export import (
    EXPORT,
    IN_PROGRESS,
    TableExports,
    location_of,
)
from lambdas.remediation.resources.export_objects import ExportObjects
from lambdas.remediation.step import Attempt, Clock, Role, step
from lambdas.remediation.targets import DynamoDbTable, place_of
from lambdas.runbooks.export_dynamodb_table import policy
from lambdas.runbooks.export_dynamodb_table.policy import Situation
from lambdas.runbooks.export_dynamodb_table.runbook import ExportFormat

RESOURCES = (TableExports,)
# Of finding an export and of seeing whether it has objects.
_FIND = ["dynamodb:DescribeExport", "dynamodb:ListExports"]
_PRESENT = [*_FIND, "s3:ListBucket@exports"]


@step(
    Role.OBSERVE,
    calls=[
        "dynamodb:DescribeContinuousBackups",
        "s3:GetBucketPublicAccessBlock@exports",
        "s3:GetEncryptionConfiguration@exports",
    ],
    raises=[
        InvalidRequestError,
        PrerequisiteNotMetError,
        TargetNotFoundError,
        ThrottledError,
    ],
)
def prepare(
    *, run: Run, platform: Platform, exports: TableExports, objects: ExportObjects
) -> Prepared:
    """Look at the recovery window and the bucket, and plan one export; changes nothing."""
    name, place = run.target["table_name"], place_of(run.execution.arn)
    bucket = objects.bucket(
        policy.bucket_name(name, platform.table(name).export_bucket), owner=place.account
    )
    window = exports.recovery_window(name)
    wanted = run.parameters.get("export_time")
    plan = policy.decide(
        Situation(
            table_name=name,
            table_arn=DynamoDbTable().arn(name, platform, place),
            account=place.account,
            run_id=run.id,
            location=location_of(bucket.name, name, run.id, run.execution.started_at),
            bucket=bucket,
            window=window,
            export_time=parse_time(wanted) if wanted else None,
            format=ExportFormat(run.parameters.get("format", ExportFormat.DYNAMODB_JSON)),
        )
    )
    return Prepared(snapshot={"bucket": encode(bucket), "window": encode(window)}, plan=plan)


@step(
    Role.CHANGE,
    calls=[
        *_PRESENT,
        "dynamodb:ExportTableToPointInTime",
        # DynamoDB writes the objects in the name of whoever starts the export.
        "kms:Decrypt@exports",
        "kms:GenerateDataKey@exports",
        "s3:AbortMultipartUpload@exports",
        "s3:PutObject@exports",
        "s3:PutObjectAcl@exports",
    ],
    raises=[ChangeFailedError, ResourceBusyError, ThrottledError],
)
def start_export(*, plan: Plan, clock: Clock, exports: TableExports) -> Change:
    """Start the export, unless this run has started it before; never changes the table."""
    return changes.apply(plan.calls, (exports,), clock.now)


@step(Role.OBSERVE, calls=_FIND, raises=[ThrottledError])
def check_export(*, plan: Plan, attempt: Attempt, exports: TableExports) -> Verification:
    """Look whether the export is finished; changes nothing."""
    return policy.progress(exports.find(policy.the_call(plan)), final=attempt.final)


@step(
    Role.OBSERVE,
    calls=[*_PRESENT, "kms:Decrypt@exports", "s3:GetObject@exports"],
    raises=[ThrottledError],
)
def verify(*, run: Run, plan: Plan, attempt: Attempt, exports: TableExports) -> Verification:
    """Compare the export with its manifest, or for an undo see that it is gone; changes nothing."""
    if run.kind is Kind.UNDO:
        return _gone(plan, exports, final=attempt.final)
    return _judged(plan, exports)


@step(
    Role.OBSERVE,
    calls=[*_PRESENT, "kms:Decrypt@exports", "s3:GetObject@exports"],
    raises=[ThrottledError],
)
def watch_hold(*, plan: Plan, exports: TableExports) -> Verification:
    """Look whether the export is still whole; changes nothing. Not used unless a limit asks."""
    return _judged(plan, exports)


@step(Role.OBSERVE, calls=_FIND, raises=[PrerequisiteNotMetError, ThrottledError])
def check_undo(*, plan: Plan, exports: TableExports) -> None:
    """Refuse to delete an export that still runs: it would write the rest; changes nothing."""
    found = exports.find(policy.the_call(plan))
    if found is not None and found.status == IN_PROGRESS:
        raise PrerequisiteNotMetError(
            f"{found.export_arn} is {IN_PROGRESS} and cannot be stopped; try again when it is "
            f"finished: aws dynamodb describe-export --export-arn {found.export_arn}"
        )


@step(
    Role.CHANGE,
    calls=[*_PRESENT, "s3:DeleteObject@exports"],
    raises=[ResourceBusyError, RollbackFailedError, ThrottledError],
)
def roll_back(*, plan: Plan, clock: Clock, exports: TableExports) -> Change:
    """Delete what this run's export has left in the bucket; never anything of another export."""
    return changes.restore(plan.calls, (exports,), clock.now)


def _judged(plan: Plan, exports: TableExports) -> Verification:
    found = exports.find(policy.the_call(plan))
    finished = policy.progress(found, final=True)
    if found is None or finished.verdict is not Verdict.PASSED:
        return finished
    return policy.judge(plan, found, exports.manifest(found), exports.object_keys(found))


def _gone(plan: Plan, exports: TableExports, *, final: bool) -> Verification:
    call = policy.the_call(plan)
    if exports.present(call)[EXPORT] is None:
        return Verification(verdict=Verdict.PASSED, reason="the objects of the export are deleted")
    verdict = Verdict.FAILED if final else Verdict.PENDING
    return Verification(verdict=verdict, reason=f"{call.before[EXPORT]} still has objects")
