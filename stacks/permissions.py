"""From the calls that steps declare to IAM statements on exactly the configured resources.

The resource of an action follows from its service; the few actions without resource-level support
are listed with the reason, everything else that would need `*` stops the synth. A step that needs
an action on other resources than usual says which: `s3:GetObject@exports`.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from aws_cdk import aws_iam as iam

from lambdas.remediation.platform import Api, Platform
from lambdas.remediation.resources.export_objects import EXPORTS
from lambdas.remediation.resources.restored_table import beginning
from lambdas.remediation.resources.stack_deployments import RECORDS, TEMPLATES
from stacks.acknowledgements import acknowledge_wildcards
from stacks.arns import REGION, arn, bucket_arn, iam_arn, substituted

# Source: Service Authorization Reference.
WITHOUT_RESOURCE = {
    "access-analyzer:CheckNoNewAccess": "has no resource types: the policies are in the call",
    "access-analyzer:ValidatePolicy": "has no resource types: the policy is in the call",
    "application-autoscaling:DescribeScalableTargets": "has no resource types",
    "application-autoscaling:DescribeScalingPolicies": "has no resource types",
    "cloudwatch:DescribeAlarms": "one call asks for many alarms: IAM grants that on * only",
    "cloudwatch:GetMetricData": "has no resource types",
    "dynamodb:ListBackups": "has no resource types",
    "dynamodb:ListExports": "has no resource types",
    "iam:GetServiceLastAccessedDetails": "has no resource types: a report has no ARN",
    "iam:SimulateCustomPolicy": "has no resource types: the policy is in the call",
    "lambda:GetAccountSettings": "has no resource types",
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
                resources=[substituted(resource) for resource in self.resources],
                conditions=self.conditions or None,
            )
        )
        wildcards = [resource for resource in self.resources if "*" in resource]
        if wildcards and self.reason:
            acknowledge_wildcards(role, wildcards, self.reason)


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


def _scalable_targets(_platform: Platform) -> Statement:
    return _on(
        [arn("application-autoscaling", "scalable-target/*")],
        conditions={"StringEquals": {"application-autoscaling:service-namespace": "dynamodb"}},
        reason="a target's ARN holds an opaque id; the condition narrows what it may scale",
    )


def _insight_rules(platform: Platform) -> Statement:
    return _on(
        [
            arn("cloudwatch", f"insight-rule/DynamoDBContributorInsights-*-{t.table_name}*")
            for t in platform.tables
        ],
        reason="the rules' names hold a kind and a time that only DynamoDB knows",
    )


def _tables(platform: Platform) -> Statement:
    return _on([arn("dynamodb", f"table/{t.table_name}") for t in platform.tables])


def _tables_and_indexes(platform: Platform) -> Statement:
    indexes = [
        arn("dynamodb", f"table/{t.table_name}/index/{i}")
        for t in platform.tables
        for i in t.indexes
    ]
    return _on([*_tables(platform).resources, *indexes])


def _backups(platform: Platform) -> Statement:
    return _on(
        [arn("dynamodb", f"table/{t.table_name}/backup/*") for t in platform.tables],
        reason="DynamoDB makes up the id of a backup; the table is named",
    )


def _exports(platform: Platform) -> Statement:
    return _on(
        [arn("dynamodb", f"table/{t.table_name}/export/*") for t in platform.tables],
        reason="DynamoDB makes up the id of an export; the table is named",
    )


def _export_buckets(platform: Platform) -> Statement:
    return _on(_export_bucket_arns(platform))


def _listed_exports(platform: Platform) -> Statement:
    return _on(
        _export_bucket_arns(platform), conditions={"StringLike": {"s3:prefix": [f"{EXPORTS}*"]}}
    )


def _export_objects(platform: Platform) -> Statement:
    return _on(
        _export_object_arns(platform),
        reason="the objects of one table's exports: run and DynamoDB make up their keys",
    )


def _export_keys(platform: Platform) -> Statement:
    """Keys are the buckets' own affair: what is narrowed is what they are used for."""
    if not _export_bucket_arns(platform):
        return _on([])
    return _on(
        [arn("kms", "key/*")],
        conditions={
            "StringEquals": {"kms:ViaService": f"s3.{REGION}.amazonaws.com"},
            # With a bucket key the context names the bucket, without one the object.
            "StringLike": {
                "kms:EncryptionContext:aws:s3:arn": [
                    *_export_bucket_arns(platform),
                    *_export_object_arns(platform),
                ]
            },
        },
        reason="the key is the bucket's own setting; the conditions narrow it to its exports",
    )


def _contributor_insights_role(_platform: Platform) -> Statement:
    """Amazon DynamoDB Developer Guide, Using IAM with CloudWatch Contributor Insights."""
    service = "contributorinsights.dynamodb.amazonaws.com"
    role = f"aws-service-role/{service}/AWSServiceRoleForDynamoDBCloudWatchContributorInsights"
    return _on(
        [iam_arn(f"role/{role}")],
        conditions={"StringEquals": {"iam:AWSServiceName": service}},
    )


