from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.engine.process import Engine
from tests.local.workbench import Workbench, arn, eventually

pytestmark = pytest.mark.engine

TOKEN = "0a0a0a0a-1b1b-4c2c-8d3d-4e4e4e4e4e4e"
# A rotation function as short as it can be; the step named in its environment fails.
CODE = """
import os
import boto3

def handler(event, context):
    step, token = event["Step"], event["ClientRequestToken"]
    secrets = boto3.client("secretsmanager", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
    if step == os.environ.get("FAILS"):
        raise RuntimeError(step)
    if step == "createSecret":
        secrets.put_secret_value(
            SecretId=event["SecretId"], ClientRequestToken=token, SecretString="new",
            VersionStages=["AWSPENDING"],
        )
    if step == "finishSecret":
        stages = secrets.describe_secret(SecretId=event["SecretId"])["VersionIdsToStages"]
        (current,) = [v for v, s in stages.items() if "AWSCURRENT" in s]
        secrets.update_secret_version_stage(
            SecretId=event["SecretId"], VersionStage="AWSCURRENT", MoveToVersionId=token,
            RemoveFromVersionId=current,
        )
"""


def rotated(bench: Workbench, name: str, *, fails: str = "", **fields: Any) -> str:
    """Make a secret and its function, and start a rotation; gives the first version's id."""
    variables = {"Variables": {"FAILS": fails}} if fails else {"Variables": {}}
    function = bench.function(name, CODE, Environment=variables)
    secrets = bench.client("secretsmanager")
    first = secrets.create_secret(Name=name, SecretString="old")["VersionId"]
    secrets.rotate_secret(
        SecretId=name, ClientRequestToken=TOKEN, RotationLambdaARN=function, **fields
    )
    return first


def stages(bench: Workbench, name: str) -> dict[str, list[str]]:
    return bench.client("secretsmanager").describe_secret(SecretId=name)["VersionIdsToStages"]


def test_the_four_steps_make_the_new_version_current(bench: Workbench, name: str) -> None:
    first = rotated(bench, name)

    assert eventually(lambda: "AWSCURRENT" in stages(bench, name)[TOKEN])
    assert stages(bench, name)[first] == ["AWSPREVIOUS"]
    assert bench.client("secretsmanager").get_secret_value(SecretId=name)["SecretString"] == "new"


def test_a_failed_step_leaves_the_old_value_and_blocks_the_next_rotation(
    bench: Workbench, name: str
) -> None:
    first = rotated(bench, name, fails="createSecret")
    secrets = bench.client("secretsmanager")

    with pytest.raises(secrets.exceptions.ResourceNotFoundException):
        secrets.get_secret_value(SecretId=name, VersionId=TOKEN)
    with pytest.raises(secrets.exceptions.InvalidRequestException):
        secrets.rotate_secret(SecretId=name)
    assert stages(bench, name) == {first: ["AWSCURRENT"], TOKEN: ["AWSPENDING"]}


def test_turning_rotation_on_runs_the_test_only(bench: Workbench, name: str) -> None:
    first = rotated(bench, name, fails="createSecret", RotateImmediately=False)

    assert eventually(lambda: stages(bench, name) == {first: ["AWSCURRENT"]})
    assert bench.client("secretsmanager").describe_secret(SecretId=name)["RotationEnabled"] is True


def test_a_version_keeps_its_value(bench: Workbench, name: str) -> None:
    secrets = bench.client("secretsmanager")
    secrets.create_secret(Name=name, SecretString="old")
    put = {"SecretId": name, "ClientRequestToken": TOKEN, "VersionStages": ["AWSPENDING"]}
    secrets.put_secret_value(SecretString="new", **put)
    secrets.put_secret_value(SecretString="new", **put)

    with pytest.raises(secrets.exceptions.ResourceExistsException):
        secrets.put_secret_value(SecretString="other", **put)


def test_a_policy_may_ask_for_the_rotation_function(
    enforcing_engine: Engine, enforcing_bench: Workbench, name: str
) -> None:
    secrets = enforcing_bench.client("secretsmanager")
    function = enforcing_bench.function(name, "def handler(event, context): pass")
    for secret in (name, f"{name}-other"):
        secrets.create_secret(Name=secret, SecretString="old")
    secrets.rotate_secret(SecretId=name, RotationLambdaARN=function, RotateImmediately=False)
    statement = {
        "Effect": "Allow",
        "Action": ["secretsmanager:GetSecretValue"],
        "Resource": [arn("secretsmanager", f"secret:{name}*")],
        "Condition": {"StringEquals": {"secretsmanager:resource/AllowRotationLambdaArn": function}},
    }
    role = enforcing_bench.role(f"{name}-role", statement)
    client = enforcing_bench.client_of_role("secretsmanager", role, enforcing_engine.url)

    assert client.get_secret_value(SecretId=name)["SecretString"] == "old"
    with pytest.raises(ClientError, match="secretsmanager:GetSecretValue"):
        client.get_secret_value(SecretId=f"{name}-other")
