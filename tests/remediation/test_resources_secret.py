"""Secrets: what is read, started and moved, against botocore's model."""

from datetime import UTC, datetime

import boto3
import pytest
from botocore.exceptions import ReadTimeoutError
from botocore.stub import Stubber

from lambdas.remediation.errors import ChangeFailedError, ResourceBusyError, TargetNotFoundError
from lambdas.remediation.resources.secret import Secrets, SecretState

ARN = "arn:aws:secretsmanager:us-east-1:123456789012:secret:keys/chat-AbCdEf"
OLD, NEW = "ffffffff-1b1b-4c2c-8d3d-4e4e4e4e4e4e", "0a0a0a0a-1b1b-4c2c-8d3d-4e4e4e4e4e4e"
STATE = SecretState(arn=ARN, name="keys/chat", stages={OLD: ("AWSCURRENT",)})
CALL = STATE.rotated_to(NEW)
MARCH = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


@pytest.fixture
def client():
    return boto3.client("secretsmanager", region_name="us-east-1")


@pytest.fixture
def stub(client):
    with Stubber(client) as stubber:
        yield stubber
    stubber.assert_no_pending_responses()


def described(stub, **stages) -> None:
    labels = {{"old": OLD, "new": NEW}[k]: v for k, v in stages.items()}
    answer = {"ARN": ARN, "Name": "keys/chat", "VersionIdsToStages": labels}
    stub.add_response("describe_secret", answer, {"SecretId": ARN})


def test_describes_rotation_deletion_and_owner(client, stub) -> None:
    answer = {
        "ARN": ARN,
        "Name": "keys/chat",
        "RotationEnabled": True,
        "RotationLambdaARN": "arn:aws:lambda:us-east-1:123456789012:function:rotation",
        "DeletedDate": MARCH,
        "OwningService": "rds",
        "PrimaryRegion": "eu-west-1",
        "VersionIdsToStages": {OLD: ["AWSCURRENT", "AWSPENDING"]},
    }
    stub.add_response("describe_secret", answer, {"SecretId": "keys/chat"})

    assert Secrets(client).describe("keys/chat") == SecretState(
        arn=ARN,
        name="keys/chat",
        stages={OLD: ("AWSCURRENT", "AWSPENDING")},
        rotation_enabled=True,
        rotation_function_arn="arn:aws:lambda:us-east-1:123456789012:function:rotation",
        deleted=True,
        managed_by="rds",
        primary_region="eu-west-1",
    )


def test_an_absent_secret_is_named(client, stub) -> None:
    stub.add_client_error("describe_secret", "ResourceNotFoundException")

    with pytest.raises(TargetNotFoundError, match="secret keys/chat: not found"):
        Secrets(client).describe("keys/chat")


def test_the_age_of_versions_is_read_to_the_last_page(client, stub) -> None:
    first = {"Versions": [{"VersionId": OLD, "CreatedDate": MARCH}], "NextToken": "more"}
    stub.add_response("list_secret_version_ids", first, {"SecretId": ARN})
    last = {"Versions": [{"VersionId": NEW, "CreatedDate": MARCH}]}
    stub.add_response("list_secret_version_ids", last, {"SecretId": ARN, "NextToken": "more"})

    assert Secrets(client).created(ARN) == {OLD: MARCH, NEW: MARCH}


def test_a_rotation_has_the_planned_version(client, stub) -> None:
    given = {"SecretId": ARN, "ClientRequestToken": NEW, "RotateImmediately": True}
    stub.add_response("rotate_secret", {}, given)

    Secrets(client).apply(CALL)


def test_a_refused_rotation_has_failed(client, stub) -> None:
    stub.add_client_error("rotate_secret", "InvalidRequestException", "not complete")
    described(stub, old=["AWSCURRENT"])

    with pytest.raises(ChangeFailedError, match="AWS refuses secretsmanager:RotateSecret"):
        Secrets(client).apply(CALL)


def test_a_rotation_without_an_answer_is_looked_for_again(client, stub) -> None:
    def no_answer(**_):
        raise ReadTimeoutError(endpoint_url="https://secretsmanager")

    client.meta.events.register("provide-client-params.secrets-manager.RotateSecret", no_answer)
    described(stub, old=["AWSCURRENT"], new=["AWSPENDING"])

    with pytest.raises(ResourceBusyError):
        Secrets(client).apply(CALL)


def test_the_way_back_frees_the_version_from_pending_first(client, stub) -> None:
    described(stub, new=["AWSCURRENT", "AWSPENDING"], old=["AWSPREVIOUS"])
    stub.add_response(
        "update_secret_version_stage",
        {},
        {"SecretId": ARN, "VersionStage": "AWSPENDING", "RemoveFromVersionId": NEW},
    )
    stub.add_response(
        "update_secret_version_stage",
        {},
        {
            "SecretId": ARN,
            "VersionStage": "AWSCURRENT",
            "MoveToVersionId": OLD,
            "RemoveFromVersionId": NEW,
        },
    )

    Secrets(client).apply(CALL.inverse())
