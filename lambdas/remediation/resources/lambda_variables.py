"""Environment variables of a Lambda function, changed without a value leaving this process.

Neither values nor digests of them are planned, stored or logged: a digest of a short value can be
guessed, whatever public salt it has. Instead a plan says where each value is: the variables of a
published version, which is immutable and keeps them encrypted, and names in one pinned version of a
secret. What is there now is compared with that, here, in memory.
"""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from lambdas.remediation import clients
from lambdas.remediation.contracts import Json, PlannedCall
from lambdas.remediation.errors import (
    ConcurrentChangeError,
    PrerequisiteNotMetError,
    TargetNotFoundError,
)
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.resources.client_errors import changing
from lambdas.remediation.resources.lambda_alias import LATEST, REVISION_ID, UPDATE_ALIAS
from lambdas.remediation.resources.lambda_release import (
    PUBLISH,
    RELEASE,
    LambdaReleases,
    function_of,
)
from lambdas.remediation.resources.variables_secret import VariablesSecret

UPDATE_CONFIGURATION = "lambda:UpdateFunctionConfiguration"
VARIABLES = "Variables"
SAME_AS = "same_as_version"


class Planned(Frozen):
    """What the variables would be, by name.

    Parameters
    ----------
    changed
        Those whose value would become another one, new ones included.
    without_value, absent
        Names to set that the secret does not have, and names to remove that are not there.
    size_bytes
        Names and values together, as UTF-8.
    """

    names: tuple[str, ...]
    changed: tuple[str, ...]
    without_value: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    size_bytes: int = 0
    values_version: str | None = None


def update_variables(
    function_arn: str,
    *,
    base: str,
    release: str,
    set_names: Iterable[str],
    remove: Iterable[str],
    secret: tuple[str, str] | None,
    revision_id: str | None,
) -> PlannedCall:
    """The call that merges variables into those of a version.

    Parameters
    ----------
    base
        Version that keeps the variables as they are, by number or by the run that publishes it.
    secret
        Name and version id of the secret that the values to set are in.
    revision_id
        Of the unpublished function; needed while the base is not published yet.
    """
    changed = {
        SAME_AS: base,
        "set": sorted(set_names),
        "removed": sorted(remove),
        "secret": secret[0] if secret else None,
        "secret_version": secret[1] if secret else None,
        "release": f"{RELEASE}{release}",
    }
    return PlannedCall(
        api=UPDATE_CONFIGURATION,
        resource=function_arn,
        arguments={REVISION_ID: revision_id} if revision_id else {},
        before={VARIABLES: {SAME_AS: base}},
        after={VARIABLES: changed},
    )


def merged(
    old: Mapping[str, str], values: Mapping[str, str], spec: Mapping[str, Json]
) -> dict[str, str]:
    """The old variables with those to set, without those to remove: never any other change."""
    kept = {k: v for k, v in old.items() if k not in spec["removed"]}
    return {**kept, **{name: values[name] for name in spec["set"]}}


