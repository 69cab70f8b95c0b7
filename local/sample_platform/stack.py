"""The platform of the operations runbook: a chat API with all that the procedures work on."""

from __future__ import annotations

from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_cognito as cognito
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_ssm as ssm
from constructs import Construct

from local.sample_platform import names

CHAT_CODE = Path(__file__).parent / "functions" / "chat"


class EnergyInsightsStack(cdk.Stack):
    """REST API -> alias ``live`` of the chat function -> message and session tables.

    Beside them: users, buckets for artifacts and exports, secrets, and the parameter that names
    the message table.

    Notes
    -----
    Capacities are low and provisioned on purpose: that is what the throttling procedure is for.
    Nothing is retained, so a local deploy can be destroyed and repeated.
    """

    def __init__(self, scope: Construct, construct_id: str) -> None:
        super().__init__(scope, construct_id)
        messages = _table(self, "Messages", names.MESSAGE_TABLE)
        messages.add_global_secondary_index(
            index_name=names.MESSAGE_INDEX,
            partition_key=_string("chatSessionId"),
            sort_key=_string("createdAt"),
            read_capacity=5,
            write_capacity=5,
        )
        sessions = _table(self, "Sessions", names.SESSION_TABLE)
        chat = lambda_.Function(
            self,
            "Chat",
            function_name=names.CHAT_FUNCTION,
            runtime=lambda_.Runtime.PYTHON_3_13,
            architecture=lambda_.Architecture.ARM_64,
            handler="handler.handle",
            code=lambda_.Code.from_asset(str(CHAT_CODE), exclude=["__pycache__"]),
            role=self._chat_role(),
            timeout=cdk.Duration.seconds(10),
            memory_size=256,
            log_group=logs.LogGroup(
                self,
                "ChatLogs",
                log_group_name=f"/aws/lambda/{names.CHAT_FUNCTION}",
                retention=logs.RetentionDays.ONE_WEEK,
                removal_policy=cdk.RemovalPolicy.DESTROY,
            ),
            environment={
                "MESSAGE_TABLE": messages.table_name,
                "MESSAGE_INDEX": names.MESSAGE_INDEX,
                "SESSION_TABLE": sessions.table_name,
                # Nothing reads it any more: the example of update_lambda_environment takes it out.
                "OLD_FLAG": "on",
            },
        )
        messages.grant_read_write_data(chat)
        sessions.grant_read_write_data(chat)
        live = lambda_.Alias(
            self, "Live", alias_name=names.LIVE_ALIAS, version=chat.current_version
        )
        api = apigateway.RestApi(
            self,
            "Api",
            rest_api_name=names.API,
            endpoint_types=[apigateway.EndpointType.REGIONAL],
            cloud_watch_role=False,
            deploy_options=apigateway.StageOptions(stage_name=names.STAGE),
        )
        cdk.Tags.of(api).add(names.API_ID_TAG, names.API_ID)
        api.root.add_resource("chat").add_method("POST", apigateway.LambdaIntegration(live))
        cdk.CfnOutput(self, "ApiId", value=api.rest_api_id)
        ssm.StringParameter(
            self,
            "MessageTableName",
            parameter_name=names.TABLE_PARAMETER,
            string_value=messages.table_name,
        )
        for title, name in (
            ("Artifacts", names.ARTIFACT_BUCKET),
            ("Exports", names.EXPORT_BUCKET),
        ):
            s3.Bucket(
                self,
                title,
                bucket_name=name,
                versioned=True,
                encryption=s3.BucketEncryption.S3_MANAGED,
                block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
                removal_policy=cdk.RemovalPolicy.DESTROY,
            )
        secretsmanager.Secret(
            self,
            "ApiKey",
            secret_name=names.API_KEY,
            generate_secret_string=secretsmanager.SecretStringGenerator(
                secret_string_template="{}", generate_string_key="api_key"
            ),
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        secretsmanager.Secret(
            self,
            "ChatVariables",
            secret_name=names.CHAT_VARIABLES,
            # Not a secret: it is here so that there is a value to release.
            secret_object_value={
                "API_ENDPOINT": cdk.SecretValue.unsafe_plain_text("https://api.example.com")
            },
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        self._users()

    def _chat_role(self) -> iam.Role:
        logging = "service-role/AWSLambdaBasicExecutionRole"
        return iam.Role(
            self,
            "ChatRole",
            role_name=names.CHAT_ROLE,
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
            managed_policies=[iam.ManagedPolicy.from_aws_managed_policy_name(logging)],
        )

    def _users(self) -> None:
        pool = cognito.UserPool(
            self,
            "Users",
            sign_in_aliases=cognito.SignInAliases(email=True),
            account_recovery=cognito.AccountRecovery.EMAIL_ONLY,
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        cdk.Tags.of(pool).add(names.API_ID_TAG, names.USER_POOL_ID)
        pool.add_group("Analysts", group_name=names.GROUP)
        pool.add_client("Web")
        cdk.CfnOutput(self, "UserPoolId", value=pool.user_pool_id)


def _table(scope: Construct, construct_id: str, table_name: str) -> dynamodb.Table:
    return dynamodb.Table(
        scope,
        construct_id,
        table_name=table_name,
        partition_key=_string("id"),
        billing_mode=dynamodb.BillingMode.PROVISIONED,
        read_capacity=5,
        write_capacity=5,
        point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
            point_in_time_recovery_enabled=True
        ),
        removal_policy=cdk.RemovalPolicy.DESTROY,
    )


def _string(name: str) -> dynamodb.Attribute:
    return dynamodb.Attribute(name=name, type=dynamodb.AttributeType.STRING)
