"""Steps of export_dynamodb_table: what they call, what they leave, and what they answer.

S3 is simulated by moto. DynamoDB is a fake in memory: moto's exports write nothing.
"""

import dataclasses
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from lambdas.remediation.contracts import (
    Change,
    Decision,
    Execution,
    Kind,
    Mode,
    Plan,
    Run,
    Trigger,
    Verdict,
)
from lambdas.remediation.errors import PrerequisiteNotMetError, ResourceBusyError
from lambdas.remediation.platform import Platform, Table
from lambdas.remediation.resources.dynamodb_export import TableExports
from lambdas.remediation.resources.export_objects import ExportObjects
from lambdas.remediation.step import Attempt, Clock, steps_of
from lambdas.runbooks.export_dynamodb_table import steps
from lambdas.runbooks.export_dynamodb_table.runbook import RUNBOOK

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/orders"
EXPORT_ARN = f"{ARN}/export/01772452800000-11111111"
PREFIX = "exports/orders/20260302T120000Z-d3169a2a6cfe"
THEIRS = "exports/orders/by-a-person/data"
PLATFORM = Platform(
    name="test",
    tables=(Table(table_name="orders", export_bucket="exported"), Table(table_name="carts")),
)
EARLY, LAST = Attempt(number=1, final=False), Attempt(number=60, final=True)
IAM_ACTIONS = {
    "DeleteObjects": "s3:DeleteObject@exports",
    "GetBucketEncryption": "s3:GetEncryptionConfiguration@exports",
    "GetObject": "s3:GetObject@exports",
    "GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock@exports",
    "HeadObject": "s3:GetObject@exports",
    "ListObjectsV2": "s3:ListBucket@exports",
}
# What DynamoDB and S3 do in the name of the caller.
BEHIND_THE_CALL = {
    "start_export": {
        "kms:Decrypt@exports",
        "kms:GenerateDataKey@exports",
        "s3:AbortMultipartUpload@exports",
        "s3:PutObject@exports",
        "s3:PutObjectAcl@exports",
    },
    "verify": {"kms:Decrypt@exports"},
    "watch_hold": {"kms:Decrypt@exports"},
}


class FixedClock(Clock):
    def now(self) -> datetime:
        return NOON


class DynamoDb:
    """One table's recovery window and its exports."""

    def __init__(self, calls: list[str]) -> None:
        self.calls = calls
        self.recovery = "ENABLED"
        self.exports: dict[str, dict[str, Any]] = {}

    def describe_continuous_backups(self, **_: Any) -> dict[str, Any]:
        self.calls.append("dynamodb:DescribeContinuousBackups")
        described = {
            "PointInTimeRecoveryStatus": self.recovery,
            "EarliestRestorableDateTime": NOON - timedelta(days=7),
            "LatestRestorableDateTime": NOON - timedelta(minutes=5),
        }
        return {"ContinuousBackupsDescription": {"PointInTimeRecoveryDescription": described}}

    def list_exports(self, **_: Any) -> dict[str, Any]:
        self.calls.append("dynamodb:ListExports")
        return {"ExportSummaries": [{"ExportArn": arn} for arn in self.exports]}

    def describe_export(self, **asked: Any) -> dict[str, Any]:
        self.calls.append("dynamodb:DescribeExport")
        return {"ExportDescription": self.exports[asked["ExportArn"]]}

    def export_table_to_point_in_time(self, **asked: Any) -> None:
        self.calls.append("dynamodb:ExportTableToPointInTime")
        self.exports[EXPORT_ARN] = {
            "ExportArn": EXPORT_ARN,
            "ExportStatus": "IN_PROGRESS",
            **{k: asked[k] for k in ("S3Bucket", "S3Prefix", "ExportTime", "ExportFormat")},
        }