class LambdaVariables(LambdaReleases):
    """Changes variables beside what every release changes.

    Parameters
    ----------
    client
        Client of Lambda.
    """

    apis: ClassVar[tuple[str, ...]] = (UPDATE_ALIAS, PUBLISH, UPDATE_CONFIGURATION)

    def names(self, function_name: str, version: str = LATEST) -> tuple[str, ...]:
        """Names of the variables, sorted.

        Raises
        ------
        PrerequisiteNotMetError
            Lambda cannot decrypt them.
        """
        return tuple(sorted(self._variables(function_name, version)))

    def same(self, function_name: str, version: str) -> bool:
        """Whether a version has just the variables of the unpublished function."""
        return self._variables(function_name) == self._variables(function_name, version)

    def planned(
        self,
        function_name: str,
        *,
        set_names: Iterable[str],
        remove: Iterable[str],
        secret_id: str | None,
        version_id: str | None,
    ) -> Planned:
        """What a change of the unpublished function's variables would come to.

        Raises
        ------
        TargetNotFoundError
            There is no such function, secret or version of it.
        PrerequisiteNotMetError
            Lambda cannot decrypt the variables, or the secret is not as it must be.
        """
        old = self._variables(function_name)
        wanted, gone = tuple(sorted(set_names)), tuple(sorted(remove))
        secret = self._secret().read(secret_id, version_id) if wanted and secret_id else None
        values = secret.values if secret else {}
        known = [name for name in wanted if name in values]
        new = merged(old, values, {"set": known, "removed": gone})
        return Planned(
            names=tuple(sorted(new)),
            changed=tuple(n for n in sorted({*old, *new}) if old.get(n) != new.get(n)),
            without_value=tuple(n for n in wanted if n not in values),
            absent=tuple(n for n in gone if n not in old),
            size_bytes=sum(len(k.encode()) + len(v.encode()) for k, v in new.items()),
            values_version=secret.version_id if secret else None,
        )

    def present(self, call: PlannedCall) -> dict[str, Any]:
        """Where the variables stand, said as the call says it; else their names.

        Raises
        ------
        TargetNotFoundError
            The function is gone.
        PrerequisiteNotMetError
            Lambda cannot decrypt the variables.
        """
        if call.api != UPDATE_CONFIGURATION:
            return super().present(call)
        return self._standing(call, self._described(function_of(call.resource), LATEST))

    def apply(self, call: PlannedCall) -> None:
        """Make the call, unless somebody else has changed what it changes.

        Raises
        ------
        ConcurrentChangeError
            Function or alias is not as the call expects it.
        ChangeFailedError
            AWS refuses.
        """
        if call.api != UPDATE_CONFIGURATION:
            super().apply(call)
            return
        name = function_of(call.resource)
        latest = self._described(name, LATEST)
        now = self._standing(call, latest)
        if now == call.after:
            return
        if now != call.before:
            raise ConcurrentChangeError(
                f"{call.resource}: expected {call.before} before {call.api}, found {now}"
            )
        with changing(call, self.present):
            self._client.update_function_configuration(
                FunctionName=name,
                Environment={"Variables": self._wanted(name, call.after[VARIABLES])},
                # Of the very map that was compared: what is set in between makes it stale.
                RevisionId=latest[REVISION_ID],
            )

    def _standing(self, call: PlannedCall, latest: Mapping[str, Any]) -> dict[str, Any]:
        name = function_of(call.resource)
        now = _map(name, latest)
        forward = call.after[VARIABLES] if "set" in call.after[VARIABLES] else None
        spec = forward or call.before[VARIABLES]
        base = {SAME_AS: spec[SAME_AS]}
        try:
            if now == self._variables(name, self.version_of(name, spec[SAME_AS])):
                return {VARIABLES: base}
        except TargetNotFoundError:
            # The version that is to keep them is not published yet: the plan's revision tells.
            if latest.get(REVISION_ID) == call.arguments.get(REVISION_ID):
                return {VARIABLES: base}
            return {VARIABLES: {"names": sorted(now)}}
        if now == self._released(name, spec):
            return {VARIABLES: dict(spec)}
        return {VARIABLES: {"names": sorted(now)}}

    def _released(self, name: str, spec: Mapping[str, Json]) -> dict[str, str] | None:
        """The variables that the run has set; None if nothing tells any more."""
        try:
            # Published, they are kept there, whatever becomes of the secret's version.
            return self._variables(name, self.version_of(name, spec["release"]))
        except TargetNotFoundError:
            pass
        try:
            return self._wanted(name, spec)
        except (KeyError, PrerequisiteNotMetError, TargetNotFoundError):
            return None

    def _wanted(self, name: str, spec: Mapping[str, Json]) -> dict[str, str]:
        """Names and values that one side of a call stands for."""
        old = self._variables(name, self.version_of(name, spec[SAME_AS]))
        if "set" not in spec:
            return old
        values: Mapping[str, str] = {}
        if spec["set"]:
            values = self._secret().read(spec["secret"], spec["secret_version"]).values
        return merged(old, values, spec)

    def _variables(self, function_name: str, version: str = LATEST) -> dict[str, str]:
        return _map(function_name, self._described(function_name, version))

    def _secret(self) -> VariablesSecret:
        return VariablesSecret(clients.client(VariablesSecret.service))


def _map(function_name: str, found: Mapping[str, Any]) -> dict[str, str]:
    environment = found.get("Environment") or {}
    if "Error" in environment:
        # What cannot be read would be wiped by writing the rest.
        raise PrerequisiteNotMetError(
            f"function {function_name}: Lambda cannot decrypt its variables "
            f"({environment['Error'].get('ErrorCode')}); allow kms:Decrypt on its key first"
        )
    return dict(environment.get("Variables") or {})
