"""CloudWatch evaluates alarms: dimensions, M of N, missing data, metric math, and on a clock.

MiniStack compares one aggregate of every metric of that name, only when data is put, and keeps no
metric math. Here alarms are evaluated on a clock, as on AWS, so they fall back when data stops.

A state set by hand (``SetAlarmState``) lasts until the next evaluation that has data, as on AWS.
Other than on AWS it also lasts while there is no data at all, so that a drill can set an alarm
whose metric nobody publishes. The clock serves the default account and Region only.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from ministack.services import cloudwatch
from ministack.services.cloudformation import provisioners

from local import metric_math
from local.engine import metric_store
from local.engine.alarm_events import timestamp
from local.metric_math import AlarmState, Point

PATCHES: tuple[str, ...] = (
    "ministack.services.cloudwatch._evaluate_alarm",
    "ministack.services.cloudwatch._evaluate_parent_alarms",
    "ministack.services.cloudwatch._evict_old_metrics",
    "ministack.services.cloudwatch._put_metric_alarm",
    "ministack.services.cloudwatch._put_metric_data",
    "ministack.services.cloudwatch._evaluate_all_alarms",
    "ministack.services.cloudwatch._set_alarm_state",
    "ministack.services.cloudwatch._record_history",
    "ministack.services.cloudwatch._dispatch_alarm_actions",
    "ministack.services.cloudwatch._alarms",
    "ministack.services.cloudwatch._p",
    "ministack.services.cloudwatch.record_metric",
    "ministack.services.cloudformation.provisioners._cw_metric_alarm_record",
    *metric_store.NAMES,
)

CLOCK_SECONDS = 0.25

_LOG = logging.getLogger("local.engine.alarm_evaluation")
_SINGLE_METRIC_FIELDS = (
    "Namespace",
    "MetricName",
    "Statistic",
    "ExtendedStatistic",
    "Period",
    "Dimensions",
    "Unit",
)
_PHRASES = {
    "GreaterThanOrEqualToThreshold": "greater than or equal to",
    "GreaterThanThreshold": "greater than",
    "LessThanThreshold": "less than",
    "LessThanOrEqualToThreshold": "less than or equal to",
}

# A state changes under this lock; its event and actions go out after it, for they may call back.
_evaluating = threading.RLock()
# Two children that change at once must not move their composite alarm twice.
_evaluating_parents = threading.RLock()
# Alarms whose state was set by hand and that had no data since, by ARN. The alarm itself is kept,
# for one made anew under the same name starts without a mark.
_set_by_hand: dict[str, dict[str, Any]] = {}


def install() -> None:
    """Replace the evaluation, keep ``Metrics``, and start the clock."""
    cloudwatch._evaluate_alarm = evaluate
    cloudwatch._evaluate_parent_alarms = _locked(
        _evaluating_parents, cloudwatch._evaluate_parent_alarms
    )
    # MiniStack drops old points at every call, and would drop one stored by another thread.
    cloudwatch._evict_old_metrics = _locked(metric_store.LOCK, cloudwatch._evict_old_metrics)
    cloudwatch.record_metric = _locked(metric_store.LOCK, cloudwatch.record_metric)
    # Every call of a function records a dozen metrics: the clock finds them all at once.
    cloudwatch._evaluate_all_alarms = _leave_it_to_the_clock
    _keep_metric_math()
    _remember_states_set_by_hand()
    threading.Thread(target=_run_clock, name="alarm-clock", daemon=True).start()


def evaluate(alarm: dict[str, Any]) -> None:
    """Bring one metric alarm to the state its data calls for, and announce a change."""
    queries = _queries(alarm)
    if not queries or alarm.get("ComparisonOperator") not in metric_math.COMPARISONS:
        return
    with _evaluating:
        period = _period(queries)
        starts, series = _raw_series(alarm, queries, period)
        if any(point is not None for points in series.values() for point in points):
            _set_by_hand.pop(alarm["AlarmArn"], None)
        elif _set_by_hand.get(alarm["AlarmArn"]) is alarm:
            return
        points = _points(alarm, series)
        old: AlarmState = alarm["StateValue"]
        new = metric_math.state_of_points(alarm, points, current=old)
        if new == old:
            return
        reason = _reason(alarm, starts, points, old, new)
        alarm["StateValue"] = new
        alarm["StateReason"] = reason
        alarm["StateReasonData"] = _reason_data(alarm, starts, points, period)
        alarm["StateUpdatedTimestamp"] = int(time.time())
        cloudwatch._record_history(alarm["AlarmName"], old, new, reason)
    cloudwatch._dispatch_alarm_actions(alarm, old, new, reason)
    cloudwatch._evaluate_parent_alarms(alarm)


def _queries(alarm: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the alarm's metric data queries; a single metric's id is its name."""
    if alarm.get("Metrics"):
        return list(alarm["Metrics"])
    if not alarm.get("MetricName"):
        return []
    metric_stat = {
        "Metric": {key: alarm.get(key) for key in ("Namespace", "MetricName", "Dimensions")},
        "Period": alarm.get("Period", 60),
        "Stat": alarm.get("ExtendedStatistic") or alarm.get("Statistic") or "Average",
    }
    return [{"Id": alarm["MetricName"], "MetricStat": metric_stat}]


