"""The secret that values of environment variables come from; its values go to Lambda only."""

import json
from collections.abc import Mapping
from dataclasses import field
from typing import Any, ClassVar

from botocore.exceptions import ClientError

from lambdas.remediation.errors import PrerequisiteNotMetError
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.resources.client_errors import reading

# A version without a stage, or one that is scheduled for deletion; no permission, or no key.
_UNREADABLE = {
    "AccessDeniedException",
    "DecryptionFailure",
    "InvalidParameterException",
    "InvalidRequestException",
    "ValidationException",
}


class SecretVariables(Frozen):
    """One version of the secret.

    Parameters
    ----------
    values
        Name to value; never encoded, logged or shown.
    """

    version_id: str
    values: Mapping[str, str] = field(repr=False)


class VariablesSecret:
    """Reads the secret.

    Parameters
    ----------
    client
        Client of Secrets Manager.
    """

    service: ClassVar[str] = "secretsmanager"

    def __init__(self, client: Any) -> None:
        self._client = client

    def read(self, secret_id: str, version_id: str | None = None) -> SecretVariables:
        """Names and values of one version; the current one if none is given.

        Raises
        ------
        TargetNotFoundError
            There is no such secret, or no such version of it.
        PrerequisiteNotMetError
            It cannot be read, or is no JSON object of texts.
        """
        name = f"secret {secret_id}" + (f" version {version_id}" if version_id else "")
        asked = {"VersionId": version_id} if version_id else {}
        try:
            with reading(name):
                found = self._client.get_secret_value(SecretId=secret_id, **asked)
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code not in _UNREADABLE:
                raise
            raise PrerequisiteNotMetError(f"{name}: cannot be read: {code}") from error
        return SecretVariables(
            version_id=found["VersionId"], values=_object(name, found.get("SecretString"))
        )


def _object(name: str, text: str | None) -> dict[str, str]:
    wrong = PrerequisiteNotMetError(
        f"{name}: must be a JSON object of variable names and texts; numbers need quotes"
    )
    try:
        values = json.loads(text or "")
    except ValueError:
        # Not `from error`: its message may show a piece of the secret.
        raise wrong from None
    if not isinstance(values, dict) or not all(isinstance(v, str) for v in values.values()):
        raise wrong
    return values
