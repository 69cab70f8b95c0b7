"""The deployed product under test: real template, real rules, real machines, real handlers."""

from __future__ import annotations

import importlib
import itertools
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from local.assembly import deploy
from local.engine.process import ACCOUNT_ID, REGION, Engine
from stacks.catalog import discover
from tests.e2e.services import Service
from tests.e2e.services import listed as listed_services
from tests.infrastructure.synthesis import PREFIX, synthesise

INDEX = "by-owner"
RUNBOOK = "dynamodb_throttling"
# Short, but each with its real meaning: one-second periods, two in a row raise the alarm.
LIMITS = {
    "metric_period_seconds": 1,
    "alarm_evaluation_periods": 2,
    "alarm_datapoints": 2,
    "look_back_seconds": 6,
    "poll_interval_seconds": 1,
    "poll_attempts": 2,
    "verify_window_seconds": 2,
    "verify_minimum_samples": 1,
    "verify_interval_seconds": 1,
    "verify_attempts": 5,
    "hold_interval_seconds": 2,
    "hold_checks": 1,
    "cool_down_seconds": 600,
    "approval_timeout_seconds": 6,
    "breaker_failures": 3,
    "max_changes_per_hour": 5,
    "mitigation_lease_seconds": 60,
    "child_timeout_seconds": 60,
    "join_interval_seconds": 1,
    "join_attempts": 30,
}


def of_runbook(name: str, attribute: str) -> dict[str, Any]:
    """What a runbook's own tests need of the platform file: `engine.py` in its test folder.

    `LIMITS` are its limits in short, `PLATFORM` sections with the resources it works on.
    """
    if not (Path(__file__).parents[1] / "runbooks" / name / "engine.py").exists():
        return {}
    module = importlib.import_module(f"tests.runbooks.{name}.engine")
    found: dict[str, Any] = getattr(module, attribute, {})
    return found


def platform(
    tables: int, services: int, *, back_up_first: bool, alone: bool = False
) -> dict[str, Any]:
    listed = [{"table_name": f"Orders-{n:02}", "indexes": [INDEX]} for n in range(tables)]
    names = [entry.runbook.name for entry in discover()]
    runbooks: dict[str, Any] = {
        name: {"mode": "act", "limits": LIMITS | of_runbook(name, "LIMITS")} for name in names
    }
    if alone:
        for name, few in (("lambda_errors", "invocations"), ("api_gateway_errors", "requests")):
            # One a second is enough: a busy machine sends no more.
            runbooks[name]["limits"] = {**runbooks[name]["limits"], f"minimum_{few}": 1}
    runbooks[RUNBOOK]["options"] = {"back_up_first": back_up_first}
    sections: dict[str, list[Any]] = {"tables": listed, **listed_services(services, tables=tables)}
    # An outage is when everything fails: its platform has nothing that is not there.
    for name in ["system_outage"] if alone else names:
        for section, entries in of_runbook(name, "PLATFORM").items():
            known = sections.setdefault(section, [])
            known += [entry for entry in entries if entry not in known]
    return {"name": "e2e", "max_changes_per_hour": 100, **sections, "runbooks": runbooks}


def assembly(
    folder: Path,
    *,
    tables: int,
    services: int,
    back_up_first: bool = False,
    alone: bool = False,
) -> Path:
    """Synthesise the product for a platform of that many tables and services.

    Parameters
    ----------
    alone
        Leave out what the tests of the other runbooks add to it.
    """
    file = folder / "platform.json"
    described = platform(tables, services, back_up_first=back_up_first, alone=alone)
    file.write_text(json.dumps(described))
    return synthesise(folder / "cdk.out", platform=file).outdir


