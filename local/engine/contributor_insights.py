"""Contributor Insights of a table keeps its mode.

MiniStack takes ``ContributorInsightsMode`` and forgets it. Source: Amazon DynamoDB API Reference,
UpdateContributorInsights and DescribeContributorInsights.
"""

from __future__ import annotations

import json
from typing import Any

from ministack.core.responses import json_response
from ministack.services import dynamodb

PATCHES: tuple[str, ...] = (
    "ministack.core.responses.json_response",
    "ministack.services.dynamodb._ci_key",
    "ministack.services.dynamodb._contributor_insights",
    "ministack.services.dynamodb._describe_contributor_insights",
    "ministack.services.dynamodb._normalize_table_name",
    "ministack.services.dynamodb._update_contributor_insights",
)

_MODE = "ContributorInsightsMode"
_DEFAULT = "ACCESSED_AND_THROTTLED_KEYS"


def install() -> None:
    """Keep the mode on the record of the insights, and tell it with every answer."""
    update = dynamodb._update_contributor_insights
    describe = dynamodb._describe_contributor_insights

    def update_with_mode(request: dict[str, Any]) -> Any:
        response = update(request)
        if response[0] == 200 and request.get("ContributorInsightsAction") == "ENABLE":
            _record(request)[_MODE] = request.get(_MODE) or _DEFAULT
        return _with_mode(request, response)

    def describe_with_mode(request: dict[str, Any]) -> Any:
        return _with_mode(request, describe(request))

    dynamodb._update_contributor_insights = update_with_mode
    dynamodb._describe_contributor_insights = describe_with_mode


def _record(request: dict[str, Any]) -> dict[str, Any]:
    name = dynamodb._normalize_table_name(request["TableName"])
    found: dict[str, Any] = (
        dynamodb._contributor_insights.get(dynamodb._ci_key(name, request.get("IndexName"))) or {}
    )
    return found


def _with_mode(request: dict[str, Any], response: Any) -> Any:
    status, _, body = response
    mode = _record(request).get(_MODE) if status == 200 else None
    return response if mode is None else json_response({**json.loads(body), _MODE: mode})
