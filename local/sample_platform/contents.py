"""What a platform in use holds, and no template gives: people, and settings made by hand."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from local.sample_platform import names

#: Whom the examples of the runbooks on users name.
PEOPLE = ("colleague@example.com", "former.colleague@example.com")


def fill(client: Callable[[str], Any]) -> None:
    """Add users who have signed in, and recovery to a point in time.

    Notes
    -----
    The template asks for the recovery too; the engine's CloudFormation leaves it out.
    """
    cognito = client("cognito-idp")
    for name in PEOPLE:
        cognito.admin_create_user(
            UserPoolId=names.USER_POOL_ID,
            Username=name,
            MessageAction="SUPPRESS",
            UserAttributes=[
                {"Name": "email", "Value": name},
                {"Name": "email_verified", "Value": "true"},
            ],
        )
        cognito.admin_set_user_password(
            UserPoolId=names.USER_POOL_ID,
            Username=name,
            # Nobody needs to know it.
            Password=f"{secrets.token_urlsafe(24)}Aa1!",
            Permanent=True,
        )
    for table in (names.MESSAGE_TABLE, names.SESSION_TABLE):
        client("dynamodb").update_continuous_backups(
            TableName=table,
            PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True},
        )


def turn_rotation_on(client: Callable[[str], Any], function_arn: str) -> None:
    """What the platform team does once: name the product's function for the secret."""
    client("secretsmanager").rotate_secret(
        SecretId=names.API_KEY,
        RotationLambdaARN=function_arn,
        RotationRules={"AutomaticallyAfterDays": 1000},
        RotateImmediately=False,
    )
