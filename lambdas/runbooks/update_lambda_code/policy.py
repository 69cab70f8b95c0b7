"""Decisions of `update_lambda_code`: pure functions, no AWS call, no clock, no environment."""

import base64
import binascii
from collections.abc import Mapping, Sequence

from lambdas.remediation.contracts import Decision, Json, Plan
from lambdas.remediation.errors import InvalidRequestError, PrerequisiteNotMetError
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.platform import Function
from lambdas.remediation.releases import release_calls, require_ready
from lambdas.remediation.resources.code_package import Package
from lambdas.remediation.resources.lambda_alias import Alias
from lambdas.remediation.resources.lambda_release import (
    CODE,
    CodeStorage,
    Configuration,
    update_code,
)

# Amazon S3: the version of objects in a bucket without versioning, which anyone may replace.
_UNVERSIONED = "null"
_MAX_KEY_BYTES = 1_024
_SHA256_BYTES = 32


class Asked(Frozen):
    """The package that is asked for."""

    key: str
    version_id: str
    sha256: str


class Situation(Frozen):
    """Everything the plan rests on.

    Parameters
    ----------
    served_code
        SHA-256 of the code behind the alias.
    same_version
        Version that already is what would be published.
    drift
        Settings, beside the code, in which the unpublished function differs from what serves.
    """

    function_arn: str
    asked: Asked
    bucket: str
    package: Package
    storage: CodeStorage
    latest: Configuration
    alias: Alias
    served_code: str
    same_version: str | None = None
    drift: Sequence[str] = ()
    canary_percent: int
    run_id: str


def asked(parameters: Mapping[str, Json]) -> Asked:
    """The package that is asked for.

    Raises
    ------
    InvalidRequestError
        A parameter is missing, or cannot be what it is said to be.
    """
    for name in ("key", "version_id", "sha256"):
        if not parameters.get(name):
            raise InvalidRequestError(
                f"parameters.{name}: missing; give key, version_id and sha256 of the package"
            )
    found = Asked(**{name: parameters[name] for name in ("key", "version_id", "sha256")})
    if len(found.key.encode()) > _MAX_KEY_BYTES:
        raise InvalidRequestError(
            f"parameters.key: longer than {_MAX_KEY_BYTES} bytes; type the key without s3:// and "
            "bucket"
        )
    if found.version_id == _UNVERSIONED:
        raise InvalidRequestError(
            "parameters.version_id: 'null' is no version; switch on versioning of the bucket, "
            "upload the package again and type the id of that version"
        )
    if not _is_sha256(found.sha256):
        raise InvalidRequestError(
            f"parameters.sha256: {found.sha256!r} is not a SHA-256 in base64; type the output of "
            "openssl dgst -sha256 -binary package.zip | base64"
        )
    return found


def _is_sha256(text: str) -> bool:
    try:
        return len(base64.b64decode(text, validate=True)) == _SHA256_BYTES
    except (binascii.Error, ValueError):
        return False


def require_bucket(function: Function) -> str:
    """Bucket that packages of the function come from.

    Raises
    ------
    PrerequisiteNotMetError
        The platform file names none.
    """
    if function.code_bucket is None:
        raise PrerequisiteNotMetError(
            f"function {function.function_name}: platform.json names no bucket of packages; set "
            "functions[].code_bucket to the versioned bucket that your pipeline uploads to"
        )
    return function.code_bucket


def decide(situation: Situation) -> Plan:
    """Plan the update of the code, a version of it, and the move of the alias.

    Raises
    ------
    ResourceBusyError
        Somebody is updating the function.
    PrerequisiteNotMetError
        There is nothing to do, or function, alias or package are not in order.
    """
    latest, alias, wanted = situation.latest, situation.alias, situation.asked
    name = f"{alias.function_name}:{alias.name}"
    require_ready(alias.function_name, latest, alias)
    if situation.served_code == wanted.sha256 == latest.code_sha256:
        raise PrerequisiteNotMetError(
            f"nothing to do: {name} serves this code already, in version {alias.version}"
        )
    _require_package(situation)
    calls = []
    if latest.code_sha256 != wanted.sha256:
        location = {
            "S3Bucket": situation.bucket,
            "S3Key": wanted.key,
            "S3ObjectVersion": wanted.version_id,
        }
        calls.append(
            update_code(
                situation.function_arn,
                before=latest,
                location=location,
                code_sha256=wanted.sha256,
            )
        )
    calls += release_calls(
        situation.function_arn,
        alias,
        release=situation.run_id,
        code_sha256=wanted.sha256,
        published=None if calls else situation.same_version,
        canary=situation.canary_percent,
    )
    return Plan(
        decision=Decision.CHANGE,
        reason=_reason(situation, name),
        calls=calls,
        evidence={
            CODE: wanted.sha256,
            "size_bytes": situation.package.size_bytes,
            "released_settings": list(situation.drift),
        },
    )


def _require_package(situation: Situation) -> None:
    package, storage, wanted = situation.package, situation.storage, situation.asked
    if package.sha256 is not None and package.sha256 != wanted.sha256:
        raise PrerequisiteNotMetError(
            f"the package {wanted.key} has SHA-256 {package.sha256}, not {wanted.sha256}; check "
            "parameters.version_id and parameters.sha256"
        )
    if storage.used_bytes + package.size_bytes > storage.limit_bytes:
        raise PrerequisiteNotMetError(
            f"Lambda stores {storage.used_bytes} of {storage.limit_bytes} bytes of packages in "
            f"this account, {package.size_bytes} more do not fit; delete old versions"
        )


def _reason(situation: Situation, name: str) -> str:
    share = situation.canary_percent
    way = f" at first {share} % of the traffic, then all" if share else " all the traffic at once"
    reason = (
        f"Release package {situation.asked.key} as a new version of {name}, and give it{way}. "
        f"Version {situation.alias.version} is what an undo goes back to."
    )
    if situation.drift:
        reason += f" Released with it, for it is unpublished too: {', '.join(situation.drift)}."
    return reason
