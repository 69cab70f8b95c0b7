"""Stages of REST and HTTP APIs."""

import hashlib
import json
from datetime import UTC, datetime

import boto3
import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from botocore.stub import Stubber

from lambdas.remediation import changes
from lambdas.remediation.contracts import canonical_json, encode
from lambdas.remediation.errors import (
    ChangeFailedError,
    ResourceBusyError,
    TargetNotFoundError,
    ThrottledError,
)
from lambdas.remediation.resources.api_stage import (
    Canary,
    HttpStages,
    RestStages,
    Stage,
    drop_canary,
    move,
    stage_of,
)

REST_ARN = "arn:aws:apigateway:us-east-1::/restapis/a1b2/stages/prod"
HTTP_ARN = "arn:aws:apigateway:us-east-1::/apis/h1t2/stages/$default"
NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
CANARY = Canary(deployment_id="new", percent_traffic=12.5)
CANARY_SETTINGS = {"deploymentId": "new", "percentTraffic": 12.5, "useStageCache": False}
STAGE = Stage(deployment_id="old", canary=CANARY)
REST_STAGE = {"restApiId": "a1b2", "stageName": "prod"}
HTTP_STAGE = {"ApiId": "h1t2", "StageName": "$default"}
SECRET = "postgres://user:hunter2@db"


@pytest.fixture
def rest_client():
    return boto3.client("apigateway", region_name="us-east-1")


@pytest.fixture
def http_client():
    return boto3.client("apigatewayv2", region_name="us-east-1")


@pytest.fixture
def rest_stub(rest_client):
    with Stubber(rest_client) as stubber:
        yield stubber
    stubber.assert_no_pending_responses()


@pytest.fixture
def http_stub(http_client):
    with Stubber(http_client) as stubber:
        yield stubber
    stubber.assert_no_pending_responses()


class _Http:
    status_code = 200


def serve(client, stage: dict) -> None:
    """Answer for one REST stage, which patches change as API Gateway's do: values are text."""

    def get(**_):
        return _Http(), stage

    def update(params, **_):
        for patch in json.loads(params["body"])["patchOperations"]:
            *outer, key = patch["path"].strip("/").split("/")
            holder = stage.setdefault(outer[0], {}) if outer else stage
            if patch["op"] == "remove":
                del holder[key]
            else:
                holder[key] = patch["value"]
        return _Http(), {}

    client.meta.events.register("before-call.api-gateway.GetStage", get)
    client.meta.events.register("before-call.api-gateway.UpdateStage", update)


def test_the_arn_of_a_stage_names_api_and_stage():
    assert stage_of(REST_ARN) == ("a1b2", "prod")
    assert stage_of(HTTP_ARN) == ("h1t2", "$default")


class TestRead:
    def test_a_rest_stage(self, rest_client, rest_stub):
        answer = {
            "deploymentId": "old",
            "canarySettings": {
                "deploymentId": "new",
                "percentTraffic": 12.5,
                "stageVariableOverrides": {},
                "useStageCache": True,
            },
            "lastUpdatedDate": NOON,
        }
        rest_stub.add_response("get_stage", answer, REST_STAGE)

        found = RestStages(rest_client).read("a1b2", "prod")

        assert found == Stage(
            deployment_id="old",
            canary=Canary(deployment_id="new", percent_traffic=12.5, use_stage_cache=True),
            last_updated_at=NOON,
        )

    def test_an_http_stage(self, http_client, http_stub):
        answer = {
            "StageName": "$default",
            "DeploymentId": "old",
            "AutoDeploy": True,
            "LastUpdatedDate": NOON,
        }
        http_stub.add_response("get_stage", answer, HTTP_STAGE)

        found = HttpStages(http_client).read("h1t2", "$default")

        assert found == Stage(deployment_id="old", auto_deploy=True, last_updated_at=NOON)

    def test_an_http_stage_that_was_never_deployed(self, http_client, http_stub):
        http_stub.add_response("get_stage", {"StageName": "$default"}, HTTP_STAGE)

        assert HttpStages(http_client).read("h1t2", "$default").deployment_id is None

    def test_values_of_stage_variables_are_kept_as_hashes_only(self, rest_client, rest_stub):
        answer = {
            "deploymentId": "old",
            "variables": {"DATABASE": SECRET},
            "canarySettings": {
                "deploymentId": "new",
                "percentTraffic": 5.0,
                "stageVariableOverrides": {"DATABASE": SECRET},
            },
        }
        rest_stub.add_response("get_stage", answer)

        found = RestStages(rest_client).read("a1b2", "prod")

        digest = hashlib.sha256(SECRET.encode()).hexdigest()
        assert found.variables == {"DATABASE": digest}
        assert found.canary is not None
        assert found.canary.overrides == {"DATABASE": digest}
        assert "hunter2" not in canonical_json(encode(found))
        assert "hunter2" not in canonical_json(found.settings)

    def test_values_of_an_http_stage_too(self, http_client, http_stub):
        answer = {"StageName": "$default", "StageVariables": {"DATABASE": SECRET}}
        http_stub.add_response("get_stage", answer)

        found = HttpStages(http_client).read("h1t2", "$default")

        assert list(found.variables) == ["DATABASE"]
        assert "hunter2" not in canonical_json(encode(found))

    def test_a_stage_that_does_not_exist(self, rest_client, rest_stub, http_client, http_stub):
        rest_stub.add_client_error("get_stage", "NotFoundException")
        http_stub.add_client_error("get_stage", "NotFoundException")

        with pytest.raises(TargetNotFoundError):
            RestStages(rest_client).read("a1b2", "prod")
        with pytest.raises(TargetNotFoundError):
            HttpStages(http_client).read("h1t2", "$default")

    def test_a_stage_that_cannot_be_read_now(self, rest_client, rest_stub):
        rest_stub.add_client_error("get_stage", "TooManyRequestsException")

        with pytest.raises(ThrottledError):
            RestStages(rest_client).read("a1b2", "prod")


