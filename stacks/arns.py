"""ARNs of what the product names and does not make."""

import functools
import re

import aws_cdk as cdk

# Read once: CDK's library is another process, which each reading would ask.
PARTITION: str = cdk.Aws.PARTITION
REGION: str = cdk.Aws.REGION
ACCOUNT_ID: str = cdk.Aws.ACCOUNT_ID
_PSEUDO_PARAMETERS = {
    PARTITION: "${AWS::Partition}",
    REGION: "${AWS::Region}",
    ACCOUNT_ID: "${AWS::AccountId}",
}


def arn(service: str, resource: str, *, region: str = REGION, account: str = ACCOUNT_ID) -> str:
    """ARN in the account and Region of the stack; some services leave out one or both."""
    return f"arn:{PARTITION}:{service}:{region}:{account}:{resource}"


def bucket_arn(name: str) -> str:
    """ARN of a bucket, and with `/<key>` behind the name that of objects."""
    return arn("s3", name, region="", account="")


def iam_arn(resource: str) -> str:
    """ARN of a role, user or policy, for example `role/deployer`: IAM has no Regions."""
    return arn("iam", resource, region="")


@functools.cache
def substituted(text: str) -> str:
    """An ARN as `Fn::Sub`: joined, each costs half as much again, and there are thousands."""
    plain = _plain(text)
    # The linter is told of wildcards by the text of their ARN.
    if plain == text or "*" in text or cdk.Token.is_unresolved(plain):
        return text
    return cdk.Fn.sub(plain)


@functools.cache
def as_in_findings(text: str) -> str | None:
    """An ARN as cdk-nag writes it, `arn:<AWS::Partition>:s3:::...`; none if it refers to more."""
    plain = _plain(text)
    if cdk.Token.is_unresolved(plain):
        return None
    return re.sub(r"\$\{(AWS::\w+)\}", r"<\1>", plain)


def _plain(text: str) -> str:
    for token, parameter in _PSEUDO_PARAMETERS.items():
        text = text.replace(token, parameter)
    return text
