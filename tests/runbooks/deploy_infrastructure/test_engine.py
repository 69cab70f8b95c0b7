"""Deployments of real stacks on the engine: executed, taken back, undone.

The engine finishes most updates within the call that begins them. It does not tell the role of a
stack, keeps no rollback triggers, and never ends UPDATE_ROLLBACK_FAILED: what follows from those is
tested against botocore's model (tests/remediation/test_resources_stack_deployments.py).
"""

import io
import itertools
import json
import zipfile
from typing import Any

import pytest

from local.engine.process import ACCOUNT_ID, REGION
from tests.e2e.product import Product, eventually
from tests.runbooks.deploy_infrastructure.engine import BUCKET, FUNCTION, ROLE, STACKS

pytestmark = pytest.mark.engine

MACHINE = "deploy-infrastructure"
BROKEN = "deployment-breaker"
# A custom resource that answers FAILED: how a deployment fails on purpose.
BREAKER = """
import json, time, urllib.request
def handle(event, context):
    time.sleep(float(event["ResourceProperties"]["Seconds"]))
    answer = {k: event[k] for k in ("StackId", "RequestId", "LogicalResourceId")}
    answer |= {"Status": "FAILED", "Reason": "broken on purpose", "PhysicalResourceId": "none"}
    request = urllib.request.Request(
        event["ResponseURL"], data=json.dumps(answer).encode(), method="PUT"
    )
    urllib.request.urlopen(request)
"""
_numbers = itertools.count()


class Deployed:
    """A stack that no other test uses: a table, a queue, and what a test adds."""

    def __init__(self, product: Product) -> None:
        self.product = product
        self.name = STACKS[next(_numbers) % len(STACKS)]
        self.table, self.queue = f"{self.name}-orders", f"{self.name}-queue"
        self._stacks = product.client("cloudformation")
        _make_bucket_and_role(product)
        product.delete_item("BREAKER#deploy_infrastructure")

    @property
    def arn(self) -> str:
        return f"arn:aws:cloudformation:{REGION}:{ACCOUNT_ID}:stack/{self.name}"

    def template(self, seconds: int, **more: Any) -> str:
        """The stack with that visibility time-out of its queue."""
        properties = {
            "TableName": self.table,
            "BillingMode": "PAY_PER_REQUEST",
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
            "Tags": [{"Key": "release", "Value": str(seconds)}],
        }
        table = {"Type": "AWS::DynamoDB::Table", "Properties": properties}
        queue = {
            "Type": "AWS::SQS::Queue",
            "Properties": {
                "QueueName": {"Fn::Sub": f"{self.queue}${{Suffix}}"},
                "VisibilityTimeout": seconds,
            },
        }
        resources = {"Table": table, "Queue": queue, **more}
        return json.dumps(
            {
                "Parameters": {"Suffix": {"Type": "String", "Default": ""}},
                "Resources": {k: v for k, v in resources.items() if v},
            }
        )

    def create(self, template: str) -> "Deployed":
        self._stacks.create_stack(StackName=self.name, TemplateBody=template)
        eventually(lambda: self.status() == "CREATE_COMPLETE", what="the stack")
        return self

    def prepare(self, template: str, name: str = "release-2") -> dict[str, Any]:
        """What a pipeline does; gives the runbook's input."""
        self._stacks.create_change_set(
            StackName=self.name, ChangeSetName=name, TemplateBody=template, ChangeSetType="UPDATE"
        )
        return {
            "target": {"stack_name": self.name},
            "parameters": {"change_set_name": name},
        }

    def submit(self, template: str, name: str = "7.json") -> dict[str, Any]:
        """A template in the bucket; gives the runbook's input."""
        key = f"templates/{self.name}/{name}"
        self.product.client("s3").put_object(Bucket=BUCKET, Key=key, Body=template.encode())
        return {"target": {"stack_name": self.name}, "parameters": {"template_key": key}}

    def change_sets(self) -> list[str]:
        listed = self._stacks.list_change_sets(StackName=self.name)["Summaries"]
        return [c["ChangeSetName"] for c in listed if c["ExecutionStatus"] == "AVAILABLE"]

    def run(self, given: dict[str, Any]) -> dict[str, Any]:
        return self.product.run(given, machine=self.product.machine(MACHINE))

    def status(self) -> str:
        (found,) = self._stacks.describe_stacks(StackName=self.name)["Stacks"]
        return str(found["StackStatus"])

    def seconds(self) -> int:
        """Visibility time-out of the queue: which release is deployed."""
        sqs = self.product.client("sqs")
        url = sqs.get_queue_url(QueueName=self.queue)["QueueUrl"]
        found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout"])
        return int(found["Attributes"]["VisibilityTimeout"])

    def backups(self) -> list[str]:
        listed = self.product.client("dynamodb").list_backups(TableName=self.table)
        return [b["BackupStatus"] for b in listed["BackupSummaries"]]

    def tables(self) -> list[str]:
        names = self.product.client("dynamodb").list_tables()["TableNames"]
        return [name for name in names if name == self.table]

    def failing(self, seconds: int) -> dict[str, Any]:
        """A resource that cannot be made, after so many seconds."""
        _make_function(self.product, BROKEN, BREAKER)
        arn = f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:{BROKEN}"
        return {
            "Type": "Custom::Broken",
            "DependsOn": "Queue",
            "Properties": {"ServiceToken": arn, "Seconds": str(seconds)},
        }


