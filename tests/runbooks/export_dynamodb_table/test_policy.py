"""Decisions of export_dynamodb_table: what is refused with which fix, and what counts as whole."""

import dataclasses
from datetime import UTC, datetime

import pytest

from lambdas.remediation.contracts import Decision, Plan, Verdict, decode, encode
from lambdas.remediation.errors import InvalidRequestError, PrerequisiteNotMetError
from lambdas.remediation.resources.dynamodb_export import Export, RecoveryWindow
from lambdas.remediation.resources.export_objects import ExportBucket, Manifest
from lambdas.runbooks.export_dynamodb_table.policy import (
    Situation,
    bucket_name,
    decide,
    judge,
    progress,
)
from lambdas.runbooks.export_dynamodb_table.runbook import ExportFormat

ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/orders"
EXPORT_ARN = f"{ARN}/export/01772452800000-11111111"
PREFIX = "exports/orders/20260302T120000Z-aaaaaaaaaaaa"
LOCATION = f"s3://exported/{PREFIX}"
EARLIEST, LATEST = datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 3, 2, 11, 55, tzinfo=UTC)
BUCKET = ExportBucket(name="exported", encryption="AES256")


def situation(**overrides) -> Situation:
    values = {
        "table_name": "orders",
        "table_arn": ARN,
        "account": "123456789012",
        "run_id": "one",
        "location": LOCATION,
        "bucket": BUCKET,
        "window": RecoveryWindow(enabled=True, earliest=EARLIEST, latest=LATEST),
        **overrides,
    }
    return Situation(**values)


def refusal(**overrides) -> str:
    with pytest.raises((InvalidRequestError, PrerequisiteNotMetError)) as caught:
        decide(situation(**overrides))
    # Whoever typed it is shown an input that works; nobody else is.
    assert isinstance(caught.value, InvalidRequestError) == str(caught.value).startswith(
        "parameters"
    )
    return str(caught.value)


class TestDecide:
    def test_one_export_to_the_prefix_of_the_run(self):
        plan = decide(situation())

        assert plan.decision is Decision.CHANGE
        assert plan.reason == (
            f"Export table orders as of 2026-03-02T11:55:00.000Z to {LOCATION}; the table is not "
            "changed."
        )
        (call,) = plan.calls
        assert (call.api, call.resource) == ("dynamodb:ExportTableToPointInTime", ARN)
        assert (call.before, call.after) == ({"export": None}, {"export": LOCATION})
        assert call.arguments == {
            "TableArn": ARN,
            "S3Bucket": "exported",
            "S3BucketOwner": "123456789012",
            "S3Prefix": PREFIX,
            "S3SseAlgorithm": "AES256",
            "ExportTime": "2026-03-02T11:55:00.000Z",
            "ExportFormat": "DYNAMODB_JSON",
            "ExportType": "FULL_EXPORT",
            "ClientToken": "7692c3ad3540bb803c020b3aee66cd88",
        }

    def test_the_buckets_own_key_is_passed_on(self):
        bucket = dataclasses.replace(BUCKET, encryption="aws:kms", kms_key_id="key-1")

        arguments = decide(situation(bucket=bucket)).calls[0].arguments

        assert (arguments["S3SseAlgorithm"], arguments["S3SseKmsKeyId"]) == ("KMS", "key-1")

    def test_the_key_that_aws_manages_has_no_name(self):
        bucket = dataclasses.replace(BUCKET, encryption="aws:kms")

        arguments = decide(situation(bucket=bucket)).calls[0].arguments

        assert arguments["S3SseAlgorithm"] == "KMS"
        assert "S3SseKmsKeyId" not in arguments

    @pytest.mark.parametrize("moment", [EARLIEST, LATEST])
    def test_the_window_includes_its_ends(self, moment):
        call = decide(situation(export_time=moment, format=ExportFormat.ION)).calls[0]

        assert call.arguments["ExportTime"] == moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")
        assert call.arguments["ExportFormat"] == "ION"

    @pytest.mark.parametrize(
        "moment", [datetime(2026, 1, 31, tzinfo=UTC), datetime(2026, 3, 2, 11, 56, tzinfo=UTC)]
    )
    def test_a_time_outside_the_window_is_refused_with_the_window(self, moment):
        text = refusal(export_time=moment)

        assert text.startswith("parameters.export_time: 2026-0")
        assert "2026-02-01T00:00:00.000Z to 2026-03-02T11:55:00.000Z" in text

    def test_without_point_in_time_recovery_the_command_is_told(self):
        text = refusal(window=RecoveryWindow(enabled=False))

        assert text.endswith(
            "aws dynamodb update-continuous-backups --table-name orders "
            "--point-in-time-recovery-specification PointInTimeRecoveryEnabled=true"
        )

    def test_a_bucket_that_may_be_public_is_refused(self):
        text = refusal(bucket=dataclasses.replace(BUCKET, open_to_public=("BlockPublicAcls",)))

        assert "does not block public access (BlockPublicAcls off)" in text
        assert "aws s3api put-public-access-block --bucket exported" in text

    @pytest.mark.parametrize(
        ("encryption", "told"), [(None, "by nothing"), ("aws:kms:dsse", "by aws:kms:dsse")]
    )
    def test_an_encryption_that_an_export_does_not_take_is_refused(self, encryption, told):
        text = refusal(bucket=dataclasses.replace(BUCKET, encryption=encryption))

        assert told in text
        assert "AES256 or aws:kms" in text

    def test_a_table_without_a_bucket_is_refused(self):
        with pytest.raises(PrerequisiteNotMetError) as caught:
            bucket_name("orders", None)

        assert "table orders has no export_bucket" in str(caught.value)

    def test_a_plan_survives_the_run_table(self):
        plan = decide(situation())

        assert decode(Plan, encode(plan)) == plan


