"""Provisioned concurrency from a person's start to its undo, in the deployed product.

The engine allocates at once, never fails to, starts nothing warm and reports no `Init Duration`:
the tests put the reports and the metrics that Lambda would write. An allocation that takes time or
fails is tested at policy and steps.
"""

import io
import itertools
import json
import time
import zipfile
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.e2e.product import Product, eventually

pytestmark = pytest.mark.engine

ALIAS = "live"
CODE = "def handle(event, context):\n    return event\n"
_numbers = itertools.count()


class Cold:
    """A function of the platform file with an alias, that no other test uses."""

    def __init__(self, product: Product) -> None:
        self.product = product
        self.name = f"cold-{next(_numbers)}"
        self.client = product.client("lambda")
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as package:
            package.writestr("handler.py", CODE)
        self.client.create_function(
            FunctionName=self.name,
            Runtime="python3.13",
            Handler="handler.handle",
            Role=self._role(),
            Code={"ZipFile": buffer.getvalue()},
            MemorySize=256,
        )
        self.client.get_waiter("function_active_v2").wait(
            FunctionName=self.name, WaiterConfig={"Delay": 0.1, "MaxAttempts": 100}
        )
        version = self.client.publish_version(FunctionName=self.name)["Version"]
        self.client.create_alias(FunctionName=self.name, Name=ALIAS, FunctionVersion=version)

    def _role(self) -> str:
        trust = json.dumps({"Version": "2012-10-17", "Statement": []})
        made = self.product.client("iam").create_role(
            RoleName=self.name, AssumeRolePolicyDocument=trust
        )
        return str(made["Role"]["Arn"])

    def report(self, *, cold: int, warm: int) -> None:
        """Reports of invocations of version 1, as Lambda logs them."""
        logs, group, stream = self.product.client("logs"), f"/aws/lambda/{self.name}", "[1]one"
        logs.create_log_group(logGroupName=group)
        logs.create_log_stream(logGroupName=group, logStreamName=stream)
        line = "REPORT RequestId: 5f0c1b2a\tDuration: 3.1 ms\tMemory Size: 256 MB"
        now = int(time.time() * 1_000) - 1_000
        logs.put_log_events(
            logGroupName=group,
            logStreamName=stream,
            logEvents=[
                {"timestamp": now, "message": text}
                for text in [f"{line}\tInit Duration: 800.00 ms"] * cold + [line] * warm
            ],
        )

    def measured(self, **metrics: float) -> None:
        """Values of `AWS/Lambda` metrics of the alias, now."""
        dimensions = [
            {"Name": "FunctionName", "Value": self.name},
            {"Name": "Resource", "Value": f"{self.name}:{ALIAS}"},
        ]
        self.product.client("cloudwatch").put_metric_data(
            Namespace="AWS/Lambda",
            MetricData=[
                {
                    "MetricName": name,
                    "Dimensions": dimensions,
                    "Timestamp": datetime.now(UTC),
                    "Value": value,
                }
                for name, value in metrics.items()
            ],
        )

    def provision(self, number: int) -> None:
        self.client.put_provisioned_concurrency_config(
            FunctionName=self.name, Qualifier=ALIAS, ProvisionedConcurrentExecutions=number
        )

    @property
    def provisioned(self) -> int | None:
        found = self.client.list_aliases(FunctionName=self.name)["Aliases"]
        assert [a["Name"] for a in found] == [ALIAS]
        try:
            return int(
                self.client.get_provisioned_concurrency_config(
                    FunctionName=self.name, Qualifier=ALIAS
                )["RequestedProvisionedConcurrentExecutions"]
            )
        except self.client.exceptions.ProvisionedConcurrencyConfigNotFoundException:
            return None

    def start(self, **given: Any) -> str:
        return self.product.start(
            {"target": {"function_name": self.name}, **given},
            machine=self.product.machine("optimize-cold-starts"),
        )

    def run(self, **given: Any) -> dict[str, Any]:
        return self.product.ended(self.start(**given))

    def undo(self, run_id: str) -> dict[str, Any]:
        return self.product.run(
            {"undo": run_id}, machine=self.product.machine("optimize-cold-starts")
        )


