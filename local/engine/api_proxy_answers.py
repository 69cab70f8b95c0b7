"""API Gateway judges what a function answers to a Lambda proxy integration.

MiniStack makes a 200 of any answer and shows the caller of a REST API what a function raised. As
on AWS, an answer that is no proxy answer is a 502, as is an exception, and both say no more than
``Internal server error``. Every field is optional, no other field is allowed, the body is text.

HTTP APIs have other rules (payload format 2.0) and stay as they are.
"""

from __future__ import annotations

import json
from typing import Any

from ministack.services import apigateway_v1

PATCHES: tuple[str, ...] = ("ministack.services.apigateway_v1._lambda_proxy_response",)

_FIELDS = frozenset({"isBase64Encoded", "statusCode", "headers", "multiValueHeaders", "body"})
_BAD_GATEWAY = {
    "statusCode": 502,
    "headers": {"x-amzn-ErrorType": "InternalServerErrorException"},
    "body": json.dumps({"message": "Internal server error"}),
}


def install() -> None:
    """Check an answer before it becomes a response."""
    respond = apigateway_v1._lambda_proxy_response

    def respond_checked(result: dict[str, Any]) -> Any:
        if result.get("throttle"):
            return respond(result)
        answer: Any = None if result.get("error") else _parsed(result.get("body"))
        if not is_proxy_answer(answer):
            return dict(_BAD_GATEWAY), None
        return {**answer, "statusCode": int(answer.get("statusCode") or 200)}, None

    apigateway_v1._lambda_proxy_response = respond_checked


def is_proxy_answer(answer: Any) -> bool:
    """Whether API Gateway takes a function's answer for a response."""
    if not isinstance(answer, dict) or not answer.keys() <= _FIELDS:
        return False
    headers = answer.get("headers") or {}
    lists = answer.get("multiValueHeaders") or {}
    return (
        _is_status(answer.get("statusCode"))
        and isinstance(answer.get("body"), str | None)
        and isinstance(headers, dict)
        and not any(isinstance(value, dict | list) for value in headers.values())
        and isinstance(lists, dict)
        and all(isinstance(values, list) for values in lists.values())
    )


def _is_status(value: Any) -> bool:
    try:
        return value is None or 100 <= int(value) <= 599
    except (TypeError, ValueError):
        return False


def _parsed(payload: Any) -> Any:
    """Executors give the answer as an object, or as its JSON."""
    if not isinstance(payload, str | bytes):
        return payload
    try:
        return json.loads(payload)
    except ValueError:
        return None
