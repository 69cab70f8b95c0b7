"""Who makes a new key. Random characters are a key only where the platform itself checks it."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from lambdas.remediation.errors import ChangeFailedError, PrerequisiteNotMetError
from lambdas.remediation.platform import Secret
from lambdas.remediation.resources.secret import Secrets, SecretState
from lambdas.remediation.resources.secret_values import SecretValues
from lambdas.remediation.resources.service_credentials import (
    ACTIVE,
    ServiceCredentials,
    key_of,
    label_of,
    to_give_up,
    version_of,
)

# Letters and digits: 5.95 bits each, so more than 256 bits.
RANDOM_KEY_LENGTH = 48


class Issuer(Protocol):
    """Makes keys, and knows whether one can be used."""

    def make(self, state: SecretState) -> tuple[str, Sequence[str]]:
        """A new key, and the labels for the version that will hold it."""
        ...

    def check(self, state: SecretState, version_id: str) -> None:
        """Raise if the key that a version holds cannot be used."""
        ...

    def discard(self, labels: Sequence[str]) -> None:
        """Take back a key that no version holds."""
        ...


class RandomIssuer:
    """Secrets Manager's random characters."""

    def __init__(self, values: SecretValues) -> None:
        self._values = values

    def make(self, _state: SecretState) -> tuple[str, Sequence[str]]:
        """A new random key."""
        return self._values.random_text(RANDOM_KEY_LENGTH), ()

    def check(self, _state: SecretState, _version_id: str) -> None:
        """Nothing to ask anybody: the key is what the secret holds."""

    def discard(self, _labels: Sequence[str]) -> None:
        """Nothing to take back."""


class IamIssuer:
    """Service-specific credentials of the IAM user in the platform file.

    Parameters
    ----------
    grace_seconds
        How long the key before the current one stays valid.
    now
        The time.
    """

    def __init__(
        self,
        entry: Secret,
        credentials: ServiceCredentials,
        secrets: Secrets,
        *,
        grace_seconds: int,
        now: Callable[[], datetime],
    ) -> None:
        if entry.user_name is None or entry.service_name is None:
            raise PrerequisiteNotMetError(
                f"secret {entry.secret_id}: issuer iam needs user_name and service_name"
            )
        self._user, self._service = entry.user_name, entry.service_name
        self._credentials = credentials
        self._secrets = secrets
        self._grace_seconds = grace_seconds
        self._now = now

    def make(self, state: SecretState) -> tuple[str, Sequence[str]]:
        """A new credential, for which the one before the current one is deleted if it must.

        Raises
        ------
        PrerequisiteNotMetError
            The user has two, and none may go.
        """
        keys = self._credentials.of_user(self._user, self._service)
        old = to_give_up(keys, state, now=self._now(), grace_seconds=self._grace_seconds)
        if old is not None:
            self._credentials.delete(self._user, old.id)
            version_id = version_of(state, old.id)
            if version_id is not None:
                # A version without labels is forgotten; with this one it would be kept for ever.
                self._secrets.remove_label(state.arn, version_id, label_of(old.id))
        key_id, key = self._credentials.make(self._user, self._service)
        return key, (label_of(key_id),)

    def check(self, state: SecretState, version_id: str) -> None:
        """Raise if the credential is not active.

        Raises
        ------
        ChangeFailedError
            It is inactive, expired or gone.
        """
        key_id = key_of(state, version_id)
        keys = self._credentials.of_user(self._user, self._service)
        status = next((key.status for key in keys if key.id == key_id), "not there")
        if status != ACTIVE:
            raise ChangeFailedError(
                f"secret {state.name}: credential {key_id} of user {self._user} is {status}"
            )

    def discard(self, labels: Sequence[str]) -> None:
        """Delete a credential that was made a moment ago and stored nowhere."""
        for label in labels:
            self._credentials.delete(self._user, label.removeprefix(label_of("")))
