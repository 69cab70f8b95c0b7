"""One declaration becomes its two functions, their roles, and the composed state machine."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from lambdas.remediation.endings import CHANGE_FUNCTION_SECONDS
from lambdas.remediation.platform import Platform
from lambdas.remediation.runbook import Runbook
from lambdas.remediation.step import Role
from stacks.acknowledgements import MACHINE_LOGS_AND_TRACES, acknowledge_wildcards
from stacks.arns import arn
from stacks.catalog import ENVELOPE, CatalogEntry, machine
from stacks.composition import compose, minified
from stacks.core import Core
from stacks.functions import RemediationFunction
from stacks.permissions import Statement, statements

OBSERVE_FUNCTION_SECONDS = 30


def composed(entry: CatalogEntry, platform: Platform) -> dict[str, object]:
    """The machine of a runbook as deployed on this platform, before substitution."""
    return compose(
        machine(ENVELOPE),
        entry,
        limits=entry.runbook.limits_for(platform).as_dict(),
        example=entry.runbook.example_input(platform),
    )


def declared_calls(entry: CatalogEntry, role: Role) -> set[str]:
    """AWS calls of one of the two functions, as its steps declare them.

    The changing function also undoes, and the reading one also tells where a planned call stands:
    both read what the resource modules read, which the steps of that role declare.
    """
    return {call for s in entry.steps.values() if s.role is role for call in s.calls}


@contextmanager
def _as_file(definition: dict[str, object]) -> Iterator[str]:
    """A machine as a file, which CDK copies: inline, each would be 40 KB of the template."""
    with tempfile.NamedTemporaryFile("w", suffix=".asl.json") as file:
        file.write(minified(definition))
        file.flush()
        yield file.name


class RunbookConstruct(Construct):
    """Functions, roles and state machine of one runbook.

    Attributes
    ----------
    observe, change
        Reading and changing function. Only the machine may invoke the changing one.
    state_machine
        `<prefix>-<runbook-in-kebab-case>`.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        entry: CatalogEntry,
        platform: Platform,
        prefix: str,
        core: Core,
        code: lambda_.Code,
    ) -> None:
        super().__init__(scope, construct_id)
        self.entry = entry
        self.runbook: Runbook = entry.runbook
        self.definition = composed(entry, platform)
        environment = {
            "PREFIX": prefix,
            "RUN_TABLE_NAME": core.run_table.table_name,
            "OPERATOR_TOPIC_ARN": core.operators.topic_arn,
            "CHAT_TOPIC_ARN": core.chat.topic_arn,
            "MACHINE_TIMEOUT_SECONDS": str(self.definition["TimeoutSeconds"]),
            "POWERTOOLS_SERVICE_NAME": "remediation",
            "POWERTOOLS_LOG_LEVEL": "INFO",
        }
        module = f"lambdas.runbooks.{self.runbook.name}.handler"
        self.observe = RemediationFunction(
            self,
            "Observe",
            code=code,
            handler=f"{module}.{Role.OBSERVE.value}",
            description=f"{self.runbook.title}: reads and decides, cannot change the platform",
            timeout_seconds=OBSERVE_FUNCTION_SECONDS,
            environment=environment,
        )
        self.change = RemediationFunction(
            self,
            "Change",
            code=code,
            handler=f"{module}.{Role.CHANGE.value}",
            description=f"{self.runbook.title}: makes the planned changes and takes them back",
            timeout_seconds=CHANGE_FUNCTION_SECONDS,
            environment=environment,
        )
        self.state_machine = self._machine(prefix, core)
        for role, target in ((Role.OBSERVE, self.observe), (Role.CHANGE, self.change)):
            for statement in statements(declared_calls(entry, role), platform):
                statement.grant(target.role)
        self._grant_own(prefix, platform, core)

    def _machine(self, prefix: str, core: Core) -> sfn.StateMachine:
        role = iam.Role(
            self, "MachineRole", assumed_by=iam.ServicePrincipal("states.amazonaws.com")
        )
        log_group = logs.LogGroup(
            self,
            "MachineLogs",
            # This prefix keeps the log group out of the account's resource policy for deliveries.
            log_group_name=f"/aws/vendedlogs/states/{prefix}-{self.runbook.kebab}",
            retention=logs.RetentionDays.THREE_MONTHS,
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        with _as_file(self.definition) as file:
            state_machine = sfn.StateMachine(
                self,
                "StateMachine",
                state_machine_name=f"{prefix}-{self.runbook.kebab}",
                definition_body=sfn.DefinitionBody.from_file(file),
                definition_substitutions={
                    "ObserveFunctionArn": self.observe.function.function_arn,
                    "ChangeFunctionArn": self.change.function.function_arn,
                    "RunTableName": core.run_table.table_name,
                    "OperatorTopicArn": core.operators.topic_arn,
                    "RunbookName": self.runbook.name,
                },
                role=role,
                tracing_enabled=True,
                logs=sfn.LogOptions(
                    destination=log_group, level=sfn.LogLevel.ALL, include_execution_data=False
                ),
            )
        # CDK grants nothing for a definition in a file: exactly what the file names is granted.
        self.observe.grant_invoke(role)
        self.change.grant_invoke(role)
        core.grant_publish(role, core.operators)
        core.grant_items(role, "dynamodb:UpdateItem")
        acknowledge_wildcards(role, ["*"], MACHINE_LOGS_AND_TRACES)
        if self.runbook.children:
            self._grant_children(role, prefix)
        return state_machine

    def _grant_children(self, role: iam.Role, prefix: str) -> None:
        """Start, follow and stop other runbooks (`startExecution.sync`).

        Machines are named, not referred to: two runbooks may be each other's child.
        """
        machines = [f"{prefix}-{name.replace('_', '-')}" for name in self.runbook.children]
        for statement in (
            Statement(
                actions=("states:StartExecution",),
                resources=tuple(arn("states", f"stateMachine:{m}") for m in machines),
            ),
            Statement(
                actions=("states:DescribeExecution", "states:StopExecution"),
                resources=tuple(arn("states", f"execution:{m}:*") for m in machines),
                reason="an execution's name is not known before it starts; the machine is named",
            ),
            Statement(
                actions=("events:DescribeRule", "events:PutRule", "events:PutTargets"),
                resources=(
                    arn("events", "rule/StepFunctionsGetEventsForStepFunctionsExecutionRule"),
                ),
            ),
        ):
            statement.grant(role)

    def _grant_own(self, prefix: str, platform: Platform, core: Core) -> None:
        """What the life of a run needs, apart from the platform: the same for every runbook."""
        core.grant_items(
            self.observe.role,
            "dynamodb:GetItem",
            "dynamodb:PutItem",
            "dynamodb:UpdateItem",
            "dynamodb:DeleteItem",
            "dynamodb:ConditionCheckItem",
        )
        core.grant_items(self.change.role, "dynamodb:GetItem", "dynamodb:UpdateItem")
        core.grant_publish(self.observe.role, core.operators, core.chat)
        if self.runbook.heeds_runs:
            core.grant_open_runs(self.observe.role)
        if self.runbook.keeps_ledger:
            for statement in statements(["cloudwatch:DescribeAlarms"], platform):
                statement.grant(self.observe.role)
        alarms = [a for a in self.runbook.alarms(platform, prefix) if not a.composite]
        if alarms:
            Statement(
                actions=("cloudwatch:SetAlarmState",),
                resources=tuple(arn("cloudwatch", f"alarm:{a.name}") for a in alarms),
            ).grant(self.observe.role)
