"""CloudWatch turns embedded metric format lines of a function's log into metrics.

MiniStack stores the lines as text only. Source: "Specification: Embedded metric format" (Amazon
CloudWatch User Guide).
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping
from typing import Any

from ministack.services import cloudwatch, lambda_svc

from local.engine import metric_store

PATCHES: tuple[str, ...] = (
    "ministack.services.cloudwatch._store_datum",
    "ministack.services.lambda_svc._emit_lambda_logs",
)

_LOG = logging.getLogger("local.engine.embedded_metrics")


def install() -> None:
    """Read each invocation's log once more after MiniStack has stored it."""
    store_log = lambda_svc._emit_lambda_logs

    def store_log_and_metrics(
        func: dict[str, Any], request_id: str, log_text: str, *args: Any, **kwargs: Any
    ) -> None:
        store_log(func, request_id, log_text, *args, **kwargs)
        for document in _documents(log_text):
            _store(document)

    lambda_svc._emit_lambda_logs = store_log_and_metrics


def _documents(log_text: str) -> Iterator[dict[str, Any]]:
    for line in (log_text or "").splitlines():
        if '"CloudWatchMetrics"' not in line:
            continue
        try:
            document = json.loads(line)
        except ValueError:
            continue
        if isinstance(document, dict) and isinstance(document.get("_aws"), dict):
            yield document


def _store(document: Mapping[str, Any]) -> None:
    moment = document["_aws"].get("Timestamp", time.time() * 1000) / 1000
    for directive in document["_aws"].get("CloudWatchMetrics", ()):
        # No dimension set at all publishes the metric without dimensions.
        for names in directive.get("Dimensions") or [[]]:
            dimensions = {name: str(document[name]) for name in names if name in document}
            for metric in directive.get("Metrics", ()):
                _store_metric(directive["Namespace"], metric, dimensions, moment, document)


def _store_metric(
    namespace: str,
    metric: Mapping[str, Any],
    dimensions: dict[str, str],
    moment: float,
    document: Mapping[str, Any],
) -> None:
    values = document.get(metric["Name"])
    if values is None:
        _LOG.warning("%s: the log line has no value for it", metric["Name"])
        return
    values = values if isinstance(values, list) else [values]
    with metric_store.LOCK:
        cloudwatch._store_datum(
            namespace,
            metric["Name"],
            dimensions,
            moment,
            metric.get("Unit", "None"),
            None,
            values,
            None,
            None,
        )
