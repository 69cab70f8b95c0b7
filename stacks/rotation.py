"""The function that Secrets Manager calls to rotate the secrets of the platform."""

import dataclasses

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from lambdas.remediation.platform import Platform
from stacks.arns import ACCOUNT_ID, arn
from stacks.functions import RemediationFunction
from stacks.permissions import Statement, statements
from stacks.runbook import RunbookConstruct

# The runbook that starts rotations, and whose limit says how long a replaced key stays valid.
ROTATE = "rotate_api_key"
TIMEOUT_SECONDS = 60
ON_THE_SECRETS = (
    "secretsmanager:DescribeSecret",
    "secretsmanager:GetSecretValue",
    "secretsmanager:PutSecretValue",
    "secretsmanager:UpdateSecretVersionStage",
)
ON_THE_USERS = (
    "iam:CreateServiceSpecificCredential",
    "iam:DeleteServiceSpecificCredential",
    "iam:ListServiceSpecificCredentials",
)


class Rotation(Construct):
    """The rotation function, and what it may do.

    A secret that is encrypted with a key of its own needs that key's policy to allow the function's
    role `kms:Decrypt` and `kms:GenerateDataKey`.

    Attributes
    ----------
    rotate
        The function `<prefix>-rotation`: people type its ARN to turn on rotation for a secret.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        rotating: RunbookConstruct,
        platform: Platform,
        prefix: str,
        code: lambda_.Code,
    ) -> None:
        super().__init__(scope, construct_id)
        name = f"{prefix}-rotation"
        limits = rotating.runbook.limits_for(platform).as_dict()
        self.rotate = RemediationFunction(
            self,
            "Rotate",
            code=code,
            handler="lambdas.rotation.handler.handler",
            description="Makes, tries and puts in place new API keys, called by Secrets Manager",
            timeout_seconds=TIMEOUT_SECONDS,
            function_name=name,
            environment={
                "GRACE_SECONDS": str(limits["grace_seconds"]),
                "POWERTOOLS_SERVICE_NAME": "remediation",
                "POWERTOOLS_LOG_LEVEL": "INFO",
            },
        )
        self._grant_rotating(name, platform)
        self._let_secrets_manager_invoke(platform)
        # Secrets Manager asks this of whoever starts a rotation, and does not invoke as them.
        self.rotate.grant_invoke(rotating.change.role)

    def _grant_rotating(self, name: str, platform: Platform) -> None:
        # Named, not referred to: a role's policy comes before the function that has the role.
        function_arn = arn("lambda", f"function:{name}")
        ours = {"StringEquals": {"secretsmanager:resource/AllowRotationLambdaArn": function_arn}}
        for statement in statements(ON_THE_SECRETS, platform):
            dataclasses.replace(statement, conditions=ours).grant(self.rotate.role)
        for statement in statements(ON_THE_USERS, platform):
            statement.grant(self.rotate.role)
        Statement(
            actions=("secretsmanager:GetRandomPassword",),
            resources=("*",),
            reason="GetRandomPassword has no resource types: it reads and changes nothing",
        ).grant(self.rotate.role)

    def _let_secrets_manager_invoke(self, platform: Platform) -> None:
        """One permission for each secret: SourceArn has to match, and takes a pattern."""
        for number, entry in enumerate(platform.secrets):
            self.rotate.function.add_permission(
                f"SecretsManager{number}",
                principal=iam.ServicePrincipal("secretsmanager.amazonaws.com"),
                source_account=ACCOUNT_ID,
                source_arn=cdk.Stack.of(self).format_arn(
                    service="secretsmanager",
                    resource="secret",
                    arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
                    resource_name=f"{entry.secret_id}-??????",
                ),
            )
