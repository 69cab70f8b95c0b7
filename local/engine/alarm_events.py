"""CloudWatch sends every alarm state change to EventBridge's default event bus.

MiniStack runs SNS alarm actions only. The event goes out for single metric, metric math and
composite alarms alike, and whatever ``ActionsEnabled`` says, as on AWS.
"""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from typing import Any

from ministack.services import cloudwatch, eventbridge

PATCHES: tuple[str, ...] = (
    "ministack.services.cloudwatch._dispatch_alarm_actions",
    "ministack.services.eventbridge._put_events",
)

_INITIAL_REASON = "Unchecked: Initial alarm creation"

# The last state announced of each alarm, by ARN: what the next event calls the previous state.
_announced: dict[str, dict[str, str]] = {}
_announcing = threading.Lock()


def install() -> None:
    """Announce a state change before MiniStack runs the actions of the alarm."""
    run_actions = cloudwatch._dispatch_alarm_actions

    def announce_and_run(
        alarm: dict[str, Any], old_state: str, new_state: str, reason: str
    ) -> None:
        event = _event(alarm, old_state, new_state, reason)
        # PutEvents refuses an aws.* source to clients; only the engine itself may send it.
        eventbridge._put_events({"Entries": [event]}, allow_aws_source=True)
        run_actions(alarm, old_state, new_state, reason)

    cloudwatch._dispatch_alarm_actions = announce_and_run


def timestamp(seconds: float | None = None) -> str:
    """Return a time as alarm events write it: ``2019-10-02T17:04:40.989+0000``."""
    moment = datetime.now(UTC) if seconds is None else datetime.fromtimestamp(seconds, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}+0000"


def _event(alarm: dict[str, Any], old_state: str, new_state: str, reason: str) -> dict[str, Any]:
    state = {"value": new_state, "reason": reason, "timestamp": timestamp()}
    if alarm.get("StateReasonData"):
        state["reasonData"] = alarm["StateReasonData"]
    with _announcing:
        previous = _announced.get(alarm["AlarmArn"])
        _announced[alarm["AlarmArn"]] = state
    if previous is None or previous["value"] != old_state:
        # Nothing announced yet, or the alarm was deleted and made again since.
        previous = {
            "value": old_state,
            "reason": _INITIAL_REASON,
            "timestamp": timestamp(alarm.get("AlarmConfigurationUpdatedTimestamp")),
        }
    detail = {
        "alarmName": alarm["AlarmName"],
        "state": state,
        "previousState": previous,
        "configuration": _configuration(alarm),
    }
    return {
        "Source": "aws.cloudwatch",
        "DetailType": "CloudWatch Alarm State Change",
        "Resources": [alarm["AlarmArn"]],
        "Detail": json.dumps(detail),
    }


def _configuration(alarm: dict[str, Any]) -> dict[str, Any]:
    configuration: dict[str, Any] = {}
    if alarm.get("AlarmDescription"):
        configuration["description"] = alarm["AlarmDescription"]
    if "AlarmRule" in alarm:
        configuration["alarmRule"] = alarm["AlarmRule"]
    elif alarm.get("Metrics"):
        configuration["metrics"] = [_query(query) for query in alarm["Metrics"]]
    else:
        statistic = alarm.get("ExtendedStatistic") or alarm.get("Statistic")
        metric_stat = _metric_stat(alarm, alarm.get("Period", 60), statistic)
        # AWS makes up a UUID for the one metric.
        configuration["metrics"] = [{"id": "m1", "metricStat": metric_stat, "returnData": True}]
    return configuration


def _query(query: dict[str, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {"id": query["Id"], "returnData": query.get("ReturnData", True)}
    if query.get("Label"):
        described["label"] = query["Label"]
    if query.get("Expression"):
        described["expression"] = query["Expression"]
    else:
        stat = query["MetricStat"]
        described["metricStat"] = _metric_stat(
            stat["Metric"], stat.get("Period", 60), stat.get("Stat")
        )
    return described


def _metric_stat(metric: dict[str, Any], period: int, statistic: str | None) -> dict[str, Any]:
    dimensions = {item["Name"]: item["Value"] for item in metric.get("Dimensions") or ()}
    return {
        "metric": {
            "namespace": metric.get("Namespace"),
            "name": metric.get("MetricName"),
            "dimensions": dimensions,
        },
        "period": int(period),
        "stat": statistic,
    }
