"""IAM judges a search of a log group by the ARN of its streams, which ends with ``:*``.

MiniStack leaves that end out, so the policy that AWS asks for is denied.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ministack.core import iam_actions

PATCHES: tuple[str, ...] = ("ministack.core.iam_actions.extract_resource_arn",)


def install() -> None:
    """Complete the ARN where events are searched."""
    resource_arn = iam_actions.extract_resource_arn

    def resource_arn_of_streams(
        service: str, method: str, path: str, headers: Mapping[str, str], *args: Any
    ) -> Any:
        found = resource_arn(service, method, path, headers, *args)
        searched = headers.get("x-amz-target", "").endswith(".FilterLogEvents")
        return f"{found}:*" if service == "logs" and searched and found != "*" else found

    iam_actions.extract_resource_arn = resource_arn_of_streams
