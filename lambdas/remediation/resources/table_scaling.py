"""Application Auto Scaling of a whole table: its targets and policies, carried to another table."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from lambdas.remediation.contracts import PlannedCall
from lambdas.remediation.resources.client_errors import changing, reading
from lambdas.remediation.resources.scalable_target import NAMESPACE, REGISTER_SCALABLE_TARGET

PUT_SCALING_POLICY = "application-autoscaling:PutScalingPolicy"
_TARGET = ("MinCapacity", "MaxCapacity", "SuspendedState")
_POLICY = "TargetTrackingScalingPolicyConfiguration"
_IDENTITY = ("ResourceId", "ScalableDimension")


class TableScaling:
    """Reads the scaling of one table, and sets it on another.

    Parameters
    ----------
    client
        boto3 client of Application Auto Scaling.
    """

    service: ClassVar[str] = "application-autoscaling"
    apis: ClassVar[tuple[str, ...]] = (REGISTER_SCALABLE_TARGET, PUT_SCALING_POLICY)

    def __init__(self, client: Any) -> None:
        self._client = client

    def copied(
        self, table_name: str, to: str, index_names: Sequence[str], *, reversible: bool
    ) -> list[PlannedCall]:
        """The calls that give a table the scaling of another one: first targets, then policies.

        Parameters
        ----------
        table_name
            The table whose scaling is read.
        to
            The table that is to get it.
        index_names
            Indexes of that table.
        reversible
            Whether the targets are to be deregistered by an undo: they outlive their table.
        """
        scaled = [f"table/{table_name}", *(f"table/{table_name}/index/{i}" for i in index_names)]
        with reading(f"scaling of table {table_name}"):
            targets = [
                _planned(REGISTER_SCALABLE_TARGET, _moved(t, to), _TARGET, reversible=reversible)
                for t in self._targets(scaled)
            ]
            # They go with their target.
            policies = [
                _planned(PUT_SCALING_POLICY, _moved(p, to), (_POLICY,), reversible=False)
                for one in scaled
                for p in self._policies(one)
                if _POLICY in p
            ]
        return [*targets, *policies]

    def present(self, call: PlannedCall) -> dict[str, Any]:
        """Present values of the call's keys; None where there is no such target or policy."""
        resource_id, dimension, *policy = call.resource.split("|")
        with reading(call.resource):
            if policy:
                found = [p for p in self._policies(resource_id) if p["PolicyName"] == policy[0]]
            else:
                found = list(self._targets([resource_id]))
        mine = next((f for f in found if f["ScalableDimension"] == dimension), {})
        return {key: mine.get(key) for key in call.after}

    def apply(self, call: PlannedCall) -> None:
        """Register or deregister a target, or put a policy, so that `call.after` is present."""
        resource_id, dimension, *policy = call.resource.split("|")
        identity = {
            "ServiceNamespace": NAMESPACE,
            "ResourceId": resource_id,
            "ScalableDimension": dimension,
        }
        with changing(call, self.present):
            if policy:
                self._client.put_scaling_policy(
                    **identity,
                    PolicyName=policy[0],
                    PolicyType="TargetTrackingScaling",
                    **call.after,
                )
            elif call.after["MaxCapacity"] is None:
                self._client.deregister_scalable_target(**identity)
            else:
                wanted = {k: v for k, v in call.after.items() if v is not None}
                self._client.register_scalable_target(**identity, **wanted)

    def _targets(self, resource_ids: Sequence[str]) -> Iterator[Mapping[str, Any]]:
        pages = self._client.get_paginator("describe_scalable_targets").paginate(
            ServiceNamespace=NAMESPACE, ResourceIds=list(resource_ids)
        )
        for page in pages:
            yield from page["ScalableTargets"]

    def _policies(self, resource_id: str) -> Iterator[Mapping[str, Any]]:
        pages = self._client.get_paginator("describe_scaling_policies").paginate(
            ServiceNamespace=NAMESPACE, ResourceId=resource_id
        )
        for page in pages:
            yield from page["ScalingPolicies"]


def _moved(found: Mapping[str, Any], to: str) -> dict[str, Any]:
    """A target or policy, of another table."""
    _, _, *index = found["ResourceId"].split("/")
    return {**found, "ResourceId": "/".join(["table", to, *index])}


def _planned(
    api: str, wanted: Mapping[str, Any], keys: Sequence[str], *, reversible: bool
) -> PlannedCall:
    identity = {key: wanted[key] for key in _IDENTITY}
    name = {"PolicyName": wanted["PolicyName"]} if api == PUT_SCALING_POLICY else {}
    return PlannedCall(
        api=api,
        resource="|".join([*identity.values(), *name.values()]),
        arguments={"ServiceNamespace": NAMESPACE, **identity, **name},
        before=dict.fromkeys(keys),
        after={key: wanted.get(key) for key in keys},
        reversible=reversible,
    )
