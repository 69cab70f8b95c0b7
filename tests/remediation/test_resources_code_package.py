"""Packages: one version of one object, or a refusal that says what to give."""

import pytest
from botocore.exceptions import ClientError

from lambdas.remediation import clients
from lambdas.remediation.errors import PrerequisiteNotMetError, ThrottledError
from lambdas.remediation.resources.code_package import CodePackages, Package


@pytest.fixture
def head(calls_of):
    return calls_of("s3", "HeadObject")


@pytest.fixture
def packages(aws):
    return CodePackages(clients.client("s3"))


def test_asks_for_one_version_and_its_checksum(packages, head):
    head.will_answer(
        {"ContentLength": 1_000, "ChecksumSHA256": "c2hh", "ChecksumType": "FULL_OBJECT"}
    )

    found = packages.read("bucket", "chat/2.zip", "v2")

    assert found == Package(size_bytes=1_000, sha256="c2hh")
    asked = {k: head.made[0][k] for k in ("Bucket", "Key", "VersionId", "ChecksumMode")}
    assert asked == {
        "Bucket": "bucket",
        "Key": "chat/2.zip",
        "VersionId": "v2",
        "ChecksumMode": "ENABLED",
    }


def test_a_checksum_of_parts_is_not_that_of_the_package(packages, head):
    head.will_answer(
        {"ContentLength": 1_000, "ChecksumSHA256": "c2hh-2", "ChecksumType": "COMPOSITE"}
    )

    assert packages.read("bucket", "chat/2.zip", "v2").sha256 is None


@pytest.mark.parametrize("code", ["400", "403", "404"])
def test_what_is_not_there_is_refused(packages, head, code):
    head.will_fail(code)

    with pytest.raises(PrerequisiteNotMetError) as caught:
        packages.read("bucket", "chat/2.zip", "v2")
    assert str(caught.value).startswith("s3://bucket/chat/2.zip version v2: there is no such")


def test_throttling_is_not_absence(packages, head):
    head.will_fail("ServiceUnavailable", times=3)

    with pytest.raises(ThrottledError):
        packages.read("bucket", "chat/2.zip", "v2")


def test_other_errors_stay_what_they_are(packages, head):
    head.will_fail("301")

    with pytest.raises(ClientError):
        packages.read("bucket", "chat/2.zip", "v2")
