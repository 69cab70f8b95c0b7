"""From the calls that steps declare to IAM statements on exactly the configured resources.

The resource of an action follows from its service; the few actions without resource-level support
are listed with the reason, everything else that would need `*` stops the synth. A step that needs
an action on other resources than usual says which: `s3:GetObject@exports`.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_iam as iam

from lambdas.remediation.platform import Api, Platform
from lambdas.remediation.resources.stack_deployments import RECORDS
from stacks.acknowledgements import acknowledge_wildcard

# Source: Service Authorization Reference.
WITHOUT_RESOURCE = {
    "application-autoscaling:DescribeScalableTargets": "has no resource types",
    "cloudwatch:DescribeAlarms": "one call asks for many alarms: IAM grants that on * only",
    "cloudwatch:GetMetricData": "has no resource types",
    "dynamodb:ListBackups": "has no resource types",
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
        found[key] = replace(scope, actions=(*actions, action_of(call)))
    # A platform without resources of a kind: there is nothing to allow.
    return [statement for statement in found.values() if statement.resources]


def action_of(call: str) -> str:
    """IAM action of a declared call, without the resources it names."""
    return call.partition("@")[0]


def _scope(call: str, platform: Platform) -> Statement:
    """Statement for one call, its actions still to be filled in."""
    if call in WITHOUT_RESOURCE:
        return _on(["*"], reason="these actions have no resource types: they only read")
    scope = _BY_CALL.get(call)
    if scope is None and "@" not in call:
        scope = _BY_SERVICE.get(call.partition(":")[0])
    if scope is None:
        raise UnknownCallError(f"{call}: add its resources to stacks/permissions.py")
    return scope(platform)


def _on(
    resources: Sequence[str], *, conditions: dict[str, Any] | None = None, reason: str = ""
) -> Statement:
    return Statement(
        actions=(), resources=tuple(resources), conditions=conditions or {}, reason=reason
    )


def _arn(service: str, resource: str) -> str:
    return f"arn:{cdk.Aws.PARTITION}:{service}:{cdk.Aws.REGION}:{cdk.Aws.ACCOUNT_ID}:{resource}"


def _scalable_targets(_platform: Platform) -> Statement:
    return _on(
        [_arn("application-autoscaling", "scalable-target/*")],
        conditions={"StringEquals": {"application-autoscaling:service-namespace": "dynamodb"}},
        reason="a target's ARN holds an opaque id; the condition narrows what it may scale",
    )


def _insight_rules(platform: Platform) -> Statement:
    return _on(
        [
            _arn("cloudwatch", f"insight-rule/DynamoDBContributorInsights-*-{t.table_name}*")
            for t in platform.tables
        ],
        reason="the rules' names hold a kind and a time that only DynamoDB knows",
    )


def _tables(platform: Platform) -> Statement:
    return _on([_arn("dynamodb", f"table/{t.table_name}") for t in platform.tables])


def _tables_and_indexes(platform: Platform) -> Statement:
    indexes = [
        _arn("dynamodb", f"table/{t.table_name}/index/{i}")
        for t in platform.tables
        for i in t.indexes
    ]
    return _on([*_tables(platform).resources, *indexes])


def _backups(platform: Platform) -> Statement:
    return _on(
        [_arn("dynamodb", f"table/{t.table_name}/backup/*") for t in platform.tables],
        reason="DynamoDB makes up the id of a backup; the table is named",
    )


def _functions(platform: Platform) -> Statement:
    names = [_arn("lambda", f"function:{f.function_name}") for f in platform.functions]
    return _on(
        [r for name in names for r in (name, f"{name}:*")],
        reason="versions and aliases of one function: Lambda numbers its versions",
    )


def _smoke_tested_functions(platform: Platform) -> Statement:
    tested = [f for f in platform.functions if f.smoke_event is not None and f.alias]
    return _on([_arn("lambda", f"function:{f.function_name}:{f.alias}") for f in tested])


def _log_groups(platform: Platform) -> Statement:
    return _on(
        [_arn("logs", f"log-group:{f.logs}:*") for f in platform.functions],
        reason="the log streams of one log group: their names are made up by Lambda",
    )


def _stacks(platform: Platform) -> Statement:
    return _on(
        [_arn("cloudformation", f"stack/{s.stack_name}/*") for s in platform.stacks],
        reason="the ARN of a stack ends with an id that CloudFormation makes up",
    )


def _stack_roles(platform: Platform) -> Statement:
    account = f"arn:{cdk.Aws.PARTITION}:iam::{cdk.Aws.ACCOUNT_ID}"
    return _on(
        [f"{account}:role/{s.execution_role}" for s in platform.stacks if s.execution_role],
        conditions={"StringEquals": {"iam:PassedToService": "cloudformation.amazonaws.com"}},
    )


def _template_buckets(platform: Platform) -> Statement:
    return _on(
        [
            f"arn:{cdk.Aws.PARTITION}:s3:::{s.template_bucket}"
            for s in platform.stacks
            if s.template_bucket
        ]
    )


def _releases(platform: Platform) -> Statement:
    return _on(
        [
            f"arn:{cdk.Aws.PARTITION}:s3:::{s.template_bucket}/{RECORDS}/{s.stack_name}/*"
            for s in platform.stacks
            if s.template_bucket
        ],
        reason="a release of a stack is kept under its digest",
    )


def _stages(platform: Platform) -> Statement:
    return _on([f"{_api(a)}/stages/{a.stage}" for a in platform.apis])


def _stages_and_deployments(platform: Platform) -> Statement:
    deployments = [f"{_api(a)}/deployments{one}" for a in platform.apis for one in ("", "/*")]
    return _on(
        [*_stages(platform).resources, *deployments],
        reason="the deployments of one API: API Gateway makes up their ids",
    )


def _api(api: Api) -> str:
    """ARN of an API; API Gateway's ARNs carry no account."""
    kind = "restapis" if api.protocol == "REST" else "apis"
    return f"arn:{cdk.Aws.PARTITION}:apigateway:{cdk.Aws.REGION}::/{kind}/{api.api_id}"


