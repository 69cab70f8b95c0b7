"""Lambda records its metrics for every caller, with the dimensions of alias and version.

MiniStack records them for direct invocations only, by ``FunctionName`` only, and counts a
throttle twice. Recorded here: ``Invocations``, ``Errors``, ``Duration`` and ``Throttles``, for the
function, for ``Resource`` (function or alias) and, through an alias, for ``ExecutedVersion``.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from ministack.services import cloudwatch, lambda_svc

PATCHES: tuple[str, ...] = (
    "ministack.services.cloudwatch.record_metric",
    "ministack.services.lambda_svc._acquire_execution_slot",
    "ministack.services.lambda_svc._emit_lambda_metrics",
    "ministack.services.lambda_svc._execute_function_dispatch",
)


def install() -> None:
    """Record where every invocation passes, instead of where a client's does."""
    acquire_slot = lambda_svc._acquire_execution_slot
    dispatch = lambda_svc._execute_function_dispatch

    def acquire_or_count_throttle(func: dict[str, Any], config: dict[str, Any]) -> Any:
        slot, limit = acquire_slot(func, config)
        if slot is None:
            _record(config, "Throttles", 1, "Count")
        return slot, limit

    def dispatch_and_record(
        func: dict[str, Any],
        config: dict[str, Any],
        event: Any,
        request_id: str,
        started: float,
    ) -> dict[str, Any]:
        begin = time.monotonic()
        result: dict[str, Any] = dispatch(func, config, event, request_id, started)
        if result.get("throttle"):
            _record(config, "Throttles", 1, "Count")
            return result
        _record(config, "Invocations", 1, "Count")
        _record(config, "Duration", (time.monotonic() - begin) * 1000, "Milliseconds")
        _record(config, "Throttles", 0, "Count")
        _record(config, "Errors", int(bool(result.get("error"))), "Count")
        return result

    def record_nothing(*args: Any, **kwargs: Any) -> None:
        """The call above has counted it."""

    lambda_svc._acquire_execution_slot = acquire_or_count_throttle
    lambda_svc._execute_function_dispatch = dispatch_and_record
    lambda_svc._emit_lambda_metrics = record_nothing


def _record(config: dict[str, Any], metric: str, value: float, unit: str) -> None:
    for dimensions in _dimension_sets(config):
        cloudwatch.record_metric("AWS/Lambda", metric, value, unit, dimensions)


def _dimension_sets(config: dict[str, Any]) -> Iterator[dict[str, str]]:
    function = config["FunctionName"]
    # arn:aws:lambda:<region>:<account>:function:<name>[:<qualifier>]
    qualifier = config.get("FunctionArn", "").split(":")[7:8]
    yield {}
    yield {"FunctionName": function}
    resource = {
        "FunctionName": function,
        "Resource": ":".join([function, *qualifier]) if qualifier != ["$LATEST"] else function,
    }
    yield resource
    version = config.get("Version", "$LATEST")
    if qualifier and qualifier[0] not in {"$LATEST", version}:
        yield {**resource, "ExecutedVersion": version}
