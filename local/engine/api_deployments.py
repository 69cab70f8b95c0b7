"""A deployment of a REST API is a snapshot, and a stage serves the one it points to.

MiniStack serves the API as it is being edited, whatever the stage's ``deploymentId`` says: a
broken integration answers before anybody deploys it, and moving the stage back changes nothing.
Here `CreateDeployment` copies resources, methods and integrations; the stage serves the copy; an
unknown id is refused; a canary takes its share of the requests by random draw, and can be promoted
or removed by patch.

Not copied with it: models, validators, authorizers. Not applied: a canary's stage variables.
"""

from __future__ import annotations

import contextvars
import copy
import json
import random
from collections.abc import Iterable, Mapping
from typing import Any

from ministack.services import apigateway_v1

PATCHES: tuple[str, ...] = (
    "ministack.services.apigateway_v1._create_deployment",
    "ministack.services.apigateway_v1._create_stage",
    "ministack.services.apigateway_v1._delete_deployment",
    "ministack.services.apigateway_v1._delete_rest_api",
    "ministack.services.apigateway_v1._deployments_v1",
    "ministack.services.apigateway_v1._execute_in_scope",
    "ministack.services.apigateway_v1._match_greedy_fallback",
    "ministack.services.apigateway_v1._match_resource_tree",
    "ministack.services.apigateway_v1._now_unix",
    "ministack.services.apigateway_v1._resources",
    "ministack.services.apigateway_v1._stages_v1",
    "ministack.services.apigateway_v1._update_stage",
    "ministack.services.apigateway_v1._v1_error",
    "ministack.services.apigateway_v1.method_authorization_type",
)

_UNKNOWN = "Invalid Deployment identifier specified"
_IN_USE = "Active stages pointing to this deployment must be moved or deleted"
_POINTERS = ("/deploymentId", "/canarySettings/deploymentId")

# The deployment that serves the request under way; none while a stage has none.
_serving: contextvars.ContextVar[str | None] = contextvars.ContextVar("serving", default=None)


def install() -> None:
    """Copy at deployment, serve the copy, and keep stages on deployments that exist."""
    _keep_snapshots()
    _serve_snapshots()
    _guard_stages()


def draw_deployment(stage: Mapping[str, Any]) -> str | None:
    """Return the deployment that serves one request of the stage."""
    canary = stage.get("canarySettings") or {}
    # Patches carry numbers as text.
    share = float(canary.get("percentTraffic") or 0)
    if canary.get("deploymentId") and random.random() * 100 < share:
        return str(canary["deploymentId"])
    return stage.get("deploymentId") or None


def _snapshot_key(api_id: str, deployment_id: str) -> str:
    """Snapshots live beside the APIs' own resources, so the engine's matching works on both."""
    return f"{api_id}@{deployment_id}"


def _keep_snapshots() -> None:
    create = apigateway_v1._create_deployment
    delete = apigateway_v1._delete_deployment
    delete_api = apigateway_v1._delete_rest_api

    def create_with_snapshot(api_id: str, data: dict[str, Any]) -> Any:
        canary: dict[str, Any] = data.get("canarySettings") or {}
        stage = apigateway_v1._stages_v1.get(api_id, {}).get(data.get("stageName"))
        as_canary = bool(canary) and stage is not None
        # A canary deployment leaves the stage where it is.
        response = create(api_id, {**data, "stageName": None} if as_canary else data)
        if response[0] >= 400:
            return response
        deployment_id = json.loads(response[2])["id"]
        resources = copy.deepcopy(apigateway_v1._resources.get(api_id, {}))
        apigateway_v1._resources[_snapshot_key(api_id, deployment_id)] = resources
        if as_canary:
            stage["canarySettings"] = {
                "percentTraffic": 0.0,
                "useStageCache": False,
                **canary,
                "deploymentId": deployment_id,
            }
            stage["lastUpdatedDate"] = apigateway_v1._now_unix()
        return response

    def delete_unused(api_id: str, deployment_id: str) -> Any:
        stages = apigateway_v1._stages_v1.get(api_id, {}).values()
        if any(deployment_id in _pointed_to(stage) for stage in stages):
            return apigateway_v1._v1_error("BadRequestException", _IN_USE, 400)
        response = delete(api_id, deployment_id)
        apigateway_v1._resources.pop(_snapshot_key(api_id, deployment_id), None)
        return response

    def delete_with_snapshots(api_id: str) -> Any:
        for deployment_id in apigateway_v1._deployments_v1.get(api_id, {}):
            apigateway_v1._resources.pop(_snapshot_key(api_id, deployment_id), None)
        return delete_api(api_id)

    apigateway_v1._create_deployment = create_with_snapshot
    apigateway_v1._delete_deployment = delete_unused
    apigateway_v1._delete_rest_api = delete_with_snapshots


