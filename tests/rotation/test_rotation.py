"""The four steps of a rotation: what they make, what they refuse, what they never tell."""

import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from lambdas.remediation import clients, observability
from lambdas.remediation.errors import (
    ChangeFailedError,
    PrerequisiteNotMetError,
    TargetNotFoundError,
)
from lambdas.remediation.platform import Secret
from lambdas.remediation.resources.secret import Secrets, SecretState
from lambdas.remediation.resources.secret_values import SecretValues
from lambdas.remediation.resources.service_credentials import ServiceCredentials
from lambdas.rotation.handler import handler
from lambdas.rotation.issuers import IamIssuer
from lambdas.rotation.rotation import Rotation, key_in, with_key

TOKEN = "0a0a0a0a-1b1b-4c2c-8d3d-4e4e4e4e4e4e"
NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
PLANTED = "planted-Zq7Lw2Xv9Kt4"
SECRETS = [
    {"secret_id": "keys/plain"},
    {"secret_id": "keys/json", "key_field": "api_key"},
]


# --- the shape of a value ---


def test_other_fields_of_a_json_secret_are_kept() -> None:
    value = '{"user": "chät", "api_key": "old", "port": 443, "tags": ["a"]}'

    changed = with_key(value, "api_key", "new")

    assert changed == '{"user": "chät", "api_key": "new", "port": 443, "tags": ["a"]}'


def test_without_a_field_the_value_is_the_key() -> None:
    assert (key_in("old", None), with_key("old", None, "new")) == ("old", "new")


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ('{"api_key": "planted"}', None),
        ("planted", "api_key"),
        ('{"other": "planted"}', "api_key"),
        ('{"api_key": ["planted"]}', "api_key"),
        ('["planted"]', "api_key"),
    ],
)
def test_another_shape_is_refused_and_not_shown(value: str, field: str | None) -> None:
    with pytest.raises(PrerequisiteNotMetError) as caught:
        key_in(value, field)

    assert "platform.json" in str(caught.value)
    assert "planted" not in str(caught.value)


# --- the steps, with Secrets Manager's random characters ---


class Vault:
    """A secret in simulated Secrets Manager, with a version that a rotation has begun."""

    def __init__(self, name: str, value: str) -> None:
        self.client = clients.client("secretsmanager")
        self.arn = self.client.create_secret(Name=name, SecretString=value)["ARN"]
        self.name = name
        self.enabled = True
        self.stages: dict[str, list[str]] = {}
        self.client.meta.events.register(
            "after-call.secrets-manager.DescribeSecret", self._as_rotating
        )

    def _as_rotating(self, parsed: dict[str, Any], **_: Any) -> None:
        """moto knows no empty version, and turns rotation on only by rotating."""
        parsed["RotationEnabled"] = self.enabled
        if not any("AWSPENDING" in s for s in parsed["VersionIdsToStages"].values()):
            parsed["VersionIdsToStages"].setdefault(TOKEN, ["AWSPENDING"])
        parsed["VersionIdsToStages"].update(self.stages)

    def step(self, name: str, **more: str) -> None:
        handler({"Step": name, "SecretId": self.arn, "ClientRequestToken": TOKEN, **more}, object())

    def value(self, **which: str) -> str:
        which = which or {"VersionStage": "AWSCURRENT"}
        return str(self.client.get_secret_value(SecretId=self.arn, **which)["SecretString"])

    def labels(self) -> dict[str, list[str]]:
        listed = self.client.list_secret_version_ids(SecretId=self.arn)["Versions"]
        return {v["VersionId"]: sorted(v["VersionStages"]) for v in listed}


@pytest.fixture
def vault(aws: None, use_platform: Any) -> Vault:
    use_platform(secrets=SECRETS)
    return Vault("keys/json", json.dumps({"user": "chat", "api_key": PLANTED}))