def export(status: str = "COMPLETED", **fields) -> Export:
    values = {"export_arn": EXPORT_ARN, "location": LOCATION, "status": status, **fields}
    return Export(**values)


class TestProgress:
    @pytest.mark.parametrize(
        ("found", "early", "last"),
        [
            (None, Verdict.PENDING, Verdict.FAILED),
            (export("IN_PROGRESS"), Verdict.PENDING, Verdict.INCONCLUSIVE),
            (export("COMPLETED"), Verdict.PASSED, Verdict.PASSED),
            (export("FAILED"), Verdict.FAILED, Verdict.FAILED),
        ],
        ids=["absent", "running", "completed", "failed"],
    )
    def test_verdict(self, found, early, last):
        assert progress(found, final=False).verdict is early
        assert progress(found, final=True).verdict is last

    def test_one_that_still_runs_says_how_to_look(self):
        assert progress(export("IN_PROGRESS"), final=True).reason.endswith(
            f"aws dynamodb describe-export --export-arn {EXPORT_ARN}"
        )

    def test_one_that_failed_says_why(self):
        found = progress(export("FAILED", failure="S3AccessDenied: no"), final=False)

        assert found.reason == f"{EXPORT_ARN} is FAILED: S3AccessDenied: no"


class TestJudge:
    PLAN = decide(situation())
    FILES = (f"{PREFIX}/a", f"{PREFIX}/b")
    MANIFEST = Manifest(items=5, data_files=FILES, encryption="AES256")

    def judge(self, manifest=MANIFEST, items: int | None = 5, keys=FILES):
        return judge(self.PLAN, export(items=items), manifest, keys)

    def test_whole(self):
        found = self.judge(keys=(*self.FILES, "manifest"))

        assert found.verdict is Verdict.PASSED
        assert found.reason == f"5 items in 2 data files below {LOCATION}"
        assert [(c.observed, c.threshold) for c in found.checks] == [(5, 5), (2, 2), (1, 1)]

    def test_an_empty_table_has_a_whole_export(self):
        manifest = Manifest(items=0, data_files=(), encryption="AES256")

        assert self.judge(manifest, items=0, keys=()).verdict is Verdict.PASSED

    def test_items_are_missing(self):
        found = self.judge(items=6)

        assert found.verdict is Verdict.FAILED
        assert found.reason == "items in the manifest: 5, expected 6"

    def test_a_data_file_is_missing(self):
        found = self.judge(keys=self.FILES[:1])

        assert found.verdict is Verdict.FAILED
        assert found.reason == "data files in the bucket: 1, expected 2"

    def test_not_encrypted_as_the_bucket_is(self):
        found = self.judge(dataclasses.replace(self.MANIFEST, encryption=None))

        assert found.verdict is Verdict.FAILED
        assert found.reason == "encrypted as the bucket is: 0, expected 1"

    @pytest.mark.parametrize(("manifest", "items"), [(None, 5), (MANIFEST, None)])
    def test_nothing_to_compare(self, manifest, items):
        assert self.judge(manifest, items).verdict is Verdict.FAILED
