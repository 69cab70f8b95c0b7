"""Secrets Manager rotates by the four steps of the rotation function, and keeps its versions.

MiniStack's ``RotateSecret`` copies the current value into a new AWSCURRENT version at once and
never invokes anything. Here the version is AWSPENDING and empty, and the function does the rest, in
the background; a step that fails ends the rotation and leaves AWSPENDING where it is. Without
rotating immediately the configuration is tested as the service says: ``testSecret`` on a version
that is removed again (a copy of the current value, which AWS does not document). Both answer at
once: the engine handles one call at a time, and the function makes calls of its own.

A version without a value cannot be read, one with a value is not replaced by another, and under
enforcement a policy may name the rotation function of the secret.
"""

from __future__ import annotations

import contextvars
import json
import threading
import time
from typing import Any

from ministack.core import iam_actions
from ministack.core.responses import error_response_json, json_response, new_uuid
from ministack.services import lambda_svc, secretsmanager

PATCHES: tuple[str, ...] = (
    "ministack.core.iam_actions.request_tag_context",
    "ministack.core.responses.error_response_json",
    "ministack.core.responses.json_response",
    "ministack.core.responses.new_uuid",
    "ministack.services.lambda_svc._execute_function_with_config_scope",
    "ministack.services.lambda_svc._execution_record_for_config",
    "ministack.services.lambda_svc._get_func_record_for_ref",
    "ministack.services.secretsmanager._get_secret_value",
    "ministack.services.secretsmanager._put_secret_value",
    "ministack.services.secretsmanager._resolve",
    "ministack.services.secretsmanager._rotate_secret",
)

STEPS = ("createSecret", "setSecret", "testSecret", "finishSecret")
_FUNCTION_OF_SECRET = "secretsmanager:resource/AllowRotationLambdaArn"

Request = dict[str, Any]


def install() -> None:
    """Run the steps, keep versions immutable, tell IAM the rotation function."""
    _rotate_by_the_steps()
    _keep_versions()
    _name_the_function_for_iam()


def _rotate_by_the_steps() -> None:
    without_function = secretsmanager._rotate_secret

    def rotate(request: Request) -> Any:
        _, secret = secretsmanager._resolve(request.get("SecretId"))
        arn = request.get("RotationLambdaARN") or (secret or {}).get("RotationLambdaARN")
        if not secret or not arn or secret.get("DeletedDate"):
            return without_function(request)
        version_id = request.get("ClientRequestToken") or new_uuid()
        pending = _holder(secret, "AWSPENDING")
        if pending is not None and pending != _holder(secret, "AWSCURRENT"):
            return error_response_json(
                "InvalidRequestException", "A previous rotation isn't complete.", 400
            )
        secret.update(RotationLambdaARN=arn, RotationEnabled=True)
        if request.get("RotationRules"):
            secret["RotationRules"] = request["RotationRules"]
        if request.get("RotateImmediately", True):
            _add_pending(secret, version_id, None)
            _in_background(_run, secret, arn, version_id, STEPS)
        else:
            current = secret["Versions"].get(_holder(secret, "AWSCURRENT")) or {}
            _add_pending(secret, version_id, current.get("SecretString"))
            _in_background(_test, secret, arn, version_id)
        return json_response(
            {"ARN": secret["ARN"], "Name": secret["Name"], "VersionId": version_id}
        )

    secretsmanager._rotate_secret = rotate


def _holder(secret: dict[str, Any], label: str) -> str | None:
    return next((v for v, kept in secret["Versions"].items() if label in kept["Stages"]), None)


def _add_pending(secret: dict[str, Any], version_id: str, value: str | None) -> None:
    for version in secret["Versions"].values():
        version["Stages"] = [label for label in version["Stages"] if label != "AWSPENDING"]
    secret["Versions"][version_id] = {
        "SecretString": value,
        "SecretBinary": None,
        "CreatedDate": int(time.time()),
        "Stages": ["AWSPENDING"],
    }


def _test(secret: dict[str, Any], arn: str, version_id: str) -> None:
    """Try the function on a version that is gone afterwards."""
    try:
        _run(secret, arn, version_id, ("testSecret",))
    finally:
        secret["Versions"].pop(version_id, None)


def _run(secret: dict[str, Any], arn: str, version_id: str, steps: tuple[str, ...]) -> None:
    """Invoke the function for each step, up to the first that fails."""
    for step in steps:
        record, config, _ = lambda_svc._get_func_record_for_ref(arn)
        if record is None:
            return
        event = {"Step": step, "SecretId": secret["ARN"], "ClientRequestToken": version_id}
        answer = lambda_svc._execute_function_with_config_scope(
            lambda_svc._execution_record_for_config(record, config), event
        )
        if answer.get("error"):
            return


def _in_background(work: Any, *arguments: Any) -> None:
    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(work, *arguments), daemon=True).start()


def _keep_versions() -> None:
    get, put = secretsmanager._get_secret_value, secretsmanager._put_secret_value

    def get_what_is_there(request: Request) -> Any:
        answer = get(request)
        body = json.loads(answer[2])
        if answer[0] == 200 and not {"SecretString", "SecretBinary"} & set(body):
            return error_response_json(
                "ResourceNotFoundException",
                "Secrets Manager can't find the specified secret value for VersionId: "
                f"{body['VersionId']}",
                400,
            )
        return answer

    def put_once(request: Request) -> Any:
        _, secret = secretsmanager._resolve(request.get("SecretId"))
        version = (secret or {}).get("Versions", {}).get(request.get("ClientRequestToken"))
        value = (version or {}).get("SecretString")
        if version is None or value is None:
            return put(request)
        if value != request.get("SecretString"):
            return error_response_json(
                "ResourceExistsException",
                "You can't modify an existing version, you can only create a new version.",
                400,
            )
        return json_response(
            {
                "ARN": secret["ARN"],
                "Name": secret["Name"],
                "VersionId": request["ClientRequestToken"],
                "VersionStages": list(version["Stages"]),
            }
        )

    secretsmanager._get_secret_value = get_what_is_there
    secretsmanager._put_secret_value = put_once


def _name_the_function_for_iam() -> None:
    request_context = iam_actions.request_tag_context

    def context_of_secrets(
        service: str, action: str, body: bytes, params: dict[str, Any]
    ) -> dict[str, Any]:
        context: dict[str, Any] = request_context(service, action, body, params)
        if service == "secretsmanager":
            request = json.loads(body or b"{}")
            _, secret = secretsmanager._resolve(request.get("SecretId"))
            if secret and secret.get("RotationLambdaARN"):
                context[_FUNCTION_OF_SECRET] = secret["RotationLambdaARN"]
        return context

    iam_actions.request_tag_context = context_of_secrets