def _export_bucket_arns(platform: Platform) -> list[str]:
    buckets = dict.fromkeys(t.export_bucket for t in platform.tables if t.export_bucket)
    return [bucket_arn(bucket) for bucket in buckets]


def _export_object_arns(platform: Platform) -> list[str]:
    return [
        bucket_arn(f"{t.export_bucket}/{EXPORTS}{t.table_name}/*")
        for t in platform.tables
        if t.export_bucket
    ]


def _restored_tables(platform: Platform) -> Statement:
    return _on(
        [arn("dynamodb", f"table/{beginning(t.table_name)}*") for t in platform.tables],
        reason="the name of a restored table ends with a digest of its run",
    )


def _backups_and_restored_tables(platform: Platform) -> Statement:
    backups, restored = _backups(platform), _restored_tables(platform)
    return _on(
        [*backups.resources, *restored.resources], reason=f"{backups.reason}; {restored.reason}"
    )


def _tables_and_restored_tables(platform: Platform) -> Statement:
    restored = _restored_tables(platform)
    return _on([*_tables(platform).resources, *restored.resources], reason=restored.reason)


def _scaling_alarms(platform: Platform) -> Statement:
    return _on(
        [
            arn("cloudwatch", f"alarm:TargetTracking-table/{beginning(t.table_name)}*")
            for t in platform.tables
        ],
        reason="the alarms of a scaling policy end with an id that Auto Scaling makes up",
    )


def _pointers(platform: Platform) -> Statement:
    names = [t.pointer_parameter for t in platform.tables if t.pointer_parameter]
    return _on([arn("ssm", f"parameter/{name.removeprefix('/')}") for name in names])


def _functions(platform: Platform) -> Statement:
    names = [arn("lambda", f"function:{f.function_name}") for f in platform.functions]
    return _on(
        [r for name in names for r in (name, f"{name}:*")],
        reason="versions and aliases of one function: Lambda numbers its versions",
    )


def _smoke_tested_functions(platform: Platform) -> Statement:
    tested = [f for f in platform.functions if f.smoke_event is not None and f.alias]
    return _on([arn("lambda", f"function:{f.function_name}:{f.alias}") for f in tested])


def _versions_of_smoke_tested_functions(platform: Platform) -> Statement:
    tested = [f for f in platform.functions if f.smoke_event is not None and f.alias]
    return _on(
        [arn("lambda", f"function:{f.function_name}:*") for f in tested],
        reason="a new version of one function, before it serves: Lambda numbers its versions",
    )


def _code_packages(platform: Platform) -> Statement:
    buckets = dict.fromkeys(f.code_bucket for f in platform.functions if f.code_bucket)
    return _on(
        [bucket_arn(f"{bucket}/*") for bucket in buckets],
        reason="packages of one bucket: pipelines name their objects",
    )


def _variables_secrets(platform: Platform) -> Statement:
    names = dict.fromkeys(f.variables_secret_id for f in platform.functions)
    return _on(
        [arn("secretsmanager", f"secret:{name}-??????") for name in names if name],
        reason="Secrets Manager ends the ARN of a secret with six characters of its own",
    )


def _log_groups(platform: Platform) -> Statement:
    return _on(
        [arn("logs", f"log-group:{f.logs}:*") for f in platform.functions],
        reason="the log streams of one log group: their names are made up by Lambda",
    )


def _stacks(platform: Platform) -> Statement:
    return _on(
        [arn("cloudformation", f"stack/{s.stack_name}/*") for s in platform.stacks],
        reason="the ARN of a stack ends with an id that CloudFormation makes up",
    )


def _any_stack(_platform: Platform) -> Statement:
    return _on(
        ["*"],
        reason="asks which stack deploys a role, by the role's name: the stack is the answer",
    )


def _stack_roles(platform: Platform) -> Statement:
    return _on(
        [iam_arn(f"role/{s.execution_role}") for s in platform.stacks if s.execution_role],
        conditions={"StringEquals": {"iam:PassedToService": "cloudformation.amazonaws.com"}},
    )


def _template_buckets(platform: Platform) -> Statement:
    return _on([bucket_arn(s.template_bucket) for s in platform.stacks if s.template_bucket])


def _templates(platform: Platform) -> Statement:
    return _on(
        [
            bucket_arn(f"{s.template_bucket}/{TEMPLATES}/{s.stack_name}/*")
            for s in platform.stacks
            if s.template_bucket
        ],
        reason="templates of one stack: pipelines name their objects",
    )


