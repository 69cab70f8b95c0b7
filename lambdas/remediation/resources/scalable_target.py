"""Application Auto Scaling of DynamoDB tables and indexes: scalable targets. Of Lambda: whether."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from lambdas.remediation.contracts import PlannedCall
from lambdas.remediation.errors import TargetNotFoundError
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.resources.client_errors import changing, reading

REGISTER_SCALABLE_TARGET = "application-autoscaling:RegisterScalableTarget"
NAMESPACE = "dynamodb"
BOUNDS = ("MinCapacity", "MaxCapacity")


class ScalableTarget(Frozen):
    """Bounds between which Application Auto Scaling moves one capacity setting.

    Parameters
    ----------
    resource_id
        `table/<table>` or `table/<table>/index/<index>`.
    scalable_dimension
        `dynamodb:<table or index>:<Read or Write>CapacityUnits`.
    scaling_out_suspended
        Whether a person has told scaling policies not to raise capacity.
    """

    resource_id: str
    scalable_dimension: str
    min_capacity: int
    max_capacity: int
    scaling_out_suspended: bool = False

    @property
    def resource(self) -> str:
        """Id in CloudFormation's form, `<resource id>|<dimension>|dynamodb`: it tells all."""
        return f"{self.resource_id}|{self.scalable_dimension}|{NAMESPACE}"

    @property
    def bounds(self) -> dict[str, int]:
        """The bounds, by planned-call key."""
        return {"MinCapacity": self.min_capacity, "MaxCapacity": self.max_capacity}


def resource_id(table_name: str, index_name: str | None) -> str:
    """Application Auto Scaling's id of a table or index."""
    return f"table/{table_name}" + ("" if index_name is None else f"/index/{index_name}")


def scalable_dimension(index_name: str | None, setting: str) -> str:
    """Application Auto Scaling's name of a capacity setting (`ReadCapacityUnits`, ...)."""
    return f"dynamodb:{'table' if index_name is None else 'index'}:{setting}"


def register_scalable_target_arguments(resource: str, after: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of RegisterScalableTarget; what is left out stays as it is."""
    identifier, dimension, namespace = resource.split("|")
    return {
        "ServiceNamespace": namespace,
        "ResourceId": identifier,
        "ScalableDimension": dimension,
        **{bound: after[bound] for bound in BOUNDS},
    }


class ScalableTargets:
    """Reads and changes the bounds of scalable targets.

    Parameters
    ----------
    client
        boto3 client of Application Auto Scaling.
    """

    service: ClassVar[str] = "application-autoscaling"
    apis: ClassVar[tuple[str, ...]] = (REGISTER_SCALABLE_TARGET,)

    def __init__(self, client: Any) -> None:
        self._client = client

    def read(self, resource_ids: Sequence[str]) -> tuple[ScalableTarget, ...]:
        """Scalable targets of these tables and indexes; those without scaling have none."""
        pages = self._client.get_paginator("describe_scalable_targets").paginate(
            ServiceNamespace=NAMESPACE, ResourceIds=list(resource_ids)
        )
        with reading(f"scalable targets of {resource_ids[0]}"):
            return tuple(_target(t) for page in pages for t in page["ScalableTargets"])

    def scales_alias(self, function_name: str, alias: str) -> bool:
        """Whether Application Auto Scaling sets the provisioned concurrency of a Lambda alias."""
        pages = self._client.get_paginator("describe_scalable_targets").paginate(
            ServiceNamespace="lambda", ResourceIds=[f"function:{function_name}:{alias}"]
        )
        with reading(f"scalable targets of {function_name}:{alias}"):
            return any(page["ScalableTargets"] for page in pages)

    def present(self, call: PlannedCall) -> dict[str, Any]:
        """Present bounds of the call's scalable target.

        Raises
        ------
        TargetNotFoundError
            It was deregistered: registering it again would switch scaling on behind someone's back.
        """
        identifier = call.resource.split("|")[0]
        for target in self.read([identifier]):
            if target.resource == call.resource:
                return dict(target.bounds)
        raise TargetNotFoundError(f"{call.resource}: the scalable target is gone")

    def apply(self, call: PlannedCall) -> None:
        """Set both bounds to `call.after`; AWS then moves the capacity between them by itself."""
        with changing(call, self.present):
            self._client.register_scalable_target(
                **register_scalable_target_arguments(call.resource, call.after)
            )


def _target(found: Mapping[str, Any]) -> ScalableTarget:
    return ScalableTarget(
        resource_id=found["ResourceId"],
        scalable_dimension=found["ScalableDimension"],
        min_capacity=found["MinCapacity"],
        max_capacity=found["MaxCapacity"],
        scaling_out_suspended=bool(
            found.get("SuspendedState", {}).get("DynamicScalingOutSuspended", False)
        ),
    )