@pytest.fixture
def cold(product: Product) -> Cold:
    product.delete_item("BREAKER#optimize_cold_starts")
    return Cold(product)


def test_frequent_cold_starts_are_provisioned_for_and_undo_removes_it(cold: Cold) -> None:
    cold.report(cold=3, warm=5)
    cold.measured(ConcurrentExecutions=2)
    answer = cold.run()
    during = cold.provisioned
    undone = cold.undo(answer["run_id"])
    assert answer["outcome"] == "verified", answer["reason"]
    assert answer["reason"].startswith(
        f"3 of 8 invocations of {cold.name}:live started cold in 10 min, 95 % of them within 800 ms"
    )
    assert "judged by the allocation alone" in answer["verification"]["reason"]
    assert during == 2
    assert undone["outcome"] == "verified", undone["reason"]
    assert cold.provisioned is None


def test_invocations_that_spill_over_roll_it_back(cold: Cold) -> None:
    cold.provision(1)
    execution = cold.start(parameters={"provisioned_concurrency": 2})
    cold.product.wait_for_state(execution, "Verify")

    def measured() -> bool:
        cold.measured(
            Invocations=10,
            ProvisionedConcurrencyInvocations=4,
            ProvisionedConcurrencySpilloverInvocations=6,
        )
        described = cold.product.client("stepfunctions").describe_execution(executionArn=execution)
        return bool(described["status"] != "RUNNING")

    eventually(measured, 30, "the end of the run")
    answer = cold.product.ended(execution)
    assert (answer["error"], cold.provisioned) == ("rolled_back", 1), answer["reason"]
    assert "spilled over" in answer["reason"]


def test_rare_cold_starts_are_refused_with_the_numbers(cold: Cold) -> None:
    cold.report(cold=1, warm=5)
    answer = cold.run()
    assert answer["outcome"] == "refused"
    assert answer["reason"].startswith(f"nothing to do: 1 of 6 invocations of {cold.name}:live")
    assert cold.provisioned is None


def test_observe_shows_the_call_and_provisions_nothing(cold: Cold) -> None:
    answer = cold.run(mode="observe", parameters={"provisioned_concurrency": 3})
    (call,) = answer["plan"]["calls"]
    assert answer["outcome"] == "proposed"
    assert call["api"] == "lambda:PutProvisionedConcurrencyConfig"
    assert call["after"] == {"ProvisionedConcurrentExecutions": 3}
    assert "2,700 GB-seconds an hour" in answer["reason"]
    assert cold.provisioned is None


def test_yes_after_someone_else_provisioned_changes_nothing(cold: Cold) -> None:
    execution = cold.start(mode="propose", parameters={"provisioned_concurrency": 3})
    run_id = f"optimize-cold-starts:{execution.rpartition(':')[2]}"
    item = eventually(
        lambda: "approval_token" in (found := cold.product.record(run_id)) and found,
        what="the token",
    )
    cold.provision(7)
    yes = {"run_id": run_id, "plan_hash": item["plan_hash"], "decision": "approve"}
    cold.product.run(yes, machine=cold.product.approve_machine)
    answer = cold.product.ended(execution)
    assert (answer["outcome"], cold.provisioned) == ("refused", 7)


def test_measured_run_and_undo_with_the_deployed_roles(enforced: Product) -> None:
    cold = Cold(enforced)
    cold.report(cold=3, warm=5)
    cold.provision(1)
    cold.measured(ConcurrentExecutions=2)
    answer = cold.run()
    during = cold.provisioned
    undone = cold.undo(answer["run_id"])
    assert answer["outcome"] == "verified", answer["reason"]
    assert (during, undone["outcome"], cold.provisioned) == (2, "verified", 1), undone["reason"]


def test_removal_with_the_deployed_roles(enforced: Product) -> None:
    cold = Cold(enforced)
    answer = cold.run(parameters={"provisioned_concurrency": 1})
    undone = cold.undo(answer["run_id"])
    assert (answer["outcome"], undone["outcome"]) == ("verified", "verified"), undone["reason"]
    assert cold.provisioned is None
