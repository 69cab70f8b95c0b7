"""How fast a table's queries are answered, what they read, and which keys are throttled."""

import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import Any, ClassVar

from lambdas.remediation.frozen import Frozen
from lambdas.remediation.resources.metrics import Metric, Metrics
from lambdas.remediation.verification import total

_OPERATIONS = ("Query", "Scan")
# Contributor Insights rules of throttled (T) partition keys and of throttled partition and sort
# keys: Amazon DynamoDB Developer Guide, "Contributor Insights for DynamoDB: how it works".
_THROTTLED_KEY_RULES = ("-PKT-", "-SKT-")
_TOP_KEYS = 3
# GetInsightRuleReport takes whole minutes.
_REPORT_PERIOD_SECONDS = 60


class Requests(Frozen):
    """What a table was asked in a time.

    Parameters
    ----------
    milliseconds
        Average latency of each operation that was used: Query, Scan.
    read_units_per_second
        Read capacity consumed by the table, without its indexes.
    """

    milliseconds: dict[str, float]
    read_units_per_second: float


class TableRequests:
    """Reads the metrics of a table's requests; changes nothing.

    Parameters
    ----------
    client
        Client of CloudWatch.
    """

    service: ClassVar[str] = "cloudwatch"

    def __init__(self, client: Any) -> None:
        self._metrics = Metrics(client)

    def read(
        self, table_name: str, *, start: datetime, end: datetime, period_seconds: int
    ) -> Requests:
        """Latency and consumption of a table.

        Raises
        ------
        ThrottledError
            CloudWatch could not answer in full.
        """
        latencies = {
            operation: [_latency(table_name, operation, s) for s in ("Sum", "SampleCount")]
            for operation in _OPERATIONS
        }
        consumed = _consumed(table_name)
        series = self._metrics.read(
            [consumed, *(m for both in latencies.values() for m in both)],
            start=start,
            end=end,
            period_seconds=period_seconds,
        )
        found = {}
        for operation, (summed, counted) in latencies.items():
            requests = total([series[counted]])
            if requests:
                found[operation] = round(total([series[summed]]) / requests, 2)
        rate = total([series[consumed]]) / (end - start).total_seconds()
        return Requests(milliseconds=found, read_units_per_second=round(rate, 2))

    def index_read_units(
        self,
        table_name: str,
        index_name: str,
        *,
        start: datetime,
        end: datetime,
        period_seconds: int,
    ) -> float:
        """Read capacity that queries of one index have consumed."""
        metric = _consumed(table_name, ("GlobalSecondaryIndexName", index_name))
        series = self._metrics.read([metric], start=start, end=end, period_seconds=period_seconds)
        return total([series[metric]])

    def throttled_keys(
        self, rules: Iterable[str], *, table_arn: str, start: datetime, end: datetime
    ) -> list[dict[str, Any]]:
        """Keys that were throttled most, each as a digest and how often.

        A key may be personal data, so it never leaves this function. Whoever knows a key finds it
        by `sha256("<table ARN>/<key>")`; partition and sort key are joined by `/`.
        """
        return [
            {
                "key_sha256": _digest(table_arn, contributor.keys),
                "throttled": contributor.count,
            }
            for rule in rules
            if any(kind in rule for kind in _THROTTLED_KEY_RULES)
            for contributor in self._metrics.contributors(
                rule,
                start=start,
                end=end,
                period_seconds=_REPORT_PERIOD_SECONDS,
                count=_TOP_KEYS,
            )
        ]


def _latency(table_name: str, operation: str, statistic: str) -> Metric:
    return Metric(
        "AWS/DynamoDB",
        "SuccessfulRequestLatency",
        (("TableName", table_name), ("Operation", operation)),
        statistic,
    )


def _consumed(table_name: str, *more: tuple[str, str]) -> Metric:
    return Metric("AWS/DynamoDB", "ConsumedReadCapacityUnits", (("TableName", table_name), *more))


def _digest(table_arn: str, keys: tuple[str, ...]) -> str:
    return hashlib.sha256("/".join((table_arn, *keys)).encode()).hexdigest()[:16]
