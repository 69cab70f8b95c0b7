"""A state machine's ``sns:publish`` keeps its ``MessageAttributes``.

MiniStack reads the query protocol's flat form only, so the attributes of an integration are lost
and no subscription's filter policy matches.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ministack.services import sns

PATCHES: tuple[str, ...] = (
    "ministack.services.sns._publish",
    "ministack.services.stepfunctions._invoke_sns_publish",
)


def install() -> None:
    """Flatten the attributes of an integration before MiniStack publishes."""
    publish = sns._publish

    def publish_with_attributes(parameters: Mapping[str, Any]) -> Any:
        return publish({**parameters, **_flat(parameters.get("MessageAttributes"))})

    # The integration looks the function up on the module at each call.
    sns._publish = publish_with_attributes


def _flat(attributes: Any) -> dict[str, str]:
    if not isinstance(attributes, Mapping):
        return {}
    flat = {}
    for number, (name, value) in enumerate(attributes.items(), 1):
        entry = f"MessageAttributes.entry.{number}"
        flat[f"{entry}.Name"] = name
        flat |= {f"{entry}.Value.{kind}": text for kind, text in value.items()}
    return flat
