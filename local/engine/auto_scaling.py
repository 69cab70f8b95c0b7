"""Application Auto Scaling for DynamoDB: scalable targets and scaling policies, which is absent.

Registering a target moves the table or index into the target's bounds at once, as the service
does on its next look. Policies are kept and described but scale nothing by themselves. The two
CloudFormation types register and deregister for real.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from ministack import app
from ministack.core import iam_actions, router
from ministack.core.responses import (
    AccountRegionScopedDict,
    get_account_id,
    get_region,
    new_uuid,
)
from ministack.services import dynamodb
from ministack.services.cloudformation import provisioners

PATCHES: tuple[str, ...] = (
    "ministack.app.SERVICE_HANDLERS",
    "ministack.core.iam_actions.SERVICE_TO_IAM_NAMESPACE",
    "ministack.core.iam_actions.extract_resource_arn",
    "ministack.core.iam_actions.request_tag_context",
    "ministack.core.responses.AccountRegionScopedDict",
    "ministack.core.responses.get_account_id",
    "ministack.core.responses.get_region",
    "ministack.core.responses.new_uuid",
    "ministack.core.router.SERVICE_PATTERNS",
    "ministack.services.cloudformation.provisioners._RESOURCE_HANDLERS",
    "ministack.services.dynamodb._tables",
    "ministack.services.dynamodb._update_table",
)

SERVICE = "application-autoscaling"

_TARGET_PREFIX = "AnyScaleFrontendService."
_DIMENSIONS = {
    "dynamodb:table:ReadCapacityUnits",
    "dynamodb:table:WriteCapacityUnits",
    "dynamodb:index:ReadCapacityUnits",
    "dynamodb:index:WriteCapacityUnits",
}
_IDENTITY = ("ServiceNamespace", "ResourceId", "ScalableDimension")

# Both by (namespace, resource, dimension); policies have their name as fourth part.
_targets: Any = AccountRegionScopedDict()
_policies: Any = AccountRegionScopedDict()

Request = dict[str, Any]
Response = dict[str, Any]


class ServiceError(Exception):
    """An error answer of the service."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


def install() -> None:
    """Register the service, its IAM names and its CloudFormation types."""
    app.SERVICE_HANDLERS[SERVICE] = _handle
    router.SERVICE_PATTERNS[SERVICE] = {"target_prefixes": [_TARGET_PREFIX]}
    _name_for_iam()
    provisioners._RESOURCE_HANDLERS["AWS::ApplicationAutoScaling::ScalableTarget"] = {
        "create": _create_target_of_stack,
        "update": _update_target_of_stack,
        "delete": _delete_target_of_stack,
    }
    provisioners._RESOURCE_HANDLERS["AWS::ApplicationAutoScaling::ScalingPolicy"] = {
        "create": _create_policy_of_stack,
        "update": _update_policy_of_stack,
        "delete": _delete_policy_of_stack,
    }


# --- the service ------------------------------------------------------------------------------


async def _handle(
    method: str, path: str, headers: Mapping[str, str], body: bytes, query: Mapping[str, Any]
) -> tuple[int, dict[str, str], bytes]:
    names = {key.lower(): value for key, value in headers.items()}
    operation = names.get("x-amz-target", "").removeprefix(_TARGET_PREFIX)
    content_type = {"Content-Type": "application/x-amz-json-1.1"}
    try:
        if operation not in _OPERATIONS:
            raise ServiceError("UnknownOperationException", f"{operation} is not implemented")
        answer = _OPERATIONS[operation](json.loads(body or b"{}"))
    except ServiceError as error:
        problem = {"__type": error.code, "message": error.message}
        return 400, content_type, json.dumps(problem).encode()
    return 200, content_type, json.dumps(answer).encode()


def register_target(request: Request) -> Response:
    """Register or change a target; fields left out of a change stay as they are."""
    key = _key(request)
    target = dict(_targets.get(key) or {})
    is_new = not target
    changes = {
        field: request[field]
        for field in ("MinCapacity", "MaxCapacity", "RoleARN", "SuspendedState")
        if request.get(field) is not None
    }
    target.update(changes)
    if target.get("MinCapacity") is None or target.get("MaxCapacity") is None:
        raise ServiceError(
            "ValidationException", "a new scalable target needs MinCapacity and MaxCapacity"
        )
    if target["MinCapacity"] > target["MaxCapacity"]:
        raise ServiceError(
            "ValidationException", "MaxCapacity must not be smaller than MinCapacity"
        )
    _throughput(key)  # refuses a resource that does not exist
    if is_new:
        identifier = new_uuid().replace("-", "")
        target.update(dict(zip(_IDENTITY, key, strict=True)))
        target["CreationTime"] = time.time()
        target["ScalableTargetARN"] = (
            f"arn:aws:{SERVICE}:{get_region()}:{get_account_id()}:scalable-target/{identifier}"
        )
        target.setdefault("RoleARN", _service_linked_role())
        target.setdefault(
            "SuspendedState",
            {
                "DynamicScalingInSuspended": False,
                "DynamicScalingOutSuspended": False,
                "ScheduledScalingSuspended": False,
            },
        )
    _targets[key] = target
    _move_into_bounds(key, target)
    return {"ScalableTargetARN": target["ScalableTargetARN"]}