class Aws:
    """The table `orders`, its bucket with somebody's objects in it, and the calls made."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.s3 = boto3.client(
            "s3", region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
        )
        self.s3.create_bucket(Bucket="exported")
        self.s3.put_bucket_encryption(
            Bucket="exported",
            ServerSideEncryptionConfiguration={
                "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
            },
        )
        self.block_public_access(True)
        self.put(THEIRS)
        self.s3.meta.events.register("before-call.s3", self._before_call)
        self.dynamodb = DynamoDb(self.calls)
        self.objects = ExportObjects(self.s3)
        self.exports = TableExports(self.dynamodb, self.objects)

    def _before_call(self, model, **_):
        self.calls.append(IAM_ACTIONS.get(model.name, model.name))

    def block_public_access(self, blocked: bool) -> None:
        names = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy")
        self.s3.put_public_access_block(
            Bucket="exported",
            PublicAccessBlockConfiguration={
                **dict.fromkeys(names, True),
                "RestrictPublicBuckets": blocked,
            },
        )

    def put(self, key: str, body: Any = "") -> None:
        self.s3.put_object(
            Bucket="exported",
            Key=key,
            Body=body if isinstance(body, str) else json.dumps(body),
            ServerSideEncryption="AES256",
        )

    def finish(self, status: str = "COMPLETED", *, items: int = 2) -> None:
        """The export ends, with two items in its files."""
        base = f"{PREFIX}/AWSDynamoDB/01772452800000-11111111"
        self.put(f"{base}/_started")
        self.dynamodb.exports[EXPORT_ARN]["ExportStatus"] = status
        if status == "FAILED":
            self.dynamodb.exports[EXPORT_ARN]["FailureCode"] = "S3AccessDenied"
            return
        self.put(f"{base}/data/0.json.gz")
        self.put(
            f"{base}/manifest-files.json",
            {"itemCount": 2, "dataFileS3Key": f"{base}/data/0.json.gz"},
        )
        self.put(
            f"{base}/manifest-summary.json", {"manifestFilesS3Key": f"{base}/manifest-files.json"}
        )
        self.dynamodb.exports[EXPORT_ARN].update(
            ItemCount=items, ExportManifest=f"{base}/manifest-summary.json"
        )

    def keys(self) -> list[str]:
        listed = self.s3.list_objects_v2(Bucket="exported")
        return [o["Key"] for o in listed.get("Contents", ())]

    def prepare(self, run: Run):
        return steps.prepare(run=run, platform=PLATFORM, exports=self.exports, objects=self.objects)

    def start(self, plan: Plan) -> Change:
        return steps.start_export(plan=plan, clock=FixedClock(), exports=self.exports)

    def check(self, plan: Plan, attempt: Attempt = EARLY):
        return steps.check_export(plan=plan, attempt=attempt, exports=self.exports)

    def verify(self, run: Run, plan: Plan, attempt: Attempt = EARLY):
        return steps.verify(run=run, plan=plan, attempt=attempt, exports=self.exports)

    def hold(self, plan: Plan):
        return steps.watch_hold(plan=plan, exports=self.exports)

    def check_undo(self, plan: Plan) -> None:
        steps.check_undo(plan=plan, exports=self.exports)

    def roll_back(self, plan: Plan) -> Change:
        return steps.roll_back(plan=plan, clock=FixedClock(), exports=self.exports)


@pytest.fixture
def aws():
    with mock_aws():
        yield Aws()


@pytest.fixture
def run() -> Run:
    return Run(
        id="export-dynamodb-table:one",
        runbook="export_dynamodb_table",
        kind=Kind.CHANGE,
        mode=Mode.ACT,
        trigger=Trigger.PERSON,
        target={"table_name": "orders"},
        target_arn=ARN,
        parameters={},
        reason="",
        requested_by="person",
        execution=Execution(
            arn="arn:aws:states:us-east-1:123456789012:execution:remediation-x:one",
            name="one",
            started_at=NOON,
        ),
        lease_until=NOON + timedelta(hours=2),
        limits=RUNBOOK.limits.as_dict(),
    )


@pytest.fixture
def undo(run) -> Run:
    return dataclasses.replace(run, id="export-dynamodb-table:two", kind=Kind.UNDO, undoes=run.id)


@pytest.fixture
def plan(aws, run) -> Plan:
    made = aws.prepare(run).plan
    aws.calls.clear()
    return made


def inverse(plan: Plan) -> Plan:
    """The undo run's plan."""
    return Plan(decision=Decision.CHANGE, reason="undo", calls=[plan.calls[0].inverse()])


