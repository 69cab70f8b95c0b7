"""The kinds of resource a runbook works on: one key that names it, and its ARN."""

from typing import ClassVar, Protocol

from lambdas.remediation.frozen import Frozen
from lambdas.remediation.platform import Platform


class Place(Frozen):
    """Where the product runs."""

    partition: str
    region: str
    account: str


def place_of(arn: str) -> Place:
    """Place in the ARN of something of ours."""
    _, partition, _, region, account, *_ = arn.split(":")
    return Place(partition=partition, region=region, account=account)


class Target(Protocol):
    """A kind of AWS resource that a runbook works on: one key that names it."""

    key: ClassVar[str]

    def names(self, platform: Platform) -> tuple[str, ...]:
        """Names of this kind that the platform file protects."""
        ...

    def arn(self, name: str, platform: Platform, place: Place) -> str:
        """ARN of the resource that a run locks."""
        ...


class DynamoDbTable:
    """A DynamoDB table, named by `table_name`."""

    key: ClassVar[str] = "table_name"

    def names(self, platform: Platform) -> tuple[str, ...]:
        """Tables of the platform file."""
        return tuple(t.table_name for t in platform.tables)

    def arn(self, name: str, _platform: Platform, place: Place) -> str:
        """ARN of the table."""
        return f"arn:{place.partition}:dynamodb:{place.region}:{place.account}:table/{name}"


class LambdaFunction:
    """A Lambda function, named by `function_name`; its aliases are locked with it."""

    key: ClassVar[str] = "function_name"

    def names(self, platform: Platform) -> tuple[str, ...]:
        """Functions of the platform file."""
        return tuple(f.function_name for f in platform.functions)

    def arn(self, name: str, _platform: Platform, place: Place) -> str:
        """Unqualified ARN of the function."""
        return f"arn:{place.partition}:lambda:{place.region}:{place.account}:function:{name}"


class ApiStage:
    """The stage of an API that serves the platform, named by `api_name`."""

    key: ClassVar[str] = "api_name"

    def names(self, platform: Platform) -> tuple[str, ...]:
        """APIs of the platform file."""
        return tuple(a.api_name for a in platform.apis)

    def arn(self, name: str, platform: Platform, place: Place) -> str:
        """ARN of the stage; API Gateway's ARNs carry no account."""
        api = platform.api(name)
        kind = "restapis" if api.protocol == "REST" else "apis"
        return (
            f"arn:{place.partition}:apigateway:{place.region}::/{kind}/{api.api_id}"
            f"/stages/{api.stage}"
        )


class Stack:
    """A CloudFormation stack, named by `stack_name`."""

    key: ClassVar[str] = "stack_name"

    def names(self, platform: Platform) -> tuple[str, ...]:
        """Stacks of the platform file."""
        return tuple(s.stack_name for s in platform.stacks)

    def arn(self, name: str, _platform: Platform, place: Place) -> str:
        """ARN of the stack, without the id that CloudFormation makes up."""
        return f"arn:{place.partition}:cloudformation:{place.region}:{place.account}:stack/{name}"


class Outage(Stack):
    """The outage of all that a stack deploys, named by its `stack_name`.

    Not the stack itself: a deployment that goes on must not keep anybody from looking.
    """

    def arn(self, name: str, platform: Platform, place: Place) -> str:
        """ARN of the stack, with what is wrong behind it."""
        return f"{super().arn(name, platform, place)}/outage"


class S3Bucket:
    """An S3 bucket, named by `bucket_name`."""

    key: ClassVar[str] = "bucket_name"

    def names(self, platform: Platform) -> tuple[str, ...]:
        """Buckets of the platform file."""
        return tuple(b.bucket_name for b in platform.buckets)

    def arn(self, name: str, _platform: Platform, place: Place) -> str:
        """ARN of the bucket; S3's ARNs carry neither Region nor account."""
        return f"arn:{place.partition}:s3:::{name}"


class CognitoUserPool:
    """A Cognito user pool, named by `user_pool_id`; its users are locked with it."""

    key: ClassVar[str] = "user_pool_id"

    def names(self, platform: Platform) -> tuple[str, ...]:
        """User pools of the platform file."""
        return tuple(p.user_pool_id for p in platform.user_pools)

    def arn(self, name: str, _platform: Platform, place: Place) -> str:
        """ARN of the user pool."""
        return f"arn:{place.partition}:cognito-idp:{place.region}:{place.account}:userpool/{name}"


class SecretsManagerSecret:
    """A secret of Secrets Manager, named by `secret_id`: its name, never its value."""

    key: ClassVar[str] = "secret_id"

    def names(self, platform: Platform) -> tuple[str, ...]:
        """Secrets of the platform file."""
        return tuple(s.secret_id for s in platform.secrets)

    def arn(self, name: str, _platform: Platform, place: Place) -> str:
        """ARN of the secret, without the six characters that Secrets Manager makes up."""
        return f"arn:{place.partition}:secretsmanager:{place.region}:{place.account}:secret:{name}"


class CloudWatchDashboard:
    """A CloudWatch dashboard, named by `dashboard_name`."""

    key: ClassVar[str] = "dashboard_name"

    def names(self, platform: Platform) -> tuple[str, ...]:
        """Dashboards of the platform file."""
        return tuple(d.dashboard_name for d in platform.dashboards)

    def arn(self, name: str, _platform: Platform, place: Place) -> str:
        """ARN of the dashboard; dashboards are the account's, not a Region's."""
        return f"arn:{place.partition}:cloudwatch::{place.account}:dashboard/{name}"


class Role:
    """An IAM role, named by `role_name`."""

    key: ClassVar[str] = "role_name"

    def names(self, platform: Platform) -> tuple[str, ...]:
        """Roles of the platform file."""
        return tuple(r.role_name for r in platform.roles)

    def arn(self, name: str, _platform: Platform, place: Place) -> str:
        """ARN of the role; IAM's ARNs carry no Region."""
        return f"arn:{place.partition}:iam::{place.account}:role/{name}"
