"""Provisioned concurrency of Lambda aliases, and what bounds it: function, account, SnapStart."""

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from lambdas.remediation.contracts import PlannedCall
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.resources.client_errors import changing, reading
from lambdas.remediation.resources.lambda_alias import alias_of

PUT_PROVISIONED_CONCURRENCY = "lambda:PutProvisionedConcurrencyConfig"
# The one key of a planned call: a number, None where nothing is provisioned.
PROVISIONED = "ProvisionedConcurrentExecutions"
READY, IN_PROGRESS, FAILED = "READY", "IN_PROGRESS", "FAILED"
# AWS Lambda Developer Guide, "Improving startup performance with Lambda SnapStart".
_SNAP_START_FROM = {"python": (3, 12), "java": (11, 0), "dotnet": (8, 0)}
_SNAP_START_EPHEMERAL_MB = 512
_RUNTIME = re.compile(r"(python|java|dotnet)(\d+)(?:\.(\d+))?")


class Allocation(Frozen):
    """Provisioned concurrency of an alias: what was asked for, and what there is."""

    requested: int
    allocated: int
    status: str
    status_reason: str = ""


class FunctionSetup(Frozen):
    """What a version is made of, as far as its start depends on it; never its environment.

    Parameters
    ----------
    snap_start
        Whether it starts from a snapshot, which excludes provisioned concurrency.
    could_snap_start
        Whether a version published with SnapStart would.
    """

    memory_mb: int
    snap_start: bool
    could_snap_start: bool


class Headroom(Frozen):
    """Concurrency there is: of the account without reservations, and reserved for the function."""

    unreserved: int
    reserved: int | None = None


def provision(alias_arn: str, *, before: int | None, wanted: int) -> PlannedCall:
    """The call that provisions concurrency; its inverse sets the old number, or removes it."""
    function_name, name = alias_of(alias_arn)
    return PlannedCall(
        api=PUT_PROVISIONED_CONCURRENCY,
        resource=alias_arn,
        arguments={"FunctionName": function_name, "Qualifier": name, PROVISIONED: wanted},
        before={PROVISIONED: before},
        after={PROVISIONED: wanted},
    )


class ProvisionedConcurrency:
    """Reads, sets and removes the provisioned concurrency of aliases.

    Parameters
    ----------
    client
        Client of Lambda.
    """

    service: ClassVar[str] = "lambda"
    apis: ClassVar[tuple[str, ...]] = (PUT_PROVISIONED_CONCURRENCY,)

    def __init__(self, client: Any) -> None:
        self._client = client

    def read(self, function_name: str, alias: str) -> Allocation | None:
        """Provisioned concurrency of an alias; None if it has none.

        Raises
        ------
        TargetNotFoundError
            There is no such function or alias.
        """
        absent = self._client.exceptions.ProvisionedConcurrencyConfigNotFoundException
        try:
            with reading(f"provisioned concurrency of {function_name}:{alias}"):
                found = self._client.get_provisioned_concurrency_config(
                    FunctionName=function_name, Qualifier=alias
                )
        except absent:
            return None
        return Allocation(
            requested=found["RequestedProvisionedConcurrentExecutions"],
            # Absent as long as nothing is allocated.
            allocated=found.get("AllocatedProvisionedConcurrentExecutions", 0),
            status=found["Status"],
            status_reason=found.get("StatusReason", ""),
        )

    def setup(self, function_name: str, version: str) -> FunctionSetup:
        """What a published version is made of.

        Raises
        ------
        TargetNotFoundError
            There is no such function or version.
        """
        with reading(f"version {version} of function {function_name}"):
            found = self._client.get_function_configuration(
                FunctionName=function_name, Qualifier=version
            )
        return FunctionSetup(
            memory_mb=found["MemorySize"],
            # `ApplyOn` is a wish for versions to come; this is so for the version asked about.
            snap_start=found.get("SnapStart", {}).get("OptimizationStatus") == "On",
            could_snap_start=_could_snap_start(found),
        )

    def headroom(self, function_name: str) -> Headroom:
        """Concurrency of the account, and what is reserved for the function."""
        with reading("account settings of Lambda"):
            account = self._client.get_account_settings()["AccountLimit"]
        with reading(f"function {function_name}"):
            found = self._client.get_function_concurrency(FunctionName=function_name)
        return Headroom(
            unreserved=account["UnreservedConcurrentExecutions"],
            reserved=found.get("ReservedConcurrentExecutions"),
        )

    def present(self, call: PlannedCall) -> dict[str, Any]:
        """The number asked for now, whether it is allocated yet or not; None without.

        Raises
        ------
        TargetNotFoundError
            The alias is gone.
        """
        found = self.read(*alias_of(call.resource))
        return {PROVISIONED: None if found is None else found.requested}

    def apply(self, call: PlannedCall) -> None:
        """Set or remove it, so that the present value becomes `call.after`.

        Lambda allocates afterwards, for minutes.

        Raises
        ------
        ChangeFailedError
            Lambda does not accept the number.
        """
        function_name, alias = alias_of(call.resource)
        wanted = call.after[PROVISIONED]
        with changing(call, self.present):
            if wanted is None:
                self._client.delete_provisioned_concurrency_config(
                    FunctionName=function_name, Qualifier=alias
                )
            else:
                self._client.put_provisioned_concurrency_config(
                    FunctionName=function_name,
                    Qualifier=alias,
                    ProvisionedConcurrentExecutions=wanted,
                )


def _could_snap_start(found: Mapping[str, Any]) -> bool:
    runtime = _RUNTIME.match(found.get("Runtime", ""))
    if runtime is None or found.get("FileSystemConfigs"):
        return False
    version = (int(runtime[2]), int(runtime[3] or 0))
    ephemeral_mb = found.get("EphemeralStorage", {}).get("Size", _SNAP_START_EPHEMERAL_MB)
    return bool(
        version >= _SNAP_START_FROM[runtime[1]] and ephemeral_mb <= _SNAP_START_EPHEMERAL_MB
    )