def describe_targets(request: Request) -> Response:
    """List the targets of a namespace."""
    wanted = set(request.get("ResourceIds") or ())
    targets = [
        target
        for target in _targets.values()
        if _matches(request, target) and (not wanted or target["ResourceId"] in wanted)
    ]
    return {"ScalableTargets": targets}


def deregister_target(request: Request) -> Response:
    """Remove a target and its policies."""
    key = _key(request)
    if _targets.pop(key, None) is None:
        raise ServiceError("ObjectNotFoundException", f"No scalable target found for {key[1]}")
    for policy_key in [name for name in _policies if name[:3] == key]:
        _policies.pop(policy_key, None)
    return {}


def put_policy(request: Request) -> Response:
    """Store a policy of a registered target, by name."""
    key = _key(request)
    if key not in _targets:
        raise ServiceError("ObjectNotFoundException", f"No scalable target found for {key[1]}")
    policy_key = (*key, request["PolicyName"])
    existing = _policies.get(policy_key)
    arn = existing["PolicyARN"] if existing else _policy_arn(key, request["PolicyName"])
    _policies[policy_key] = {
        **request,
        "PolicyARN": arn,
        "CreationTime": existing["CreationTime"] if existing else time.time(),
        "Alarms": [],
    }
    return {"PolicyARN": arn, "Alarms": []}


def describe_policies(request: Request) -> Response:
    """List the policies of a namespace, a resource or by name."""
    names = set(request.get("PolicyNames") or ())
    policies = [
        policy
        for policy in _policies.values()
        if _matches(request, policy) and (not names or policy["PolicyName"] in names)
    ]
    return {"ScalingPolicies": policies}


def delete_policy(request: Request) -> Response:
    """Remove one policy."""
    if _policies.pop((*_key(request), request["PolicyName"]), None) is None:
        raise ServiceError(
            "ObjectNotFoundException", f"No scaling policy found: {request['PolicyName']}"
        )
    return {}


_OPERATIONS: Mapping[str, Callable[[Request], Response]] = {
    "RegisterScalableTarget": register_target,
    "DescribeScalableTargets": describe_targets,
    "DeregisterScalableTarget": deregister_target,
    "PutScalingPolicy": put_policy,
    "DescribeScalingPolicies": describe_policies,
    "DeleteScalingPolicy": delete_policy,
}


def _key(request: Mapping[str, Any]) -> tuple[str, str, str]:
    namespace, resource, dimension = (str(request.get(field, "")) for field in _IDENTITY)
    if namespace != "dynamodb" or dimension not in _DIMENSIONS:
        raise ServiceError(
            "ValidationException", f"{namespace} {dimension}: only DynamoDB is implemented"
        )
    return namespace, resource, dimension


def _matches(request: Mapping[str, Any], record: Mapping[str, Any]) -> bool:
    return all(request.get(field) in {None, record[field]} for field in _IDENTITY)


def _service_linked_role() -> str:
    return (
        f"arn:aws:iam::{get_account_id()}:role/aws-service-role/"
        "dynamodb.application-autoscaling.amazonaws.com/"
        "AWSServiceRoleForApplicationAutoScaling_DynamoDBTable"
    )


def _policy_arn(key: tuple[str, str, str], name: str) -> str:
    return (
        f"arn:aws:autoscaling:{get_region()}:{get_account_id()}:scalingPolicy:{new_uuid()}:"
        f"resource/{key[0]}/{key[1]}:policyName/{name}"
    )


# --- the table --------------------------------------------------------------------------------


def _throughput(key: tuple[str, str, str]) -> dict[str, int] | None:
    """The provisioned units of the table or index; ``None`` on demand."""
    parts = key[1].split("/")
    table = dynamodb._tables.get(parts[1]) if len(parts) > 1 else None
    if table is None:
        raise ServiceError("ValidationException", f"DynamoDB table does not exist: {key[1]}")
    scaled = [table] if len(parts) == 2 else []
    scaled += [
        index
        for index in table.get("GlobalSecondaryIndexes") or ()
        if len(parts) == 4 and index["IndexName"] == parts[3]
    ]
    if not scaled:
        raise ServiceError("ValidationException", f"DynamoDB index does not exist: {key[1]}")
    if (table.get("BillingModeSummary") or {}).get("BillingMode") == "PAY_PER_REQUEST":
        return None
    return dict(scaled[0]["ProvisionedThroughput"])


