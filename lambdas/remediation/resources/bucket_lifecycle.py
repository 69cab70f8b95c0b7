"""Lifecycle rules of S3 buckets, and the objects that a rule would expire."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, ClassVar

from botocore.exceptions import ClientError

from lambdas.remediation.contracts import PlannedCall, encode
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.resources.client_errors import changing, reading

PUT_LIFECYCLE = "s3:PutBucketLifecycleConfiguration"
# Who must own the bucket: a name alone could be another account's by now. It stands in both values
# of a planned call, because S3's ARNs carry no account and an inverse has no arguments.
OWNER = "ExpectedBucketOwner"
MAX_RULES = 1_000
_RULE = "rule/"
_MINIMUM_SIZE = "TransitionDefaultMinimumObjectSize"
_PAGE = 1_000

Rule = dict[str, Any]


class Versioning(Frozen):
    """Whether a bucket keeps, or has kept, versions, and whether deleting one needs a device."""

    versioned: bool = False
    mfa_delete: bool = False


class OldObjects(Frozen):
    """What was last modified before a moment.

    Parameters
    ----------
    objects, size_bytes
        Current objects; on a versioned bucket they stay behind a delete marker at first.
    noncurrent_versions
        Versions that were replaced or deleted. When that was is not known, only that they are
        older themselves.
    complete
        Whether everything was listed: if not, these are at least so many.
    """

    objects: int = 0
    size_bytes: int = 0
    noncurrent_versions: int = 0
    complete: bool = True


def put_rule(bucket_arn: str, owner: str, before: Rule | None, after: Rule) -> PlannedCall:
    """The call that sets one rule, and leaves the others as they are then."""
    key = f"{_RULE}{after['ID']}"
    return PlannedCall(
        api=PUT_LIFECYCLE,
        resource=bucket_arn,
        arguments={"Bucket": _bucket_name(bucket_arn), OWNER: owner},
        before={OWNER: owner, key: before},
        after={OWNER: owner, key: after},
    )


def rule_of(values: Mapping[str, Any]) -> Rule | None:
    """The rule in `before` or `after` of a planned call."""
    return next((rule for key, rule in values.items() if key.startswith(_RULE)), None)


class BucketLifecycles:
    """Reads and changes single lifecycle rules.

    S3 replaces the whole configuration in one call and knows no condition for it, so a change reads
    all rules, exchanges its own and puts all back.

    Parameters
    ----------
    client
        boto3 client of S3.
    """

    service: ClassVar[str] = "s3"
    apis: ClassVar[tuple[str, ...]] = (PUT_LIFECYCLE,)

    def __init__(self, client: Any) -> None:
        self._client = client

    def rules(self, bucket_name: str, owner: str) -> list[Rule]:
        """Rules of a bucket, as JSON has them; none without a configuration.

        Raises
        ------
        TargetNotFoundError
            There is no such bucket.
        """
        found: list[Rule] = encode(self._configuration(bucket_name, owner)["Rules"])
        return found

    def versioning(self, bucket_name: str, owner: str) -> Versioning:
        """Versioning of a bucket; suspended counts, because the versions are still there."""
        with reading(f"bucket {bucket_name}"):
            found = self._client.get_bucket_versioning(
                Bucket=bucket_name, ExpectedBucketOwner=owner
            )
        return Versioning(
            versioned="Status" in found, mfa_delete=found.get("MFADelete") == "Enabled"
        )

    def old_objects(
        self,
        bucket_name: str,
        owner: str,
        *,
        prefix: str,
        before: datetime,
        versioned: bool,
        max_pages: int,
    ) -> OldObjects:
        """Count what was last modified before a moment.

        Parameters
        ----------
        prefix
            Beginning of the keys.
        versioned
            Whether to list versions as well.
        max_pages
            Pages of 1,000 entries to read at most.
        """
        operation = "list_object_versions" if versioned else "list_objects_v2"
        pages = self._client.get_paginator(operation).paginate(
            Bucket=bucket_name,
            Prefix=prefix,
            ExpectedBucketOwner=owner,
            PaginationConfig={"PageSize": _PAGE},
        )
        objects = size = noncurrent = read = 0
        complete = True
        with reading(f"objects of bucket {bucket_name}"):
            for page in pages:
                read += 1
                for entry in _entries(page):
                    if entry["LastModified"] >= before:
                        continue
                    if entry.get("IsLatest", True):
                        objects += 1
                        size += entry["Size"]
                    else:
                        noncurrent += 1
                if read == max_pages:
                    complete = not page.get("IsTruncated", False)
                    break
        return OldObjects(
            objects=objects, size_bytes=size, noncurrent_versions=noncurrent, complete=complete
        )

    def present(self, call: PlannedCall) -> dict[str, Any]:
        """The rule of the call as it is now, None if there is none."""
        owner = call.before[OWNER]
        rules = {r.get("ID"): r for r in self.rules(_bucket_name(call.resource), owner)}
        return {
            key: owner if key == OWNER else rules.get(key.removeprefix(_RULE))
            for key in call.before
        }

    def apply(self, call: PlannedCall) -> None:
        """Exchange the call's rule; S3 takes no configuration without rules, that is deleted.

        Raises
        ------
        ChangeFailedError
            S3 does not accept the configuration.
        """
        bucket_name, owner = _bucket_name(call.resource), call.before[OWNER]
        now = self._configuration(bucket_name, owner)
        rules = _exchanged(now["Rules"], call)
        with changing(call, self.present):
            if rules:
                size = {_MINIMUM_SIZE: now[_MINIMUM_SIZE]} if now.get(_MINIMUM_SIZE) else {}
                self._client.put_bucket_lifecycle_configuration(
                    Bucket=bucket_name,
                    LifecycleConfiguration={"Rules": rules},
                    ExpectedBucketOwner=owner,
                    **size,
                )
            else:
                self._client.delete_bucket_lifecycle(Bucket=bucket_name, ExpectedBucketOwner=owner)

    def _configuration(self, bucket_name: str, owner: str) -> dict[str, Any]:
        with reading(f"bucket {bucket_name}"):
            try:
                found: dict[str, Any] = self._client.get_bucket_lifecycle_configuration(
                    Bucket=bucket_name, ExpectedBucketOwner=owner
                )
            except ClientError as error:
                if error.response["Error"]["Code"] != "NoSuchLifecycleConfiguration":
                    raise
                return {"Rules": []}
        return {**found, "Rules": found.get("Rules", [])}


def _exchanged(rules: list[Rule], call: PlannedCall) -> list[Rule]:
    """The rules with the call's one in its place, at the end if it is new."""
    (key,) = [key for key in call.after if key.startswith(_RULE)]
    wanted: Rule | None = call.after[key]
    name = key.removeprefix(_RULE)
    exchanged = [wanted if r.get("ID") == name else r for r in rules]
    if wanted is not None and wanted not in exchanged:
        exchanged.append(wanted)
    return [r for r in exchanged if r is not None]


def _entries(page: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    # Delete markers are left out: they hold no data.
    yield from page.get("Contents", ())
    yield from page.get("Versions", ())


def _bucket_name(bucket_arn: str) -> str:
    return bucket_arn.rpartition(":::")[2]