def _make_bucket_and_role(product: Product) -> None:
    s3, iam = product.client("s3"), product.client("iam")
    if BUCKET not in [b["Name"] for b in s3.list_buckets()["Buckets"]]:
        s3.create_bucket(Bucket=BUCKET)
        trust = json.dumps({"Version": "2012-10-17", "Statement": []})
        iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=trust)


def _make_function(product: Product, name: str, code: str) -> None:
    client = product.client("lambda")
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("handler.py", code)
    try:
        client.create_function(
            FunctionName=name,
            Runtime="python3.13",
            Handler="handler.handle",
            Timeout=30,
            Role=f"arn:aws:iam::{ACCOUNT_ID}:role/{ROLE}",
            Code={"ZipFile": package.getvalue()},
        )
    except client.exceptions.ResourceConflictException:
        return
    client.get_waiter("function_active_v2").wait(
        FunctionName=name, WaiterConfig={"Delay": 0.1, "MaxAttempts": 100}
    )


@pytest.fixture
def deployed(product: Product) -> Deployed:
    return Deployed(product)


def test_a_reviewed_change_set_is_deployed_and_can_be_undone(deployed: Deployed) -> None:
    deployed.create(deployed.template(30))
    answer = deployed.run(deployed.prepare(deployed.template(60)))
    after = deployed.seconds()
    undone = deployed.run({"undo": answer["run_id"]})
    assert (answer["outcome"], after) == ("verified", 60), answer["reason"]
    assert [c["api"] for c in answer["plan"]["calls"]] == [
        "s3:PutObject",
        "dynamodb:CreateBackup",
        "cloudformation:ExecuteChangeSet",
    ]
    assert deployed.backups() == ["AVAILABLE"]
    assert (undone["outcome"], deployed.seconds()) == ("verified", 30), undone["reason"]


def test_a_template_is_deployed_and_can_be_undone(deployed: Deployed) -> None:
    deployed.create(deployed.template(30))
    answer = deployed.run(deployed.submit(deployed.template(60)))
    after = deployed.seconds()
    undone = deployed.run({"undo": answer["run_id"]})
    assert (answer["outcome"], after) == ("verified", 60), answer["reason"]
    assert [c["api"] for c in answer["plan"]["calls"]] == [
        "s3:PutObject",
        "dynamodb:CreateBackup",
        "cloudformation:CreateChangeSet",
        "cloudformation:ExecuteChangeSet",
    ]
    assert (undone["outcome"], deployed.seconds()) == ("verified", 30), undone["reason"]


def test_observe_of_a_template_makes_no_change_set(deployed: Deployed) -> None:
    deployed.create(deployed.template(30))
    answer = deployed.run({**deployed.submit(deployed.template(60)), "mode": "observe"})
    assert answer["outcome"] == "proposed"
    assert "Modify Queue (AWS::SQS::Queue)" in answer["reason"]
    assert (deployed.seconds(), deployed.change_sets()) == (30, [])


def test_a_template_that_does_more_than_it_tells_waits_for_its_review(deployed: Deployed) -> None:
    """The queue gets another name: CloudFormation makes it anew, which no template says."""
    deployed.create(deployed.template(30))
    template = json.loads(deployed.template(60))
    template["Resources"]["Queue"]["Properties"]["QueueName"] = f"{deployed.queue}-renamed"
    answer = deployed.run(deployed.submit(json.dumps(template)))
    assert answer["error"] == "handed_over", answer["reason"]
    assert "Modify Queue (AWS::SQS::Queue, replacement: True)" in answer["reason"]
    (left,) = deployed.change_sets()
    (message,) = deployed.product.told(answer["run_id"])
    assert f'"change_set_name": "{left}"' in answer["reason"]
    assert f'"change_set_name": "{left}"' in message["text"]
    assert (deployed.seconds(), deployed.backups()) == (30, [])
    given = {"target": {"stack_name": deployed.name}, "parameters": {"change_set_name": left}}
    reviewed = deployed.run({**given, "mode": "observe"})
    assert reviewed["outcome"] == "proposed"


def test_observe_deploys_nothing(deployed: Deployed) -> None:
    deployed.create(deployed.template(30))
    answer = deployed.run({**deployed.prepare(deployed.template(60)), "mode": "observe"})
    assert answer["outcome"] == "proposed"
    assert "Modify Queue (AWS::SQS::Queue)" in answer["reason"]
    assert (deployed.seconds(), deployed.backups()) == (30, [])


