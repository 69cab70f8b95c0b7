"""Stages of REST and HTTP APIs: which deployment they serve, their canary, and moving them.

The two kinds of API are two services with the same idea. A call of either names the stage by its
ARN and sets one key: `deploymentId`, or (REST only) `canarySettings`.
"""

import contextlib
import hashlib
from collections.abc import Mapping
from dataclasses import field
from datetime import UTC, datetime
from typing import Any, ClassVar, Protocol

from lambdas.remediation.contracts import Json, PlannedCall
from lambdas.remediation.errors import TargetNotFoundError
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.resources.client_errors import changing, reading

UPDATE_REST_STAGE = "apigateway:UpdateStage"
UPDATE_HTTP_STAGE = "apigatewayv2:UpdateStage"
DEPLOYMENT_ID = "deploymentId"
CANARY_SETTINGS = "canarySettings"
OVERRIDES = "stageVariableOverrides"
# What a canary has besides its overrides, and a patch can set.
_CANARY_KEYS = (DEPLOYMENT_ID, "percentTraffic", "useStageCache")


class Canary(Frozen):
    """A second deployment that takes a share of the stage's requests.

    Parameters
    ----------
    percent_traffic
        Share in percent; requests are drawn at random.
    overrides
        Stage variables that differ for it: name to SHA-256 of the value, which may be a secret.
    """

    deployment_id: str
    percent_traffic: float
    use_stage_cache: bool = False
    overrides: Mapping[str, str] = field(default_factory=dict)

    @property
    def settings(self) -> dict[str, Json]:
        """The canary as a planned call holds it; without overrides that is all there is to it."""
        found: dict[str, Json] = {
            DEPLOYMENT_ID: self.deployment_id,
            "percentTraffic": self.percent_traffic,
            "useStageCache": self.use_stage_cache,
        }
        return found | ({OVERRIDES: dict(self.overrides)} if self.overrides else {})


class Stage(Frozen):
    """A stage as GetStage tells it.

    Parameters
    ----------
    deployment_id
        What it serves; None for a stage of an HTTP API that was never deployed.
    variables
        Name to SHA-256 of the value: stage variables may hold secrets.
    auto_deploy
        API Gateway deploys every change of an HTTP API by itself, and then moves the stage.
    """

    deployment_id: str | None
    canary: Canary | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    auto_deploy: bool = False
    last_updated_at: datetime | None = None

    @property
    def settings(self) -> dict[str, Json]:
        """What a call can change, by planned-call key."""
        return {
            DEPLOYMENT_ID: self.deployment_id,
            CANARY_SETTINGS: self.canary.settings if self.canary else None,
        }


class Stages(Protocol):
    """What stages of both kinds of API answer."""

    def read(self, api_id: str, stage_name: str) -> Stage:
        """Describe a stage."""
        ...

    def deployed_at(self, api_id: str, deployment_id: str) -> datetime | None:
        """When a deployment was made; None if it does not exist any more."""
        ...


def stage_of(arn: str) -> tuple[str, str]:
    """Id of the API and name of the stage in the ARN of a stage."""
    *_, api_id, _, stage_name = arn.split("/")
    return api_id, stage_name


def move(arn: str, stage: Stage, deployment_id: str) -> PlannedCall:
    """The call that makes a stage serve another deployment.

    Notes
    -----
    Stage variables are not part of a deployment: they stay as they are.
    """
    rest = "/restapis/" in arn
    after: dict[str, Json] = {DEPLOYMENT_ID: deployment_id}
    return PlannedCall(
        api=UPDATE_REST_STAGE if rest else UPDATE_HTTP_STAGE,
        resource=arn,
        arguments=(rest_arguments if rest else http_arguments)(arn, after),
        before={DEPLOYMENT_ID: stage.deployment_id},
        after=after,
    )


def drop_canary(arn: str, canary: Canary) -> PlannedCall:
    """The call that gives all requests back to the stage's own deployment.

    Raises
    ------
    ValueError
        The canary overrides stage variables. Their values may be secrets, so no record may keep
        them, and without them there is no way back.
    """
    if canary.overrides:
        raise ValueError("a canary that overrides stage variables cannot be restored")
    return PlannedCall(
        api=UPDATE_REST_STAGE,
        resource=arn,
        arguments=rest_arguments(arn, {CANARY_SETTINGS: None}),
        before={CANARY_SETTINGS: canary.settings},
        after={CANARY_SETTINGS: None},
    )


def rest_arguments(arn: str, after: Mapping[str, Json]) -> dict[str, Any]:
    """Arguments of UpdateStage of a REST API.

    Notes
    -----
    A canary goes by `remove` of the whole, and comes by `replace` of each of its settings, also
    where there is none yet; API Gateway takes no other operation on them (API Gateway Developer
    Guide, "Create a canary release deployment", from an existing deployment; "Turn off a canary
    release"; and its API Reference, PatchOperation). Values are text.
    """
    api_id, stage_name = stage_of(arn)
    patches: list[dict[str, str]] = []
    if DEPLOYMENT_ID in after:
        patches.append(_replace(f"/{DEPLOYMENT_ID}", after[DEPLOYMENT_ID]))
    if CANARY_SETTINGS in after:
        canary = after[CANARY_SETTINGS]
        if canary is None:
            patches.append({"op": "remove", "path": f"/{CANARY_SETTINGS}"})
        else:
            patches += [_replace(f"/{CANARY_SETTINGS}/{k}", canary[k]) for k in _CANARY_KEYS]
    return {"restApiId": api_id, "stageName": stage_name, "patchOperations": patches}


