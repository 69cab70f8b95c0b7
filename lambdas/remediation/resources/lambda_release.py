"""Releases of a Lambda function: new code, a published version, and the alias that serves it.

The number of a version is known only once it is published. A plan therefore names it by the run
that publishes it (`release:<run id>`), which is the description of the version; `present` gives
that name back for the versions that a call names so.
"""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from lambdas.remediation.contracts import PlannedCall
from lambdas.remediation.errors import (
    ChangeFailedError,
    ConcurrentChangeError,
    TargetNotFoundError,
)
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.resources.client_errors import changing, reading
from lambdas.remediation.resources.lambda_alias import (
    LATEST,
    REVISION_ID,
    UPDATE_ALIAS,
    VERSION,
    WEIGHTS,
    Alias,
    FunctionState,
    LambdaAliases,
    alias_of,
)

UPDATE_CODE = "lambda:UpdateFunctionCode"
PUBLISH = "lambda:PublishVersion"
CODE = "CodeSha256"
PUBLISHED = "PublishedVersion"
RELEASE = "release:"
# What a version keeps of the function beside its variables. Not its description, which we give,
# nor what differs between a version and `$LATEST` by itself (states, revisions, optimisation).
_SETTINGS = (
    CODE,
    "Runtime",
    "Handler",
    "Role",
    "Timeout",
    "MemorySize",
    "KMSKeyArn",
    "Architectures",
    "EphemeralStorage",
    "DeadLetterConfig",
    "FileSystemConfigs",
    "LoggingConfig",
)


class Configuration(FunctionState):
    """A version, or the unpublished code and settings, as far as a release needs to know it.

    Parameters
    ----------
    reason
        Why its last update failed, if it did.
    revision_id
        Changes with every update, so that a stale update can be refused.
    release
        Run that published it, if a run of ours did; else whatever somebody described it by.
    """

    package_type: str = "Zip"
    reason: str = ""
    revision_id: str = ""
    release: str = ""


class CodeStorage(Frozen):
    """Bytes of packages in the account and Region, and how many there may be."""

    used_bytes: int
    limit_bytes: int


def function_of(arn: str) -> str:
    """Name of the function in its unqualified ARN."""
    return arn.rpartition(":")[2]


def update_code(
    function_arn: str, *, before: Configuration, location: Mapping[str, str], code_sha256: str
) -> PlannedCall:
    """The call that replaces the unpublished code, if nobody updates the function before.

    Parameters
    ----------
    location
        `S3Bucket`, `S3Key` and `S3ObjectVersion` of the package.

    Notes
    -----
    Not reversible: AWS keeps the replaced package nowhere that it could be put back from, and no
    alias serves it.
    """
    return PlannedCall(
        api=UPDATE_CODE,
        resource=function_arn,
        arguments={**location, REVISION_ID: before.revision_id},
        before={CODE: before.code_sha256},
        after={CODE: code_sha256},
        reversible=False,
    )


def publish(function_arn: str, *, release: str, code_sha256: str) -> PlannedCall:
    """The call that publishes the function as it is then, named by a release.

    Not reversible: a version serves nobody by itself, and is what one goes back to.
    """
    return PlannedCall(
        api=PUBLISH,
        resource=function_arn,
        arguments={CODE: code_sha256},
        before={PUBLISHED: None},
        after={PUBLISHED: f"{RELEASE}{release}"},
        reversible=False,
    )