def test_a_table_is_removed_only_when_that_was_accepted_and_approved(deployed: Deployed) -> None:
    deployed.create(deployed.template(30))
    given = deployed.prepare(deployed.template(60, Table=None))
    unseen = deployed.run(given)
    given["parameters"]["accept_data_loss"] = ["Table"]
    unasked = deployed.run(given)
    left = deployed.tables()
    asked = deployed.product.proposed(given, deployed.product.machine(MACHINE))
    deployed.product.approve(asked)
    answer = deployed.product.ended(asked.execution)
    assert (unseen["outcome"], unasked["outcome"]) == ("refused", "refused")
    assert 'give parameters.accept_data_loss ["Table"] and mode propose' in unseen["reason"]
    assert "it needs a yes" in unasked["reason"]
    assert left == [deployed.table]
    assert (answer["outcome"], deployed.tables()) == ("verified", []), answer["reason"]
    assert deployed.backups() == ["AVAILABLE"]


def test_an_undo_never_takes_away_a_table(deployed: Deployed) -> None:
    def table(name: str) -> dict[str, Any]:
        template = json.loads(deployed.template(30))["Resources"]["Table"]
        template["Properties"]["TableName"] = name
        return template

    deployed.create(deployed.template(30))
    added = table(f"{deployed.name}-carts")
    answer = deployed.run(deployed.prepare(deployed.template(60, Carts=added)))
    undone = deployed.run({"undo": answer["run_id"]})
    assert (answer["outcome"], undone["error"]) == ("verified", "handed_over"), undone["reason"]
    assert "would lose data, so a person has to deploy it: Remove Carts" in undone["reason"]
    assert (deployed.seconds(), deployed.status()) == (60, "UPDATE_COMPLETE")


def test_a_deployment_that_fails_says_why(deployed: Deployed) -> None:
    deployed.create(deployed.template(30))
    given = deployed.prepare(deployed.template(60, Broken=deployed.failing(0)))
    answer = deployed.run(given)
    assert answer["error"] == "rolled_back"
    assert answer["reason"] == (
        "the stack is UPDATE_ROLLBACK_COMPLETE: Broken (Custom::Broken): broken on purpose"
    )
    assert (deployed.seconds(), deployed.status()) == (30, "UPDATE_ROLLBACK_COMPLETE")


def test_a_deployment_that_takes_too_long_is_cancelled(deployed: Deployed) -> None:
    deployed.create(deployed.template(30))
    given = deployed.prepare(deployed.template(60, Broken=deployed.failing(6)))
    answer = deployed.run(given)
    assert answer["error"] == "rolled_back"
    assert "the stack is UPDATE_IN_PROGRESS: not finished in time" in answer["reason"]
    assert (deployed.seconds(), deployed.status()) == (30, "UPDATE_ROLLBACK_COMPLETE")


def test_a_deployment_that_breaks_a_function_is_taken_back(deployed: Deployed) -> None:
    def function(body: str) -> dict[str, Any]:
        return {
            "Function": {
                "Type": "AWS::Lambda::Function",
                "Properties": {
                    "FunctionName": FUNCTION,
                    "Runtime": "python3.13",
                    "Handler": "index.handle",
                    "Role": f"arn:aws:iam::{ACCOUNT_ID}:role/{ROLE}",
                    "Code": {"ZipFile": f"def handle(event, context):\n    {body}\n"},
                },
            },
            "Alias": {
                "Type": "AWS::Lambda::Alias",
                "Properties": {
                    "FunctionName": {"Ref": "Function"},
                    "FunctionVersion": "$LATEST",
                    "Name": "live",
                },
            },
        }

    deployed.create(deployed.template(30, **function("return 'ok'")))
    given = deployed.prepare(deployed.template(60, **function("raise ValueError")))
    answer = deployed.run(given)
    assert answer["error"] == "rolled_back", answer["reason"]
    assert answer["reason"] == f"fails its smoke event: {FUNCTION}"
    assert (deployed.seconds(), deployed.status()) == (30, "UPDATE_COMPLETE")


def test_a_template_is_deployed_after_a_yes_with_the_deployed_roles(enforced: Product) -> None:
    deployed = Deployed(enforced)
    deployed.create(deployed.template(30))
    given = {**deployed.submit(deployed.template(60)), "mode": "propose"}
    asked = enforced.proposed(given, enforced.machine(MACHINE))
    before = deployed.change_sets()
    enforced.approve(asked)
    answer = enforced.ended(asked.execution)
    assert (answer["outcome"], deployed.seconds()) == ("verified", 60), answer["reason"]
    assert before == []


def test_deployment_and_undo_with_the_deployed_roles(enforced: Product) -> None:
    deployed = Deployed(enforced)
    deployed.create(deployed.template(30))
    answer = deployed.run(deployed.prepare(deployed.template(60)))
    after = deployed.seconds()
    undone = deployed.run({"undo": answer["run_id"]})
    assert (answer["outcome"], after) == ("verified", 60), answer["reason"]
    assert (undone["outcome"], deployed.seconds()) == ("verified", 30), undone["reason"]
