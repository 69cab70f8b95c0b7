"""Accepted findings of cdk-nag: each at its resource, for one finding, with its reason."""

import json
from collections.abc import Sequence
from typing import Any

import aws_cdk as cdk
from constructs import IConstruct

from stacks.arns import as_in_findings

# What CDK grants the role of a machine that logs and traces.
MACHINE_LOGS_AND_TRACES = (
    "log deliveries and X-Ray segments have no resource types (Service Authorization Reference)"
)


def acknowledge(construct: IConstruct, *findings: str, reason: str) -> None:
    """Accept findings of AwsSolutions, for example `SQS3`, on one resource."""
    cdk.Validations.of(construct).acknowledge(
        *[cdk.Acknowledgment(id=f"AwsSolutions-{finding}", reason=reason) for finding in findings]
    )


def acknowledge_wildcards(construct: IConstruct, resources: Sequence[str], reason: str) -> None:
    """Accept that a policy statement has these resources, which hold a `*`.

    Parameters
    ----------
    construct
        Role or managed policy with the statement.
    resources
        The ARNs exactly as the statement has them.
    """
    written = [as_in_findings(r) or _written(cdk.Stack.of(construct).resolve(r)) for r in resources]
    acknowledge(construct, *[f"IAM5[Resource::{text}]" for text in written], reason=reason)


def _written(value: Any) -> str:
    """How cdk-nag writes a resolved value: `<LogicalId>`, `<LogicalId.Attribute>`, text."""
    match value:
        case str():
            return value
        case {"Ref": name}:
            return f"<{name}>"
        case {"Fn::GetAtt": [name, attribute]}:
            return f"<{name}.{attribute}>"
        case {"Fn::Join": ["", parts]}:
            return "".join(_written(part) for part in parts)
        case _:
            return json.dumps(value, separators=(",", ":"))