class TestPrepare:
    def test_plans_the_newest_export_to_the_tables_bucket(self, aws, run):
        prepared = aws.prepare(run)

        assert prepared.plan.calls[0].after == {"export": f"s3://exported/{PREFIX}"}
        assert prepared.plan.calls[0].arguments["ExportTime"] == "2026-03-02T11:55:00.000Z"
        assert prepared.snapshot["bucket"]["encryption"] == "AES256"
        assert (aws.dynamodb.exports, aws.keys()) == ({}, [THEIRS])

    def test_what_a_person_asks_for_counts(self, aws, run):
        parameters = {"export_time": "2026-03-01T00:00:00.000Z", "format": "ION"}

        arguments = aws.prepare(dataclasses.replace(run, parameters=parameters)).plan.calls[0]

        assert arguments.arguments["ExportTime"] == "2026-03-01T00:00:00.000Z"
        assert arguments.arguments["ExportFormat"] == "ION"

    def test_a_table_without_a_bucket(self, aws, run):
        with pytest.raises(PrerequisiteNotMetError, match="table carts has no export_bucket"):
            aws.prepare(dataclasses.replace(run, target={"table_name": "carts"}))

    def test_a_table_without_point_in_time_recovery(self, aws, run):
        aws.dynamodb.recovery = "DISABLED"

        with pytest.raises(PrerequisiteNotMetError, match="no point-in-time recovery"):
            aws.prepare(run)

    def test_a_bucket_that_may_be_public(self, aws, run):
        aws.block_public_access(False)

        with pytest.raises(PrerequisiteNotMetError, match="RestrictPublicBuckets off"):
            aws.prepare(run)


class TestStartExport:
    def test_starts_one_export(self, aws, plan):
        change = aws.start(plan)

        assert aws.dynamodb.exports[EXPORT_ARN]["S3Prefix"] == PREFIX
        assert [c.already_applied for c in change.calls] == [False]

    def test_a_second_time_starts_no_other(self, aws, plan):
        aws.start(plan)
        aws.calls.clear()

        change = aws.start(plan)

        assert "dynamodb:ExportTableToPointInTime" not in aws.calls
        assert [c.already_applied for c in change.calls] == [True]


class TestCheckExport:
    def test_waits_until_it_is_finished(self, aws, plan):
        aws.start(plan)
        running = aws.check(plan)
        aws.finish()

        assert (running.verdict, aws.check(plan).verdict) == (Verdict.PENDING, Verdict.PASSED)

    def test_lets_go_of_one_that_still_runs(self, aws, plan):
        aws.start(plan)

        assert aws.check(plan, LAST).verdict is Verdict.INCONCLUSIVE


class TestVerify:
    def test_a_whole_export(self, aws, run, plan):
        aws.start(plan)
        aws.finish()

        found = aws.verify(run, plan)

        assert found.verdict is Verdict.PASSED
        assert found.reason == f"2 items in 1 data files below s3://exported/{PREFIX}"

    def test_fewer_items_than_dynamodb_counted(self, aws, run, plan):
        aws.start(plan)
        aws.finish(items=3)

        assert aws.verify(run, plan).verdict is Verdict.FAILED

    def test_a_failed_export_with_its_reason(self, aws, run, plan):
        aws.start(plan)
        aws.finish("FAILED")

        found = aws.verify(run, plan)

        assert (found.verdict, found.reason) == (
            Verdict.FAILED,
            f"{EXPORT_ARN} is FAILED: S3AccessDenied",
        )

    def test_one_that_still_runs_is_not_failed(self, aws, run, plan):
        """A roll-back would find it running, and quarantine the table for it."""
        aws.start(plan)

        assert aws.verify(run, plan).verdict is Verdict.INCONCLUSIVE

    def test_an_undo_passes_when_the_objects_are_gone(self, aws, undo, plan):
        aws.start(plan)
        aws.finish()
        early, late = (aws.verify(undo, inverse(plan), a).verdict for a in (EARLY, LAST))
        aws.roll_back(plan)

        gone = aws.verify(undo, inverse(plan))

        assert (early, late, gone.verdict) == (Verdict.PENDING, Verdict.FAILED, Verdict.PASSED)


