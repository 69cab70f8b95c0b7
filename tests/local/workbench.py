"""What the contract tests build on the engine: functions, machines, queues behind rules."""

import io
import json
import time
import zipfile
from collections.abc import Callable
from typing import Any, TypeVar

import boto3

from local.engine.process import ACCOUNT_ID, REGION, Engine

T = TypeVar("T")
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "*"}, "Action": "sts:AssumeRole"}],
}


def eventually(read: Callable[[], T], *, seconds: float = 5.0) -> T:
    """Return the first truthy answer, or the last one when the time is over."""
    deadline = time.monotonic() + seconds
    while True:
        answer = read()
        if answer or time.monotonic() > deadline:
            return answer
        time.sleep(0.05)


def arn(service: str, resource: str) -> str:
    return f"arn:aws:{service}:{REGION}:{ACCOUNT_ID}:{resource}"


class Workbench:
    def __init__(self, engine: Engine) -> None:
        self.client = engine.client

    def role(self, name: str, *statements: dict[str, Any]) -> str:
        iam = self.client("iam")
        created = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))
        if statements:
            document = {"Version": "2012-10-17", "Statement": list(statements)}
            iam.put_role_policy(
                RoleName=name, PolicyName="grants", PolicyDocument=json.dumps(document)
            )
        return created["Role"]["Arn"]

    def client_of_role(self, service: str, role: str, url: str) -> Any:
        """A client with the credentials of a role."""
        assumed = self.client("sts").assume_role(RoleArn=role, RoleSessionName="case")
        session = assumed["Credentials"]
        return boto3.client(
            service,
            endpoint_url=url,
            region_name=REGION,
            aws_access_key_id=session["AccessKeyId"],
            aws_secret_access_key=session["SecretAccessKey"],
            aws_session_token=session["SessionToken"],
        )

    def any_role(self) -> str:
        """A role without grants; under enforcement a function's role must exist."""
        iam = self.client("iam")
        try:
            return self.role("any")
        except iam.exceptions.EntityAlreadyExistsException:
            return iam.get_role(RoleName="any")["Role"]["Arn"]

    def function(self, name: str, code: str, **fields: Any) -> str:
        """Create a function from the source of its module; its handler is ``handler``."""
        awslambda = self.client("lambda")
        created = awslambda.create_function(
            FunctionName=name,
            Runtime="python3.11",
            Handler="module.handler",
            Role=self.any_role(),
            Code={"ZipFile": zipped(code)},
            **fields,
        )
        self.await_active(name)
        return created["FunctionArn"]

    def await_active(self, name: str) -> None:
        eventually(
            lambda: (
                self.client("lambda").get_function_configuration(FunctionName=name)["State"]
                == "Active"
            )
        )

    def function_arn(self, name: str) -> str:
        return arn("lambda", f"function:{name}")

    def invoke(self, name: str, **fields: Any) -> dict[str, Any]:
        answer = self.client("lambda").invoke(FunctionName=name, **fields)
        return {**answer, "Payload": json.loads(answer["Payload"].read() or b"null")}

    def machine(self, name: str, definition: dict[str, Any], *, role: str = "") -> str:
        created = self.client("stepfunctions").create_state_machine(
            name=name,
            definition=json.dumps({"QueryLanguage": "JSONata", **definition}),
            roleArn=role or self.any_role(),
        )
        return created["stateMachineArn"]

    def start(self, machine: str, data: Any = None, **fields: Any) -> str:
        started = self.client("stepfunctions").start_execution(
            stateMachineArn=machine, input=json.dumps(data or {}), **fields
        )
        return started["executionArn"]

    def describe(self, execution: str) -> dict[str, Any]:
        return self.client("stepfunctions").describe_execution(executionArn=execution)

    def ended(self, execution: str) -> dict[str, Any]:
        def described_once_ended() -> dict[str, Any] | None:
            described = self.describe(execution)
            return described if described["status"] != "RUNNING" else None

        return eventually(described_once_ended) or self.describe(execution)

    def run(self, name: str, definition: dict[str, Any], data: Any = None) -> dict[str, Any]:
        return self.ended(self.start(self.machine(name, definition), data))

    def queue(self, name: str) -> tuple[str, str]:
        """Return the queue's URL and ARN."""
        url = self.client("sqs").create_queue(QueueName=name)["QueueUrl"]
        return url, arn("sqs", name)

    def queue_on_rule(self, name: str, pattern: dict[str, Any]) -> str:
        url, queue_arn = self.queue(name)
        events = self.client("events")
        events.put_rule(Name=name, EventPattern=json.dumps(pattern))
        events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": queue_arn}])
        return url

    def messages(self, url: str, *, wanted: int = 1, seconds: float = 5.0) -> list[Any]:
        found: list[Any] = []

        def enough() -> bool:
            answer = self.client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10)
            found.extend(json.loads(message["Body"]) for message in answer.get("Messages", ()))
            return len(found) >= wanted

        eventually(enough, seconds=seconds)
        return found

    def deploy(self, name: str, resources: dict[str, Any]) -> None:
        """Create a stack, or update it, and wait for it."""
        formation = self.client("cloudformation")
        body = json.dumps({"Resources": resources})
        try:
            formation.create_stack(StackName=name, TemplateBody=body)
        except formation.exceptions.AlreadyExistsException:
            formation.update_stack(StackName=name, TemplateBody=body)
        stack = eventually(lambda: self._finished_stack(name))
        assert stack["StackStatus"].endswith("COMPLETE"), stack
        assert "ROLLBACK" not in stack["StackStatus"], stack

    def _finished_stack(self, name: str) -> dict[str, Any] | None:
        stack = self.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
        return None if stack["StackStatus"].endswith("IN_PROGRESS") else stack

    def alarm(self, name: str, **fields: Any) -> dict[str, Any]:
        """Put a 1-of-1 alarm on the Sum of ``Local/Test`` ``Failures`` over one second."""
        metric = {
            "Namespace": "Local/Test",
            "MetricName": "Failures",
            "Statistic": "Sum",
            "Period": 1,
        }
        settings = {
            **({} if "Metrics" in fields else metric),
            "EvaluationPeriods": 1,
            "Threshold": 1.0,
            "ComparisonOperator": "GreaterThanOrEqualToThreshold",
            **fields,
        }
        self.client("cloudwatch").put_metric_alarm(AlarmName=name, **settings)
        return settings

    def state(self, alarm: str) -> str:
        answer = self.client("cloudwatch").describe_alarms(
            AlarmNames=[alarm], AlarmTypes=["MetricAlarm", "CompositeAlarm"]
        )
        return [*answer["MetricAlarms"], *answer["CompositeAlarms"]][0]["StateValue"]

    def reaches(self, alarm: str, state: str, *, seconds: float = 8.0) -> bool:
        return eventually(lambda: self.state(alarm) == state, seconds=seconds)

    def metric_sum(self, namespace: str, metric: str, dimensions: dict[str, str]) -> float | None:
        """The sum of a metric's points of the last minutes; ``None`` without any."""
        now = time.time()
        answer = self.client("cloudwatch").get_metric_data(
            StartTime=now - 600,
            EndTime=now + 60,
            MetricDataQueries=[
                {"Id": "m", "MetricStat": metric_stat(namespace, metric, dimensions)}
            ],
        )
        values = answer["MetricDataResults"][0]["Values"]
        return sum(values) if values else None


def metric_stat(
    namespace: str, metric: str, dimensions: dict[str, str], *, period: int = 60, stat: str = "Sum"
) -> dict[str, Any]:
    named = [{"Name": key, "Value": value} for key, value in dimensions.items()]
    return {
        "Metric": {"Namespace": namespace, "MetricName": metric, "Dimensions": named},
        "Period": period,
        "Stat": stat,
    }


def zipped(code: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        # Without the time: the same code is the same zip.
        archive.writestr(zipfile.ZipInfo("module.py"), code)
    return buffer.getvalue()