def _period(queries: Iterable[Mapping[str, Any]]) -> int:
    periods = [int(q["MetricStat"].get("Period", 60)) for q in queries if q.get("MetricStat")]
    return max(periods, default=60)


def _raw_series(
    alarm: Mapping[str, Any], queries: Iterable[Mapping[str, Any]], period: int
) -> tuple[list[int], dict[str, list[Point]]]:
    """Return the periods looked at and each metric's statistic in them.

    The period under way counts as soon as it has a point. Before that it does not: ``FILL`` would
    make a healthy zero of a period that has only begun.
    """
    count = int(alarm.get("EvaluationPeriods", 1)) + metric_math.EXTRA_PERIODS + 1
    current = metric_store.period_start(time.time(), period)
    starts = [current - period * age for age in range(count - 1, -1, -1)]
    series = {
        query["Id"]: metric_store.read(query["MetricStat"], starts)
        for query in queries
        if query.get("MetricStat")
    }
    if all(points[-1] is None for points in series.values()):
        return starts[:-1], {name: points[:-1] for name, points in series.items()}
    return starts[1:], {name: points[1:] for name, points in series.items()}


def _points(alarm: Mapping[str, Any], series: Mapping[str, list[Point]]) -> list[Point]:
    try:
        return metric_math.alarm_points(alarm, series)
    except metric_math.MetricMathError:
        # AWS refuses such an alarm when it is put; here it is seen in the log and in its state.
        _LOG.exception("alarm %s cannot be evaluated", alarm["AlarmName"])
        return []


def _reason(
    alarm: Mapping[str, Any], starts: list[int], points: list[Point], old: str, new: str
) -> str:
    window = int(alarm["EvaluationPeriods"])
    if new == "INSUFFICIENT_DATA":
        return f"Insufficient Data: {window} datapoint{'s were' if window > 1 else ' was'} unknown."
    recent = _recent(starts, points, window)
    breaching = [item for item in recent if metric_math.is_breaching(alarm, item[1])]
    named = breaching if new == "ALARM" else [item for item in recent if item not in breaching]
    values = ", ".join(
        f"{point} ({time.strftime('%d/%m/%y %H:%M:%S', time.gmtime(start))})"
        for start, point in named
    )
    verdict = "was" if new == "ALARM" else "was not"
    needed = int(alarm.get("DatapointsToAlarm") or window)
    minimum = needed if new == "ALARM" else window - needed + 1
    return (
        f"Threshold Crossed: {len(named)} out of the last {window} datapoints [{values}] "
        f"{verdict} {_PHRASES[alarm['ComparisonOperator']]} the threshold "
        f"({float(alarm['Threshold'])}) (minimum {minimum} datapoint"
        f"{'s' if minimum > 1 else ''} for {old} -> {new} transition)."
    )


