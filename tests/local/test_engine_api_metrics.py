import urllib.error
import urllib.request

import pytest

from tests.local.workbench import Workbench, arn

pytestmark = pytest.mark.engine

CODE = """
def handler(event, context):
    if event["path"] == "/fail":
        raise ValueError("asked to")
    return {"statusCode": 404 if event["path"] == "/absent" else 200, "body": "{}"}
"""


def deploy_api(bench: Workbench, name: str) -> str:
    """A REST API that proxies every path to a function; returns its base address."""
    function = bench.function(name, CODE)
    api = bench.client("apigateway")
    identifier = api.create_rest_api(name=name)["id"]
    root = api.get_resources(restApiId=identifier)["items"][0]["id"]
    proxy = api.create_resource(restApiId=identifier, parentId=root, pathPart="{proxy+}")["id"]
    where = {"restApiId": identifier, "resourceId": proxy, "httpMethod": "ANY"}
    api.put_method(**where, authorizationType="NONE")
    invocation = f"path/2015-03-31/functions/{function}/invocations"
    api.put_integration(
        **where,
        type="AWS_PROXY",
        integrationHttpMethod="POST",
        uri=arn("apigateway", invocation).replace(":000000000000:path", ":lambda:path"),
    )
    api.create_deployment(restApiId=identifier, stageName="prod")
    endpoint = api.meta.endpoint_url
    return f"{endpoint}/restapis/{identifier}/prod/_user_request_"


def status(address: str) -> int:
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def test_requests_are_counted_by_api_and_stage(bench: Workbench, name: str) -> None:
    base = deploy_api(bench, name)
    statuses = [status(f"{base}/{path}") for path in ("ok", "ok", "absent", "fail")]
    assert statuses == [200, 200, 404, 502]
    for dimensions in ({"ApiName": name}, {"ApiName": name, "Stage": "prod"}):
        assert bench.metric_sum("AWS/ApiGateway", "Count", dimensions) == 4
        assert bench.metric_sum("AWS/ApiGateway", "5XXError", dimensions) == 1
        assert bench.metric_sum("AWS/ApiGateway", "4XXError", dimensions) == 1
        assert bench.metric_sum("AWS/ApiGateway", "Latency", dimensions) > 0
    assert bench.metric_sum("AWS/Lambda", "Errors", {"FunctionName": name}) == 1
