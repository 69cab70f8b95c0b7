import time

import pytest

from tests.local.apis import RestApi, get, http_api
from tests.local.workbench import Workbench

pytestmark = pytest.mark.engine

CODE = """
def handler(event, context):
    path = event.get("path") or event["rawPath"]
    if path.endswith("/fail"):
        raise ValueError("asked to")
    return {"statusCode": 404 if path.endswith("/absent") else 200, "body": "{}"}
"""


def test_requests_are_counted_by_api_and_stage(bench: Workbench, name: str) -> None:
    api = RestApi(bench, name, bench.function(name, CODE))
    api.deploy(stageName="prod")
    statuses = [api.get(path)[0] for path in ("ok", "ok", "absent", "fail")]
    assert statuses == [200, 200, 404, 502]
    for dimensions in ({"ApiName": name}, {"ApiName": name, "Stage": "prod"}):
        assert bench.metric_sum("AWS/ApiGateway", "Count", dimensions) == 4
        assert bench.metric_sum("AWS/ApiGateway", "5XXError", dimensions) == 1
        assert bench.metric_sum("AWS/ApiGateway", "4XXError", dimensions) == 1
        assert bench.metric_sum("AWS/ApiGateway", "Latency", dimensions) > 0
    assert bench.metric_sum("AWS/Lambda", "Errors", {"FunctionName": name}) == 1


def test_error_metric_has_a_point_for_every_request(bench: Workbench, name: str) -> None:
    api = RestApi(bench, name, bench.function(name, CODE))
    api.deploy(stageName="prod")
    for path in ("ok", "ok", "ok", "fail"):
        api.get(path)
    now = time.time()
    answer = bench.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/ApiGateway",
        MetricName="5XXError",
        Dimensions=[{"Name": "ApiName", "Value": name}, {"Name": "Stage", "Value": "prod"}],
        StartTime=now - 600,
        EndTime=now + 60,
        Period=60,
        Statistics=["SampleCount", "Sum"],
    )
    assert sum(p["SampleCount"] for p in answer["Datapoints"]) == 4
    assert sum(p["Sum"] for p in answer["Datapoints"]) == 1


def test_request_through_an_alias_counts_for_the_alias(bench: Workbench, name: str) -> None:
    function = bench.function(name, CODE)
    awslambda = bench.client("lambda")
    version = awslambda.publish_version(FunctionName=name)["Version"]
    awslambda.create_alias(FunctionName=name, Name="live", FunctionVersion=version)
    api = RestApi(bench, name, f"{function}:live")
    api.deploy(stageName="prod")
    assert [api.get(path)[0] for path in ("ok", "fail")] == [200, 502]
    dimensions = {"FunctionName": name, "Resource": f"{name}:live"}
    assert bench.metric_sum("AWS/Lambda", "Invocations", dimensions) == 2
    assert bench.metric_sum("AWS/Lambda", "Errors", dimensions) == 1


def test_http_api_counts_by_id_and_stage(bench: Workbench, name: str) -> None:
    identifier, base = http_api(bench, name, bench.function(name, CODE))
    statuses = [get(f"{base}/{path}")[0] for path in ("ok", "absent", "fail")]
    assert statuses[:2] == [200, 404]
    assert statuses[2] >= 500
    for dimensions in ({"ApiId": identifier}, {"ApiId": identifier, "Stage": "prod"}):
        assert bench.metric_sum("AWS/ApiGateway", "Count", dimensions) == 3
        assert bench.metric_sum("AWS/ApiGateway", "4xx", dimensions) == 1
        assert bench.metric_sum("AWS/ApiGateway", "5xx", dimensions) == 1
        assert bench.metric_sum("AWS/ApiGateway", "Latency", dimensions) > 0
