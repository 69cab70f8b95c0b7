"""Lambda aliases: where they point, the versions they may point to, and moving them."""

from collections.abc import Mapping
from dataclasses import field
from typing import Any, ClassVar

from lambdas.remediation.contracts import Json, PlannedCall, canonical_json
from lambdas.remediation.errors import ConcurrentChangeError
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.resources.client_errors import changing, reading

UPDATE_ALIAS = "lambda:UpdateAlias"
VERSION = "FunctionVersion"
WEIGHTS = "AdditionalVersionWeights"
REVISION_ID = "RevisionId"
LATEST = "$LATEST"


class Alias(Frozen):
    """An alias: its main version, and the share of a second one while a release is rolled out.

    Parameters
    ----------
    weights
        Second version to its share of the traffic, 0 to 1; empty as a rule.
    revision_id
        Changes with every update of the alias, so that a stale update can be refused.
    """

    function_name: str
    name: str
    arn: str
    version: str
    weights: Mapping[str, float] = field(default_factory=dict)
    revision_id: str

    @property
    def settings(self) -> dict[str, Json]:
        """Where traffic goes, by planned-call key."""
        return {VERSION: self.version, WEIGHTS: dict(self.weights)}

    def moved_to(self, version: str) -> PlannedCall:
        """The call that gives all traffic to one version, if nobody moves the alias before.

        Notes
        -----
        Version and weights are one setting: weights that were put back beside a version which
        somebody else chose would send traffic where nobody wanted it.
        """
        return PlannedCall(
            api=UPDATE_ALIAS,
            resource=self.arn,
            arguments={
                "FunctionName": self.function_name,
                "Name": self.name,
                VERSION: version,
                "RoutingConfig": {WEIGHTS: {}},
                REVISION_ID: self.revision_id,
            },
            before=self.settings,
            after={VERSION: version, WEIGHTS: {}},
        )


class FunctionState(Frozen):
    """Whether a version can serve; never its environment, which may hold secrets."""

    version: str
    state: str
    last_update_status: str
    code_sha256: str = ""
    role_arn: str = ""

    @property
    def serves(self) -> bool:
        """Whether it can be invoked: an inactive one starts again when it is."""
        return self.state in {"Active", "Inactive"}

    @property
    def settled(self) -> bool:
        """Whether nobody is updating or publishing it."""
        return self.state != "Pending" and self.last_update_status != "InProgress"


class Invocation(Frozen):
    """How one invocation ended. What it answered is not kept: it is the application's data."""

    status_code: int
    function_error: str | None = None
    executed_version: str = ""


def alias_of(arn: str) -> tuple[str, str]:
    """Names of function and alias in the ARN of an alias."""
    *_, function_name, name = arn.split(":")
    return function_name, name


class LambdaAliases:
    """Reads aliases and the versions behind them, and moves aliases.

    Parameters
    ----------
    client
        Client of Lambda.
    """

    service: ClassVar[str] = "lambda"
    apis: ClassVar[tuple[str, ...]] = (UPDATE_ALIAS,)

    def __init__(self, client: Any) -> None:
        self._client = client

    def read(self, function_name: str, alias: str) -> Alias:
        """Where an alias points.

        Raises
        ------
        TargetNotFoundError
            There is no such function or alias.
        """
        with reading(f"alias {function_name}:{alias}"):
            found = self._client.get_alias(FunctionName=function_name, Name=alias)
        weights = found.get("RoutingConfig", {}).get(WEIGHTS, {})
        return Alias(
            function_name=function_name,
            name=alias,
            arn=found["AliasArn"],
            version=found[VERSION],
            weights={version: float(share) for version, share in weights.items()},
            revision_id=found[REVISION_ID],
        )

    def state(self, function_name: str, version: str = LATEST) -> FunctionState:
        """State of a version (also by its alias), or of the unpublished code.

        Raises
        ------
        TargetNotFoundError
            There is no such function or version.
        """
        with reading(f"version {version} of function {function_name}"):
            found = self._client.get_function_configuration(
                FunctionName=function_name, Qualifier=version
            )
        return FunctionState(
            version=version,
            # Absent for functions that were never in any other state.
            state=found.get("State", "Active"),
            last_update_status=found.get("LastUpdateStatus", "Successful"),
            code_sha256=found.get("CodeSha256", ""),
            role_arn=found.get("Role", ""),
        )

    def invoke(self, function_name: str, alias: str, event: Mapping[str, Any]) -> Invocation:
        """Invoke through an alias and wait for the end.

        Raises
        ------
        ThrottledError, ResourceBusyError
            The function was not invoked, or nothing was heard of it in time.
        """
        with reading(f"function {function_name}:{alias}"):
            answer = self._client.invoke(
                FunctionName=function_name,
                Qualifier=alias,
                InvocationType="RequestResponse",
                Payload=canonical_json(dict(event)).encode(),
            )
        return Invocation(
            status_code=answer["StatusCode"],
            # A function that raises answers 200 too: only this key tells.
            function_error=answer.get("FunctionError"),
            executed_version=answer.get("ExecutedVersion", ""),
        )

    def present(self, call: PlannedCall) -> dict[str, Any]:
        """Where the call's alias points now.

        Raises
        ------
        TargetNotFoundError
            The alias is gone.
        """
        return self.read(*alias_of(call.resource)).settings

    def apply(self, call: PlannedCall) -> None:
        """Move the alias, unless somebody else has moved it.

        A planned call holds the revision that the plan is based on; the way back takes the present
        one, after a look that the alias still points where it is to be taken from.

        Raises
        ------
        ConcurrentChangeError
            The alias is not as the call expects it.
        """
        alias = self.read(*alias_of(call.resource))
        if alias.settings == call.after:
            return
        if alias.settings != call.before:
            raise ConcurrentChangeError(
                f"{call.resource}: expected {call.before} before {call.api}, found {alias.settings}"
            )
        with changing(call, self.present):
            self._client.update_alias(
                FunctionName=alias.function_name,
                Name=alias.name,
                FunctionVersion=call.after[VERSION],
                RoutingConfig={WEIGHTS: call.after[WEIGHTS]},
                RevisionId=call.arguments.get(REVISION_ID, alias.revision_id),
            )
