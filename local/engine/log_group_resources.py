"""IAM judges a call on a log group by the ARN that ends in ``:*``.

Amazon CloudWatch Logs User Guide, "CloudWatch Logs resources and operations": policies name a log
group with ``:*`` for every action but those on tags. Under enforcement MiniStack asks without.
"""

from __future__ import annotations

import re
from typing import Any

from ministack.core import iam_actions

PATCHES: tuple[str, ...] = ("ministack.core.iam_actions.extract_resource_arn",)

_LOG_GROUP = re.compile(r"arn:[^:]+:logs:[^:]*:[^:]*:log-group:[^:]+")


def install() -> None:
    """Add the end where MiniStack finds the log group alone."""
    find = iam_actions.extract_resource_arn

    def find_with_end(service: str, *args: Any) -> Any:
        found = find(service, *args)
        headers = args[2]
        about_tags = "Tag" in headers.get("x-amz-target", "")
        if service != "logs" or about_tags or not _LOG_GROUP.fullmatch(found):
            return found
        return f"{found}:*"

    iam_actions.extract_resource_arn = find_with_end
