"""A rotation on the deployed product: Secrets Manager, the rotation function, and a consumer.

The engine knows no service-specific credentials, so the issuer `iam` is tested against botocore's
model (tests/rotation). That the function may be invoked for these secrets only is in its resource
policy, which the engine does not ask.
"""

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.product import Product, eventually
from tests.runbooks.rotate_api_key.engine import LIMITS, PLAIN, READER, SECRETS

pytestmark = pytest.mark.engine

PLANTED = "planted-Zq7Lw2Xv9Kt4Rm1Bc8Nd"
FUNCTION = "arn:aws:lambda:us-east-1:000000000000:function:remediation-rotation"
# A consumer is told which secret to read, and which key it does not work with.
CONSUMER = """
import json, os, boto3

def handle(event, context):
    secrets = boto3.client("secretsmanager", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
    found = secrets.get_secret_value(SecretId=os.environ["SECRET_ID"])["SecretString"]
    key = json.loads(found)["api_key"]
    if os.environ["ACCEPTS"] not in ("any", key):
        raise PermissionError("401 from the provider")
"""
_names: dict[int, Iterator[str]] = {}


def make_consumer(product: Product, secret_id: str, *, accepts: str) -> None:
    """Point the consumer, which all these secrets share, at one of them."""
    client = product.client("lambda")
    environment = {"Variables": {"SECRET_ID": secret_id, "ACCEPTS": accepts}}
    try:
        client.update_function_configuration(FunctionName=READER, Environment=environment)
    except client.exceptions.ResourceNotFoundException:
        policy = {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": "*"}
            ],
        }
        iam = product.client("iam")
        trust = json.dumps({"Version": "2012-10-17", "Statement": []})
        role = iam.create_role(RoleName=READER, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
        iam.put_role_policy(RoleName=READER, PolicyName="read", PolicyDocument=json.dumps(policy))
        package = io.BytesIO()
        with zipfile.ZipFile(package, "w") as archive:
            archive.writestr("handler.py", CONSUMER)
        client.create_function(
            FunctionName=READER,
            Runtime="python3.13",
            Handler="handler.handle",
            Role=role,
            Code={"ZipFile": package.getvalue()},
            Environment=environment,
        )
    client.get_waiter("function_updated_v2").wait(
        FunctionName=READER, WaiterConfig={"Delay": 0.1, "MaxAttempts": 100}
    )
    version = client.publish_version(FunctionName=READER)["Version"]
    aliased = {"FunctionName": READER, "Name": "live", "FunctionVersion": version}
    try:
        client.create_alias(**aliased)
    except client.exceptions.ResourceConflictException:
        client.update_alias(**aliased)


def make_secret(product: Product, *, accepts: str = "any", on: bool = True) -> str:
    """A secret with the planted key that no other test uses, and rotation turned on."""
    product.delete_item("BREAKER#rotate_api_key")
    name = next(_names.setdefault(id(product), iter(SECRETS)))
    product.client("secretsmanager").create_secret(
        Name=name, SecretString=json.dumps({"user": "chat", "api_key": PLANTED})
    )
    if on:
        turn_on(product, name)
    make_consumer(product, name, accepts=accepts)
    return name


def turn_on(product: Product, name: str) -> None:
    """What the refusal tells the platform team to do."""
    product.client("secretsmanager").rotate_secret(
        SecretId=name,
        RotationLambdaARN=FUNCTION,
        RotationRules={"AutomaticallyAfterDays": 1000},
        RotateImmediately=False,
    )
    eventually(lambda: len(stages(product, name)) == 1, what="the test of the configuration")


def rotate(product: Product, given: dict[str, Any]) -> dict[str, Any]:
    return product.run(given, machine=product.machine("rotate-api-key"))


def value(product: Product, name: str) -> dict[str, str]:
    found = product.client("secretsmanager").get_secret_value(SecretId=name)["SecretString"]
    return json.loads(found)


def stages(product: Product, name: str) -> dict[str, list[str]]:
    found = product.client("secretsmanager").describe_secret(SecretId=name)
    return found["VersionIdsToStages"]


def told(product: Product, execution: str, run_id: str) -> str:
    """All that the product wrote down: history, record, messages, logs."""
    pages = product.client("stepfunctions").get_paginator("get_execution_history")
    history = [
        event
        for page in pages.paginate(executionArn=execution, includeExecutionData=True)
        for event in page["events"]
    ]
    logs = product.client("logs")
    groups = [
        group["logGroupName"]
        for page in logs.get_paginator("describe_log_groups").paginate()
        for group in page["logGroups"]
    ]
    lines = [
        event["message"]
        for group in groups
        for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group)
        for event in page["events"]
    ]
    return "\n".join(
        [repr(history), repr(product.record(run_id)), repr(product.received()), *lines]
    )


