"""Secrets: their versions and staging labels, starting a rotation, and moving AWSCURRENT back.

Version ids are no secrets. Nothing here reads a value: only the rotation function does
(`secret_values.py`).
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

from lambdas.remediation.contracts import PlannedCall
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.resources.client_errors import changing, reading

ROTATE = "secretsmanager:RotateSecret"
CURRENT = "AWSCURRENT"
PENDING = "AWSPENDING"
PREVIOUS = "AWSPREVIOUS"


class SecretState(Frozen):
    """A secret without its value.

    Parameters
    ----------
    stages
        Staging labels by version id.
    rotation_enabled, rotation_function_arn
        Whether Secrets Manager rotates it, and with which function.
    deleted
        Whether its deletion is scheduled.
    managed_by
        The AWS service that owns it, if one does.
    primary_region
        Set on a secret that is replicated.
    """

    arn: str
    name: str
    stages: Mapping[str, tuple[str, ...]]
    rotation_enabled: bool = False
    rotation_function_arn: str | None = None
    deleted: bool = False
    managed_by: str | None = None
    primary_region: str | None = None

    def holder(self, label: str) -> str | None:
        """Id of the version with a label: a label is on one version at most."""
        return next((v for v, labels in self.stages.items() if label in labels), None)

    @property
    def region(self) -> str:
        """Region that it was read in."""
        return self.arn.split(":")[3]

    def rotated_to(self, version_id: str) -> PlannedCall:
        """The call that rotates it, the new version having this id (32 to 64 characters)."""
        return PlannedCall(
            api=ROTATE,
            resource=self.arn,
            arguments={"SecretId": self.arn, "ClientRequestToken": version_id},
            before={CURRENT: self.holder(CURRENT)},
            after={CURRENT: version_id},
        )


class Secrets:
    """Reads versions and labels, starts rotations, moves labels; never reads a value.

    Parameters
    ----------
    client
        Client of Secrets Manager.
    """

    service: ClassVar[str] = "secretsmanager"
    apis: ClassVar[tuple[str, ...]] = (ROTATE,)

    def __init__(self, client: Any) -> None:
        self._client = client

    def describe(self, secret_id: str) -> SecretState:
        """Versions and rotation settings of a secret, given by name or ARN.

        Raises
        ------
        TargetNotFoundError
            There is no such secret.
        """
        with reading(f"secret {secret_id}"):
            found = self._client.describe_secret(SecretId=secret_id)
        return SecretState(
            arn=found["ARN"],
            name=found["Name"],
            stages={v: tuple(s) for v, s in found.get("VersionIdsToStages", {}).items()},
            rotation_enabled=found.get("RotationEnabled", False),
            rotation_function_arn=found.get("RotationLambdaARN"),
            deleted="DeletedDate" in found,
            managed_by=found.get("OwningService"),
            primary_region=found.get("PrimaryRegion"),
        )

    def created(self, secret_id: str) -> dict[str, datetime]:
        """When each version that has a label was made, by its id."""
        found: dict[str, datetime] = {}
        more: dict[str, str] = {}
        while True:
            with reading(f"versions of secret {secret_id}"):
                page = self._client.list_secret_version_ids(SecretId=secret_id, **more)
            for version in page["Versions"]:
                found[version["VersionId"]] = version["CreatedDate"].astimezone(UTC)
            if not page.get("NextToken"):
                return found
            more = {"NextToken": page["NextToken"]}

    def under_way(self, call: PlannedCall) -> bool:
        """Whether the planned rotation was started and has not ended."""
        state = self.describe(call.resource)
        version_id: str = call.after[CURRENT]
        return state.holder(PENDING) == version_id and state.holder(CURRENT) != version_id

    def present(self, call: PlannedCall) -> dict[str, Any]:
        """Version that is AWSCURRENT, or that the call's own rotation has not ended.

        That is a value of its own: a rotation that is under way may end by itself at any time.

        Raises
        ------
        TargetNotFoundError
            The secret is gone.
        """
        state = self.describe(call.resource)
        current, pending = state.holder(CURRENT), state.holder(PENDING)
        if pending != current and pending in {call.before[CURRENT], call.after[CURRENT]}:
            return {CURRENT: f"{current}, with {pending} pending"}
        return {CURRENT: current}

    def apply(self, call: PlannedCall) -> None:
        """Start the planned rotation, or move AWSCURRENT back where the call takes one back.

        Raises
        ------
        ChangeFailedError
            Secrets Manager refuses: a rotation is under way, or the secret is being deleted.
        """
        if call.arguments:
            with changing(call, self.present):
                self._client.rotate_secret(**call.arguments, RotateImmediately=True)
            return
        # First: left on a version that is not AWSCURRENT, it would block every later rotation.
        self.abandon(call.resource, call.before[CURRENT])
        with changing(call, self.present):
            self.make_current(call.resource, call.after[CURRENT], instead_of=call.before[CURRENT])

    def make_current(self, secret_id: str, version_id: str, *, instead_of: str | None) -> None:
        """Move AWSCURRENT; AWSPREVIOUS follows to the version it is taken from."""
        source = {"RemoveFromVersionId": instead_of} if instead_of else {}
        self._client.update_secret_version_stage(
            SecretId=secret_id, VersionStage=CURRENT, MoveToVersionId=version_id, **source
        )

    def abandon(self, secret_id: str, version_id: str) -> None:
        """Take AWSPENDING from a version: no step of its rotation does anything any more."""
        self.remove_label(secret_id, version_id, PENDING)

    def remove_label(self, secret_id: str, version_id: str, label: str) -> None:
        """Take a label from a version, if it is there."""
        if self.describe(secret_id).holder(label) != version_id:
            return
        with reading(f"label {label} of secret {secret_id}"):
            self._client.update_secret_version_stage(
                SecretId=secret_id, VersionStage=label, RemoveFromVersionId=version_id
            )
