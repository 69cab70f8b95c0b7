"""IAM judges a call about a backup by the ARN of the backup.

Under enforcement MiniStack finds no resource in ``DescribeBackup`` and ``DeleteBackup`` and asks
for the action on ``*``, so a policy on the backups of one table is denied.
"""

from __future__ import annotations

import json

from ministack.core import iam_actions

PATCHES: tuple[str, ...] = ("ministack.core.iam_actions.dynamodb_resource_arns",)


def install() -> None:
    """Take the ARN from the request where it names no table."""
    find = iam_actions.dynamodb_resource_arns

    def find_with_backups(body: bytes, region: str, account_id: str) -> list[str]:
        found: list[str] = find(body, region, account_id)
        return found or _backup(body)

    iam_actions.dynamodb_resource_arns = find_with_backups


def _backup(body: bytes) -> list[str]:
    try:
        request = json.loads(body or b"{}")
    except ValueError:
        return []
    arn = request.get("BackupArn") if isinstance(request, dict) else None
    return [arn] if isinstance(arn, str) else []