class TestWatchHold:
    def test_whole_or_not(self, aws, plan):
        aws.start(plan)
        aws.finish()
        whole = aws.hold(plan).verdict
        aws.roll_back(plan)

        assert (whole, aws.hold(plan).verdict) == (Verdict.PASSED, Verdict.FAILED)


class TestCheckUndo:
    def test_refuses_while_the_export_runs(self, aws, plan):
        aws.start(plan)

        with pytest.raises(PrerequisiteNotMetError, match="try again when it is finished"):
            aws.check_undo(inverse(plan))

    @pytest.mark.parametrize("status", ["COMPLETED", "FAILED"])
    def test_allows_it_afterwards(self, aws, plan, status):
        aws.start(plan)
        aws.finish(status)
        before = aws.keys()

        aws.check_undo(inverse(plan))

        assert aws.keys() == before


class TestRollBack:
    @pytest.mark.parametrize("status", ["COMPLETED", "FAILED"])
    def test_deletes_what_this_export_left_and_nothing_else(self, aws, plan, status):
        aws.start(plan)
        aws.finish(status)

        change = aws.roll_back(plan)

        assert aws.keys() == [THEIRS]
        assert [(c.before, c.after) for c in change.calls] == [
            ({"export": f"s3://exported/{PREFIX}"}, {"export": None})
        ]

    def test_without_objects_there_is_nothing_to_do(self, aws, plan):
        assert aws.roll_back(plan).calls == []

    def test_one_that_runs_is_tried_again(self, aws, plan):
        aws.start(plan)

        with pytest.raises(ResourceBusyError):
            aws.roll_back(plan)

    def test_a_defect_of_the_role_is_not_hidden(self, aws, plan):
        def deny(**_):
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "ListObjectsV2")

        aws.s3.meta.events.register("before-call.s3.ListObjectsV2", deny)

        with pytest.raises(ClientError):
            aws.roll_back(plan)


class TestDeclaredCalls:
    """`calls` is what the roles are made of: no more and no less than what is really called."""

    def assert_declared(self, aws: Aws, name: str, *acts: Callable[[], object]) -> None:
        aws.calls.clear()
        for act in acts:
            act()
        behind = BEHIND_THE_CALL.get(name, set())
        assert set(aws.calls) | behind == set(steps_of(steps)[name].calls)

    @pytest.fixture
    def finished(self, aws, plan) -> Plan:
        aws.start(plan)
        aws.finish()
        return plan

    def test_prepare(self, aws, run):
        self.assert_declared(aws, "prepare", lambda: aws.prepare(run))

    def test_start_export(self, aws, plan):
        self.assert_declared(aws, "start_export", lambda: aws.start(plan), lambda: aws.start(plan))

    def test_check_export(self, aws, finished):
        self.assert_declared(aws, "check_export", lambda: aws.check(finished))

    def test_verify(self, aws, run, finished):
        self.assert_declared(aws, "verify", lambda: aws.verify(run, finished))

    def test_watch_hold(self, aws, finished):
        self.assert_declared(aws, "watch_hold", lambda: aws.hold(finished))

    def test_check_undo(self, aws, finished):
        self.assert_declared(aws, "check_undo", lambda: aws.check_undo(finished))

    def test_roll_back(self, aws, finished):
        self.assert_declared(aws, "roll_back", lambda: aws.roll_back(finished))

    def test_every_step_is_covered_here(self):
        covered = {n.removeprefix("test_") for n in dir(self) if n.startswith("test_")}

        assert set(steps_of(steps)) == covered - {"every_step_is_covered_here"}
