"""IAM judges DynamoDB calls by the ARNs they name: backups, restores, and tags.

Under enforcement MiniStack finds a resource only in ``TableName``. For ``DescribeBackup``,
``DeleteBackup``, the two restores, the tag operations and the resource policies it asks for the
action on ``*``, so a policy on the backups of one table, or on one table, is denied. A restore is
judged on what it reads and on the table that it makes.
"""

from __future__ import annotations

import json

from ministack.core import iam_actions

PATCHES: tuple[str, ...] = ("ministack.core.iam_actions.dynamodb_resource_arns",)

_NAMED = ("BackupArn", "SourceTableArn", "ResourceArn")


def install() -> None:
    """Take the ARNs from the request where it names no table."""
    find = iam_actions.dynamodb_resource_arns

    def find_with_arns(body: bytes, region: str, account_id: str) -> list[str]:
        found: list[str] = find(body, region, account_id)
        return found or _named(body, region, account_id)

    iam_actions.dynamodb_resource_arns = find_with_arns


def _named(body: bytes, region: str, account_id: str) -> list[str]:
    try:
        request = json.loads(body or b"{}")
    except ValueError:
        return []
    if not isinstance(request, dict):
        return []
    arns = [request[key] for key in _NAMED if isinstance(request.get(key), str)]
    for key in ("SourceTableName", "TargetTableName"):
        if isinstance(request.get(key), str):
            arns.append(f"arn:aws:dynamodb:{region}:{account_id}:table/{request[key]}")
    return arns
