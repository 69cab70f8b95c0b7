"""IAM judges a call about a dashboard by the ARN of the dashboard.

Under enforcement MiniStack asks for every CloudWatch action on ``*``, so a policy on one dashboard
is denied. The ARN has no Region: a dashboard is the account's.
"""

from __future__ import annotations

import json
from typing import Any

from ministack.core import iam_actions

PATCHES: tuple[str, ...] = ("ministack.core.iam_actions.extract_resource_arn",)


def install() -> None:
    """Take the name from the request where it holds one."""
    find = iam_actions.extract_resource_arn

    def find_with_dashboards(service: str, *args: Any) -> Any:
        body, account_id = args[3], args[6]
        name = _dashboard(body) if service == "monitoring" else None
        if name is None:
            return find(service, *args)
        return f"arn:aws:cloudwatch::{account_id}:dashboard/{name}"

    iam_actions.extract_resource_arn = find_with_dashboards


def _dashboard(body: bytes) -> str | None:
    """The one dashboard that a request is about; boto3 speaks JSON with CloudWatch."""
    try:
        request = json.loads(body or b"{}")
    except ValueError:
        return None
    name = request.get("DashboardName")
    names = request.get("DashboardNames") or ([name] if name else [])
    return str(names[0]) if len(names) == 1 else None
