"""Service-specific credentials of an IAM user: API keys of services such as Amazon Bedrock.

A user has two of a service at most, so the one before the current one goes when a third is made.
Which version of the secret holds which credential is a staging label on the version: the id of a
credential is no secret, and whoever may describe the secret can look without reading a value.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from lambdas.remediation.errors import ChangeFailedError, PrerequisiteNotMetError
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.resources.client_errors import reading
from lambdas.remediation.resources.secret import CURRENT, PREVIOUS, SecretState

# IAM API Reference, CreateServiceSpecificCredential.
MOST = 2
ACTIVE = "Active"
_LABEL = "credential-"


class ServiceKey(Frozen):
    """A service-specific credential, without what it proves itself by."""

    id: str
    status: str
    created_at: datetime


def label_of(key_id: str) -> str:
    """Staging label of the version that holds a credential."""
    return f"{_LABEL}{key_id}"


def key_of(state: SecretState, version_id: str | None) -> str | None:
    """Id of the credential that a version holds; None if nobody noted it."""
    labels = state.stages.get(version_id or "", ())
    return next((n.removeprefix(_LABEL) for n in labels if n.startswith(_LABEL)), None)


def version_of(state: SecretState, key_id: str) -> str | None:
    """Id of the version that holds a credential."""
    return state.holder(label_of(key_id))


def to_give_up(
    keys: Sequence[ServiceKey], state: SecretState, *, now: datetime, grace_seconds: int
) -> ServiceKey | None:
    """The credential that makes room for a new one; None if there is room.

    Never one that may still be in use: the current one, one that consumers may have cached, or
    one that nobody knows.

    Raises
    ------
    PrerequisiteNotMetError
        There is no room, and nothing that may go.
    """
    if len(keys) < MOST:
        return None
    current = key_of(state, state.holder(CURRENT))
    others = [key for key in keys if key.id != current]
    if len(others) != 1:
        raise PrerequisiteNotMetError(
            f"secret {state.name}: the user has {len(keys)} credentials ({_ids(keys)}), and no "
            "label tells which one the secret holds; delete the one that is not used"
        )
    (other,) = others
    holder = version_of(state, other.id)
    abandoned = holder is not None and holder not in {
        state.holder(CURRENT),
        state.holder(PREVIOUS),
    }
    if abandoned or other.status != ACTIVE:
        return other
    newest = max(key.created_at for key in keys)
    if holder is None and other.created_at == newest:
        raise PrerequisiteNotMetError(
            f"secret {state.name}: credential {other.id} is newer than the current one and held by "
            "no version; delete it if nobody uses it"
        )
    free_at = newest + timedelta(seconds=grace_seconds)
    if now < free_at:
        raise PrerequisiteNotMetError(
            f"secret {state.name}: credential {other.id} was replaced lately and stays valid until "
            f"{free_at:%Y-%m-%d %H:%M} UTC; there cannot be a third one before"
        )
    return other


def _ids(keys: Sequence[ServiceKey]) -> str:
    return ", ".join(key.id for key in keys)


class ServiceCredentials:
    """Lists, makes and deletes service-specific credentials.

    Parameters
    ----------
    client
        Client of IAM.
    """

    service: ClassVar[str] = "iam"

    def __init__(self, client: Any) -> None:
        self._client = client

    def of_user(self, user_name: str, service_name: str) -> tuple[ServiceKey, ...]:
        """Credentials of a user for a service.

        Raises
        ------
        TargetNotFoundError
            There is no such user.
        """
        with reading(f"credentials of user {user_name} for {service_name}"):
            found = self._client.list_service_specific_credentials(
                UserName=user_name, ServiceName=service_name
            )
        return tuple(
            ServiceKey(
                id=entry["ServiceSpecificCredentialId"],
                status=entry["Status"],
                created_at=entry["CreateDate"].astimezone(UTC),
            )
            for entry in found.get("ServiceSpecificCredentials", ())
        )

    def make(self, user_name: str, service_name: str) -> tuple[str, str]:
        """Id of a new credential, and its key: IAM shows that this once.

        Raises
        ------
        ChangeFailedError
            The service gives a user name with a password instead of one key.
        """
        with reading(f"credential of user {user_name} for {service_name}"):
            made = self._client.create_service_specific_credential(
                UserName=user_name, ServiceName=service_name
            )["ServiceSpecificCredential"]
        key_id = str(made["ServiceSpecificCredentialId"])
        if not made.get("ServiceCredentialSecret"):
            self.delete(user_name, key_id)
            raise ChangeFailedError(
                f"{service_name} has user names and passwords, not one key: it cannot be rotated "
                "here; take the secret out of platform.json"
            )
        return key_id, str(made["ServiceCredentialSecret"])

    def delete(self, user_name: str, key_id: str) -> None:
        """Delete a credential; it cannot be used from then on."""
        with reading(f"credential {key_id} of user {user_name}"):
            self._client.delete_service_specific_credential(
                UserName=user_name, ServiceSpecificCredentialId=key_id
            )
