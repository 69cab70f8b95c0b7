"""Objects of exports: the bucket's guards, the manifest, and what a deletion leaves alone."""

import json

import boto3
import pytest
from botocore.stub import Stubber
from moto import mock_aws

from lambdas.remediation.errors import ChangeFailedError, ResourceBusyError, TargetNotFoundError
from lambdas.remediation.resources import export_objects
from lambdas.remediation.resources.export_objects import ExportBucket, ExportObjects, Manifest

BUCKET, OWNER = "exported", "123456789012"
PREFIX = "exports/orders/20260302T120000Z-aaaaaaaaaaaa"
FOLDER = f"{PREFIX}/AWSDynamoDB/01772452800000-11111111"
SUMMARY = f"{FOLDER}/manifest-summary.json"
BLOCKS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")


def s3_client():
    return boto3.client(
        "s3", region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
    )


@pytest.fixture
def s3():
    with mock_aws():
        client = s3_client()
        client.create_bucket(Bucket=BUCKET)
        yield client


@pytest.fixture
def objects(s3):
    return ExportObjects(s3)


@pytest.fixture
def stubbed():
    client = s3_client()
    with Stubber(client) as stub:
        yield stub, ExportObjects(client)
    stub.assert_no_pending_responses()


def put(s3, *keys: str) -> None:
    for key in keys:
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"{}")


def put_manifest(s3, *counts: int) -> list[str]:
    """An export of that many items in each data file; gives the keys of those."""
    files = [f"{FOLDER}/data/{n}.json.gz" for n in range(len(counts))]
    lines = [
        json.dumps({"itemCount": count, "dataFileS3Key": key})
        for count, key in zip(counts, files, strict=True)
    ]
    put(s3, *files)
    summary = {"itemCount": sum(counts), "manifestFilesS3Key": f"{FOLDER}/manifest-files.json"}
    s3.put_object(
        Bucket=BUCKET, Key=SUMMARY, Body=json.dumps(summary), ServerSideEncryption="AES256"
    )
    s3.put_object(Bucket=BUCKET, Key=f"{FOLDER}/manifest-files.json", Body="\n".join(lines) + "\n")
    return files


def keys(s3) -> list[str]:
    return [o["Key"] for o in s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])]


class TestBucket:
    def test_encrypted_and_closed(self, stubbed):
        stub, objects = stubbed
        asked = {"Bucket": BUCKET, "ExpectedBucketOwner": OWNER}
        default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "key-1"}
        stub.add_response(
            "get_bucket_encryption",
            {
                "ServerSideEncryptionConfiguration": {
                    "Rules": [{"ApplyServerSideEncryptionByDefault": default}]
                }
            },
            asked,
        )
        stub.add_response(
            "get_public_access_block",
            {"PublicAccessBlockConfiguration": dict.fromkeys(BLOCKS, True)},
            asked,
        )

        assert objects.bucket(BUCKET, OWNER) == ExportBucket(
            name=BUCKET, encryption="aws:kms", kms_key_id="key-1"
        )

    def test_what_was_never_set_is_open_and_in_the_clear(self, stubbed):
        stub, objects = stubbed
        stub.add_client_error(
            "get_bucket_encryption", "ServerSideEncryptionConfigurationNotFoundError"
        )
        stub.add_client_error("get_public_access_block", "NoSuchPublicAccessBlockConfiguration")

        assert objects.bucket(BUCKET, OWNER) == ExportBucket(name=BUCKET, open_to_public=BLOCKS)

    def test_each_setting_counts(self, stubbed):
        stub, objects = stubbed
        stub.add_response("get_bucket_encryption", {})
        blocked = {**dict.fromkeys(BLOCKS, True), "BlockPublicPolicy": False}
        stub.add_response("get_public_access_block", {"PublicAccessBlockConfiguration": blocked})

        assert objects.bucket(BUCKET, OWNER).open_to_public == ("BlockPublicPolicy",)

    def test_no_such_bucket(self, stubbed):
        stub, objects = stubbed
        stub.add_client_error("get_bucket_encryption", "NoSuchBucket")

        with pytest.raises(TargetNotFoundError, match="bucket exported"):
            objects.bucket(BUCKET, OWNER)


class TestManifest:
    def test_sums_up_the_data_files(self, s3, objects):
        files = put_manifest(s3, 2, 3)

        found = objects.manifest(BUCKET, PREFIX, SUMMARY)

        assert found == Manifest(items=5, data_files=tuple(files), encryption="AES256")

    def test_the_prefix_may_be_left_out_of_the_key(self, s3, objects):
        put_manifest(s3, 1)

        found = objects.manifest(BUCKET, PREFIX, SUMMARY.removeprefix(f"{PREFIX}/"))

        assert found.items == 1

    @pytest.mark.parametrize("missing", [SUMMARY, f"{FOLDER}/manifest-files.json"])
    def test_absent(self, s3, objects, missing):
        put_manifest(s3, 1)
        s3.delete_object(Bucket=BUCKET, Key=missing)

        assert objects.manifest(BUCKET, PREFIX, SUMMARY) is None


class TestAny:
    def test_of_this_export_only(self, s3, objects):
        put(s3, f"{PREFIX}0/data", "exports/orders/other/data")
        before = objects.any(BUCKET, PREFIX)
        put(s3, f"{PREFIX}/data")

        assert (before, objects.any(BUCKET, PREFIX)) == (False, True)
        assert objects.keys(BUCKET, PREFIX) == {f"{PREFIX}/data"}

    def test_a_bucket_that_is_gone_has_none(self, objects):
        assert objects.any("gone", PREFIX) is False


class TestDelete:
    def test_deletes_this_export_and_no_other(self, s3, objects):
        put_manifest(s3, 1, 1)
        others = ["exports/orders/other/data", f"{PREFIX}0/data"]
        put(s3, *others)

        objects.delete(BUCKET, PREFIX)

        assert sorted(keys(s3)) == sorted(others)

    @pytest.mark.parametrize(
        "prefix",
        ["", "exports", "exports/", "exports/orders", "exports/orders/", "other/orders/one"],
    )
    def test_never_more_than_one_export(self, s3, objects, prefix):
        put(s3, "exports/orders/one/data", "other/orders/one/data")

        with pytest.raises(ValueError, match="not the prefix of one export"):
            objects.delete(BUCKET, prefix)

        assert len(keys(s3)) == 2

    def test_what_one_try_cannot_delete_is_left_for_the_next(self, s3, objects, monkeypatch):
        monkeypatch.setattr(export_objects, "_BATCHES_PER_TRY", 1)
        put(s3, f"{PREFIX}/data")

        with pytest.raises(ResourceBusyError):
            objects.delete(BUCKET, PREFIX)
        objects.delete(BUCKET, PREFIX)

        assert keys(s3) == []

    def test_an_object_that_s3_does_not_delete_is_named(self, stubbed):
        stub, objects = stubbed
        key = f"{PREFIX}/data"
        stub.add_response("list_objects_v2", {"Contents": [{"Key": key}]})
        stub.add_response(
            "delete_objects", {"Errors": [{"Key": key, "Code": "AccessDenied", "Message": "no"}]}
        )

        with pytest.raises(ChangeFailedError, match="data: not deleted: AccessDenied: no"):
            objects.delete(BUCKET, PREFIX)
