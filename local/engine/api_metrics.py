"""API Gateway records the metrics of REST APIs: MiniStack records none.

``Count``, ``4XXError``, ``5XXError``, ``Latency`` and ``IntegrationLatency`` by ``ApiName`` and by
``ApiName`` + ``Stage``. The error metrics get a 0 or 1 per request, so their average is the error
rate, as on AWS.
"""

from __future__ import annotations

import time
from typing import Any

from ministack.services import apigateway_v1, cloudwatch

PATCHES: tuple[str, ...] = (
    "ministack.services.apigateway_v1._rest_apis",
    "ministack.services.apigateway_v1.handle_execute",
    "ministack.services.cloudwatch.record_metric",
)


def install() -> None:
    """Measure each request that reaches a deployed stage."""
    execute = apigateway_v1.handle_execute

    async def execute_and_record(api_id: str, stage_name: str, *args: Any, **kwargs: Any) -> Any:
        begin = time.monotonic()
        response = await execute(api_id, stage_name, *args, **kwargs)
        api = apigateway_v1._rest_apis.get(api_id)
        if api is not None:
            _record(api["name"], stage_name, response[0], (time.monotonic() - begin) * 1000)
        return response

    apigateway_v1.handle_execute = execute_and_record


def _record(api: str, stage: str, status: int, milliseconds: float) -> None:
    values = (
        ("Count", 1, "Count"),
        ("4XXError", int(400 <= status < 500), "Count"),
        ("5XXError", int(status >= 500), "Count"),
        ("Latency", milliseconds, "Milliseconds"),
        ("IntegrationLatency", milliseconds, "Milliseconds"),
    )
    for dimensions in ({"ApiName": api}, {"ApiName": api, "Stage": stage}):
        for metric, value, unit in values:
            cloudwatch.record_metric("AWS/ApiGateway", metric, value, unit, dimensions)
