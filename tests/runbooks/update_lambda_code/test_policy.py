"""Decisions of update_lambda_code: which package is taken, what is planned, what is refused."""

import dataclasses

import pytest

from lambdas.remediation.errors import (
    InvalidRequestError,
    PrerequisiteNotMetError,
    ResourceBusyError,
)
from lambdas.remediation.platform import Function
from lambdas.remediation.resources.code_package import Package
from lambdas.remediation.resources.lambda_alias import Alias
from lambdas.remediation.resources.lambda_release import CodeStorage, Configuration
from lambdas.runbooks.update_lambda_code import policy
from lambdas.runbooks.update_lambda_code.policy import Asked, Situation

ARN = "arn:aws:lambda:us-east-1:123456789012:function:chat"
OLD = "b2xkLW9sZC1vbGQtb2xkLW9sZC1vbGQtb2xkLW9sZC0="
NEW = "bmV3LW5ldy1uZXctbmV3LW5ldy1uZXctbmV3LW5ldy0="
GIVEN = {"key": "chat/2.zip", "version_id": "v2", "sha256": NEW}
ALIAS = Alias(
    function_name="chat", name="live", arn=f"{ARN}:live", version="7", revision_id="alias-revision"
)
LATEST = Configuration(
    version="$LATEST",
    state="Active",
    last_update_status="Successful",
    code_sha256=OLD,
    revision_id="revision",
)
SITUATION = Situation(
    function_arn=ARN,
    asked=Asked(key="chat/2.zip", version_id="v2", sha256=NEW),
    bucket="packages",
    package=Package(size_bytes=1_000),
    storage=CodeStorage(used_bytes=0, limit_bytes=5_000),
    latest=LATEST,
    alias=ALIAS,
    served_code=OLD,
    canary_percent=10,
    run_id="update-lambda-code:one",
)


def situation(**changed):
    return dataclasses.replace(SITUATION, **changed)


def latest(**changed):
    return situation(latest=dataclasses.replace(LATEST, **changed))


class TestParameters:
    def test_a_package_is_named_by_key_version_and_hash(self):
        assert policy.asked(GIVEN) == Asked(key="chat/2.zip", version_id="v2", sha256=NEW)

    @pytest.mark.parametrize("name", ["key", "version_id", "sha256"])
    def test_what_is_missing_is_named(self, name):
        with pytest.raises(InvalidRequestError) as caught:
            policy.asked({k: v for k, v in GIVEN.items() if k != name})

        assert str(caught.value).startswith(f"parameters.{name}: missing; give key, version_id")

    @pytest.mark.parametrize(
        ("wrong", "told"),
        [
            ({"sha256": "e3b0c44298fc1c14"}, "parameters.sha256: 'e3b0c44298fc1c14' is not"),
            ({"sha256": "not base64!"}, "openssl dgst -sha256 -binary"),
            ({"version_id": "null"}, "parameters.version_id: 'null' is no version"),
            ({"key": "k" * 1_025}, "parameters.key: longer than 1024 bytes"),
        ],
    )
    def test_what_cannot_be_meant_is_refused_with_what_to_type(self, wrong, told):
        with pytest.raises(InvalidRequestError) as caught:
            policy.asked({**GIVEN, **wrong})

        assert told in str(caught.value)

    def test_packages_come_from_the_configured_bucket_only(self):
        assert policy.require_bucket(Function(function_name="c", code_bucket="b")) == "b"

        with pytest.raises(PrerequisiteNotMetError) as caught:
            policy.require_bucket(Function(function_name="chat"))
        assert "set functions[].code_bucket" in str(caught.value)


class TestPlan:
    def test_updates_publishes_and_moves_the_alias(self):
        update, publish, move = policy.decide(SITUATION).calls

        assert (update.api, update.resource, update.reversible) == (
            "lambda:UpdateFunctionCode",
            ARN,
            False,
        )
        assert update.arguments == {
            "S3Bucket": "packages",
            "S3Key": "chat/2.zip",
            "S3ObjectVersion": "v2",
            "RevisionId": "revision",
        }
        assert (update.before, update.after) == ({"CodeSha256": OLD}, {"CodeSha256": NEW})
        assert (publish.api, publish.reversible) == ("lambda:PublishVersion", False)
        assert publish.after == {"PublishedVersion": "release:update-lambda-code:one"}
        assert (move.api, move.resource, move.reversible) == (
            "lambda:UpdateAlias",
            f"{ARN}:live",
            True,
        )
        assert move.before == {"FunctionVersion": "7", "AdditionalVersionWeights": {}}
        assert move.after == {
            "FunctionVersion": "release:update-lambda-code:one",
            "AdditionalVersionWeights": {},
        }
        assert move.arguments["CanaryPercent"] == 10

    def test_code_that_is_there_unpublished_is_only_published(self):
        plan = policy.decide(latest(code_sha256=NEW))

        assert [c.api for c in plan.calls] == ["lambda:PublishVersion", "lambda:UpdateAlias"]

    def test_a_version_that_is_the_same_is_used_again(self):
        same = dataclasses.replace(latest(code_sha256=NEW), same_version="8")
        (move,) = policy.decide(same).calls

        assert move.after == {"FunctionVersion": "8", "AdditionalVersionWeights": {}}

    def test_a_version_of_other_code_is_not_used(self):
        plan = policy.decide(situation(same_version="8"))

        assert plan.calls[-1].after["FunctionVersion"] == "release:update-lambda-code:one"

    def test_the_code_that_serves_may_be_put_back_to_latest(self):
        plan = policy.decide(dataclasses.replace(latest(code_sha256=OLD), served_code=NEW))

        assert plan.calls[0].api == "lambda:UpdateFunctionCode"

    def test_settings_that_are_released_with_it_are_named(self):
        plan = policy.decide(situation(drift=["MemorySize", "Environment.MODE"]))

        assert plan.reason.endswith("it is unpublished too: MemorySize, Environment.MODE.")
        assert plan.evidence["released_settings"] == ["MemorySize", "Environment.MODE"]


class TestRefusals:
    @pytest.mark.parametrize(
        ("changed", "told"),
        [
            (
                dataclasses.replace(latest(code_sha256=NEW), served_code=NEW),
                "nothing to do: chat:live serves this code already, in version 7",
            ),
            (latest(package_type="Image"), "is a container image (Image)"),
            (latest(state="Failed"), "function chat is Failed"),
            (
                latest(last_update_status="Failed", reason="InvalidZip"),
                "its last update Failed InvalidZip; repair that first",
            ),
            (
                situation(alias=dataclasses.replace(ALIAS, version="$LATEST")),
                "alias live serves $LATEST, which one cannot go back to",
            ),
            (
                situation(alias=dataclasses.replace(ALIAS, weights={"8": 0.1})),
                "between versions 7 and 8; finish that rollout first",
            ),
            (
                situation(package=Package(size_bytes=5_001)),
                "0 of 5000 bytes of packages in this account, 5001 more do not fit",
            ),
            (
                situation(package=Package(size_bytes=1, sha256=OLD)),
                f"has SHA-256 {OLD}, not {NEW}",
            ),
        ],
    )
    def test_says_what_is_wrong_and_what_to_do(self, changed, told):
        with pytest.raises(PrerequisiteNotMetError) as caught:
            policy.decide(changed)

        assert told in str(caught.value)

    def test_a_function_that_is_being_updated_is_looked_at_again_later(self):
        with pytest.raises(ResourceBusyError):
            policy.decide(latest(last_update_status="InProgress"))