def _pointed_to(stage: Mapping[str, Any]) -> set[str]:
    canary = stage.get("canarySettings") or {}
    return {stage.get("deploymentId") or "", canary.get("deploymentId") or ""} - {""}


def _serve_snapshots() -> None:
    execute = apigateway_v1._execute_in_scope
    authorization_type = apigateway_v1.method_authorization_type
    match_tree = apigateway_v1._match_resource_tree
    match_greedy = apigateway_v1._match_greedy_fallback

    async def execute_deployed(
        request: Any, api_id: str, stage_name: str, *args: Any, **kwargs: Any
    ) -> Any:
        stage = apigateway_v1._stages_v1.get(api_id, {}).get(stage_name) or {}
        token = _serving.set(draw_deployment(stage))
        try:
            return await execute(request, api_id, stage_name, *args, **kwargs)
        finally:
            _serving.reset(token)

    def authorization_type_deployed(api_id: str, stage_name: str, *args: Any) -> Any:
        stage = apigateway_v1.stages_for_api(api_id).get(stage_name) or {}
        token = _serving.set(stage.get("deploymentId") or None)
        try:
            return authorization_type(api_id, stage_name, *args)
        finally:
            _serving.reset(token)

    def match_tree_deployed(api_id: str, segments: list[str]) -> Any:
        return match_tree(_served(api_id), segments)

    def match_greedy_deployed(api_id: str, segments: list[str], http_method: str) -> Any:
        return match_greedy(_served(api_id), segments, http_method)

    apigateway_v1._execute_in_scope = execute_deployed
    apigateway_v1.method_authorization_type = authorization_type_deployed
    apigateway_v1._match_resource_tree = match_tree_deployed
    apigateway_v1._match_greedy_fallback = match_greedy_deployed


def _served(api_id: str) -> str:
    deployment_id = _serving.get()
    return _snapshot_key(api_id, deployment_id) if deployment_id else api_id


def _guard_stages() -> None:
    create = apigateway_v1._create_stage
    update = apigateway_v1._update_stage

    def create_on_known(api_id: str, data: dict[str, Any]) -> Any:
        if api_id in apigateway_v1._rest_apis and not _known(api_id, [data.get("deploymentId")]):
            return apigateway_v1._v1_error("BadRequestException", _UNKNOWN, 400)
        return create(api_id, data)

    def update_to_known(api_id: str, stage_name: str, data: dict[str, Any]) -> Any:
        stage = apigateway_v1._stages_v1.get(api_id, {}).get(stage_name)
        if stage is None:
            return update(api_id, stage_name, data)
        patches = [_copied(stage, patch) for patch in data.get("patchOperations", [])]
        wanted = [p.get("value") for p in patches if _moves(p)]
        if not _known(api_id, wanted):
            return apigateway_v1._v1_error("BadRequestException", _UNKNOWN, 400)
        return update(api_id, stage_name, {**data, "patchOperations": patches})

    apigateway_v1._create_stage = create_on_known
    apigateway_v1._update_stage = update_to_known


def _moves(patch: Mapping[str, Any]) -> bool:
    return patch.get("path") in _POINTERS and patch.get("op") != "remove"


def _known(api_id: str, deployment_ids: Iterable[str | None]) -> bool:
    deployments = apigateway_v1._deployments_v1.get(api_id, {})
    return all(not wanted or wanted in deployments for wanted in deployment_ids)


def _copied(stage: Mapping[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """Turn a ``copy``, which MiniStack skips, into the replacement it stands for."""
    if patch.get("op") != "copy":
        return patch
    value: Any = stage
    for key in patch["from"].strip("/").split("/"):
        value = (value or {}).get(key)
    return {"op": "replace", "path": patch["path"], "value": value}
