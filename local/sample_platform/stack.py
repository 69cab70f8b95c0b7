"""The platform of the operations runbook: a chat API, its function and its two tables."""

from __future__ import annotations

from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from local.sample_platform import names

CHAT_CODE = Path(__file__).parent / "functions" / "chat"


class EnergyInsightsStack(cdk.Stack):
    """REST API -> alias ``live`` of the chat function -> message and session tables.

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


def _table(scope: Construct, construct_id: str, table_name: str) -> dynamodb.Table:
    return dynamodb.Table(
        scope,
        construct_id,
        table_name=table_name,
        partition_key=_string("id"),
        billing_mode=dynamodb.BillingMode.PROVISIONED,
        read_capacity=5,
        write_capacity=5,
        removal_policy=cdk.RemovalPolicy.DESTROY,
    )


def _string(name: str) -> dynamodb.Attribute:
    return dynamodb.Attribute(name=name, type=dynamodb.AttributeType.STRING)