class TestDeployedAt:
    def test_of_a_deployment_that_exists(self, rest_client, rest_stub, http_client, http_stub):
        rest_stub.add_response(
            "get_deployment",
            {"id": "old", "createdDate": NOON},
            {"restApiId": "a1b2", "deploymentId": "old"},
        )
        http_stub.add_response(
            "get_deployment",
            {"DeploymentId": "old", "CreatedDate": NOON},
            {"ApiId": "h1t2", "DeploymentId": "old"},
        )

        assert RestStages(rest_client).deployed_at("a1b2", "old") == NOON
        assert HttpStages(http_client).deployed_at("h1t2", "old") == NOON

    def test_of_one_that_is_deleted(self, rest_client, rest_stub, http_client, http_stub):
        rest_stub.add_client_error("get_deployment", "NotFoundException")
        http_stub.add_client_error("get_deployment", "NotFoundException")

        assert RestStages(rest_client).deployed_at("a1b2", "old") is None
        assert HttpStages(http_client).deployed_at("h1t2", "old") is None

    def test_of_one_that_cannot_be_read_is_not_deleted(self, rest_client, rest_stub):
        rest_stub.add_client_error("get_deployment", "TooManyRequestsException")

        with pytest.raises(ThrottledError):
            RestStages(rest_client).deployed_at("a1b2", "old")


class TestMove:
    def test_a_rest_stage_is_patched(self):
        call = move(REST_ARN, STAGE, "good")

        assert call.api == "apigateway:UpdateStage"
        assert (call.before, call.after) == ({"deploymentId": "old"}, {"deploymentId": "good"})
        assert call.arguments == {
            **REST_STAGE,
            "patchOperations": [{"op": "replace", "path": "/deploymentId", "value": "good"}],
        }

    def test_an_http_stage_is_updated(self, http_client, http_stub):
        call = move(HTTP_ARN, STAGE, "good")
        http_stub.add_response(
            "update_stage", {"StageName": "$default"}, {**HTTP_STAGE, "DeploymentId": "good"}
        )

        HttpStages(http_client).apply(call)

        assert call.api == "apigatewayv2:UpdateStage"
        assert call.arguments == {**HTTP_STAGE, "DeploymentId": "good"}

    def test_present_has_exactly_what_the_call_sets(self, http_client, http_stub):
        answer = {"StageName": "$default", "DeploymentId": "old", "AutoDeploy": False}
        http_stub.add_response("get_stage", answer)

        present = HttpStages(http_client).present(move(HTTP_ARN, STAGE, "good"))

        assert present == {"deploymentId": "old"}

    def test_goes_there_and_comes_back(self, rest_client):
        stages = RestStages(rest_client)
        stage = {"deploymentId": "bad", "canarySettings": CANARY_SETTINGS}
        serve(rest_client, stage)
        call = move(REST_ARN, stages.read("a1b2", "prod"), "good")

        changes.apply([call], [stages], lambda: NOON)
        there = dict(stage)
        changes.restore([call], [stages], lambda: NOON)

        assert there == {"deploymentId": "good", "canarySettings": CANARY_SETTINGS}
        assert stage == {"deploymentId": "bad", "canarySettings": CANARY_SETTINGS}


