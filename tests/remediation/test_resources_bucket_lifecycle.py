"""Lifecycle rules against simulated S3, and against botocore's model where that knows more."""

from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from lambdas.remediation import clients
from lambdas.remediation.errors import ChangeFailedError, TargetNotFoundError, ThrottledError
from lambdas.remediation.resources.bucket_lifecycle import (
    BucketLifecycles,
    OldObjects,
    Versioning,
    put_rule,
    rule_of,
)

BUCKET, ARN = "artifacts", "arn:aws:s3:::artifacts"
OWNER = "123456789012"
OWNED = {"Bucket": BUCKET, "ExpectedBucketOwner": OWNER}
LISTED = {**OWNED, "Prefix": "renders/"}
NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
OLD, NEW = datetime(2025, 3, 2, tzinfo=UTC), datetime(2026, 3, 3, tzinfo=UTC)
RULE = {
    "ID": "ours",
    "Status": "Enabled",
    "Filter": {"Prefix": "renders/"},
    "Expiration": {"Days": 90},
}
# As S3 tells it of a rule that somebody made long ago: a date, and no filter.
LEGACY = {
    "ID": "theirs",
    "Status": "Enabled",
    "Prefix": "logs/",
    "Expiration": {"Date": datetime(2027, 1, 1, tzinfo=UTC)},
}
CALL = put_rule(ARN, OWNER, None, RULE)


@pytest.fixture
def s3(aws: None) -> Any:
    client = clients.client("s3")
    client.create_bucket(Bucket=BUCKET)
    return client


@pytest.fixture
def stubbed():
    client = boto3.client("s3", region_name="us-east-1")
    with Stubber(client) as stubber:
        yield BucketLifecycles(client), stubber
        stubber.assert_no_pending_responses()


def ids(s3: Any) -> list[str]:
    found = s3.get_bucket_lifecycle_configuration(Bucket=BUCKET)
    return [r["ID"] for r in found["Rules"]]


class TestRule:
    def test_is_added_beside_the_others_and_taken_away_again(self, s3):
        other = {**RULE, "ID": "theirs", "Filter": {"Prefix": "logs/"}}
        s3.put_bucket_lifecycle_configuration(
            Bucket=BUCKET, LifecycleConfiguration={"Rules": [other]}
        )
        lifecycles = BucketLifecycles(s3)

        lifecycles.apply(CALL)
        added = ids(s3)
        lifecycles.apply(CALL.inverse())

        assert (added, ids(s3)) == (["theirs", "ours"], ["theirs"])

    def test_replaces_the_one_of_the_same_id_in_its_place(self, s3):
        longer = {**RULE, "Expiration": {"Days": 365}}
        other = {**RULE, "ID": "theirs", "Filter": {"Prefix": "logs/"}}
        s3.put_bucket_lifecycle_configuration(
            Bucket=BUCKET, LifecycleConfiguration={"Rules": [longer, other]}
        )
        lifecycles, call = BucketLifecycles(s3), put_rule(ARN, OWNER, longer, RULE)

        before = lifecycles.present(call)
        lifecycles.apply(call)

        assert before == call.before
        assert lifecycles.present(call) == call.after
        assert ids(s3) == ["ours", "theirs"]

    def test_the_last_one_goes_with_the_configuration(self, s3):
        lifecycles = BucketLifecycles(s3)
        lifecycles.apply(CALL)

        lifecycles.apply(CALL.inverse())

        assert lifecycles.rules(BUCKET, OWNER) == []
        assert lifecycles.present(CALL) == {"ExpectedBucketOwner": OWNER, "rule/ours": None}

    def test_is_found_in_the_values_of_a_call(self):
        assert (rule_of(CALL.before), rule_of(CALL.after)) == (None, RULE)

    def test_no_such_bucket(self, aws):
        with pytest.raises(TargetNotFoundError):
            BucketLifecycles(clients.client("s3")).rules("nowhere", OWNER)