def _releases(platform: Platform) -> Statement:
    return _on(
        [
            bucket_arn(f"{s.template_bucket}/{RECORDS}/{s.stack_name}/*")
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
    return arn("apigateway", f"/{kind}/{api.api_id}", account="")


def _user_pools(platform: Platform) -> Statement:
    return _on([arn("cognito-idp", f"userpool/{p.user_pool_id}") for p in platform.user_pools])


def _buckets(platform: Platform) -> Statement:
    return _on([bucket_arn(b.bucket_name) for b in platform.buckets])


def _expiring_prefixes(platform: Platform) -> Statement:
    """Listing, of those keys only that may expire."""
    listed = [b for b in platform.buckets if b.prefixes]
    prefixes = sorted({prefix for b in listed for prefix in b.prefixes})
    return _on(
        [bucket_arn(b.bucket_name) for b in listed],
        conditions={"StringEquals": {"s3:prefix": prefixes}},
    )


def _secrets(platform: Platform) -> Statement:
    return _on(
        [arn("secretsmanager", f"secret:{s.secret_id}-??????") for s in platform.secrets],
        reason="Secrets Manager ends the ARN of a secret with six characters of its own",
    )


def _dashboards(platform: Platform) -> Statement:
    names = [d.dashboard_name for d in platform.dashboards]
    return _on([arn("cloudwatch", f"dashboard/{name}", region="") for name in names])


def _issuing_users(platform: Platform) -> Statement:
    users = [s.user_name for s in platform.secrets if s.issuer == "iam"]
    return _on([iam_arn(f"user/{name}") for name in users])


def _roles(platform: Platform) -> Statement:
    return _on([iam_arn(f"role/{r.role_name}") for r in platform.roles])


def _managed_policies(platform: Platform) -> Statement:
    # Without roles there are no policies of theirs.
    return _on(
        [iam_arn("policy/*")] if platform.roles else [],
        reason="which policies are attached to the platform's roles is what is read here",
    )


# What a restored table needs: the restore itself, its settings, and the looks at it.
_ON_RESTORED = (
    "BatchWriteItem",
    "DeleteItem",
    "DeleteTable",
    "DescribeContinuousBackups",
    "DescribeTable",
    "DescribeTimeToLive",
    "GetItem",
    "ListTagsOfResource",
    "PutItem",
    "Query",
    "Scan",
    "TagResource",
    "UpdateContinuousBackups",
    "UpdateItem",
    "UpdateTable",
    "UpdateTimeToLive",
)
_BY_CALL: dict[str, Callable[[Platform], Statement]] = {
    "apigateway:GET": _stages_and_deployments,
    "apigateway:PATCH": _stages,
    "application-autoscaling:DeregisterScalableTarget": _scalable_targets,
    "application-autoscaling:PutScalingPolicy": _scalable_targets,
    "application-autoscaling:RegisterScalableTarget": _scalable_targets,
    "cloudformation:DescribeStackResources": _any_stack,
    "cloudwatch:DeleteAlarms@scaling": _scaling_alarms,
    "cloudwatch:DeleteDashboards": _dashboards,
    "cloudwatch:GetDashboard": _dashboards,
    "cloudwatch:GetInsightRuleReport": _insight_rules,
    "cloudwatch:PutDashboard": _dashboards,
    "cloudwatch:PutMetricAlarm@scaling": _scaling_alarms,
    "dynamodb:CreateBackup": _tables,
    "dynamodb:DeleteBackup": _backups,
    "dynamodb:DescribeBackup": _backups,
    "dynamodb:DescribeContinuousBackups": _tables,
    "dynamodb:DescribeExport": _exports,
    "dynamodb:ExportTableToPointInTime": _tables,
    "dynamodb:RestoreTableFromBackup": _backups_and_restored_tables,
    "dynamodb:RestoreTableToPointInTime": _tables_and_restored_tables,
    "iam:CreateServiceLinkedRole@contributor-insights": _contributor_insights_role,
    "iam:CreateServiceSpecificCredential": _issuing_users,
    "iam:DeleteServiceSpecificCredential": _issuing_users,
    "iam:GetPolicy": _managed_policies,
    "iam:GetPolicyVersion": _managed_policies,
    "iam:ListServiceSpecificCredentials": _issuing_users,
    "iam:PassRole@cloudformation": _stack_roles,
    "kms:Decrypt@exports": _export_keys,
    "kms:GenerateDataKey@exports": _export_keys,
    "lambda:InvokeFunction": _smoke_tested_functions,
    "lambda:InvokeFunction@versions": _versions_of_smoke_tested_functions,
    "logs:FilterLogEvents": _log_groups,
    "s3:AbortMultipartUpload@exports": _export_objects,
    "s3:DeleteObject@exports": _export_objects,
    "s3:GetBucketPublicAccessBlock@exports": _export_buckets,
    "s3:GetEncryptionConfiguration@exports": _export_buckets,
    "s3:GetObject@exports": _export_objects,
    "s3:GetObject@releases": _releases,
    "s3:GetObject@templates": _templates,
    "s3:GetObjectVersion@code": _code_packages,
    "s3:ListBucket@exports": _listed_exports,
    "s3:ListBucket@prefixes": _expiring_prefixes,
    "s3:ListBucket@releases": _template_buckets,
    "s3:ListBucketVersions@prefixes": _expiring_prefixes,
    "s3:PutObject@exports": _export_objects,
    "s3:PutObject@releases": _releases,
    "s3:PutObjectAcl@exports": _export_objects,
    "secretsmanager:GetSecretValue@variables": _variables_secrets,
    "ssm:GetParameter@pointers": _pointers,
    "ssm:PutParameter@pointers": _pointers,
    **{f"dynamodb:{action}@restored": _restored_tables for action in _ON_RESTORED},
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