class TestCanary:
    def test_is_removed_as_a_whole(self, rest_client, rest_stub):
        call = drop_canary(REST_ARN, CANARY)
        removal = [{"op": "remove", "path": "/canarySettings"}]
        rest_stub.add_response("update_stage", {}, {**REST_STAGE, "patchOperations": removal})

        RestStages(rest_client).apply(call)

        assert (call.before, call.after) == (
            {"canarySettings": CANARY_SETTINGS},
            {"canarySettings": None},
        )
        assert call.reversible is True

    def test_comes_back_as_it_was(self, rest_client, rest_stub):
        back = [
            {"op": "replace", "path": "/canarySettings/deploymentId", "value": "new"},
            {"op": "replace", "path": "/canarySettings/percentTraffic", "value": "12.5"},
            {"op": "replace", "path": "/canarySettings/useStageCache", "value": "false"},
        ]
        rest_stub.add_response("update_stage", {}, {**REST_STAGE, "patchOperations": back})

        RestStages(rest_client).apply(drop_canary(REST_ARN, CANARY).inverse())

    def test_goes_and_comes_back(self, rest_client):
        stages = RestStages(rest_client)
        stage = {"deploymentId": "old", "canarySettings": dict(CANARY_SETTINGS)}
        serve(rest_client, stage)
        call = drop_canary(REST_ARN, CANARY)

        changes.apply([call], [stages], lambda: NOON)
        without = dict(stage)
        changes.restore([call], [stages], lambda: NOON)

        assert without == {"deploymentId": "old"}
        assert stages.read("a1b2", "prod") == STAGE

    def test_is_nowhere_else_while_it_is_as_recorded(self, rest_client, rest_stub):
        stages = RestStages(rest_client)
        call = drop_canary(REST_ARN, CANARY)
        answer = {"deploymentId": "old", "canarySettings": CANARY_SETTINGS}
        rest_stub.add_response("get_stage", answer)
        rest_stub.add_response("get_stage", {"deploymentId": "old"})
        changed = {**CANARY_SETTINGS, "percentTraffic": 50.0}
        rest_stub.add_response("get_stage", {"deploymentId": "old", "canarySettings": changed})

        found = [changes.position(call, [stages]) for _ in range(3)]

        assert found == ["before", "after", "elsewhere"]

    def test_settings_that_an_answer_gives_as_text(self, rest_client):
        as_text = {"deploymentId": "new", "percentTraffic": "12.5", "useStageCache": "false"}
        serve(rest_client, {"deploymentId": "old", "canarySettings": as_text})

        assert RestStages(rest_client).read("a1b2", "prod").canary == CANARY

    def test_with_overrides_cannot_be_planned(self):
        overriding = Canary(deployment_id="new", percent_traffic=5, overrides={"A": "00ff"})

        with pytest.raises(ValueError, match="cannot be restored"):
            drop_canary(REST_ARN, overriding)


class TestErrors:
    @pytest.mark.parametrize(
        ("code", "expected"),
        [
            ("ConflictException", ResourceBusyError),
            ("TooManyRequestsException", ThrottledError),
            ("ServiceUnavailableException", ThrottledError),
            ("UnauthorizedException", ClientError),
        ],
    )
    def test_of_a_change(self, rest_client, rest_stub, code, expected):
        rest_stub.add_client_error("update_stage", code)

        with pytest.raises(expected):
            RestStages(rest_client).apply(move(REST_ARN, STAGE, "good"))

    @pytest.mark.parametrize("code", ["BadRequestException", "NotFoundException"])
    def test_a_change_that_aws_refuses(self, rest_client, rest_stub, code):
        rest_stub.add_client_error("update_stage", code, "Invalid Deployment identifier")
        rest_stub.add_response("get_stage", {"deploymentId": "old"})

        with pytest.raises(ChangeFailedError) as caught:
            RestStages(rest_client).apply(move(REST_ARN, STAGE, "good"))

        assert "Invalid Deployment identifier" in str(caught.value)

    def test_auto_deploy_refuses(self, http_client, http_stub):
        http_stub.add_client_error("update_stage", "BadRequestException", "AutoDeploy is on")
        http_stub.add_response("get_stage", {"StageName": "$default", "DeploymentId": "old"})

        with pytest.raises(ChangeFailedError):
            HttpStages(http_client).apply(move(HTTP_ARN, STAGE, "good"))

    def test_a_change_whose_answer_is_lost_is_looked_up(self, rest_client):
        def lose_answer(**_):
            raise ReadTimeoutError(endpoint_url="https://apigateway.us-east-1.amazonaws.com")

        events = rest_client.meta.events
        events.register("before-call.api-gateway.UpdateStage", lose_answer)
        events.register(
            "before-call.api-gateway.GetStage", lambda **_: (_Http(), {"deploymentId": "good"})
        )
        stages = RestStages(rest_client)

        stages.apply(move(REST_ARN, STAGE, "good"))
        with pytest.raises(ResourceBusyError):
            stages.apply(move(REST_ARN, STAGE, "other"))
