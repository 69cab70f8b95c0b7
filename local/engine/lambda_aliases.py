"""Lambda routes the calls of an alias by its weights and names the alias to the function.

MiniStack stores ``RoutingConfig`` and always runs the alias's main version. Here the version is
drawn for every call, whoever calls, and the invoked ARN (context, metrics) is the alias's.
"""

from __future__ import annotations

import contextvars
import random
from typing import Any

from ministack.services import lambda_svc

PATCHES: tuple[str, ...] = (
    "ministack.services.lambda_svc._effective_func_record_for_qualifier",
    "ministack.services.lambda_svc._execute_function",
    "ministack.services.lambda_svc._functions",
    "ministack.services.lambda_svc._func_arn",
    "ministack.services.lambda_svc._get_base_func_record_for_ref",
    "ministack.services.lambda_svc._get_func_record_for_ref",
    "ministack.services.lambda_svc._invoke",
    "ministack.services.lambda_svc._qp_first",
    "ministack.services.lambda_svc._resolve_name_and_qualifier",
)

# The ARN of the alias through which a client's call came, when another version was drawn.
_invoked_alias: contextvars.ContextVar[str | None] = contextvars.ContextVar(
    "invoked_alias", default=None
)


def install() -> None:
    """Draw a version for the service-side look-up and for the Invoke call."""
    _route_references()
    _route_invoke()


def draw_version(alias: dict[str, Any]) -> str:
    """Return the version one call of the alias runs."""
    point = random.random()
    routing = alias.get("RoutingConfig") or {}
    for version, weight in (routing.get("AdditionalVersionWeights") or {}).items():
        if point < weight:
            return str(version)
        point -= weight
    return str(alias["FunctionVersion"])


def _route_references() -> None:
    find = lambda_svc._get_func_record_for_ref

    def find_routed(reference: str) -> Any:
        record, config, name = find(reference)
        function, _, _ = lambda_svc._get_base_func_record_for_ref(reference)
        _, qualifier = lambda_svc._resolve_name_and_qualifier(reference)
        alias = (function or {}).get("aliases", {}).get(qualifier)
        if alias is None:
            return record, config, name
        version = draw_version(alias)
        record, config = lambda_svc._effective_func_record_for_qualifier(function, version)
        if config is not None:
            config = {**config, "FunctionArn": f"{lambda_svc._func_arn(name)}:{qualifier}"}
        return record, config, name

    lambda_svc._get_func_record_for_ref = find_routed


def _route_invoke() -> None:
    invoke = lambda_svc._invoke
    execute = lambda_svc._execute_function

    async def invoke_routed(
        name: str,
        event: Any,
        headers: dict[str, str],
        path_qualifier: str | None = None,
        query_params: dict[str, Any] | None = None,
    ) -> Any:
        query = query_params or {}
        qualifier = path_qualifier or lambda_svc._qp_first(query, "Qualifier")
        alias = (lambda_svc._functions.get(name) or {}).get("aliases", {}).get(qualifier)
        version = draw_version(alias) if alias else None
        if alias is None or version == alias["FunctionVersion"]:
            return await invoke(name, event, headers, path_qualifier, query_params)
        token = _invoked_alias.set(f"{lambda_svc._func_arn(name)}:{qualifier}")
        try:
            return await invoke(name, event, headers, version, {})
        finally:
            _invoked_alias.reset(token)

    def execute_as_alias(func: dict[str, Any], event: Any) -> Any:
        alias_arn = _invoked_alias.get()
        if alias_arn is not None:
            config = func.get("config") or func
            func = {**func, "config": {**config, "FunctionArn": alias_arn}}
        return execute(func, event)

    lambda_svc._invoke = invoke_routed
    lambda_svc._execute_function = execute_as_alias