def test_the_four_steps_put_a_new_key_in_place(vault: Vault) -> None:
    for name in ("createSecret", "setSecret", "testSecret", "finishSecret"):
        vault.step(name)

    made = json.loads(vault.value())
    assert (made["user"], len(made["api_key"])) == ("chat", 48)
    assert made["api_key"].isalnum()
    assert vault.labels()[TOKEN] == ["AWSCURRENT"]
    assert vault.value(VersionStage="AWSPREVIOUS") == '{"user": "chat", "api_key": "' + (
        PLANTED + '"}'
    )


def test_every_step_may_be_repeated(vault: Vault) -> None:
    vault.step("createSecret")
    made = vault.value(VersionId=TOKEN)
    for name in ("createSecret", "testSecret", "testSecret", "finishSecret", "finishSecret"):
        vault.step(name)

    assert vault.value() == made


def test_nothing_is_done_for_a_version_that_is_not_pending(vault: Vault) -> None:
    vault.stages = {TOKEN: []}

    with pytest.raises(PrerequisiteNotMetError, match="is not AWSPENDING"):
        vault.step("createSecret")

    assert TOKEN not in vault.labels()


@pytest.mark.parametrize("value", ["planted", '{"other": "planted"}'])
def test_a_value_of_another_shape_ends_the_rotation_at_its_first_step(
    use_platform: Any, calls_of: Any, value: str
) -> None:
    use_platform(secrets=SECRETS)
    vault = Vault("keys/json", value)
    labels = calls_of("secretsmanager", "UpdateSecretVersionStage")
    labels.will_answer({})  # moto knows no empty version

    with pytest.raises(PrerequisiteNotMetError) as caught:
        vault.step("createSecret")

    assert "the text field api_key, which platform.json names" in str(caught.value)
    assert "planted" not in str(caught.value)
    assert labels.made == [
        {"SecretId": vault.arn, "VersionStage": "AWSPENDING", "RemoveFromVersionId": TOKEN}
    ]


def test_nothing_is_done_while_rotation_is_off(vault: Vault) -> None:
    vault.enabled = False

    with pytest.raises(PrerequisiteNotMetError, match="keys/json: rotation is off"):
        vault.step("createSecret")


def test_a_secret_that_is_not_in_the_platform_file_is_refused(vault: Vault) -> None:
    other = Vault("somebody-elses", PLANTED)

    with pytest.raises(TargetNotFoundError, match=r"somebody-elses is not in platform\.json"):
        other.step("createSecret")


def test_an_unknown_step_is_refused(vault: Vault) -> None:
    with pytest.raises(PrerequisiteNotMetError, match="no step 'deleteSecret'"):
        vault.step("deleteSecret")


def test_a_key_that_is_the_current_one_is_not_put_in_place(vault: Vault) -> None:
    vault.client.put_secret_value(
        SecretId=vault.arn,
        ClientRequestToken=TOKEN,
        SecretString=vault.value(),
        VersionStages=["AWSPENDING"],
    )
    vault.step("testSecret")  # as Secrets Manager does when rotation is turned on

    with pytest.raises(ChangeFailedError, match="holds the current key"):
        vault.step("finishSecret")

    assert "AWSCURRENT" not in vault.labels()[TOKEN]


def test_a_version_without_a_value_cannot_be_tried(vault: Vault) -> None:
    with pytest.raises(PrerequisiteNotMetError, match="has no value"):
        vault.step("testSecret")


def test_no_value_and_no_token_of_the_event_is_logged(vault: Vault) -> None:
    written = io.StringIO()
    output = observability.logger().registered_handler
    before = output.setStream(written)
    try:
        for name in ("createSecret", "testSecret", "finishSecret"):
            vault.step(name, RotationToken="rotation-token-of-the-event")
    finally:
        output.setStream(before)

    logged = written.getvalue()
    assert "finishSecret" in logged
    assert "rotation-token-of-the-event" not in logged
    assert PLANTED not in logged
    assert json.loads(vault.value())["api_key"] not in logged


