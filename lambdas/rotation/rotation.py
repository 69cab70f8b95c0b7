"""The four steps of a rotation, each of which Secrets Manager may repeat.

Source: AWS Secrets Manager User Guide, Rotation by Lambda function. No step does anything for a
version that is not AWSPENDING: taking that label away stops a rotation for good.
"""

import json
from collections.abc import Callable

from lambdas.remediation.errors import (
    ChangeFailedError,
    PrerequisiteNotMetError,
    RefusedError,
    TargetNotFoundError,
)
from lambdas.remediation.observability import logger
from lambdas.remediation.platform import Platform, Secret
from lambdas.remediation.resources.secret import CURRENT, PENDING, Secrets, SecretState
from lambdas.remediation.resources.secret_values import SecretValues
from lambdas.rotation.issuers import Issuer


def entry_of(platform: Platform, state: SecretState) -> Secret:
    """The secret's entry in the platform file.

    Raises
    ------
    TargetNotFoundError
        It has none.
    """
    for entry in platform.secrets:
        if entry.secret_id == state.name:
            return entry
    raise TargetNotFoundError(f"secret {state.name} is not in platform.json")


def key_in(value: str, key_field: str | None) -> str:
    """The key in a secret's value.

    Parameters
    ----------
    key_field
        Field of a JSON object that holds it; None if the whole value is the key.

    Raises
    ------
    PrerequisiteNotMetError
        The value has another shape; the message does not show it.
    """
    fields = _object(value)
    if key_field is None:
        if fields is not None:
            raise PrerequisiteNotMetError(
                "the value is a JSON object; name the field with the key in platform.json, "
                "secrets[].key_field"
            )
        return value
    key = (fields or {}).get(key_field)
    if not isinstance(key, str):
        raise PrerequisiteNotMetError(
            f"the value is not a JSON object with the text field {key_field}, which platform.json "
            "names"
        )
    return key


def with_key(value: str, key_field: str | None, key: str) -> str:
    """The value with another key, and every other field as it is."""
    if key_field is None:
        return key
    return json.dumps({**(_object(value) or {}), key_field: key}, ensure_ascii=False)


def _object(value: str) -> dict[str, object] | None:
    try:
        found = json.loads(value)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


class Rotation:
    """One rotation of one secret.

    Parameters
    ----------
    state
        The secret as described at the beginning of this step.
    version_id
        The version that this rotation makes (`ClientRequestToken`).
    """

    def __init__(
        self,
        *,
        entry: Secret,
        state: SecretState,
        version_id: str,
        secrets: Secrets,
        values: SecretValues,
        issuer: Issuer,
    ) -> None:
        self._entry = entry
        self._state = state
        self._version_id = version_id
        self._secrets = secrets
        self._values = values
        self._issuer = issuer

    def perform(self, step: str) -> None:
        """Do one step, unless it is done.

        Raises
        ------
        PrerequisiteNotMetError
            Rotation is off for the secret, the version is not AWSPENDING, or there is no such step.
        """
        steps: dict[str, Callable[[], None]] = {
            "createSecret": self.create,
            "setSecret": self.set,
            "testSecret": self.test,
            "finishSecret": self.finish,
        }
        if step not in steps:
            raise PrerequisiteNotMetError(f"there is no step {step!r} in a rotation")
        if not self._state.rotation_enabled:
            raise PrerequisiteNotMetError(f"secret {self._state.name}: rotation is off")
        labels = self._state.stages.get(self._version_id, ())
        if CURRENT in labels:
            # Done by an earlier try, which may have been cut off before its last call.
            self._secrets.abandon(self._state.arn, self._version_id)
            return
        if PENDING not in labels:
            raise PrerequisiteNotMetError(
                f"secret {self._state.name}: version {self._version_id} is not {PENDING}"
            )
        steps[step]()

    def create(self) -> None:
        """Have a new key made, and keep it as AWSPENDING.

        Raises
        ------
        PrerequisiteNotMetError
            The value has another shape than the platform file says, or the issuer has no place for
            another key. The rotation is given up: no later try would end otherwise.
        """
        if self._values.read(self._state.arn, self._version_id) is not None:
            return
        try:
            current = self._current()
            key_in(current, self._entry.key_field)  # refuses before anything is made
            key, labels = self._issuer.make(self._state)
        except RefusedError:
            # Seen by whoever waits for this rotation, and out of the way of the next one.
            self._secrets.abandon(self._state.arn, self._version_id)
            raise
        try:
            self._values.put_pending(
                self._state.arn,
                self._version_id,
                with_key(current, self._entry.key_field, key),
                labels=labels,
            )
        except Exception:
            # What is in no version can be used by nobody, and takes the place of a key that could.
            self._issuer.discard(labels)
            raise

    def set(self) -> None:
        """Nothing: the issuer knows the key that it has made."""

    def test(self) -> None:
        """Refuse a key that cannot be read back or used.

        Notes
        -----
        When rotation is turned on without rotating, Secrets Manager calls this step alone, for a
        version that it makes and removes again. There is no new key in it, so nothing to try.
        """
        if self._pending() == self._current():
            logger().info("no new key: the configuration is being tested")
            return
        key_in(self._pending(), self._entry.key_field)
        self._issuer.check(self._state, self._version_id)

    def finish(self) -> None:
        """Make the new version AWSCURRENT.

        Raises
        ------
        ChangeFailedError
            Its key is the current one.
        """
        field = self._entry.key_field
        if key_in(self._pending(), field) == key_in(self._current(), field):
            raise ChangeFailedError(
                f"secret {self._state.name}: version {self._version_id} holds the current key"
            )
        self._secrets.make_current(
            self._state.arn, self._version_id, instead_of=self._state.holder(CURRENT)
        )
        # AWSCURRENT moved back while AWSPENDING stays would block every later rotation.
        self._secrets.abandon(self._state.arn, self._version_id)

    def _current(self) -> str:
        return self._read(self._state.holder(CURRENT) or "")

    def _pending(self) -> str:
        return self._read(self._version_id)

    def _read(self, version_id: str) -> str:
        value = self._values.read(self._state.arn, version_id) if version_id else None
        if value is None:
            raise PrerequisiteNotMetError(
                f"secret {self._state.name}: version {version_id or CURRENT} has no value"
            )
        return value
