"""From the calls that steps declare to IAM statements on exactly the configured resources.

The resource of an action follows from its service; the few actions without resource-level support
are listed with the reason, everything else that would need `*` stops the synth.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_iam as iam

from lambdas.remediation.platform import Platform
from stacks.acknowledgements import acknowledge_wildcard

# Source: Service Authorization Reference.
WITHOUT_RESOURCE = {
    "application-autoscaling:DescribeScalableTargets": "has no resource types",
    "cloudwatch:GetMetricData": "has no resource types",
}


class UnknownCallError(Exception):
    """An action has no rule here; the message names it."""


@dataclass(frozen=True, kw_only=True)
class Statement:
    """One IAM statement, comparable in tests. `reason` says why a resource holds a `*`."""

    actions: tuple[str, ...]
    resources: tuple[str, ...]
    conditions: dict[str, Any] = field(default_factory=dict)
    reason: str = ""

    def grant(self, role: iam.Role) -> None:
        """Add this statement to a role's policy."""
        role.add_to_policy(
            iam.PolicyStatement(
                actions=list(self.actions),
                resources=list(self.resources),
                conditions=self.conditions or None,
            )
        )
        for resource in self.resources:
            if "*" in resource and self.reason:
                acknowledge_wildcard(role, resource, self.reason)


def statements(calls: Iterable[str], platform: Platform) -> list[Statement]:
    """Statements that allow `calls` on the platform's resources, and nothing else.

    Raises
    ------
    UnknownCallError
        A call has no rule for its resources.
    """
    found: dict[tuple[Any, ...], Statement] = {}
    for call in sorted(set(calls)):
        scope = _scope(call, platform)
        key = (scope.resources, repr(scope.conditions), scope.reason)
        actions = found[key].actions if key in found else ()
        found[key] = replace(scope, actions=(*actions, call))
    # A platform without resources of a kind: there is nothing to allow.
    return [statement for statement in found.values() if statement.resources]


def _scope(call: str, platform: Platform) -> Statement:
    """Statement for one call, its actions still to be filled in."""
    service = call.partition(":")[0]
    if call in WITHOUT_RESOURCE:
        return _on(["*"], reason="these actions have no resource types: they only read")
    if call == "application-autoscaling:RegisterScalableTarget":
        return _on(
            [_arn("application-autoscaling", "scalable-target/*")],
            conditions={"StringEquals": {"application-autoscaling:service-namespace": "dynamodb"}},
            reason="a target's ARN holds an opaque id; the condition narrows what it may scale",
        )
    if call == "cloudwatch:GetInsightRuleReport":
        return _on(
            [
                _arn("cloudwatch", f"insight-rule/DynamoDBContributorInsights-*-{t.table_name}*")
                for t in platform.tables
            ],
            reason="the rules' names hold a kind and a time that only DynamoDB knows",
        )
    if service == "dynamodb":
        tables = [_arn("dynamodb", f"table/{t.table_name}") for t in platform.tables]
        indexes = [
            _arn("dynamodb", f"table/{t.table_name}/index/{i}")
            for t in platform.tables
            for i in t.indexes
        ]
        return _on(tables + indexes)
    raise UnknownCallError(f"{call}: add its resources to stacks/permissions.py")


def _on(
    resources: Sequence[str], *, conditions: dict[str, Any] | None = None, reason: str = ""
) -> Statement:
    return Statement(
        actions=(), resources=tuple(resources), conditions=conditions or {}, reason=reason
    )


def _arn(service: str, resource: str) -> str:
    return f"arn:{cdk.Aws.PARTITION}:{service}:{cdk.Aws.REGION}:{cdk.Aws.ACCOUNT_ID}:{resource}"
