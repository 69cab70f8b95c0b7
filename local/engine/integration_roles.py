"""IAM holds for the roles of state machines and rule targets when it is enforced.

MiniStack checks signed requests only: a machine's role without any policy may do everything, and
a rule starts whatever it names. Under ``AUTH=true`` each task is checked against its machine's
role, and a rule's state machine target against the target's role.

A resource that cannot be told from the arguments is checked as ``*``. The error of a denied task
is ``<Service>.AccessDeniedException``; its cause names principal, action and resource.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ministack import app
from ministack.core import iam_actions, iam_evaluator
from ministack.core.responses import get_account_id, get_region
from ministack.services import iam, stepfunctions, tagging

from local.engine import executions, rule_targets

PATCHES: tuple[str, ...] = (
    "ministack.app.AUTH",
    "ministack.core.iam_actions.dynamodb_resource_arns",
    "ministack.core.iam_actions.dynamodb_service_context",
    "ministack.core.iam_actions.dynamodb_transaction_checks",
    "ministack.core.iam_evaluator.EvalContext",
    "ministack.core.iam_evaluator._gather_role_policies",
    "ministack.core.iam_evaluator._permissions_boundary",
    "ministack.core.iam_evaluator.evaluate",
    "ministack.core.responses.get_account_id",
    "ministack.core.responses.get_region",
    "ministack.services.iam._roles",
    "ministack.services.stepfunctions._ExecutionError",
    "ministack.services.stepfunctions._invoke_resource",
    "ministack.services.stepfunctions._invoke_with_callback",
    "ministack.services.stepfunctions._state_machines",
    "ministack.services.tagging.resource_tags",
)

_OPTIMIZED = "arn:aws:states:::"
_CALLBACK = ".waitForTaskToken"
# What an integration calls a service, where IAM calls it otherwise.
_NAMESPACES = {"sfn": "states", "cloudwatchlogs": "logs", "eventbridge": "events"}
_ACTIONS = {"lambda:Invoke": "lambda:InvokeFunction"}
# The argument that names the resource, and the ARN it makes where the argument is a name.
_RESOURCES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "lambda": (("FunctionName", "function:{}"),),
    "sns": (("TopicArn", "{}"), ("TargetArn", "{}")),
    "states": (("StateMachineArn", "stateMachine:{}"), ("ExecutionArn", "execution:{}")),
    "events": (("EventBusName", "event-bus/{}"),),
    "cloudwatch": (("AlarmName", "alarm:{}"),),
    "ssm": (("Name", "parameter/{}"),),
    "secretsmanager": (("SecretId", "secret:{}"),),
    "logs": (("LogGroupName", "log-group:{}"),),
}
_ERROR_PREFIXES = {"dynamodb": "DynamoDb", "cloudwatch": "CloudWatch", "events": "EventBridge"}
_SYNC_RULE = "rule/StepFunctionsGetEventsForStepFunctionsExecutionRule"


class Check(NamedTuple):
    """One action on one resource, with the condition keys of the request."""

    action: str
    resource: str
    context: dict[str, Any]


def install() -> None:
    """Check before a task runs and before a rule starts a machine; only under enforcement."""
    if not app.AUTH:
        return
    invoke = stepfunctions._invoke_resource
    invoke_with_callback = stepfunctions._invoke_with_callback

    def invoke_allowed(resource: str, arguments: Any) -> Any:
        _require_allowed(resource, arguments)
        return invoke(resource, arguments)

    def invoke_with_callback_allowed(
        resource: str, arguments: Any, token: str, state: dict[str, Any]
    ) -> Any:
        _require_allowed(resource, arguments)
        return invoke_with_callback(resource, arguments, token, state)

    stepfunctions._invoke_resource = invoke_allowed
    stepfunctions._invoke_with_callback = invoke_with_callback_allowed
    rule_targets.REFUSALS.append(_refuse_start)


def is_allowed(role_arn: str, check: Check) -> bool:
    """Evaluate the policies and the boundary of a role."""
    account, role = get_account_id(), role_arn.rsplit("/", 1)[-1]
    context = {key.lower(): value for key, value in check.context.items()}
    for key, value in (tagging.resource_tags(check.resource) or {}).items():
        context[f"aws:resourcetag/{key}".lower()] = value
    request = iam_evaluator.EvalContext(
        principal_arn=_session_arn(role_arn),
        principal_type="AssumedRole",
        principal_account=account,
        action=check.action,
        resource_arn=check.resource,
        region=get_region(),
        service_context=context,
    )
    policies = iam_evaluator._gather_role_policies(role, account)
    boundary = iam_evaluator._permissions_boundary(iam._roles, role, account)
    decision: str = iam_evaluator.evaluate(request, policies, *boundary).decision
    return decision == "Allow"


def checks(resource: str, arguments: Mapping[str, Any]) -> Iterator[Check]:
    """Yield what a task's role must allow."""
    service, call = _service_and_call(resource)
    namespace = _NAMESPACES.get(service, service)
    action = f"{namespace}:{call[0].upper()}{call[1:]}"
    action = _ACTIONS.get(action, action)
    if namespace == "dynamodb":
        yield from _dynamodb_checks(action, arguments)
    elif namespace == "sqs" and "QueueUrl" in arguments:
        yield Check(action, _arn("sqs", arguments["QueueUrl"].rsplit("/", 1)[-1]), {})
    elif action == "events:PutEvents":
        for entry in arguments.get("Entries", ()):
            bus = entry.get("EventBusName", "default")
            yield Check(action, _named("events", "event-bus/{}", bus), {})
    else:
        yield Check(action, _resource(namespace, resource, arguments), {})
    if resource.startswith(f"{_OPTIMIZED}states:startExecution.sync"):
        yield from _sync_checks(arguments)


