"""Accepted findings of cdk-nag: each at its resource, for one finding, with its reason."""

import json
from typing import Any

import aws_cdk as cdk
from constructs import IConstruct

# What CDK grants the role of a machine that logs and traces.
MACHINE_LOGS_AND_TRACES = (
    "log deliveries and X-Ray segments have no resource types (Service Authorization Reference)"
)


def acknowledge(construct: IConstruct, finding: str, reason: str) -> None:
    """Accept one finding of AwsSolutions, for example `SQS3`, on one resource."""
    cdk.Validations.of(construct).acknowledge(
        cdk.Acknowledgment(id=f"AwsSolutions-{finding}", reason=reason)
    )


def acknowledge_wildcard(construct: IConstruct, resource: str, reason: str) -> None:
    """Accept that a policy statement has this resource, which holds a `*`.

    Parameters
    ----------
    construct
        Role or managed policy with the statement.
    resource
        The ARN exactly as the statement has it.
    """
    resolved = cdk.Stack.of(construct).resolve(resource)
    acknowledge(construct, f"IAM5[Resource::{_as_in_findings(resolved)}]", reason)


def _as_in_findings(value: Any) -> str:
    """How cdk-nag writes a resolved value: `<LogicalId>`, `<LogicalId.Attribute>`, text."""
    match value:
        case str():
            return value
        case {"Ref": name}:
            return f"<{name}>"
        case {"Fn::GetAtt": [name, attribute]}:
            return f"<{name}.{attribute}>"
        case {"Fn::Join": ["", parts]}:
            return "".join(_as_in_findings(part) for part in parts)
        case _:
            return json.dumps(value, separators=(",", ":"))
