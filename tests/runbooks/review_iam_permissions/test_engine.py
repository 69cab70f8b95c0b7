"""A role of the platform narrowed, watched and widened again, on the engine.

The engine lacks Access Analyzer and leaves last accessed details empty: `local/engine` has links
for both. Nobody's calls are tracked there, so whatever need not stay is unused; the report of a job
that is still being made, use that was seen, and the simulator's view of several resources are
tested against botocore's model instead. The simulator of the engine looks at the first resource.
"""

from __future__ import annotations

import io
import json
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from local.engine.process import ACCOUNT_ID
from tests.e2e.product import Product, eventually
from tests.runbooks.review_iam_permissions.engine import NAMES

pytestmark = pytest.mark.engine

TABLE = f"arn:aws:dynamodb:us-east-1:{ACCOUNT_ID}:table/orders"
NEEDED = {"Sid": "Needed", "Effect": "Allow", "Action": ["dynamodb:GetItem"], "Resource": TABLE}
WIDE = {
    "Version": "2012-10-17",
    "Statement": [
        {**NEEDED, "Action": ["dynamodb:GetItem", "dynamodb:DeleteTable"]},
        {"Sid": "Old", "Effect": "Allow", "Action": "s3:*", "Resource": "*"},
    ],
}
NARROW = {"Version": "2012-10-17", "Statement": [NEEDED]}
CODE = "def handle(event, context):\n    return 'ok'\n"
_names = {True: iter(NAMES), False: iter(NAMES)}


class Reviewed:
    """A role and the function that has it, which no other test uses."""

    def __init__(self, product: Product, name: str, tags: dict[str, str] | None = None) -> None:
        self.product = product
        self.name = name
        self.iam = product.client("iam")
        self.iam.create_role(
            RoleName=name,
            AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": []}),
            Tags=[{"Key": k, "Value": v} for k, v in (tags or {}).items()],
        )
        self.put(WIDE)
        package = io.BytesIO()
        with zipfile.ZipFile(package, "w") as archive:
            archive.writestr("handler.py", CODE)
        product.client("lambda").create_function(
            FunctionName=name,
            Runtime="python3.13",
            Handler="handler.handle",
            Role=f"arn:aws:iam::{ACCOUNT_ID}:role/{name}",
            Code={"ZipFile": package.getvalue()},
        )
        product.client("lambda").get_waiter("function_active_v2").wait(
            FunctionName=name, WaiterConfig={"Delay": 0.1, "MaxAttempts": 100}
        )

    def put(self, document: dict[str, Any]) -> None:
        self.iam.put_role_policy(
            RoleName=self.name, PolicyName="Chat", PolicyDocument=json.dumps(document)
        )

    def document(self) -> dict[str, Any]:
        found = self.iam.get_role_policy(RoleName=self.name, PolicyName="Chat")
        document: dict[str, Any] = found["PolicyDocument"]
        return document

    @property
    def narrowed(self) -> bool:
        return self.document() == NARROW

    def run(self, **more: Any) -> dict[str, Any]:
        given = more if "undo" in more else {"target": {"role_name": self.name}, **more}
        return self.product.run(given, machine=self.product.machine("review-iam-permissions"))

    def start(self, **more: Any) -> str:
        return self.product.start(
            {"target": {"role_name": self.name}, **more},
            machine=self.product.machine("review-iam-permissions"),
        )

    @contextmanager
    def traffic(self) -> Iterator[None]:
        """Invocations, for as long as the block runs."""
        stop = threading.Event()

        def work() -> None:
            while not stop.wait(0.1):
                self.product.client("lambda").invoke(FunctionName=self.name)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(10)

    def log(self, message: str) -> None:
        """A line in the function's log, as an SDK would have written it."""
        self.product.client("logs").put_log_events(
            logGroupName=f"/aws/lambda/{self.name}",
            logStreamName=self._stream(),
            logEvents=[{"timestamp": int(time.time() * 1000), "message": message}],
        )

    def _stream(self) -> str:
        logs = self.product.client("logs")
        group = f"/aws/lambda/{self.name}"
        self.product.client("lambda").invoke(FunctionName=self.name)

        def streams() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = logs.describe_log_streams(logGroupName=group)[
                "logStreams"
            ]
            return found

        return str(eventually(streams)[0]["logStreamName"])


@pytest.fixture
def reviewed(product: Product) -> Reviewed:
    product.delete_item("BREAKER#review_iam_permissions")
    return Reviewed(product, next(_names[False]))