def eventually(look: Callable[[], Any], seconds: float = 20.0, what: str = "") -> Any:
    """The first truthy answer; the test fails if there is none in time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"not in {seconds} s: {what or look}")


def run_id_of(execution: str) -> str:
    """Run id that an execution has: `<machine without prefix>:<name>`."""
    *_, machine, name = execution.split(":")
    return f"{machine.removeprefix(f'{PREFIX}-')}:{name}"


class Proposed(NamedTuple):
    """A run that waits for a yes."""

    run_id: str
    execution: str
    plan_hash: str


class Product:
    """The product deployed in an engine, and what a person would do with it."""

    def __init__(self, engine: Engine, assembled: Path, *, tables: int, services: int) -> None:
        self.tables = tables
        self.services = services
        self.engine = engine
        self.client = engine.client
        self.outputs = deploy(engine.client, assembled, "RemediationStack")
        self.run_table = self.outputs["RunTableName"]
        self.inbox = self._subscribe(self.outputs["OperatorTopicArn"])
        self.messages: list[dict[str, Any]] = []
        self._tables = itertools.count()
        self._services = itertools.count()
        self._lock = threading.Lock()
        self.approve_machine = self.machine("approve")
        self.throttling = self.machine("dynamodb-throttling")
        self.lambda_errors = self.machine("lambda-errors")
        self.api_errors = self.machine("api-gateway-errors")

    def machine(self, kebab: str) -> str:
        return f"arn:aws:states:{REGION}:{ACCOUNT_ID}:stateMachine:{PREFIX}-{kebab}"

    # --- the platform ---

    def create_table(self, name: str | None = None) -> str:
        """A table that no other test uses, so that locks and cool-downs do not meet.

        There are a few, which take turns: every table of a platform is in every policy.
        """
        name = name or self._free_table()
        throughput = {"ReadCapacityUnits": 5, "WriteCapacityUnits": 5}
        self.client("dynamodb").create_table(
            TableName=name,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[
                {"AttributeName": "id", "AttributeType": "S"},
                {"AttributeName": "owner", "AttributeType": "S"},
            ],
            ProvisionedThroughput=throughput,
            GlobalSecondaryIndexes=[
                {
                    "IndexName": INDEX,
                    "KeySchema": [{"AttributeName": "owner", "KeyType": "HASH"}],
                    "Projection": {"ProjectionType": "ALL"},
                    "ProvisionedThroughput": throughput,
                }
            ],
        )
        return name

    def _free_table(self) -> str:
        """The next of the tables that are behind no service, with nothing left of its last test."""
        name = f"Orders-{next(self._tables) % (self.tables - self.services):02}"
        dynamodb = self.client("dynamodb")
        if name not in dynamodb.list_tables()["TableNames"]:
            return name
        dynamodb.delete_table(TableName=name)
        for backup in dynamodb.list_backups(TableName=name)["BackupSummaries"]:
            dynamodb.delete_backup(BackupArn=backup["BackupArn"])
        pages = dynamodb.get_paginator("scan").paginate(TableName=self.run_table)
        for item in [item for page in pages for item in page["Items"]]:
            pk = item["pk"]["S"]
            if f":table/{name}" in pk or f"ALARM#{PREFIX}-{name}-" in pk:
                self.delete_item(pk)
        return name

    def create_service(self, *, known: bool = True, alarmed: bool = False) -> Service:
        """An API and its function that no other test uses.

        Parameters
        ----------
        known
            The poll has seen them.
        alarmed
            Keep their alarms. Without them a test decides what starts, and in which order.
        """
        # Failed runs of one test must not stop the next one.
        for runbook in ("lambda_errors", "api_gateway_errors", RUNBOOK):
            self.delete_item(f"BREAKER#{runbook}")
        service = Service(self.engine, next(self._services), tables=self.tables)
        if not alarmed:
            # CloudWatch keeps an alarm that a composite one reads.
            self.client("cloudwatch").delete_alarms(AlarmNames=[f"{PREFIX}-outage"])
            self.client("cloudwatch").delete_alarms(
                AlarmNames=[service.api_alarm, service.function_alarm, self.alarm(service.table)]
            )
        if known:
            self.poll(service)
        return service

    def poll(self, service: Service) -> None:
        """The five-minute poll, now."""
        arns = (service.function_arn, service.stage_arn)
        before = {arn: self.item(f"LEDGER#{arn}").get("revision") for arn in arns}
        self.invoke("oversight.sweep.handler", {})
        eventually(
            lambda: all(self.item(f"LEDGER#{a}").get("revision") != before[a] for a in arns),
            what="the ledger",
        )

    def capacity(self, table: str) -> tuple[int, int]:
        """Write capacity of the table and of its index."""
        found = self.client("dynamodb").describe_table(TableName=table)["Table"]
        (index,) = found["GlobalSecondaryIndexes"]
        return (
            found["ProvisionedThroughput"]["WriteCapacityUnits"],
            index["ProvisionedThroughput"]["WriteCapacityUnits"],
        )

    def set_write_capacity(self, table: str, units: int) -> None:
        self.client("dynamodb").update_table(
            TableName=table,
            ProvisionedThroughput={"ReadCapacityUnits": 5, "WriteCapacityUnits": units},
        )

    def set_index_capacity(self, table: str, units: int) -> None:
        throughput = {"ReadCapacityUnits": 5, "WriteCapacityUnits": units}
        update = {"IndexName": INDEX, "ProvisionedThroughput": throughput}
        self.client("dynamodb").update_table(
            TableName=table, GlobalSecondaryIndexUpdates=[{"Update": update}]
        )

    def put_metrics(self, table: str, *, index: str | None = None, **values: float) -> None:
        dimensions = [{"Name": "TableName", "Value": table}]
        if index:
            dimensions.append({"Name": "GlobalSecondaryIndexName", "Value": index})
        self.client("cloudwatch").put_metric_data(
            Namespace="AWS/DynamoDB",
            MetricData=[
                {"MetricName": name, "Dimensions": dimensions, "Value": value}
                for name, value in values.items()
            ],
        )

    @contextmanager
    def load(
        self,
        table: str,
        units_per_second: float = 8.0,
        *,
        cause: str = "ProvisionedThroughput",
        alarming: bool = False,
    ) -> Iterator[None]:
        """Writes that throttle while capacity is below them: the engine itself never throttles.

        Enough for the runbook to see; `alarming`: enough for the alarm too.
        """
        stop = threading.Event()

        def write_once() -> None:
            room = self.capacity(table)[0] if cause == "ProvisionedThroughput" else 0
            served = min(units_per_second, room or units_per_second)
            values = {"ConsumedWriteCapacityUnits": served / 4}
            if room < units_per_second:
                events = 4 if alarming else 1
                values |= {"WriteThrottleEvents": events, f"Write{cause}ThrottleEvents": events}
            self.put_metrics(table, **values)

        def write() -> None:
            while not stop.wait(0.25):
                write_once()

        write_once()
        thread = threading.Thread(target=write, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(5)

    # --- runs ---

    def start(self, given: Any, *, machine: str | None = None) -> str:
        answer = self.client("stepfunctions").start_execution(
            stateMachineArn=machine or self.throttling,
            name=f"test-{uuid.uuid4()}",
            input=given if isinstance(given, str) else json.dumps(given),
        )
        return str(answer["executionArn"])

    def ended(self, execution: str, seconds: float = 40.0) -> dict[str, Any]:
        """Answer of an execution: its output when green, its cause when red; with `status`."""

        def look() -> dict[str, Any] | None:
            found = self.client("stepfunctions").describe_execution(executionArn=execution)
            return None if found["status"] == "RUNNING" else found

        found = eventually(look, seconds, execution)
        # Not `output` when red: the engine puts error and cause there too, AWS leaves it out.
        green = found["status"] == "SUCCEEDED"
        text = found.get("output" if green else "cause") or "{}"
        try:
            answer = json.loads(text)
        except ValueError:
            answer = {"text": text}
        return {**answer, "status": found["status"], "error": found.get("error")}

    def run(self, given: Any, *, machine: str | None = None) -> dict[str, Any]:
        return self.ended(self.start(given, machine=machine))

    def act(self, table: str, **more: Any) -> dict[str, Any]:
        return self.run({"target": {"table_name": table}, **more})

    def proposed(self, given: dict[str, Any], machine: str) -> Proposed:
        """Start a run in `propose`; it has asked by then."""
        execution = self.start({**given, "mode": "propose"}, machine=machine)
        run_id = run_id_of(execution)
        item = eventually(
            lambda: "approval_token" in (found := self.record(run_id)) and found, what="a token"
        )
        return Proposed(run_id, execution, item["plan_hash"])

    def approve(self, asked: Proposed, decision: str = "approve") -> dict[str, Any]:
        given = {"run_id": asked.run_id, "plan_hash": asked.plan_hash, "decision": decision}
        return self.run(given, machine=self.approve_machine)

    def executions(self, machine: str | None = None) -> list[dict[str, Any]]:
        pages = self.client("stepfunctions").get_paginator("list_executions")
        return [
            e
            for page in pages.paginate(stateMachineArn=machine or self.throttling)
            for e in page["executions"]
        ]

    def states(self, execution: str) -> list[str]:
        """States entered, in order."""
        pages = self.client("stepfunctions").get_paginator("get_execution_history")
        return [
            e["stateEnteredEventDetails"]["name"]
            for page in pages.paginate(executionArn=execution)
            for e in page["events"]
            if e["type"].endswith("StateEntered")
        ]

    def wait_for_state(self, execution: str, state: str) -> None:
        eventually(lambda: state in self.states(execution), 20, f"{state} in {execution}")

    def run_of_alarm(self, table: str, *, index: str | None = None) -> str:
        """Execution that the table's alarm has started."""
        return self.started_by(self.alarm(table, index), self.throttling)

    def started_by(self, alarm: str, machine: str) -> str:
        """Execution of a machine that an alarm has started."""

        def look() -> str | None:
            for execution in self.executions(machine):
                described = self.client("stepfunctions").describe_execution(
                    executionArn=execution["executionArn"]
                )
                if f'"{alarm}"' in described["input"]:
                    return str(execution["executionArn"])
            return None

        return eventually(look, 20, f"an execution for {alarm}")

    def alarm(self, table: str, index: str | None = None) -> str:
        return f"{PREFIX}-{table}-{index}-throttled" if index else f"{PREFIX}-{table}-throttled"

    def alarm_starts(self, alarm: str, machine: str) -> str:
        """The execution that the rule of an alarm would start: same machine, same input."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")
        event = {
            "version": "0",
            "id": str(uuid.uuid4()),
            "detail-type": "CloudWatch Alarm State Change",
            "source": "aws.cloudwatch",
            "resources": [f"arn:aws:cloudwatch:{REGION}:{ACCOUNT_ID}:alarm:{alarm}"],
            "detail": {"alarmName": alarm, "state": {"value": "ALARM", "timestamp": now}},
        }
        return self.start(event, machine=machine)

    def set_alarm(self, name: str, state: str = "ALARM") -> None:
        self.client("cloudwatch").set_alarm_state(
            AlarmName=name, StateValue=state, StateReason="set by a test"
        )

    def alarm_state(self, name: str) -> str:
        (found,) = self.client("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"]
        return str(found["StateValue"])

    def composite_state(self, name: str) -> str:
        (found,) = self.client("cloudwatch").describe_alarms(
            AlarmNames=[name], AlarmTypes=["CompositeAlarm"]
        )["CompositeAlarms"]
        return str(found["StateValue"])

    # --- the run table ---

    def item(self, pk: str) -> dict[str, Any]:
        found = self.client("dynamodb").get_item(
            TableName=self.run_table, Key={"pk": {"S": pk}}, ConsistentRead=True
        )
        return {k: next(iter(v.values())) for k, v in found.get("Item", {}).items()}

    def put_item(self, pk: str, **values: Any) -> None:
        item = {k: {"N": str(v)} if isinstance(v, int) else {"S": v} for k, v in values.items()}
        self.client("dynamodb").put_item(TableName=self.run_table, Item={"pk": {"S": pk}, **item})

    def delete_item(self, pk: str) -> None:
        self.client("dynamodb").delete_item(TableName=self.run_table, Key={"pk": {"S": pk}})

    def record(self, run_id: str) -> dict[str, Any]:
        return self.item(f"RUN#{run_id}")

    def arn(self, table: str) -> str:
        return f"arn:aws:dynamodb:{REGION}:{ACCOUNT_ID}:table/{table}"

    def locked(self, table: str) -> bool:
        return "owner" in self.item(f"TARGET#{self.arn(table)}")

    # --- people ---

    def _subscribe(self, topic: str) -> str:
        sqs, sns = self.client("sqs"), self.client("sns")
        url = str(sqs.create_queue(QueueName="inbox")["QueueUrl"])
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
        allow = {
            "Effect": "Allow",
            "Principal": {"Service": "sns.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": arn["QueueArn"],
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn["QueueArn"])
        return url

    def received(self) -> list[dict[str, Any]]:
        """Every message the operators got so far."""
        with self._lock:
            while True:
                batch = self.client("sqs").receive_message(
                    QueueUrl=self.inbox, MaxNumberOfMessages=10, VisibilityTimeout=600
                )
                bodies = [json.loads(m["Body"]) for m in batch.get("Messages", [])]
                if not bodies:
                    return list(self.messages)
                self.messages += bodies

    def told(self, text: str) -> list[dict[str, Any]]:
        """Messages that contain the text, with plain attributes."""
        return [
            {
                "subject": m.get("Subject", ""),
                "text": m["Message"],
                **{k: v["Value"] for k, v in m.get("MessageAttributes", {}).items()},
            }
            for m in self.received()
            if text in m["Message"]
        ]

    # --- functions ---

    def function(self, part: str) -> str:
        """Name of a function by a part of its handler or name."""
        for found in self.client("lambda").list_functions(MaxItems=100)["Functions"]:
            if found["Handler"].endswith(part):
                return str(found["FunctionName"])
        raise AssertionError(f"no function {part}")

    def invoke(self, part: str, event: dict[str, Any]) -> dict[str, Any]:
        answer = self.client("lambda").invoke(
            FunctionName=self.function(part), Payload=json.dumps(event)
        )
        payload = json.loads(answer["Payload"].read())
        return {"error": payload} if "FunctionError" in answer else payload
