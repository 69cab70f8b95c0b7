"""What serves all runbooks: the approval machine, the sweep, and the two managed policies."""

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from stacks.acknowledgements import MACHINE_LOGS_AND_TRACES, acknowledge_wildcards
from stacks.catalog import APPROVE, machine
from stacks.composition import minified
from stacks.core import Core
from stacks.functions import RemediationFunction
from stacks.permissions import Statement
from stacks.runbook import RunbookConstruct

ANY_EXECUTION = "an execution's name is not known before it starts; the machine is named"


class Oversight(Construct):
    """Approval, sweep, and who may start and who may approve.

    Attributes
    ----------
    approve_machine
        `<prefix>-approve`: its own machine, so that IAM separates starting from approving.
    sweep
        Function behind the clock in routing.py.
    operator, approver
        Managed policies for people.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        runbooks: tuple[RunbookConstruct, ...],
        prefix: str,
        core: Core,
        code: lambda_.Code,
    ) -> None:
        super().__init__(scope, construct_id)
        self.prefix = prefix
        self.core = core
        self.approve_machine = self._approval(code)
        self.sweep = self._sweep(runbooks, code)
        self.operator = self._operator_policy(runbooks)
        self.approver = self._approver_policy()

    def _environment(self) -> dict[str, str]:
        return {
            "PREFIX": self.prefix,
            "RUN_TABLE_NAME": self.core.run_table.table_name,
            "OPERATOR_TOPIC_ARN": self.core.operators.topic_arn,
            "CHAT_TOPIC_ARN": self.core.chat.topic_arn,
            "MACHINE_TIMEOUT_SECONDS": "900",
            "POWERTOOLS_SERVICE_NAME": "remediation",
            "POWERTOOLS_LOG_LEVEL": "INFO",
        }

    def _approval(self, code: lambda_.Code) -> sfn.StateMachine:
        approve = RemediationFunction(
            self,
            "Approve",
            code=code,
            handler="lambdas.oversight.approve.handler",
            description="Records a decision and wakes the run that waits for it",
            timeout_seconds=30,
            environment=self._environment(),
        )
        self.core.grant_items(approve.role, "dynamodb:GetItem", "dynamodb:UpdateItem")
        Statement(
            actions=("states:SendTaskSuccess",),
            resources=("*",),
            reason="SendTask* has no resource types: the task token is the key",
        ).grant(approve.role)
        role = iam.Role(
            self, "ApproveMachineRole", assumed_by=iam.ServicePrincipal("states.amazonaws.com")
        )
        state_machine = sfn.StateMachine(
            self,
            "ApproveMachine",
            state_machine_name=f"{self.prefix}-{APPROVE}",
            definition_body=sfn.DefinitionBody.from_string(minified(machine(APPROVE))),
            definition_substitutions={"ApproveFunctionArn": approve.function.function_arn},
            role=role,
            tracing_enabled=True,
            logs=sfn.LogOptions(
                destination=logs.LogGroup(
                    self,
                    "ApproveMachineLogs",
                    log_group_name=f"/aws/vendedlogs/states/{self.prefix}-{APPROVE}",
                    retention=logs.RetentionDays.ONE_YEAR,
                    removal_policy=cdk.RemovalPolicy.DESTROY,
                ),
                level=sfn.LogLevel.ALL,
                include_execution_data=False,
            ),
        )
        approve.grant_invoke(role)
        acknowledge_wildcards(role, ["*"], MACHINE_LOGS_AND_TRACES)
        self.approve = approve
        return state_machine

    def _sweep(
        self, runbooks: tuple[RunbookConstruct, ...], code: lambda_.Code
    ) -> RemediationFunction:
        sweep = RemediationFunction(
            self,
            "Sweep",
            code=code,
            handler="lambdas.oversight.sweep.handler",
            description="Finds alarms that no run owns and runs that nobody closed",
            timeout_seconds=60,
            environment=self._environment()
            | {
                "OBSERVE_FUNCTION_ARNS": cdk.Stack.of(self).to_json_string(
                    {r.runbook.name: r.observe.function.function_arn for r in runbooks}
                ),
            },
        )
        self.core.grant_items(sweep.role, "dynamodb:GetItem", "dynamodb:UpdateItem")
        self.core.grant_open_runs(sweep.role)
        self.core.grant_publish(sweep.role, self.core.operators, self.core.chat)
        for runbook in runbooks:
            runbook.state_machine.grant_start_execution(sweep.role)
            runbook.observe.grant_invoke(sweep.role)
        Statement(
            actions=("states:DescribeExecution",),
            resources=tuple(_executions(r.state_machine) for r in runbooks),
            reason=ANY_EXECUTION,
        ).grant(sweep.role)
        Statement(
            actions=("cloudwatch:DescribeAlarms",),
            resources=("*",),
            reason="one call asks for many alarms, composite ones too: IAM grants that on * only",
        ).grant(sweep.role)
        return sweep

    def _operator_policy(self, runbooks: tuple[RunbookConstruct, ...]) -> iam.ManagedPolicy:
        machines = [r.state_machine for r in runbooks]
        policy = iam.ManagedPolicy(
            self,
            "OperatorPolicy",
            managed_policy_name=f"{self.prefix}-operator",
            description="Start and watch remediation runs, use kill switch, windows, releases",
            statements=[
                iam.PolicyStatement(
                    actions=["states:StartExecution"],
                    resources=[m.state_machine_arn for m in machines],
                ),
                *_watching(machines),
                self._operator_items(),
                self._records(),
            ],
        )
        for state_machine in machines:
            acknowledge_wildcards(policy, [_executions(state_machine)], ANY_EXECUTION)
        return policy

    def _operator_items(self) -> iam.PolicyStatement:
        """The items of the run table that are a person's to set; never a lock or a record."""
        return iam.PolicyStatement(
            actions=["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:DeleteItem"],
            resources=[self.core.run_table.table_arn],
            conditions={
                "ForAllValues:StringLike": {
                    "dynamodb:LeadingKeys": ["SWITCH", "WINDOW#*", "QUARANTINE#*", "BREAKER#*"]
                },
                # ForAllValues is also true where the key is absent.
                "Null": {"dynamodb:LeadingKeys": "false"},
            },
        )

    def _records(self) -> iam.PolicyStatement:
        """Reading what a run did, by its id."""
        return iam.PolicyStatement(
            actions=["dynamodb:GetItem"],
            resources=[self.core.run_table.table_arn],
            conditions={
                "ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["RUN#*"]},
                "Null": {"dynamodb:LeadingKeys": "false"},
            },
        )

    def _approver_policy(self) -> iam.ManagedPolicy:
        policy = iam.ManagedPolicy(
            self,
            "ApproverPolicy",
            managed_policy_name=f"{self.prefix}-approver",
            description="Approve or reject proposed remediation runs",
            statements=[
                iam.PolicyStatement(
                    actions=["states:StartExecution"],
                    resources=[self.approve_machine.state_machine_arn],
                ),
                *_watching([self.approve_machine]),
            ],
        )
        acknowledge_wildcards(policy, [_executions(self.approve_machine)], ANY_EXECUTION)
        return policy


def _watching(machines: list[sfn.StateMachine]) -> list[iam.PolicyStatement]:
    return [
        iam.PolicyStatement(
            actions=["states:DescribeStateMachine", "states:ListExecutions"],
            resources=[m.state_machine_arn for m in machines],
        ),
        iam.PolicyStatement(
            actions=["states:DescribeExecution", "states:GetExecutionHistory"],
            resources=[_executions(m) for m in machines],
        ),
    ]


def _executions(state_machine: sfn.StateMachine) -> str:
    """ARN of every execution of one machine."""
    return cdk.Stack.of(state_machine).format_arn(
        service="states",
        resource="execution",
        arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
        resource_name=f"{state_machine.state_machine_name}:*",
    )