def test_unused_actions_are_taken_out_and_can_be_put_back(reviewed: Reviewed) -> None:
    with reviewed.traffic():
        answer = reviewed.run()
        after = reviewed.document()
    undone = reviewed.run(undo=answer["run_id"])
    assert (answer["outcome"], after) == ("verified", NARROW), answer["reason"]
    assert answer["reason"].startswith("Take out what was unused for 90 days:")
    assert (undone["outcome"], reviewed.document()) == ("verified", WIDE), undone["reason"]


def test_observe_reports_and_changes_nothing(reviewed: Reviewed) -> None:
    answer = reviewed.run(mode="observe")
    (call,) = answer["plan"]["calls"]
    assert (answer["outcome"], call["api"]) == ("proposed", "iam:PutRolePolicy")
    assert call["after"]["Chat"]["Statement"] == {"Needed": NEEDED}
    assert reviewed.document() == WIDE


def test_proposal_is_applied_after_a_yes(reviewed: Reviewed) -> None:
    execution = reviewed.start(mode="propose")
    run_id = f"review-iam-permissions:{execution.rpartition(':')[2]}"
    item = eventually(
        lambda: "approval_token" in (f := reviewed.product.record(run_id)) and f, what="the token"
    )
    assert reviewed.document() == WIDE
    yes = {"run_id": run_id, "plan_hash": item["plan_hash"], "decision": "approve"}
    with reviewed.traffic():
        reviewed.product.run(yes, machine=reviewed.product.approve_machine)
        answer = reviewed.product.ended(execution)
    assert (answer["outcome"], reviewed.narrowed) == ("verified", True), answer["reason"]


def test_denied_call_takes_the_policy_back(reviewed: Reviewed) -> None:
    execution = reviewed.start()
    eventually(lambda: reviewed.narrowed, what="the smaller policy")
    reviewed.log("[ERROR] ClientError: An error occurred (AccessDenied) when calling GetObject")
    answer = reviewed.product.ended(execution)
    assert (answer["status"], answer["error"]) == ("FAILED", "rolled_back"), answer["reason"]
    assert answer["reason"] == f"1 calls of {reviewed.name} were denied since, 0 before"
    assert reviewed.document() == WIDE


def test_role_of_a_stack_is_reported_without_a_page(product: Product) -> None:
    tags = {"aws:cloudformation:stack-name": "EnergyStack"}
    reviewed = Reviewed(product, next(_names[False]), tags)
    answer = reviewed.run()
    (message,) = product.told(answer["run_id"])
    evidence = json.loads(product.record(answer["run_id"])["plan"])["evidence"]
    assert (answer["status"], answer["outcome"]) == ("SUCCEEDED", "proposed")
    assert "stack EnergyStack deploys the role" in answer["reason"]
    assert evidence["smaller_policies"] == {"Chat": NARROW}
    assert message["severity"] == "note"
    assert reviewed.document() == WIDE
    role_arn = f"arn:aws:iam::{ACCOUNT_ID}:role/{reviewed.name}"
    assert "owner" not in product.item(f"TARGET#{role_arn}")
    assert "open_run" not in product.item(f"PAIR#review_iam_permissions#{role_arn}")


def test_role_that_uses_everything_has_nothing_to_do(reviewed: Reviewed) -> None:
    answer = reviewed.run(parameters={"keep": ["s3:*", "dynamodb:DeleteTable"]})
    assert (answer["outcome"], reviewed.document()) == ("refused", WIDE)
    assert answer["reason"].startswith(f"nothing to do: role {reviewed.name}")
    assert reviewed.product.told(answer["run_id"]) == []


def test_review_with_the_deployed_roles(enforced: Product) -> None:
    reviewed = Reviewed(enforced, next(_names[True]))
    shared = reviewed.iam.create_policy(
        PolicyName=f"{reviewed.name}-shared", PolicyDocument=json.dumps(WIDE)
    )["Policy"]["Arn"]
    reviewed.iam.attach_role_policy(RoleName=reviewed.name, PolicyArn=shared)
    with reviewed.traffic():
        answer = reviewed.run()
    undone = reviewed.run(undo=answer["run_id"])
    assert (answer["outcome"], undone["outcome"]) == ("verified", "verified"), answer["reason"]
    assert "Only reported: dynamodb:DeleteTable, s3:*" in answer["reason"]
    assert reviewed.document() == WIDE
