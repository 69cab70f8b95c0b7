"""Objects of table exports in their S3 bucket: what guards them, what is there, what is deleted."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from botocore.exceptions import ClientError

from lambdas.remediation.errors import (
    ChangeFailedError,
    ResourceBusyError,
    TargetNotFoundError,
)
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.resources.client_errors import reading

# Everything that exports leave is below this, and nothing else is ever read or deleted here.
EXPORTS = "exports/"
# 1,000 objects each; a changing function has 60 s.
_BATCHES_PER_TRY = 40
_PUBLIC_ACCESS_BLOCKS = (
    "BlockPublicAcls",
    "IgnorePublicAcls",
    "BlockPublicPolicy",
    "RestrictPublicBuckets",
)
_UNSET = {"NoSuchPublicAccessBlockConfiguration", "ServerSideEncryptionConfigurationNotFoundError"}


class ExportBucket(Frozen):
    """How a bucket keeps what is put into it.

    Parameters
    ----------
    encryption
        Default algorithm: `AES256`, `aws:kms`, `aws:kms:dsse`; None without a default.
    kms_key_id
        Key of the default; None for S3's own and for the one that AWS manages.
    open_to_public
        Settings of the bucket's public access block that are off.
    """

    name: str
    encryption: str | None = None
    kms_key_id: str | None = None
    open_to_public: tuple[str, ...] = ()


class Manifest(Frozen):
    """What the manifest of an export says.

    Parameters
    ----------
    items
        Sum over its data files.
    data_files
        Keys of its data files.
    encryption
        Algorithm that the manifest itself is encrypted with.
    """

    items: int
    data_files: tuple[str, ...]
    encryption: str | None = None


class ExportObjects:
    """Reads an export's bucket and objects, and deletes the objects of one export.

    Parameters
    ----------
    client
        Client of S3.
    """

    service: ClassVar[str] = "s3"

    def __init__(self, client: Any) -> None:
        self._client = client

    def bucket(self, name: str, owner: str) -> ExportBucket:
        """Encryption and public access block of a bucket of this account.

        Parameters
        ----------
        owner
            Account that must own it: bucket names are everybody's.

        Raises
        ------
        TargetNotFoundError
            There is no such bucket.
        """
        asked = {"Bucket": name, "ExpectedBucketOwner": owner}
        rules = self._setting(self._client.get_bucket_encryption, asked).get(
            "ServerSideEncryptionConfiguration", {}
        )
        (rule, *_) = rules.get("Rules") or [{}]
        default = rule.get("ApplyServerSideEncryptionByDefault", {})
        blocked = self._setting(self._client.get_public_access_block, asked).get(
            "PublicAccessBlockConfiguration", {}
        )
        return ExportBucket(
            name=name,
            encryption=default.get("SSEAlgorithm"),
            kms_key_id=default.get("KMSMasterKeyID"),
            open_to_public=tuple(s for s in _PUBLIC_ACCESS_BLOCKS if not blocked.get(s)),
        )

    def _setting(self, read: Any, asked: Mapping[str, str]) -> dict[str, Any]:
        """A setting of a bucket; empty if it was never made."""
        with reading(f"bucket {asked['Bucket']}"):
            try:
                found: dict[str, Any] = read(**asked)
            except ClientError as error:
                if error.response["Error"]["Code"] in _UNSET:
                    return {}
                raise
        return found

    def any(self, bucket: str, prefix: str) -> bool:
        """Whether there is an object below a prefix; none if the bucket is gone."""
        try:
            with reading(f"bucket {bucket}"):
                found = self._client.list_objects_v2(
                    Bucket=bucket, Prefix=_below(prefix), MaxKeys=1
                )
        except TargetNotFoundError:
            return False
        return bool(found.get("Contents"))

    def keys(self, bucket: str, prefix: str) -> frozenset[str]:
        """Keys of all objects below a prefix."""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=bucket, Prefix=_below(prefix)
        )
        with reading(f"bucket {bucket}"):
            return frozenset(o["Key"] for page in pages for o in page.get("Contents", ()))

    def manifest(self, bucket: str, prefix: str, key: str) -> Manifest | None:
        """The manifest of an export, summed up; None if it is not there.

        Parameters
        ----------
        key
            Of the summary, as DescribeExport tells it: with or without the prefix.
        """
        summary_key = _inside(prefix, key)
        try:
            with reading(f"s3://{bucket}/{summary_key}"):
                head = self._client.head_object(Bucket=bucket, Key=summary_key)
            summary = json.loads(b"".join(self._lines(bucket, summary_key)))
            files_key = _inside(prefix, summary["manifestFilesS3Key"])
            # One JSON object a line: one data file.
            files = [json.loads(line) for line in self._lines(bucket, files_key) if line.strip()]
        except TargetNotFoundError:
            return None
        return Manifest(
            items=sum(int(f["itemCount"]) for f in files),
            data_files=tuple(_inside(prefix, f["dataFileS3Key"]) for f in files),
            encryption=head.get("ServerSideEncryption"),
        )

    def _lines(self, bucket: str, key: str) -> Iterator[bytes]:
        with reading(f"s3://{bucket}/{key}"):
            body = self._client.get_object(Bucket=bucket, Key=key)["Body"]
        yield from body.iter_lines()

    def delete(self, bucket: str, prefix: str) -> None:
        """Delete every object below a prefix; in a versioned bucket their versions stay.

        Raises
        ------
        ResourceBusyError
            There are more than one try can delete.
        ChangeFailedError
            S3 refuses to delete one.
        """
        for _ in range(_BATCHES_PER_TRY):
            with reading(f"bucket {bucket}"):
                found = self._client.list_objects_v2(Bucket=bucket, Prefix=_below(prefix))
                keys = [{"Key": o["Key"]} for o in found.get("Contents", ())]
                if not keys:
                    return
                answer = self._client.delete_objects(
                    Bucket=bucket, Delete={"Objects": keys, "Quiet": True}
                )
            for refused in answer.get("Errors", ()):
                raise ChangeFailedError(
                    f"s3://{bucket}/{refused['Key']}: not deleted: {refused.get('Code')}: "
                    f"{refused.get('Message')}"
                )
        raise ResourceBusyError(f"s3://{bucket}/{prefix}: not all objects are deleted yet")


def _below(prefix: str) -> str:
    """Prefix of the objects of one export; never of all of a bucket, a table, or another export."""
    if not prefix.startswith(EXPORTS) or prefix.strip("/").count("/") < 2 or prefix.endswith("/"):
        raise ValueError(f"{prefix!r} is not the prefix of one export")
    return f"{prefix}/"


def _inside(prefix: str, key: str) -> str:
    return key if key.startswith(_below(prefix)) else f"{prefix}/{key}"