# --- the steps, with IAM: against botocore's model, for moto and the engine know no credentials ---

ARN = "arn:aws:secretsmanager:us-east-1:123456789012:secret:keys/bedrock-AbCdEf"
FIRST = "ffffffff-1b1b-4c2c-8d3d-4e4e4e4e4e4e"
USER = {"UserName": "caller", "ServiceName": "bedrock.amazonaws.com"}
OLD_ID, NEW_ID = "ACCAOLDOLDOLDOLDOLDO", "ACCANEWNEWNEWNEWNEWN"
ENTRY = Secret(
    secret_id="keys/bedrock",
    issuer="iam",
    user_name="caller",
    service_name="bedrock.amazonaws.com",
)


class Iam:
    def __init__(self) -> None:
        self.iam = boto3.client("iam", region_name="us-east-1")
        self.secrets = boto3.client("secretsmanager", region_name="us-east-1")
        self.to_iam, self.to_secrets = Stubber(self.iam), Stubber(self.secrets)
        self.to_iam.activate()
        self.to_secrets.activate()

    def lists(self, *keys: tuple[str, str, int]) -> None:
        """IAM knows these credentials: id, status, age in seconds."""
        listed = [
            {
                "UserName": "caller",
                "Status": status,
                "ServiceUserName": "caller-at-123456789012",
                "CreateDate": NOW - timedelta(seconds=age),
                "ServiceSpecificCredentialId": key_id,
                "ServiceName": "bedrock.amazonaws.com",
            }
            for key_id, status, age in keys
        ]
        self.to_iam.add_response(
            "list_service_specific_credentials", {"ServiceSpecificCredentials": listed}, USER
        )

    def makes(self, **fields: str) -> None:
        made = {
            "CreateDate": NOW,
            "ServiceName": "bedrock.amazonaws.com",
            "ServiceSpecificCredentialId": NEW_ID,
            "UserName": "caller",
            "Status": "Active",
            **fields,
        }
        self.to_iam.add_response(
            "create_service_specific_credential", {"ServiceSpecificCredential": made}, USER
        )

    def deletes(self, key_id: str) -> None:
        self.to_iam.add_response(
            "delete_service_specific_credential",
            {},
            {"UserName": "caller", "ServiceSpecificCredentialId": key_id},
        )

    def holds(self, version_id: str, value: str | None) -> None:
        wanted = {"SecretId": ARN, "VersionId": version_id}
        if value is None:
            self.to_secrets.add_client_error(
                "get_secret_value", "ResourceNotFoundException", expected_params=wanted
            )
        else:
            self.to_secrets.add_response("get_secret_value", {"SecretString": value}, wanted)

    def rotation(self, *labels: str) -> Rotation:
        stages = {FIRST: ("AWSCURRENT",), TOKEN: ("AWSPENDING", *labels)}
        state = SecretState(arn=ARN, name="keys/bedrock", stages=stages, rotation_enabled=True)
        secrets = Secrets(self.secrets)
        return Rotation(
            entry=ENTRY,
            state=state,
            version_id=TOKEN,
            secrets=secrets,
            values=SecretValues(self.secrets),
            issuer=IamIssuer(
                ENTRY,
                ServiceCredentials(self.iam),
                secrets,
                grace_seconds=3600,
                now=lambda: NOW,
            ),
        )

    def assert_all_made(self) -> None:
        self.to_iam.assert_no_pending_responses()
        self.to_secrets.assert_no_pending_responses()


@pytest.fixture
def issued() -> Iam:
    return Iam()


def test_iam_makes_the_key_and_a_label_says_which(issued: Iam) -> None:
    issued.holds(TOKEN, None)
    issued.holds(FIRST, "old")
    issued.lists((OLD_ID, "Active", 86_400))
    issued.makes(ServiceCredentialSecret="new")
    issued.to_secrets.add_response(
        "put_secret_value",
        {},
        {
            "SecretId": ARN,
            "ClientRequestToken": TOKEN,
            "SecretString": "new",
            "VersionStages": ["AWSPENDING", f"credential-{NEW_ID}"],
        },
    )

    issued.rotation().perform("createSecret")

    issued.assert_all_made()