def _user_pools(platform: Platform) -> Statement:
    return _on([_arn("cognito-idp", f"userpool/{p.user_pool_id}") for p in platform.user_pools])


def _buckets(platform: Platform) -> Statement:
    return _on([f"arn:{cdk.Aws.PARTITION}:s3:::{b.bucket_name}" for b in platform.buckets])


def _secrets(platform: Platform) -> Statement:
    return _on(
        [_arn("secretsmanager", f"secret:{s.secret_id}-??????") for s in platform.secrets],
        reason="Secrets Manager ends the ARN of a secret with six characters of its own",
    )


def _dashboards(platform: Platform) -> Statement:
    names = [d.dashboard_name for d in platform.dashboards]
    account = f"arn:{cdk.Aws.PARTITION}:cloudwatch::{cdk.Aws.ACCOUNT_ID}"
    return _on([f"{account}:dashboard/{name}" for name in names])


def _roles(platform: Platform) -> Statement:
    account = f"arn:{cdk.Aws.PARTITION}:iam::{cdk.Aws.ACCOUNT_ID}"
    return _on([f"{account}:role/{r.role_name}" for r in platform.roles])


_BY_CALL: dict[str, Callable[[Platform], Statement]] = {
    "apigateway:GET": _stages_and_deployments,
    "apigateway:PATCH": _stages,
    "application-autoscaling:RegisterScalableTarget": _scalable_targets,
    "cloudwatch:DeleteDashboards": _dashboards,
    "cloudwatch:GetDashboard": _dashboards,
    "cloudwatch:GetInsightRuleReport": _insight_rules,
    "cloudwatch:PutDashboard": _dashboards,
    "dynamodb:CreateBackup": _tables,
    "dynamodb:DeleteBackup": _backups,
    "dynamodb:DescribeBackup": _backups,
    "iam:PassRole@cloudformation": _stack_roles,
    "lambda:InvokeFunction": _smoke_tested_functions,
    "logs:FilterLogEvents": _log_groups,
    "s3:GetObject@releases": _releases,
    "s3:ListBucket@releases": _template_buckets,
    "s3:PutObject@releases": _releases,
}
_BY_SERVICE: dict[str, Callable[[Platform], Statement]] = {
    "cloudformation": _stacks,
    "cognito-idp": _user_pools,
    "dynamodb": _tables_and_indexes,
    "iam": _roles,
    "lambda": _functions,
    "s3": _buckets,
    "secretsmanager": _secrets,
}
