"""Packages of Lambda functions in S3: whether one is there, and how large; never their content."""

from typing import Any, ClassVar

from botocore.exceptions import ClientError

from lambdas.remediation.errors import PrerequisiteNotMetError, TargetNotFoundError
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.resources.client_errors import reading

# HEAD has no body, so S3 answers with the bare status: no such key or version, a version id of
# the wrong form, a delete marker. 403: without s3:ListBucket S3 does not say whether it exists.
_NOT_THERE = {"400", "403", "405", "NoSuchVersion", "NotFound"}


class Package(Frozen):
    """One version of an object.

    Parameters
    ----------
    sha256
        SHA-256 in base64, as Lambda writes it; None if S3 has none of the whole object.
    """

    size_bytes: int
    sha256: str | None = None


class CodePackages:
    """Looks at packages.

    Parameters
    ----------
    client
        Client of S3.
    """

    service: ClassVar[str] = "s3"

    def __init__(self, client: Any) -> None:
        self._client = client

    def read(self, bucket: str, key: str, version_id: str) -> Package:
        """Size of a package.

        Raises
        ------
        PrerequisiteNotMetError
            There is no such version, or the function's role may not read it.
        """
        name = f"s3://{bucket}/{key} version {version_id}"
        try:
            with reading(name):
                found = self._client.head_object(
                    Bucket=bucket, Key=key, VersionId=version_id, ChecksumMode="ENABLED"
                )
        except (ClientError, TargetNotFoundError) as error:
            answer = getattr(error, "response", {}).get("Error", {})
            if isinstance(error, ClientError) and str(answer.get("Code", "")) not in _NOT_THERE:
                raise
            raise PrerequisiteNotMetError(
                f"{name}: there is no such version, or it may not be read; upload the package and "
                "give parameters.key and parameters.version_id of that upload"
            ) from error
        whole = found.get("ChecksumType", "FULL_OBJECT") == "FULL_OBJECT"
        return Package(
            size_bytes=found["ContentLength"],
            sha256=found.get("ChecksumSHA256") if whole else None,
        )
