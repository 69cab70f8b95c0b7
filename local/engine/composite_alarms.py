"""CloudFormation creates, updates and deletes ``AWS::CloudWatch::CompositeAlarm``.

MiniStack has composite alarms by API only and refuses a template that declares one.
"""

from __future__ import annotations

from typing import Any

from ministack.services import cloudwatch
from ministack.services.cloudformation import provisioners

PATCHES: tuple[str, ...] = (
    "ministack.services.cloudwatch._composite_alarms",
    "ministack.services.cloudwatch._put_composite_alarm",
    "ministack.services.cloudformation.provisioners._RESOURCE_HANDLERS",
    "ministack.services.cloudformation.provisioners._physical_name",
)

_ACTIONS = ("AlarmActions", "OKActions", "InsufficientDataActions")


def install() -> None:
    """Register the resource type."""
    provisioners._RESOURCE_HANDLERS["AWS::CloudWatch::CompositeAlarm"] = {
        "create": _create,
        "update": _update,
        "update_with_logical_id": True,
        "delete": _delete,
    }


def _create(logical_id: str, props: dict[str, Any], stack: str) -> tuple[str, dict[str, Any]]:
    name = props.get("AlarmName") or provisioners._physical_name(stack, logical_id, max_len=255)
    enabled = props.get("ActionsEnabled", True)
    request = {
        "AlarmName": name,
        "AlarmRule": props["AlarmRule"],
        "AlarmDescription": props.get("AlarmDescription", ""),
        # A template may carry booleans as text.
        "ActionsEnabled": str(enabled).lower() != "false",
        "Tags": props.get("Tags", []),
        **{field: props.get(field, []) for field in _ACTIONS},
    }
    status, _, body = cloudwatch._put_composite_alarm({}, request, False, True)
    if status != 200:
        raise ValueError(f"{name}: {body!r}")
    return name, {"Arn": cloudwatch._composite_alarms[name]["AlarmArn"]}


def _update(
    physical_id: str,
    old: dict[str, Any],
    new: dict[str, Any],
    stack: str,
    logical_id: str | None = None,
) -> tuple[str, dict[str, Any]]:
    if "AlarmName" not in new and "AlarmName" not in old:
        new = {**new, "AlarmName": physical_id}
    created = _create(logical_id or physical_id, new, stack)
    if created[0] != physical_id:  # a new name is a new alarm
        _delete(physical_id, old)
    return created


def _delete(physical_id: str, props: dict[str, Any]) -> None:
    cloudwatch._composite_alarms.pop(physical_id, None)
