"""API Gateway records the metrics of REST and HTTP APIs: MiniStack records none.

REST: ``Count``, ``4XXError``, ``5XXError``, ``Latency`` and ``IntegrationLatency`` by ``ApiName``
and by ``ApiName`` + ``Stage``. The error metrics get a 0 or 1 per request, so their average is the
error rate, as on AWS.

HTTP: ``Count``, ``4xx``, ``5xx``, ``Latency`` and ``IntegrationLatency`` by ``ApiId`` and by
``ApiId`` + ``Stage``. Whether AWS records zeros there is not documented. Here it does not: an
alarm that copes with missing points copes with zeros too.
"""

from __future__ import annotations

import time
from typing import Any

from ministack.services import apigateway, apigateway_v1, cloudwatch

PATCHES: tuple[str, ...] = (
    "ministack.services.apigateway._apis",
    "ministack.services.apigateway.handle_execute",
    "ministack.services.apigateway_v1._rest_apis",
    "ministack.services.apigateway_v1.handle_execute",
    "ministack.services.cloudwatch.record_metric",
)


def install() -> None:
    """Measure each request that reaches a deployed stage."""
    _measure_rest_apis()
    _measure_http_apis()


def _measure_rest_apis() -> None:
    execute = apigateway_v1.handle_execute

    async def execute_and_record(api_id: str, stage_name: str, *args: Any, **kwargs: Any) -> Any:
        begin = time.monotonic()
        response = await execute(api_id, stage_name, *args, **kwargs)
        api = apigateway_v1._rest_apis.get(api_id)
        if api is not None:
            errors = {
                "4XXError": int(400 <= response[0] < 500),
                "5XXError": int(response[0] >= 500),
            }
            _record({"ApiName": api["name"]}, stage_name, errors, begin)
        return response

    apigateway_v1.handle_execute = execute_and_record


def _measure_http_apis() -> None:
    execute = apigateway.handle_execute

    async def execute_and_record(api_id: str, stage: str, *args: Any, **kwargs: Any) -> Any:
        begin = time.monotonic()
        response = await execute(api_id, stage, *args, **kwargs)
        if api_id in apigateway._apis:
            status = response[0]
            errors = {"5xx": 1} if status >= 500 else {"4xx": 1} if status >= 400 else {}
            _record({"ApiId": api_id}, stage, errors, begin)
        return response

    apigateway.handle_execute = execute_and_record


def _record(api: dict[str, str], stage: str, errors: dict[str, int], begin: float) -> None:
    milliseconds = (time.monotonic() - begin) * 1000
    values = (
        ("Count", 1, "Count"),
        *((metric, value, "Count") for metric, value in errors.items()),
        ("Latency", milliseconds, "Milliseconds"),
        ("IntegrationLatency", milliseconds, "Milliseconds"),
    )
    for dimensions in (api, {**api, "Stage": stage}):
        for metric, value, unit in values:
            cloudwatch.record_metric("AWS/ApiGateway", metric, value, unit, dimensions)
