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