class TestCalls:
    def test_the_rest_of_the_configuration_goes_back_as_it_came(self, stubbed):
        lifecycles, stubber = stubbed
        stubber.add_response(
            "get_bucket_lifecycle_configuration",
            {
                "Rules": [LEGACY],
                "TransitionDefaultMinimumObjectSize": "varies_by_storage_class",
            },
            OWNED,
        )
        stubber.add_response(
            "put_bucket_lifecycle_configuration",
            {},
            {
                **OWNED,
                "LifecycleConfiguration": {"Rules": [LEGACY, RULE]},
                "TransitionDefaultMinimumObjectSize": "varies_by_storage_class",
            },
        )

        lifecycles.apply(CALL)

    def test_only_the_expected_owners_configuration_is_deleted(self, stubbed):
        lifecycles, stubber = stubbed
        stubber.add_response("get_bucket_lifecycle_configuration", {"Rules": [RULE]}, OWNED)
        stubber.add_response("delete_bucket_lifecycle", {}, OWNED)

        lifecycles.apply(CALL.inverse())

    def test_rules_are_told_as_json_has_them(self, stubbed):
        lifecycles, stubber = stubbed
        stubber.add_response("get_bucket_lifecycle_configuration", {"Rules": [LEGACY]}, OWNED)

        (found,) = lifecycles.rules(BUCKET, OWNER)

        assert found["Expiration"] == {"Date": "2027-01-01T00:00:00.000Z"}

    def test_a_configuration_that_s3_refuses(self, stubbed):
        lifecycles, stubber = stubbed
        stubber.add_response("get_bucket_lifecycle_configuration", {"Rules": []}, OWNED)
        stubber.add_client_error("put_bucket_lifecycle_configuration", "MalformedXML")
        stubber.add_response("get_bucket_lifecycle_configuration", {"Rules": []}, OWNED)

        with pytest.raises(ChangeFailedError):
            lifecycles.apply(CALL)

    def test_s3_is_busy(self, stubbed):
        lifecycles, stubber = stubbed
        stubber.add_client_error("get_bucket_lifecycle_configuration", "SlowDown")

        with pytest.raises(ThrottledError):
            lifecycles.rules(BUCKET, OWNER)


class TestVersioning:
    @pytest.mark.parametrize(
        ("answer", "expected"),
        [
            ({}, Versioning()),
            ({"Status": "Enabled"}, Versioning(versioned=True)),
            ({"Status": "Suspended"}, Versioning(versioned=True)),
            (
                {"Status": "Enabled", "MFADelete": "Enabled"},
                Versioning(versioned=True, mfa_delete=True),
            ),
        ],
        ids=str,
    )
    def test_suspended_still_has_versions(self, stubbed, answer, expected):
        lifecycles, stubber = stubbed
        stubber.add_response("get_bucket_versioning", answer, OWNED)

        assert lifecycles.versioning(BUCKET, OWNER) == expected


class TestOldObjects:
    def count(self, lifecycles, *, versioned: bool = False, max_pages: int = 2) -> OldObjects:
        return lifecycles.old_objects(
            BUCKET,
            OWNER,
            prefix="renders/",
            before=NOON,
            versioned=versioned,
            max_pages=max_pages,
        )

    def page(self, stubber, *, token: str | None, more: bool) -> None:
        old, new = (
            {"Key": f"renders/a b {at.year}", "LastModified": at, "Size": 10} for at in (OLD, NEW)
        )
        stubber.add_response(
            "list_objects_v2",
            {
                "Contents": [old, old, new],
                "IsTruncated": more,
                **({"NextContinuationToken": "more"} if more else {}),
            },
            {**LISTED, "MaxKeys": 1000, **({"ContinuationToken": token} if token else {})},
        )

    def test_counts_over_all_pages(self, stubbed):
        lifecycles, stubber = stubbed
        self.page(stubber, token=None, more=True)
        self.page(stubber, token="more", more=False)

        assert self.count(lifecycles) == OldObjects(objects=4, size_bytes=40)

    def test_stops_at_the_limit_and_says_so(self, stubbed):
        lifecycles, stubber = stubbed
        self.page(stubber, token=None, more=True)

        found = self.count(lifecycles, max_pages=1)

        assert found == OldObjects(objects=2, size_bytes=20, complete=False)

    def test_counts_old_versions_apart_and_delete_markers_not_at_all(self, stubbed):
        lifecycles, stubber = stubbed
        entry = {"Key": "renders/one", "LastModified": OLD, "Size": 10}
        stubber.add_response(
            "list_object_versions",
            {
                "Versions": [
                    {**entry, "IsLatest": True},
                    {**entry, "IsLatest": False},
                    {**entry, "IsLatest": False, "LastModified": NEW},
                ],
                "DeleteMarkers": [{"Key": "renders/two", "LastModified": OLD, "IsLatest": True}],
                "IsTruncated": False,
            },
            {**LISTED, "MaxKeys": 1000},
        )

        found = self.count(lifecycles, versioned=True)

        assert found == OldObjects(objects=1, size_bytes=10, noncurrent_versions=1)

    def test_an_empty_prefix(self, s3):
        assert self.count(BucketLifecycles(s3)) == OldObjects()