class LambdaReleases(LambdaAliases):
    """Replaces code, publishes versions and moves aliases to them.

    Parameters
    ----------
    client
        Client of Lambda.
    """

    service: ClassVar[str] = "lambda"
    apis: ClassVar[tuple[str, ...]] = (UPDATE_ALIAS, UPDATE_CODE, PUBLISH)

    def configuration(self, function_name: str, version: str = LATEST) -> Configuration:
        """State of a version, or of the unpublished code; never its variables.

        Raises
        ------
        TargetNotFoundError
            There is no such function or version.
        """
        return _configuration(self._described(function_name, version))

    def code_storage(self) -> CodeStorage:
        """How full the account's storage of packages is."""
        with reading("Lambda's account settings"):
            found = self._client.get_account_settings()
        return CodeStorage(
            used_bytes=found["AccountUsage"]["TotalCodeSize"],
            limit_bytes=found["AccountLimit"]["TotalCodeSize"],
        )

    def newest(self, function_name: str) -> str | None:
        """Number of the version published last; None if there is none."""
        numbers = [int(v["Version"]) for v in self._versions(function_name)]
        return str(max(numbers)) if numbers else None

    def version_of(self, function_name: str, name: str) -> str:
        """Number of a version that is given by number, or by the run that published it.

        Raises
        ------
        TargetNotFoundError
            No version is published under that name.
        """
        if not name.startswith(RELEASE):
            return name
        for version in self._versions(function_name):
            if f"{RELEASE}{version.get('Description', '')}" == name:
                return str(version["Version"])
        raise TargetNotFoundError(f"function {function_name}: there is no version of {name}")

    def drift(self, function_name: str, version: str) -> tuple[str, ...]:
        """Names of what a version has otherwise than the unpublished function; never values."""
        latest = _compared(self._described(function_name, LATEST))
        other = _compared(self._described(function_name, version))
        return tuple(k for k in sorted({*latest, *other}) if latest.get(k) != other.get(k))

    def present(self, call: PlannedCall) -> dict[str, Any]:
        """What the call changes, as it is now; versions by the names that the call uses.

        Raises
        ------
        TargetNotFoundError
            Function or alias is gone.
        """
        if call.api == UPDATE_CODE:
            return {CODE: self.configuration(function_of(call.resource)).code_sha256}
        if call.api == PUBLISH:
            return {PUBLISHED: self._published(call)}
        return self._named(self.read(*alias_of(call.resource)), call)

    def apply(self, call: PlannedCall) -> None:
        """Make the call, unless somebody else has changed what it changes.

        Raises
        ------
        ConcurrentChangeError
            Function or alias is not as the call expects it.
        ChangeFailedError
            AWS refuses, or has published nothing new.
        """
        if call.api == UPDATE_CODE:
            with changing(call, self.present):
                self._client.update_function_code(
                    FunctionName=function_of(call.resource), Publish=False, **call.arguments
                )
        elif call.api == PUBLISH:
            self._publish(call)
        else:
            self._move(call)

    def _move(self, call: PlannedCall) -> None:
        alias = self.read(*alias_of(call.resource))
        now = self._named(alias, call)
        if now == call.after:
            return
        if now != call.before:
            raise ConcurrentChangeError(
                f"{call.resource}: expected {call.before} before {call.api}, found {now}"
            )
        weights = {
            self.version_of(alias.function_name, version): share
            for version, share in call.after[WEIGHTS].items()
        }
        with changing(call, self.present):
            self._client.update_alias(
                FunctionName=alias.function_name,
                Name=alias.name,
                FunctionVersion=self.version_of(alias.function_name, call.after[VERSION]),
                RoutingConfig={WEIGHTS: weights},
                RevisionId=call.arguments.get(REVISION_ID, alias.revision_id),
            )

    def _publish(self, call: PlannedCall) -> None:
        name, wanted = function_of(call.resource), call.after[PUBLISHED]
        # After an update the revision changes once more when that has settled: the one of the plan
        # would be stale. A caller that has looked at the function gives the one it saw.
        revision = call.arguments.get(REVISION_ID) or self.configuration(name).revision_id
        with changing(call, self.present):
            self._client.publish_version(
                FunctionName=name,
                CodeSha256=call.arguments[CODE],
                Description=wanted.removeprefix(RELEASE),
                RevisionId=revision,
            )
        if self.present(call) != call.after:
            raise ChangeFailedError(
                f"{call.resource}: Lambda published no new version: it is as its last version is"
            )

    def _published(self, call: PlannedCall) -> str | None:
        wanted = str(call.after[PUBLISHED] or call.before[PUBLISHED])
        try:
            self.version_of(function_of(call.resource), wanted)
        except TargetNotFoundError:
            return None
        return wanted

    def _named(self, alias: Alias, call: PlannedCall) -> dict[str, Any]:
        """Settings of the alias, with the versions named as the call names them."""
        names = {n for s in (call.before, call.after) for n in (s[VERSION], *s[WEIGHTS])}
        releases = {n for n in names if n.startswith(RELEASE)}

        def named(version: str) -> str:
            if not releases or version == LATEST:
                return version
            name = f"{RELEASE}{self.configuration(alias.function_name, version).release}"
            return name if name in releases else version

        return {
            VERSION: named(alias.version),
            WEIGHTS: {named(version): share for version, share in alias.weights.items()},
        }

    def _described(self, function_name: str, version: str) -> dict[str, Any]:
        with reading(f"version {version} of function {function_name}"):
            found: dict[str, Any] = self._client.get_function_configuration(
                FunctionName=function_name, Qualifier=version
            )
        return found

    def _versions(self, function_name: str) -> Iterator[dict[str, Any]]:
        """Published versions, oldest first; `$LATEST` is listed with them."""
        pages = self._client.get_paginator("list_versions_by_function")
        with reading(f"versions of function {function_name}"):
            for page in pages.paginate(FunctionName=function_name):
                yield from (v for v in page["Versions"] if v["Version"] != LATEST)


def _configuration(found: Mapping[str, Any]) -> Configuration:
    return Configuration(
        version=found.get("Version", LATEST),
        # Absent for functions that were never in any other state.
        state=found.get("State", "Active"),
        last_update_status=found.get("LastUpdateStatus", "Successful"),
        code_sha256=found.get(CODE, ""),
        package_type=found.get("PackageType", "Zip"),
        reason=found.get("LastUpdateStatusReason") or found.get("StateReason") or "",
        revision_id=found.get(REVISION_ID, ""),
        release=found.get("Description", ""),
    )


def _compared(found: Mapping[str, Any]) -> dict[str, Any]:
    """What a version keeps, by name; stays in this process, for it holds values of variables."""
    network = found.get("VpcConfig") or {}
    return {
        **{name: found[name] for name in _SETTINGS if found.get(name)},
        "Layers": [layer["Arn"] for layer in found.get("Layers") or ()],
        "VpcConfig": [sorted(network.get(k) or ()) for k in ("SubnetIds", "SecurityGroupIds")],
        "TracingConfig": (found.get("TracingConfig") or {}).get("Mode", "PassThrough"),
        "SnapStart": (found.get("SnapStart") or {}).get("ApplyOn", "None"),
        **{
            f"Environment.{name}": value
            for name, value in ((found.get("Environment") or {}).get("Variables") or {}).items()
        },
    }
