"""One way to make a function: runtime, architecture, logs, role, environment."""

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

RUNTIME = lambda_.Runtime.PYTHON_3_14
ARCHITECTURE = lambda_.Architecture.ARM_64
LOG_RETENTION = logs.RetentionDays.THREE_MONTHS


class RemediationFunction(Construct):
    """A Lambda function with a role of its own and an explicit log group.

    Parameters
    ----------
    function_name
        Only where people type it. The log group is then named as they expect, too.

    Attributes
    ----------
    function, role
        What others grant to and invoke.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        code: lambda_.Code,
        handler: str,
        description: str,
        timeout_seconds: int,
        environment: dict[str, str],
        function_name: str | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        log_group = logs.LogGroup(
            self,
            "Logs",
            log_group_name=function_name and f"/aws/lambda/{function_name}",
            retention=LOG_RETENTION,
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        self.role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
            description=description,
        )
        log_group.grant_write(self.role)
        self.function = lambda_.Function(
            self,
            "Function",
            function_name=function_name,
            code=code,
            handler=handler,
            runtime=RUNTIME,
            architecture=ARCHITECTURE,
            description=description,
            memory_size=512,
            timeout=cdk.Duration.seconds(timeout_seconds),
            role=self.role,
            log_group=log_group,
            environment=environment,
        )

    def grant_invoke(self, grantee: iam.Role) -> None:
        """Allow a role to invoke this function; CDK's own grant adds versions and aliases."""
        grantee.add_to_policy(
            iam.PolicyStatement(
                actions=["lambda:InvokeFunction"], resources=[self.function.function_arn]
            )
        )
