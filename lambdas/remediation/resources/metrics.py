"""Raw CloudWatch series. The arithmetic is in `lambdas.remediation.verification`."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, NamedTuple

from lambdas.remediation.errors import ThrottledError
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.platform import Api
from lambdas.remediation.resources.client_errors import reading
from lambdas.remediation.verification import Series

# Amazon CloudWatch API Reference, GetMetricData: MetricDataQueries.
_QUERIES_PER_CALL = 500


class Metric(NamedTuple):
    """One metric: its name and the dimensions that pick the series.

    Parameters
    ----------
    dimensions
        Name and value pairs; all of them, since CloudWatch matches the whole set.
    """

    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...]
    statistic: str = "Sum"


def stage_metrics(api: Api) -> tuple[Metric, Metric]:
    """Requests answered with 5XX, and all requests: the value of `Count` is how many there were."""
    dimensions = tuple(api.dimensions.items())
    errors = "5XXError" if api.protocol == "REST" else "5xx"
    return (
        Metric("AWS/ApiGateway", errors, dimensions),
        Metric("AWS/ApiGateway", "Count", dimensions, statistic="SampleCount"),
    )


class Contributor(Frozen):
    """A key that Contributor Insights counted, and how often, approximately."""

    keys: tuple[str, ...]
    count: float


class Metrics:
    """Reads metrics; changes nothing.

    Parameters
    ----------
    client
        boto3 client of CloudWatch.
    """

    service: ClassVar[str] = "cloudwatch"

    def __init__(self, client: Any) -> None:
        self._client = client

    def read(
        self, metrics: Sequence[Metric], *, start: datetime, end: datetime, period_seconds: int
    ) -> dict[Metric, Series]:
        """Series of several metrics.

        Parameters
        ----------
        metrics
            What to read; no expressions, so that the same arithmetic runs everywhere.
        start, end
            From, and up to but without, whole multiples of the period.
        period_seconds
            Length of a period.

        Returns
        -------
        dict
            For each metric the start of a period and its value; no entry where CloudWatch has no
            data, which for throttle events means none.

        Raises
        ------
        ThrottledError
            CloudWatch could not answer in full; part of a series would read as a healed table.
        """
        found: dict[Metric, Series] = {}
        for first in range(0, len(metrics), _QUERIES_PER_CALL):
            asked = metrics[first : first + _QUERIES_PER_CALL]
            found.update(self._read(asked, start, end, period_seconds))
        return found

    def _read(
        self, metrics: Sequence[Metric], start: datetime, end: datetime, period_seconds: int
    ) -> dict[Metric, Series]:
        by_id = {f"m{number}": metric for number, metric in enumerate(metrics)}
        values: dict[str, dict[datetime, float]] = {i: {} for i in by_id}
        status = dict.fromkeys(by_id, "absent")
        queries = [_query(i, metric, period_seconds) for i, metric in by_id.items()]
        for result in self._results(queries, start, end):
            moments = (t.astimezone(UTC) for t in result["Timestamps"])
            values[result["Id"]].update(zip(moments, result["Values"], strict=True))
            status[result["Id"]] = result.get("StatusCode", "Complete")
        for i, metric in by_id.items():
            _check(metric, status[i])
        return {metric: values[i] for i, metric in by_id.items()}

    def _results(
        self, queries: list[dict[str, Any]], start: datetime, end: datetime
    ) -> Iterator[dict[str, Any]]:
        pages = self._client.get_paginator("get_metric_data").paginate(
            MetricDataQueries=queries, StartTime=start, EndTime=end, ScanBy="TimestampAscending"
        )
        with reading("metrics"):
            for page in pages:
                yield from page["MetricDataResults"]

    def contributors(
        self, rule_name: str, *, start: datetime, end: datetime, period_seconds: int, count: int
    ) -> list[Contributor]:
        """Top contributors of a Contributor Insights rule, most frequent first."""
        with reading(f"Contributor Insights rule {rule_name}"):
            found = self._client.get_insight_rule_report(
                RuleName=rule_name,
                StartTime=start,
                EndTime=end,
                Period=period_seconds,
                MaxContributorCount=count,
                OrderBy="Sum",
            )
        return [
            Contributor(keys=tuple(c["Keys"]), count=c["ApproximateAggregateValue"])
            for c in found.get("Contributors", ())
        ]


def _query(identifier: str, metric: Metric, period_seconds: int) -> dict[str, Any]:
    return {
        "Id": identifier,
        "MetricStat": {
            "Metric": {
                "Namespace": metric.namespace,
                "MetricName": metric.name,
                "Dimensions": [{"Name": n, "Value": v} for n, v in metric.dimensions],
            },
            "Period": period_seconds,
            "Stat": metric.statistic,
        },
    }


def _check(metric: Metric, status: str) -> None:
    if status == "Forbidden":
        # No retry helps and nothing is known to be wrong with the target: a defect of the role.
        raise PermissionError(f"metric {metric.name}: CloudWatch forbids reading it")
    if status != "Complete":
        raise ThrottledError(f"metric {metric.name}: CloudWatch answered {status}, look again")
