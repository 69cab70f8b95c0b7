"""The roles are sufficient, and not one action too many: the product under enforced IAM.

The engine enforces the roles of functions, and by our links those of machines and rules.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.e2e.product import INDEX, Product, eventually
from tests.e2e.test_dynamodb_throttling import propose, target

pytestmark = pytest.mark.engine


def test_alarm_heals_with_the_deployed_roles(enforced: Product, enforced_table: str) -> None:
    with enforced.load(enforced_table, alarming=True):
        answer = enforced.ended(enforced.run_of_alarm(enforced_table))
    assert (answer["status"], answer["outcome"]) == ("SUCCEEDED", "verified")
    assert enforced.capacity(enforced_table)[0] > 5
    assert len(enforced.told(answer["run_id"])) == 1


def test_observe_and_refusals_with_the_deployed_roles(
    enforced: Product, enforced_table: str
) -> None:
    with enforced.load(enforced_table):
        observed = enforced.act(enforced_table, mode="observe")
    assert observed["outcome"] == "proposed"
    assert enforced.run({})["outcome"] == "refused"


def test_approval_with_the_deployed_roles(enforced: Product, enforced_table: str) -> None:
    with enforced.load(enforced_table):
        execution, given = propose(enforced, enforced_table)
        enforced.run(given, machine=enforced.approve_machine)
        answer = enforced.ended(execution)
    assert answer["outcome"] == "verified"


def test_undo_with_the_deployed_roles(enforced: Product, enforced_table: str) -> None:
    with enforced.load(enforced_table):
        done = enforced.act(enforced_table)
    eventually(lambda: enforced.run({"undo": done["run_id"]})["outcome"] == "verified", 30)
    assert enforced.capacity(enforced_table) == (5, 5)


def test_closing_and_sweep_with_the_deployed_roles(enforced: Product, enforced_table: str) -> None:
    with enforced.load(enforced_table):
        execution, _ = propose(enforced, enforced_table)
        enforced.client("stepfunctions").stop_execution(executionArn=execution)
    run_id = f"dynamodb-throttling:{execution.rpartition(':')[2]}"
    eventually(lambda: enforced.record(run_id).get("outcome") == "handed_over")
    swept = enforced.invoke("oversight.sweep.handler", {})
    # What else it finds is what earlier tests left: leases that are due, alarms that are red.
    assert (swept["closed"], swept["polled"]) == (0, 2)


def role_of(product: Product, part: str) -> str:
    configuration = product.client("lambda").get_function_configuration(
        FunctionName=product.function(part)
    )
    return str(configuration["Role"]).rpartition("/")[2]


def make_inline(product: Product, role: str) -> None:
    """Put into the role itself what CDK moved to managed policies because there are many tables."""
    iam = product.client("iam")
    for attached in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
        arn, name = attached["PolicyArn"], attached["PolicyName"]
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        found = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]
        document = json.dumps(found["Document"])
        iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=document)
        iam.detach_role_policy(RoleName=role, PolicyArn=arn)


@contextmanager
def without(product: Product, role: str, action: str) -> Iterator[None]:
    """The role's policies, less one action."""
    make_inline(product, role)
    iam = product.client("iam")
    kept: dict[str, dict[str, Any]] = {}
    for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        kept[name] = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
    removed = False
    for name, document in kept.items():
        less = json.loads(json.dumps(document))
        for statement in less["Statement"]:
            actions = statement["Action"]
            listed = [actions] if isinstance(actions, str) else actions
            removed |= action in listed
            statement["Action"] = [a for a in listed if a != action] or ["sts:GetCallerIdentity"]
        iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(less))
    assert removed, f"{action} is in no policy of {role}"
    try:
        yield
    finally:
        for name, document in kept.items():
            iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(document))


@pytest.mark.parametrize(
    ("function", "action"),
    [
        ("dynamodb_throttling.handler.observe", "cloudwatch:GetMetricData"),
        ("dynamodb_throttling.handler.observe", "dynamodb:DescribeTable"),
        (
            "dynamodb_throttling.handler.observe",
            "application-autoscaling:DescribeScalableTargets",
        ),
        ("dynamodb_throttling.handler.change", "dynamodb:UpdateTable"),
    ],
)
def test_without_one_action_nothing_is_changed_and_a_person_is_paged(
    enforced: Product, enforced_table: str, function: str, action: str
) -> None:
    with without(enforced, role_of(enforced, function), action), enforced.load(enforced_table):
        answer = enforced.act(enforced_table)
    assert (answer["status"], answer["error"]) == ("FAILED", "handed_over")
    assert enforced.capacity(enforced_table) == (5, 5)
    (message,) = enforced.told(answer["run_id"])
    assert message["severity"] == "page"