def _move_into_bounds(key: tuple[str, str, str], target: Mapping[str, Any]) -> None:
    throughput = _throughput(key)
    if throughput is None:
        return
    unit = key[2].rsplit(":", 1)[1]
    units = min(max(throughput[unit], target["MinCapacity"]), target["MaxCapacity"])
    if units == throughput[unit]:
        return
    wanted = {
        "ReadCapacityUnits": throughput["ReadCapacityUnits"],
        "WriteCapacityUnits": throughput["WriteCapacityUnits"],
        unit: units,
    }
    parts = key[1].split("/")
    update: dict[str, Any] = {"TableName": parts[1]}
    if len(parts) == 2:
        update["ProvisionedThroughput"] = wanted
    else:
        change = {"IndexName": parts[-1], "ProvisionedThroughput": wanted}
        update["GlobalSecondaryIndexUpdates"] = [{"Update": change}]
    # A refusal (the decrease quota) leaves the table as it is: the service tries again later.
    dynamodb._update_table(update)


# --- IAM --------------------------------------------------------------------------------------


def _name_for_iam() -> None:
    iam_actions.SERVICE_TO_IAM_NAMESPACE[SERVICE] = SERVICE
    resource_arn = iam_actions.extract_resource_arn
    request_context = iam_actions.request_tag_context

    def resource_arn_of_targets(service: str, *args: Any) -> Any:
        headers = args[2]
        if service != SERVICE or ".Describe" in headers.get("x-amz-target", ""):
            return resource_arn(service, *args)
        region, account = args[5:7]
        return f"arn:aws:{SERVICE}:{region}:{account}:scalable-target/*"

    def context_of_targets(
        service: str, action: str, body: bytes, params: dict[str, Any]
    ) -> dict[str, Any]:
        context: dict[str, Any] = request_context(service, action, body, params)
        if service == SERVICE:
            request = json.loads(body or b"{}")
            keys = {
                "ServiceNamespace": f"{SERVICE}:service-namespace",
                "ScalableDimension": f"{SERVICE}:scalable-dimension",
            }
            context.update({keys[field]: request[field] for field in keys if field in request})
        return context

    iam_actions.extract_resource_arn = resource_arn_of_targets
    iam_actions.request_tag_context = context_of_targets


# --- CloudFormation ---------------------------------------------------------------------------


def _create_target_of_stack(logical_id: str, props: Request, stack: str) -> tuple[str, Response]:
    request = {
        **props,
        "MinCapacity": int(props["MinCapacity"]),
        "MaxCapacity": int(props["MaxCapacity"]),
    }
    _answer_as_stack_error(register_target, request)
    return "|".join((props["ResourceId"], props["ScalableDimension"], "dynamodb")), {}


def _update_target_of_stack(
    physical_id: str, old: Request, new: Request, stack: str
) -> tuple[str, Response]:
    created = _create_target_of_stack("", new, stack)
    if created[0] != physical_id:
        _delete_target_of_stack(physical_id, old)
    return created


def _delete_target_of_stack(physical_id: str, props: Request) -> None:
    _ignore_missing(deregister_target, _identity_of(physical_id))


def _create_policy_of_stack(logical_id: str, props: Request, stack: str) -> tuple[str, Response]:
    identity = _identity_of(props["ScalingTargetId"]) if "ScalingTargetId" in props else {}
    request = {**props, **identity}
    request.pop("ScalingTargetId", None)
    answer = _answer_as_stack_error(put_policy, request)
    return answer["PolicyARN"], {"Arn": answer["PolicyARN"]}


def _update_policy_of_stack(
    physical_id: str, old: Request, new: Request, stack: str
) -> tuple[str, Response]:
    created = _create_policy_of_stack("", new, stack)
    if created[0] != physical_id:
        _delete_policy_of_stack(physical_id, old)
    return created


def _delete_policy_of_stack(physical_id: str, props: Request) -> None:
    for key, policy in list(_policies.items()):
        if policy["PolicyARN"] == physical_id:
            _policies.pop(key, None)


def _identity_of(physical_id: str) -> dict[str, str]:
    resource, dimension, namespace = physical_id.split("|")
    return {
        "ResourceId": resource,
        "ScalableDimension": dimension,
        "ServiceNamespace": namespace,
    }


def _answer_as_stack_error(operation: Callable[[Request], Response], request: Request) -> Response:
    try:
        return operation(request)
    except ServiceError as error:
        raise ValueError(str(error)) from error


def _ignore_missing(operation: Callable[[Request], Response], request: Request) -> None:
    try:
        operation(request)
    except ServiceError as error:
        if error.code != "ObjectNotFoundException":
            raise ValueError(str(error)) from error