def _service_and_call(resource: str) -> tuple[str, str]:
    if not resource.startswith(_OPTIMIZED):
        return "lambda", "invoke"  # the ARN of a function as a task's resource
    parts = resource.removeprefix(_OPTIMIZED).removeprefix("aws-sdk:").split(":")
    return parts[0], parts[1].split(".")[0]


def _dynamodb_checks(action: str, arguments: Mapping[str, Any]) -> Iterator[Check]:
    body = json.dumps(arguments, default=str).encode()
    region, account = get_region(), get_account_id()
    context = iam_actions.dynamodb_service_context(body)
    items = iam_actions.dynamodb_transaction_checks(action, body, region, account)
    if items:
        context["dynamodb:EnclosingOperation"] = [action.split(":")[1]]
    resources = iam_actions.dynamodb_resource_arns(body, region, account) or ["*"]
    for item_action, item_resource in items or [(action, arn) for arn in resources]:
        yield Check(item_action, item_resource, context)


def _sync_checks(arguments: Mapping[str, Any]) -> Iterator[Check]:
    """Waiting for a child takes the right to watch and stop it, and a managed rule."""
    machine = str(arguments.get("StateMachineArn", "")).rsplit(":", 1)[-1]
    for action in ("states:DescribeExecution", "states:StopExecution"):
        yield Check(action, _arn("states", f"execution:{machine}:any"), {})
    for action in ("events:PutTargets", "events:PutRule", "events:DescribeRule"):
        yield Check(action, _arn("events", _SYNC_RULE), {})


def _resource(namespace: str, resource: str, arguments: Mapping[str, Any]) -> str:
    if not resource.startswith(_OPTIMIZED):
        return resource
    for argument, template in _RESOURCES.get(namespace, ()):
        if arguments.get(argument):
            return _named(namespace, template, str(arguments[argument]))
    return "*"


def _named(service: str, template: str, value: str) -> str:
    return value if value.startswith("arn:") else _arn(service, template.format(value.lstrip("/")))


def _arn(service: str, resource: str) -> str:
    return f"arn:aws:{service}:{get_region()}:{get_account_id()}:{resource}"


def _session_arn(role_arn: str) -> str:
    role = role_arn.rsplit("/", 1)[-1]
    return f"arn:aws:sts::{get_account_id()}:assumed-role/{role}/session"


def _require_allowed(resource: str, arguments: Any) -> None:
    execution = executions.running_execution()
    machine = execution and stepfunctions._state_machines.get(execution["stateMachineArn"])
    if not machine:
        return  # TestState
    resource = resource.replace(_CALLBACK, "")
    given = arguments if isinstance(arguments, dict) else {}
    for check in checks(resource, given):
        if not is_allowed(machine["roleArn"], check):
            service = check.action.split(":")[0]
            raise stepfunctions._ExecutionError(
                f"{_ERROR_PREFIXES.get(service, service.capitalize())}.AccessDeniedException",
                f"User: {_session_arn(machine['roleArn'])} is not authorized to perform: "
                f"{check.action} on resource: {check.resource} because no identity-based policy "
                f"allows the {check.action} action",
            )


def _refuse_start(target: Mapping[str, Any]) -> rule_targets.Refusal | None:
    arn = target.get("Arn", "")
    if ":states:" not in arn:
        return None
    role = target.get("RoleArn", "")
    if role and is_allowed(role, Check("states:StartExecution", arn, {})):
        return None
    return rule_targets.Refusal(
        "NO_PERMISSIONS", f"{role or 'no role'} may not states:StartExecution on {arn}"
    )
