"""Releases as a pipeline makes them: code, version and alias of the function; API deployments."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.sample_platform import names

FUNCTIONS = Path(__file__).parent / "functions"
ABSENT_ALIAS = "retired"


@dataclass(frozen=True, kw_only=True)
class Release:
    """A version behind the alias, and the one it replaced."""

    version: str
    previous_version: str


@dataclass(frozen=True, kw_only=True)
class StageDeployment:
    """The deployment a stage serves, and the one it served before."""

    deployment_id: str
    previous_deployment_id: str


def publish_good_release(lambda_client: Any, *, label: str) -> Release:
    """Release the chat function as it is in the repository.

    Parameters
    ----------
    lambda_client
        boto3 client for Lambda.
    label
        Goes into the package, because Lambda publishes no new version of unchanged code.
    """
    return _publish(lambda_client, FUNCTIONS / "chat", label)


def publish_bad_release(lambda_client: Any, *, label: str) -> Release:
    """Release a chat function that raises on every request (see ``publish_good_release``)."""
    return _publish(lambda_client, FUNCTIONS / "chat_bad_release", label)


def deploy_bad_api(gateway: Any) -> StageDeployment:
    """Deploy the API with POST /chat calling an alias that does not exist, and serve that.

    The API's own definition is mended right after: what the stage serves is the deployment, a
    copy of the broken definition, and the next deployment shall be a good one.

    Parameters
    ----------
    gateway
        boto3 client for API Gateway.
    """
    api, stage = {"restApiId": names.API_ID}, {"stageName": names.STAGE}
    previous = gateway.get_stage(**api, **stage)["deploymentId"]
    pages = gateway.get_paginator("get_resources").paginate(**api)
    chat = next(r["id"] for page in pages for r in page["items"] if r["path"] == names.CHAT_PATH)
    uri = gateway.get_integration(**api, resourceId=chat, httpMethod="POST")["uri"]
    _integrate(gateway, chat, _with_alias(uri, ABSENT_ALIAS))
    try:
        created = gateway.create_deployment(**api, description="POST /chat calls another alias")
    finally:
        _integrate(gateway, chat, uri)
    patch = {"op": "replace", "path": "/deploymentId", "value": created["id"]}
    gateway.update_stage(**api, **stage, patchOperations=[patch])
    return StageDeployment(deployment_id=created["id"], previous_deployment_id=previous)


def _integrate(gateway: Any, resource_id: str, uri: str) -> None:
    gateway.update_integration(
        restApiId=names.API_ID,
        resourceId=resource_id,
        httpMethod="POST",
        patchOperations=[{"op": "replace", "path": "/uri", "value": uri}],
    )


def _with_alias(uri: str, alias: str) -> str:
    """Point an integration's URI (`...:function:<name>:<alias>/invocations`) to another alias."""
    function, separator, rest = uri.rpartition("/invocations")
    return f"{function.rpartition(':')[0]}:{alias}{separator}{rest}"


def _publish(lambda_client: Any, source: Path, label: str) -> Release:
    function = {"FunctionName": names.CHAT_FUNCTION}
    alias = lambda_client.get_alias(**function, Name=names.LIVE_ALIAS)
    uploaded = lambda_client.update_function_code(**function, ZipFile=_package(source, label))
    lambda_client.get_waiter("function_updated_v2").wait(
        **function, WaiterConfig={"Delay": 1, "MaxAttempts": 30}
    )
    published = lambda_client.publish_version(
        **function, CodeSha256=uploaded["CodeSha256"], Description=label
    )
    lambda_client.update_alias(
        **function,
        Name=names.LIVE_ALIAS,
        FunctionVersion=published["Version"],
        RevisionId=alias["RevisionId"],
    )
    return Release(version=published["Version"], previous_version=alias["FunctionVersion"])


def _package(source: Path, label: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as package:
        for path in sorted(source.glob("*.py")):
            package.write(path, path.name)
        package.writestr("RELEASE", label + "\n")
    return buffer.getvalue()