def _replace(path: str, value: Json) -> dict[str, str]:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return {"op": "replace", "path": path, "value": text}


def http_arguments(arn: str, after: Mapping[str, Json]) -> dict[str, Any]:
    """Arguments of UpdateStage of an HTTP API; what is left out stays as it is."""
    api_id, stage_name = stage_of(arn)
    return {"ApiId": api_id, "StageName": stage_name, "DeploymentId": after[DEPLOYMENT_ID]}


class RestStages:
    """Reads and moves stages of REST APIs.

    Parameters
    ----------
    client
        Client of API Gateway.
    """

    service: ClassVar[str] = "apigateway"
    apis: ClassVar[tuple[str, ...]] = (UPDATE_REST_STAGE,)

    def __init__(self, client: Any) -> None:
        self._client = client

    def read(self, api_id: str, stage_name: str) -> Stage:
        """Describe a stage.

        Raises
        ------
        TargetNotFoundError
            There is no such API or stage.
        """
        with reading(f"stage {stage_name} of API {api_id}"):
            found = self._client.get_stage(restApiId=api_id, stageName=stage_name)
        return Stage(
            deployment_id=found.get("deploymentId"),
            canary=_canary(found.get("canarySettings")),
            variables=_hashed(found.get("variables")),
            last_updated_at=_utc(found.get("lastUpdatedDate")),
        )

    def deployed_at(self, api_id: str, deployment_id: str) -> datetime | None:
        """When a deployment was made; None if it does not exist any more."""
        with contextlib.suppress(TargetNotFoundError), reading(f"deployment {deployment_id}"):
            found = self._client.get_deployment(restApiId=api_id, deploymentId=deployment_id)
            return _utc(found["createdDate"])
        return None

    def present(self, call: PlannedCall) -> dict[str, Any]:
        """Present values of the call's keys."""
        settings = self.read(*stage_of(call.resource)).settings
        return {key: settings[key] for key in call.after}

    def apply(self, call: PlannedCall) -> None:
        """Make one UpdateStage call; it has taken effect when it answers."""
        with changing(call, self.present):
            self._client.update_stage(**rest_arguments(call.resource, call.after))


class HttpStages:
    """Reads and moves stages of HTTP APIs.

    Parameters
    ----------
    client
        Client of API Gateway V2.
    """

    service: ClassVar[str] = "apigatewayv2"
    apis: ClassVar[tuple[str, ...]] = (UPDATE_HTTP_STAGE,)

    def __init__(self, client: Any) -> None:
        self._client = client

    def read(self, api_id: str, stage_name: str) -> Stage:
        """Describe a stage; HTTP APIs have no canaries.

        Raises
        ------
        TargetNotFoundError
            There is no such API or stage.
        """
        with reading(f"stage {stage_name} of API {api_id}"):
            found = self._client.get_stage(ApiId=api_id, StageName=stage_name)
        return Stage(
            deployment_id=found.get("DeploymentId"),
            variables=_hashed(found.get("StageVariables")),
            auto_deploy=found.get("AutoDeploy", False),
            last_updated_at=_utc(found.get("LastUpdatedDate")),
        )

    def deployed_at(self, api_id: str, deployment_id: str) -> datetime | None:
        """When a deployment was made; None if it does not exist any more."""
        with contextlib.suppress(TargetNotFoundError), reading(f"deployment {deployment_id}"):
            found = self._client.get_deployment(ApiId=api_id, DeploymentId=deployment_id)
            return _utc(found["CreatedDate"])
        return None

    def present(self, call: PlannedCall) -> dict[str, Any]:
        """Present values of the call's keys."""
        settings = self.read(*stage_of(call.resource)).settings
        return {key: settings[key] for key in call.after}

    def apply(self, call: PlannedCall) -> None:
        """Make one UpdateStage call; API Gateway refuses it where `AutoDeploy` is on."""
        with changing(call, self.present):
            self._client.update_stage(**http_arguments(call.resource, call.after))


def _canary(found: Mapping[str, Any] | None) -> Canary | None:
    if not found:
        return None
    return Canary(
        deployment_id=str(found.get(DEPLOYMENT_ID, "")),
        percent_traffic=float(found.get("percentTraffic", 0)),
        # Some answers carry what a patch has set as the patch's text.
        use_stage_cache=str(found.get("useStageCache", False)).lower() == "true",
        overrides=_hashed(found.get(OVERRIDES)),
    )


def _hashed(variables: Mapping[str, str] | None) -> dict[str, str]:
    """Names with the SHA-256 of what they hold: tells a difference, tells no secret."""
    return {
        name: hashlib.sha256(value.encode()).hexdigest()
        for name, value in sorted((variables or {}).items())
    }


def _utc(moment: datetime | None) -> datetime | None:
    return moment.astimezone(UTC) if moment else None
