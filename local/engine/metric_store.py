"""Read the engine's stored metrics period by period, as AWS aggregates them."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from ministack.services import cloudwatch

from local.metric_math import Point

NAMES: tuple[str, ...] = (
    "ministack.services.cloudwatch._metrics",
    "ministack.services.cloudwatch._dims_key",
    "ministack.services.cloudwatch._dims_from_list",
    "ministack.services.cloudwatch._calc_stats",
    "ministack.services.cloudwatch._stat_value",
)

# MiniStack replaces a metric's list when it drops old points: without the lock a point stored by a
# function's thread at that moment would be lost.
LOCK = threading.RLock()


def metric_key(metric: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return the store's key: a metric is its namespace, its name and its exact dimensions."""
    dimensions = cloudwatch._dims_from_list(metric.get("Dimensions") or [])
    return metric["Namespace"], metric["MetricName"], cloudwatch._dims_key(dimensions)


def period_start(moment: float, period: int) -> int:
    """Return the start of the period that holds a moment."""
    return int(moment // period) * period


def read(metric_stat: Mapping[str, Any], starts: Sequence[int]) -> list[Point]:
    """Return the statistic of a ``MetricStat`` in each of the periods that begin at ``starts``."""
    period = int(metric_stat.get("Period", 60))
    with LOCK:
        stored = list(cloudwatch._metrics.get(metric_key(metric_stat["Metric"])) or ())
    wanted = set(starts)
    by_period: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    for point in stored:
        start = period_start(point["Timestamp"], period)
        if start in wanted:
            by_period[start].append(point)
    statistic = metric_stat.get("Stat") or "Average"
    return [_statistic(by_period.get(start), statistic) for start in starts]


def _statistic(points: list[dict[str, Any]] | None, statistic: str) -> Point:
    if not points:
        return None
    value = cloudwatch._stat_value(cloudwatch._calc_stats(points), statistic, points)
    return None if value is None else float(value)