def scale_table(product: Product, table: str) -> dict[str, Any]:
    product.client("application-autoscaling").register_scalable_target(
        ServiceNamespace="dynamodb",
        ResourceId=f"table/{table}",
        ScalableDimension="dynamodb:table:WriteCapacityUnits",
        MinCapacity=5,
        MaxCapacity=50,
    )
    return scalable(product, table)


def scalable(product: Product, table: str) -> dict[str, Any]:
    (found,) = product.client("application-autoscaling").describe_scalable_targets(
        ServiceNamespace="dynamodb", ResourceIds=[f"table/{table}"]
    )["ScalableTargets"]
    return {k: found[k] for k in ("MinCapacity", "MaxCapacity")}


def test_scaled_table_is_healed_by_its_minimum(enforced: Product, enforced_table: str) -> None:
    scale_table(enforced, enforced_table)
    with enforced.load(enforced_table):
        answer = enforced.act(enforced_table)
    apis = {c["api"] for c in answer["changes"]}
    assert answer["outcome"] == "verified"
    assert "application-autoscaling:RegisterScalableTarget" in apis
    assert scalable(enforced, enforced_table)["MinCapacity"] > 5


def test_half_made_change_is_rolled_back(enforced: Product, enforced_table: str) -> None:
    """The table scales by itself, its index does not: the second of two calls is denied."""
    before = scale_table(enforced, enforced_table)
    change = role_of(enforced, "dynamodb_throttling.handler.change")
    denied = "application-autoscaling:RegisterScalableTarget"
    with without(enforced, change, denied), enforced.load(enforced_table):
        answer = enforced.act(enforced_table)
    assert (answer["status"], answer["error"]) == ("FAILED", "rolled_back")
    assert scalable(enforced, enforced_table) == before
    assert (
        enforced.client("dynamodb").describe_table(TableName=enforced_table)["Table"][
            "GlobalSecondaryIndexes"
        ][0]["ProvisionedThroughput"]["WriteCapacityUnits"]
        == 5
    )
    assert not enforced.locked(enforced_table)
    assert INDEX in str(answer["reason"]) or answer["reason"]


def test_change_that_cannot_be_taken_back_is_quarantined(
    enforced: Product, enforced_table: str
) -> None:
    """As above, and DynamoDB's quota of decreases is used up: the way back is closed."""
    scale_table(enforced, enforced_table)
    for units in (9, 8, 7, 6, 5):
        enforced.set_index_capacity(enforced_table, units)
    change = role_of(enforced, "dynamodb_throttling.handler.change")
    denied = "application-autoscaling:RegisterScalableTarget"
    with without(enforced, change, denied), enforced.load(enforced_table):
        answer = enforced.act(enforced_table)
    refused = enforced.act(enforced_table)
    (message,) = enforced.told(answer["run_id"])
    assert (answer["status"], answer["error"]) == ("FAILED", "rollback_failed")
    assert "LimitExceeded" in answer["reason"]
    assert len(answer["changes"]) == 1
    assert message["severity"] == "page"
    assert "is quarantined since run" in refused["reason"]
    assert "open_until" in enforced.item("BREAKER#dynamodb_throttling")


def test_reading_function_cannot_change_the_platform(enforced: Product) -> None:
    role = role_of(enforced, "dynamodb_throttling.handler.observe")
    arn = f"arn:aws:iam::000000000000:role/{role}"
    simulated = enforced.client("iam").simulate_principal_policy(
        PolicySourceArn=arn,
        ActionNames=["dynamodb:UpdateTable", "dynamodb:DescribeTable"],
        ResourceArns=[enforced.arn("Orders-00")],
    )["EvaluationResults"]
    decided = {r["EvalActionName"]: r["EvalDecision"] for r in simulated}
    assert decided == {"dynamodb:UpdateTable": "implicitDeny", "dynamodb:DescribeTable": "allowed"}


def test_rule_that_may_not_start_its_machine_leaves_a_dead_letter(
    enforced: Product, enforced_table: str
) -> None:
    assert target(enforced_table)
    rule = next(
        r
        for r in enforced.client("events").list_rules()["Rules"]
        if enforced.alarm(enforced_table) in r.get("EventPattern", "")
    )
    (aimed,) = enforced.client("events").list_targets_by_rule(Rule=rule["Name"])["Targets"]
    role = aimed["RoleArn"].rpartition("/")[2]
    queue = aimed["DeadLetterConfig"]["Arn"].rpartition(":")[2]
    url = enforced.client("sqs").get_queue_url(QueueName=queue)["QueueUrl"]
    with without(enforced, role, "states:StartExecution"):
        enforced.set_alarm(enforced.alarm(enforced_table))
        received = eventually(
            lambda: enforced.client("sqs").receive_message(QueueUrl=url).get("Messages")
        )
    enforced.set_alarm(enforced.alarm(enforced_table), "OK")
    assert enforced.alarm(enforced_table) in received[0]["Body"]
