"""Values of secrets. For the rotation function only: no runbook may read one."""

from collections.abc import Sequence
from typing import Any, ClassVar

from lambdas.remediation.errors import PrerequisiteNotMetError, TargetNotFoundError
from lambdas.remediation.resources.client_errors import reading
from lambdas.remediation.resources.secret import PENDING


class SecretValues:
    """Reads and writes values; they appear in no message.

    Parameters
    ----------
    client
        Client of Secrets Manager.
    """

    service: ClassVar[str] = "secretsmanager"

    def __init__(self, client: Any) -> None:
        self._client = client

    def read(self, secret_id: str, version_id: str) -> str | None:
        """Text of one version; None if it has no value yet.

        Raises
        ------
        PrerequisiteNotMetError
            The value is binary.
        """
        subject = f"version {version_id} of secret {secret_id}"
        try:
            with reading(subject):
                found = self._client.get_secret_value(SecretId=secret_id, VersionId=version_id)
        except TargetNotFoundError:
            return None
        if "SecretString" not in found:
            raise PrerequisiteNotMetError(f"{subject} is binary; keep the key as text")
        return str(found["SecretString"])

    def put_pending(
        self, secret_id: str, version_id: str, value: str, *, labels: Sequence[str]
    ) -> None:
        """Fill the version that Secrets Manager has reserved for this rotation.

        Parameters
        ----------
        labels
            Staging labels beside AWSPENDING.
        """
        with reading(f"version {version_id} of secret {secret_id}"):
            self._client.put_secret_value(
                SecretId=secret_id,
                ClientRequestToken=version_id,
                SecretString=value,
                VersionStages=[PENDING, *labels],
            )

    def random_text(self, length: int) -> str:
        """Letters and digits that nobody has seen."""
        with reading("random password"):
            made = self._client.get_random_password(
                PasswordLength=length, ExcludePunctuation=True, RequireEachIncludedType=True
            )
        return str(made["RandomPassword"])