def test_rotation_is_verified_and_taken_back_and_no_value_is_told(product: Product) -> None:
    name = make_secret(product)
    execution = product.start(
        {"target": {"secret_id": name}}, machine=product.machine("rotate-api-key")
    )
    answer = product.ended(execution)
    new = value(product, name)
    after = stages(product, name)
    undone = rotate(product, {"undo": answer["run_id"]})

    assert (answer["outcome"], answer["status"]) == ("verified", "SUCCEEDED"), answer["reason"]
    assert (new["user"], len(new["api_key"])) == ("chat", 48)
    assert sorted(after.values()) == [["AWSCURRENT"], ["AWSPREVIOUS"]]
    assert undone["outcome"] == "verified", undone["reason"]
    assert value(product, name)["api_key"] == PLANTED
    assert sorted(stages(product, name).values()) == [["AWSCURRENT"], ["AWSPREVIOUS"]]
    written = told(product, execution, answer["run_id"])
    assert answer["changes"][0]["after"]["AWSCURRENT"] in written
    assert "finishSecret" in written  # the rotation function's log is read too
    assert PLANTED not in written
    assert new["api_key"] not in written


def test_observe_changes_nothing(product: Product) -> None:
    name = make_secret(product)
    before = stages(product, name)

    answer = rotate(product, {"target": {"secret_id": name}, "mode": "observe"})

    assert answer["outcome"] == "proposed"
    assert [c["api"] for c in answer["plan"]["calls"]] == ["secretsmanager:RotateSecret"]
    assert stages(product, name) == before


def test_without_rotation_turned_on_the_refusal_shows_the_command(product: Product) -> None:
    name = make_secret(product, on=False)

    answer = rotate(product, {"target": {"secret_id": name}})

    assert answer["outcome"] == "refused"
    assert answer["reason"] == (
        f"secret {name}: rotation is off; turn it on, once: aws secretsmanager rotate-secret "
        f"--secret-id {name} --rotation-lambda-arn {FUNCTION} "
        "--rotation-rules AutomaticallyAfterDays=1000 --no-rotate-immediately"
    )


def test_a_consumer_that_fails_with_the_new_key_gets_the_old_one_back(product: Product) -> None:
    name = make_secret(product, accepts=PLANTED)

    answer = rotate(product, {"target": {"secret_id": name}})

    assert (answer["status"], answer["error"]) == ("FAILED", "rolled_back"), answer["reason"]
    assert "key-reader: its smoke_event ended with Unhandled" in answer["reason"]
    assert value(product, name)["api_key"] == PLANTED


def test_a_value_of_another_shape_is_told_before_the_last_look(product: Product) -> None:
    """createSecret refuses and gives the rotation up; there is nothing to wait for."""
    product.delete_item("BREAKER#rotate_api_key")
    product.client("secretsmanager").create_secret(Name=PLAIN, SecretString=PLANTED)
    turn_on(product, PLAIN)
    # From here on it is a JSON object, and the platform file names no field.
    product.client("secretsmanager").put_secret_value(
        SecretId=PLAIN, SecretString=json.dumps({"api_key": PLANTED})
    )
    before = stages(product, PLAIN)
    eventually(lambda: "held" in rotate_until_allowed(product), 20, "the grace to pass")

    assert {k: v for k, v in stages(product, PLAIN).items() if v} == before


def rotate_until_allowed(product: Product) -> str:
    """The grace of one second may not be over yet; gives `held` once a run was rolled back."""
    execution = product.start(
        {"target": {"secret_id": PLAIN}}, machine=product.machine("rotate-api-key")
    )
    answer = product.ended(execution)
    if answer["outcome"] == "refused" and "has to stay valid" in answer["reason"]:
        return ""
    assert (answer["status"], answer["error"]) == ("FAILED", "rolled_back"), answer
    assert "has to be the key itself, for platform.json names no key_field" in answer["reason"]
    assert "log group /aws/lambda/remediation-rotation says more" in answer["reason"]
    assert product.states(execution).count("CheckRotation") < LIMITS["poll_attempts"]
    return "held"


def test_rotation_and_undo_with_the_deployed_roles(enforced: Product) -> None:
    name = make_secret(enforced)
    answer = rotate(enforced, {"target": {"secret_id": name}})
    new = value(enforced, name)["api_key"]
    undone = rotate(enforced, {"undo": answer["run_id"]})

    assert (answer["outcome"], undone["outcome"]) == ("verified", "verified"), answer["reason"]
    assert len(new) == 48
    assert value(enforced, name)["api_key"] == PLANTED
