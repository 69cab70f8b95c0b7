"""What every runbook needs: run table, topics, their key, dead-letter queue."""

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from aws_cdk.aws_sns_subscriptions import EmailSubscription
from constructs import Construct

from lambdas.remediation.platform import Platform
from lambdas.remediation.records import OPEN_RUNS_INDEX
from stacks.acknowledgements import acknowledge
from stacks.arns import ACCOUNT_ID


class Core(Construct):
    """Run table, operator and chat topic, and the queue of what could not be delivered.

    Attributes
    ----------
    run_table
        Locks, budgets and records of all runs. Retained, unnamed, with point-in-time recovery.
    operators, chat
        Topics for people and for Amazon Q Developer in chat applications.
    dead_letters
        Events that no machine or function took.
    """

    def __init__(self, scope: Construct, construct_id: str, *, platform: Platform) -> None:
        super().__init__(scope, construct_id)
        self.run_table = dynamodb.Table(
            self,
            "RunTable",
            partition_key=dynamodb.Attribute(name="pk", type=dynamodb.AttributeType.STRING),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            time_to_live_attribute="expires_at",
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            removal_policy=cdk.RemovalPolicy.RETAIN,
        )
        # Sparse: only runs without an outcome carry `open`, so the sweep reads nothing else.
        self.run_table.add_global_secondary_index(
            index_name=OPEN_RUNS_INDEX,
            partition_key=dynamodb.Attribute(name="open", type=dynamodb.AttributeType.STRING),
            sort_key=dynamodb.Attribute(name="started_at", type=dynamodb.AttributeType.STRING),
            projection_type=dynamodb.ProjectionType.ALL,
        )
        self.key = self._key()
        self.operators = self._topic("Operators")
        self.chat = self._topic("Chat")
        for address in platform.notifications.email:
            self.operators.add_subscription(EmailSubscription(address))
        self.dead_letters = sqs.Queue(
            self,
            "DeadLetters",
            encryption=sqs.QueueEncryption.KMS,
            encryption_master_key=self.key,
            enforce_ssl=True,
            retention_period=cdk.Duration.days(14),
        )
        acknowledge(
            self.dead_letters,
            "SQS3",
            reason="the dead-letter queue itself: nothing reads it but people, and it has an alarm",
        )

    def grant_items(self, grantee: iam.Role, *actions: str) -> None:
        """Allow actions on the run table's items; CDK's own grant adds every index."""
        grantee.add_to_policy(
            iam.PolicyStatement(actions=list(actions), resources=[self.run_table.table_arn])
        )

    def grant_open_runs(self, grantee: iam.Role) -> None:
        """Allow to list the runs that have no outcome yet."""
        grantee.add_to_policy(
            iam.PolicyStatement(
                actions=["dynamodb:Query"],
                resources=[f"{self.run_table.table_arn}/index/{OPEN_RUNS_INDEX}"],
            )
        )

    def grant_publish(self, grantee: iam.Role, *topics: sns.Topic) -> None:
        """Allow to publish to encrypted topics."""
        for topic in topics:
            topic.grant_publish(grantee)
        acknowledge(
            grantee,
            "IAM5[Action::kms:GenerateDataKey*]",
            reason="CDK's grant to publish to an encrypted topic: data-key calls, on that one key",
        )

    def _key(self) -> kms.Key:
        key = kms.Key(
            self,
            "Key",
            description="Remediation: notifications and dead letters",
            enable_key_rotation=True,
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        # The AWS-managed key cannot be used by these services, and CDK does not add the grants.
        # For EventBridge a source condition in the key policy silently drops the delivery.
        for service, conditions in (
            (
                "cloudwatch.amazonaws.com",
                {"StringEquals": {"aws:SourceAccount": ACCOUNT_ID}},
            ),
            ("events.amazonaws.com", {}),
        ):
            key.add_to_resource_policy(
                iam.PolicyStatement(
                    actions=["kms:Decrypt", "kms:GenerateDataKey*"],
                    principals=[iam.ServicePrincipal(service)],
                    resources=["*"],
                    conditions=conditions,
                )
            )
        return key

    def _topic(self, name: str) -> sns.Topic:
        topic = sns.Topic(self, name, master_key=self.key, enforce_ssl=True)
        topic.grant_publish(
            iam.ServicePrincipal(
                "cloudwatch.amazonaws.com",
                conditions={"StringEquals": {"aws:SourceAccount": ACCOUNT_ID}},
            )
        )
        return topic
