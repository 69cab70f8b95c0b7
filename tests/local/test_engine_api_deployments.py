import pytest

from tests.local.apis import RestApi
from tests.local.workbench import Workbench, arn

pytestmark = pytest.mark.engine


def answering(text: str) -> str:
    return f"""
def handler(event, context):
    return {{"statusCode": 200, "body": "{text}"}}
"""


def two_deployments(bench: Workbench, name: str) -> tuple[RestApi, str, str]:
    """An API whose first deployment answers `old`, its second, not on a stage, `new`."""
    api = RestApi(bench, name, bench.function(f"{name}-old", answering("old")))
    old = api.deploy(stageName="prod")
    api.integrate(bench.function(f"{name}-new", answering("new")))
    return api, old, api.deploy()


def test_an_edit_is_not_served_before_it_is_deployed(bench: Workbench, name: str) -> None:
    api = RestApi(bench, name, bench.function(f"{name}-old", answering("old")))
    api.deploy(stageName="prod")

    api.integrate(bench.function_arn("absent"))
    assert api.get() == (200, "old")

    api.deploy(stageName="prod")
    assert api.get()[0] == 500


def test_moving_the_stage_moves_the_traffic_there_and_back(bench: Workbench, name: str) -> None:
    api, old, new = two_deployments(bench, name)
    assert api.get() == (200, "old")

    api.patch(op="replace", path="/deploymentId", value=new)
    assert api.get() == (200, "new")

    api.patch(op="replace", path="/deploymentId", value=old)
    assert api.get() == (200, "old")


def test_a_resource_of_a_later_deployment_is_unknown_to_the_stage(
    bench: Workbench, name: str
) -> None:
    api, *_ = two_deployments(bench, name)
    root = next(
        r["id"]
        for r in api.api.get_resources(restApiId=api.identifier)["items"]
        if r["path"] == "/"
    )
    api.api.delete_resource(
        restApiId=api.identifier,
        resourceId=next(
            r["id"]
            for r in api.api.get_resources(restApiId=api.identifier)["items"]
            if r.get("parentId") == root
        ),
    )
    assert api.get() == (200, "old")

    api.deploy(stageName="prod")
    assert api.get()[0] == 403


def test_unknown_deployment_is_refused_and_changes_nothing(bench: Workbench, name: str) -> None:
    api, old, _ = two_deployments(bench, name)
    for refused in (
        lambda: api.patch(op="replace", path="/deploymentId", value="absent"),
        lambda: api.api.create_stage(
            restApiId=api.identifier, stageName="other", deploymentId="absent"
        ),
    ):
        with pytest.raises(api.api.exceptions.BadRequestException) as refusal:
            refused()
        assert "Invalid Deployment identifier specified" in str(refusal.value)
    assert api.stage()["deploymentId"] == old
    assert api.get() == (200, "old")


def test_deployment_a_stage_points_to_cannot_be_deleted(bench: Workbench, name: str) -> None:
    api, old, new = two_deployments(bench, name)
    where = {"restApiId": api.identifier}
    with pytest.raises(api.api.exceptions.BadRequestException):
        api.api.delete_deployment(**where, deploymentId=old)
    api.api.delete_deployment(**where, deploymentId=new)
    assert [d["id"] for d in api.api.get_deployments(**where)["items"]] == [old]


def canary(bench: Workbench, name: str, percent: float) -> tuple[RestApi, str]:
    api = RestApi(bench, name, bench.function(f"{name}-old", answering("old")))
    api.deploy(stageName="prod")
    api.integrate(bench.function(f"{name}-new", answering("new")))
    return api, api.deploy(stageName="prod", canarySettings={"percentTraffic": percent})


def test_canary_leaves_the_stage_where_it_is_and_takes_its_share(
    bench: Workbench, name: str
) -> None:
    api, deployment = canary(bench, name, 50.0)
    stage = api.stage()
    assert stage["deploymentId"] != deployment
    assert stage["canarySettings"]["deploymentId"] == deployment
    assert stage["canarySettings"]["percentTraffic"] == 50.0
    # Forty times the same side: once in 2 ** 39 runs.
    assert {api.get()[1] for _ in range(40)} == {"old", "new"}


def test_canary_is_removed_by_patch(bench: Workbench, name: str) -> None:
    api, _ = canary(bench, name, 100.0)
    assert api.get() == (200, "new")

    api.patch(op="remove", path="/canarySettings")
    assert "canarySettings" not in api.stage()
    assert api.get() == (200, "old")


def test_canary_is_promoted_by_copy(bench: Workbench, name: str) -> None:
    api, deployment = canary(bench, name, 0.0)
    assert api.get() == (200, "old")

    api.patch(**{"op": "copy", "from": "/canarySettings/deploymentId", "path": "/deploymentId"})
    assert api.stage()["deploymentId"] == deployment
    assert api.get() == (200, "new")


def test_template_deploys_a_snapshot_too(bench: Workbench, name: str) -> None:
    function = bench.function(name, answering("old"))
    uri = arn("apigateway", f"path/2015-03-31/functions/{function}/invocations")
    bench.deploy(name, template(name, uri.replace(":000000000000:path", ":lambda:path")))
    api = bench.client("apigateway")
    identifier = next(a["id"] for a in api.get_rest_apis()["items"] if a["name"] == name)
    deployed = RestApi.__new__(RestApi)
    deployed.api, deployed.identifier = api, identifier
    assert deployed.get() == (200, "old")

    (root,) = api.get_resources(restApiId=identifier)["items"][:1]
    proxy = next(r for r in api.get_resources(restApiId=identifier)["items"] if r != root)
    api.delete_method(restApiId=identifier, resourceId=proxy["id"], httpMethod="ANY")
    assert deployed.get() == (200, "old")


def template(name: str, uri: str) -> dict[str, object]:
    api = {"Ref": "Api"}
    return {
        "Api": {"Type": "AWS::ApiGateway::RestApi", "Properties": {"Name": name}},
        "Proxy": {
            "Type": "AWS::ApiGateway::Resource",
            "Properties": {
                "RestApiId": api,
                "ParentId": {"Fn::GetAtt": ["Api", "RootResourceId"]},
                "PathPart": "{proxy+}",
            },
        },
        "Method": {
            "Type": "AWS::ApiGateway::Method",
            "Properties": {
                "RestApiId": api,
                "ResourceId": {"Ref": "Proxy"},
                "HttpMethod": "ANY",
                "AuthorizationType": "NONE",
                "Integration": {
                    "Type": "AWS_PROXY",
                    "IntegrationHttpMethod": "POST",
                    "Uri": uri,
                },
            },
        },
        "Deployment": {
            "Type": "AWS::ApiGateway::Deployment",
            "DependsOn": "Method",
            "Properties": {"RestApiId": api},
        },
        "Stage": {
            "Type": "AWS::ApiGateway::Stage",
            "Properties": {
                "RestApiId": api,
                "StageName": "prod",
                "DeploymentId": {"Ref": "Deployment"},
            },
        },
    }
