"""EventBridge sends an event it cannot deliver to the target's dead-letter queue.

MiniStack drops it. Not modelled: retries, so a refused event is dead at once.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ministack.core.arn import parse_arn
from ministack.services import eventbridge, lambda_svc, sns, sqs, stepfunctions

PATCHES: tuple[str, ...] = (
    "ministack.core.arn.parse_arn",
    "ministack.services.eventbridge._dispatch_to_sqs",
    "ministack.services.eventbridge._invoke_target",
    "ministack.services.eventbridge._pattern_event_view",
    "ministack.services.eventbridge._rule_arn",
    "ministack.services.lambda_svc._get_base_func_record_for_ref",
    "ministack.services.sns._topics",
    "ministack.services.sqs._queue_by_arn",
    "ministack.services.stepfunctions._resolve_state_machine_arn",
)

_LOG = logging.getLogger("local.engine.rule_targets")


class Refusal(NamedTuple):
    """Why a target cannot be reached, in the words of the dead letter's attributes."""

    code: str
    message: str


def missing_resource(target: Mapping[str, Any]) -> Refusal | None:
    """Refuse a target whose resource does not exist."""
    arn = target.get("Arn", "")
    service = arn.split(":")[2] if arn.count(":") >= 5 else ""
    exists = _EXISTS.get(service)
    if exists is None or exists(arn):
        return None
    return Refusal("RESOURCE_NOT_FOUND", f"{arn} does not exist")


_EXISTS: Mapping[str, Callable[[str], bool]] = {
    "states": lambda arn: stepfunctions._resolve_state_machine_arn(arn) is not None,
    "lambda": lambda arn: lambda_svc._get_base_func_record_for_ref(arn)[0] is not None,
    "sqs": lambda arn: sqs._queue_by_arn(arn) is not None,
    "sns": lambda arn: arn in sns._topics,
}

# Asked in turn; another link adds the check of the target's role.
REFUSALS: list[Callable[[Mapping[str, Any]], Refusal | None]] = [missing_resource]


def install() -> None:
    """Ask before MiniStack delivers."""
    deliver = eventbridge._invoke_target

    def deliver_or_bury(
        target: dict[str, Any], event: dict[str, Any], rule: dict[str, Any], view: Any = None
    ) -> None:
        refusal = next((found for ask in REFUSALS if (found := ask(target)) is not None), None)
        if refusal is None:
            deliver(target, event, rule, view)
            return
        _LOG.warning("rule %s, target %s: %s", rule.get("Name"), target.get("Arn"), refusal)
        dead_letter_queue = (target.get("DeadLetterConfig") or {}).get("Arn")
        if dead_letter_queue:
            _bury(dead_letter_queue, target, event, rule, refusal)

    eventbridge._invoke_target = deliver_or_bury


def _bury(
    dead_letter_queue: str,
    target: Mapping[str, Any],
    event: dict[str, Any],
    rule: Mapping[str, Any],
    refusal: Refusal,
) -> None:
    queue = sqs._queue_by_arn(dead_letter_queue)
    if queue is None:
        _LOG.error("dead-letter queue %s does not exist", dead_letter_queue)
        return
    body = json.dumps(eventbridge._pattern_event_view(event).event_with_detail())
    eventbridge._dispatch_to_sqs(parse_arn(dead_letter_queue), body, {})
    attributes = {
        "RULE_ARN": eventbridge._rule_arn(rule["Name"], rule.get("EventBusName", "default")),
        "TARGET_ARN": target["Arn"],
        "ERROR_CODE": refusal.code,
        "ERROR_MESSAGE": refusal.message,
        "EXHAUSTED_RETRY_CONDITION": "NonRetryableError",
        "RETRY_ATTEMPTS": "0",
    }
    queue["messages"][-1]["message_attributes"] = {
        key: {"DataType": "String", "StringValue": value} for key, value in attributes.items()
    }