def _reason_data(
    alarm: Mapping[str, Any], starts: list[int], points: list[Point], period: int
) -> str:
    recent = _recent(starts, points, int(alarm["EvaluationPeriods"]))
    data: dict[str, Any] = {
        "version": "1.0",
        "queryDate": timestamp(),
        "period": period,
        "recentDatapoints": [point for _, point in recent],
        "threshold": float(alarm["Threshold"]),
    }
    if recent:
        data["startDate"] = timestamp(recent[0][0])
    if not alarm.get("Metrics"):
        data["statistic"] = alarm.get("ExtendedStatistic") or alarm.get("Statistic")
    return json.dumps(data, separators=(",", ":"))


def _recent(starts: list[int], points: list[Point], window: int) -> list[tuple[int, float]]:
    present = [
        (start, point) for start, point in zip(starts, points, strict=False) if point is not None
    ]
    return present[-window:]


def _run_clock() -> None:
    while True:
        time.sleep(CLOCK_SECONDS)
        evaluate_all()


def evaluate_all() -> None:
    """Evaluate every alarm."""
    for alarm in list(cloudwatch._alarms.values()):
        _evaluate_logged(alarm)


def _leave_it_to_the_clock() -> None:
    """Data has been put."""


def _evaluate_logged(alarm: dict[str, Any]) -> None:
    try:
        evaluate(alarm)
    except Exception:
        # One broken alarm must not stop the clock, nor the call that put it.
        _LOG.exception("evaluation of alarm %s failed", alarm.get("AlarmName"))


def _locked(lock: AbstractContextManager[Any], function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        with lock:
            return function(*args, **kwargs)

    return call


def _keep_metric_math() -> None:
    put_alarm = cloudwatch._put_metric_alarm
    record_of_template = provisioners._cw_metric_alarm_record

    def put_with_metrics(
        params: dict[str, Any], data: dict[str, Any], is_cbor: bool, is_json: bool = False
    ) -> Any:
        response = put_alarm(params, data, is_cbor, is_json)
        metrics = (data or {}).get("Metrics")
        if metrics and response[0] == 200:
            alarm = _with_metrics(cloudwatch._alarms[data["AlarmName"]], metrics)
            _evaluate_logged(alarm)
        return response

    def record_with_metrics(name: str, props: dict[str, Any]) -> dict[str, Any]:
        metrics = props.get("Metrics")
        if not metrics:
            return dict(record_of_template(name, props))
        # MiniStack refuses Metrics and wants a single metric; both are taken out again.
        single = {**props, "Metrics": None, "Namespace": "-", "MetricName": "-"}
        return _with_metrics(record_of_template(name, single), metrics)

    cloudwatch._put_metric_alarm = put_with_metrics
    provisioners._cw_metric_alarm_record = record_with_metrics


def _with_metrics(alarm: dict[str, Any], metrics: list[dict[str, Any]]) -> dict[str, Any]:
    for field in _SINGLE_METRIC_FIELDS:
        alarm.pop(field, None)
    alarm["Metrics"] = [{**query, "ReturnData": query.get("ReturnData", True)} for query in metrics]
    return alarm


def _remember_states_set_by_hand() -> None:
    set_state = cloudwatch._set_alarm_state

    def set_by_hand(
        params: dict[str, Any], data: dict[str, Any], is_cbor: bool, is_json: bool = False
    ) -> Any:
        name = (data or {}).get("AlarmName") or cloudwatch._p(params, "AlarmName")
        alarm = cloudwatch._alarms.get(name)
        if alarm is not None:
            _set_by_hand[alarm["AlarmArn"]] = alarm
            # Of the evaluation before; the event must not pass it off as this state's.
            alarm.pop("StateReasonData", None)
        with _evaluating:
            return set_state(params, data, is_cbor, is_json)

    cloudwatch._set_alarm_state = set_by_hand
