"""CloudWatch answers ``GetMetricData`` with expressions, exact dimensions and the asked order.

MiniStack answers every ``Expression`` with ``InternalError``, reads all dimension sets when none
is given, and always sorts oldest first. Metrics Insights and ``SEARCH`` are refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ministack.services import cloudwatch

from local import metric_math
from local.engine import metric_store
from local.metric_math import Point

PATCHES: tuple[str, ...] = (
    "ministack.services.cloudwatch._get_metric_data",
    "ministack.services.cloudwatch._cbor_metric_data_result",
    "ministack.services.cloudwatch._cbor_ok",
    "ministack.services.cloudwatch._json_ok",
    "ministack.services.cloudwatch._error",
    "ministack.services.cloudwatch._parse_ts",
    "ministack.services.cloudwatch._ts_iso",
    *metric_store.NAMES,
)


def install() -> None:
    """Answer in the two protocols of current SDKs; the old query protocol stays MiniStack's."""
    answer_stock = cloudwatch._get_metric_data

    def answer(
        params: dict[str, Any], data: dict[str, Any], is_cbor: bool, is_json: bool = False
    ) -> Any:
        if not (is_cbor or is_json):
            return answer_stock(params, data, is_cbor, is_json)
        try:
            results = _results(data)
        except metric_math.MetricMathError as error:
            return cloudwatch._error(
                "ValidationError", str(error), 400, use_json=is_json, use_cbor=is_cbor
            )
        if is_json:
            return cloudwatch._json_ok({"MetricDataResults": results})
        encoded = [cloudwatch._cbor_metric_data_result(result) for result in results]
        return cloudwatch._cbor_ok({"MetricDataResults": encoded})

    cloudwatch._get_metric_data = answer


def _results(request: Mapping[str, Any]) -> list[dict[str, Any]]:
    queries: list[dict[str, Any]] = request.get("MetricDataQueries", [])
    start = cloudwatch._parse_ts(request["StartTime"])
    end = cloudwatch._parse_ts(request["EndTime"])
    newest_first = request.get("ScanBy", "TimestampDescending") == "TimestampDescending"
    values = _values(queries, start, end)
    results = []
    for query in queries:
        if not query.get("ReturnData", True):
            continue
        points = sorted(values[query["Id"]], reverse=newest_first)
        results.append(
            {
                "Id": query["Id"],
                "Label": query.get("Label") or _default_label(query),
                "StatusCode": "Complete",
                "Timestamps": [cloudwatch._ts_iso(moment) for moment, _ in points],
                "Values": [value for _, value in points],
            }
        )
    return results


def _default_label(query: Mapping[str, Any]) -> str:
    if query.get("Expression"):
        return str(query["Id"])
    return str(query["MetricStat"]["Metric"]["MetricName"])


def _values(
    queries: Sequence[Mapping[str, Any]], start: float, end: float
) -> dict[str, list[tuple[int, float]]]:
    """Return the points of every query; plain metrics keep their own periods."""
    stats = {query["Id"]: query["MetricStat"] for query in queries if query.get("MetricStat")}
    periods = {int(stat.get("Period", 60)) for stat in stats.values()}
    found: dict[str, list[tuple[int, float]]] = {}
    for identifier, stat in stats.items():
        starts = _starts(start, end, int(stat.get("Period", 60)))
        found[identifier] = _present(starts, metric_store.read(stat, starts))
    if len(stats) == len(queries):
        return found
    if len(periods) != 1:
        raise metric_math.MetricMathError(
            f"expressions over metrics of several periods are not supported: {sorted(periods)}"
        )
    starts = _starts(start, end, periods.pop())
    series = {identifier: metric_store.read(stat, starts) for identifier, stat in stats.items()}
    for identifier, points in metric_math.evaluate(queries, series).items():
        found[identifier] = _present(starts, points)
    return found


def _starts(start: float, end: float, period: int) -> list[int]:
    """Return the periods of a range: the start is rounded down, the end is exclusive."""
    return list(range(metric_store.period_start(start, period), int(-(-end // 1)), period))


def _present(starts: Sequence[int], points: Sequence[Point]) -> list[tuple[int, float]]:
    return [
        (start, point) for start, point in zip(starts, points, strict=True) if point is not None
    ]