def test_a_key_that_could_not_be_stored_is_deleted(issued: Iam) -> None:
    issued.holds(TOKEN, None)
    issued.holds(FIRST, "old")
    issued.lists()
    issued.makes(ServiceCredentialSecret="new")
    issued.to_secrets.add_client_error("put_secret_value", "EncryptionFailure")
    issued.deletes(NEW_ID)

    with pytest.raises(Exception, match="EncryptionFailure"):
        issued.rotation().perform("createSecret")

    issued.assert_all_made()


def test_the_key_before_the_current_one_makes_room(issued: Iam) -> None:
    """Its version forgets it: with a label, Secrets Manager would keep the version for ever."""
    older = "eeeeeeee-1b1b-4c2c-8d3d-4e4e4e4e4e4e"
    state = {
        FIRST: ["AWSCURRENT", "credential-ACCACURRENTCURRENTCU"],
        older: ["AWSPREVIOUS", f"credential-{OLD_ID}"],
        TOKEN: ["AWSPENDING"],
    }
    issued.lists((OLD_ID, "Active", 90_000), ("ACCACURRENTCURRENTCU", "Active", 7_200))
    issued.deletes(OLD_ID)
    described = {"ARN": ARN, "Name": "keys/bedrock", "VersionIdsToStages": state}
    issued.to_secrets.add_response("describe_secret", described, {"SecretId": ARN})
    issued.to_secrets.add_response(
        "update_secret_version_stage",
        {},
        {"SecretId": ARN, "VersionStage": f"credential-{OLD_ID}", "RemoveFromVersionId": older},
    )
    issued.makes(ServiceCredentialSecret="new")
    issuer = IamIssuer(
        ENTRY,
        ServiceCredentials(issued.iam),
        Secrets(issued.secrets),
        grace_seconds=3600,
        now=lambda: NOW,
    )

    key, labels = issuer.make(
        SecretState(arn=ARN, name="keys/bedrock", stages={v: tuple(s) for v, s in state.items()})
    )

    assert (key, labels) == ("new", (f"credential-{NEW_ID}",))
    issued.assert_all_made()


def test_a_service_with_user_names_and_passwords_leaves_nothing_behind(issued: Iam) -> None:
    issued.makes(ServiceUserName="caller-at-123456789012", ServicePassword="pass-word")
    issued.deletes(NEW_ID)

    with pytest.raises(ChangeFailedError) as caught:
        ServiceCredentials(issued.iam).make("caller", "bedrock.amazonaws.com")

    assert "pass-word" not in str(caught.value)
    issued.assert_all_made()


@pytest.mark.parametrize(
    ("known", "status"),
    [(((NEW_ID, "Inactive", 1),), "Inactive"), ((), "not there")],
)
def test_a_credential_that_is_not_active_does_not_pass(
    issued: Iam, known: tuple[tuple[str, str, int], ...], status: str
) -> None:
    issued.holds(TOKEN, "new")
    issued.holds(FIRST, "old")
    issued.holds(TOKEN, "new")
    issued.lists(*known)

    with pytest.raises(ChangeFailedError) as caught:
        issued.rotation(f"credential-{NEW_ID}").perform("testSecret")

    assert str(caught.value) == (
        f"secret keys/bedrock: credential {NEW_ID} of user caller is {status}"
    )


def test_an_active_credential_passes(issued: Iam) -> None:
    issued.holds(TOKEN, "new")
    issued.holds(FIRST, "old")
    issued.holds(TOKEN, "new")
    issued.lists((NEW_ID, "Active", 1))

    issued.rotation(f"credential-{NEW_ID}").perform("testSecret")

    issued.assert_all_made()
