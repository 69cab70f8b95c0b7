"""Entry point of the rotation function: `<prefix>-rotation`."""

import os
from typing import Any

from lambdas.remediation.observability import logger
from lambdas.remediation.platform import load
from lambdas.remediation.resources.secret import Secrets
from lambdas.remediation.resources.secret_values import SecretValues
from lambdas.remediation.resources.service_credentials import ServiceCredentials
from lambdas.remediation.step import Clock, resource
from lambdas.rotation.issuers import IamIssuer, Issuer, RandomIssuer
from lambdas.rotation.rotation import Rotation, entry_of


def handler(event: dict[str, Any], _context: Any) -> None:
    """Do one step of a rotation.

    Parameters
    ----------
    event
        `Step`, `SecretId` (an ARN), `ClientRequestToken` (the new version's id), and with some
        secrets `RotationToken`, which is a secret itself: the event is never logged.

    Raises
    ------
    RemediationError
        The step was refused or failed; the rotation stops, and AWSCURRENT is as it was.
    """
    secrets: Secrets = resource(Secrets)
    values: SecretValues = resource(SecretValues)
    state = secrets.describe(event["SecretId"])
    entry = entry_of(load(), state)
    version_id = event["ClientRequestToken"]
    logger().info(
        "rotation", extra={"step": event["Step"], "secret_id": state.name, "version_id": version_id}
    )
    issuer: Issuer = RandomIssuer(values)
    if entry.issuer == "iam":
        issuer = IamIssuer(
            entry,
            resource(ServiceCredentials),
            secrets,
            grace_seconds=int(os.environ["GRACE_SECONDS"]),
            now=Clock().now,
        )
    Rotation(
        entry=entry,
        state=state,
        version_id=version_id,
        secrets=secrets,
        values=values,
        issuer=issuer,
    ).perform(event["Step"])
