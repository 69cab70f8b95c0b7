import json

import pytest

from tests.local.apis import RestApi
from tests.local.workbench import Workbench

pytestmark = pytest.mark.engine

CODE = """
import json

ANSWERS = {
    "whole": {"statusCode": 201, "headers": {"x-a": "b"}, "body": "made"},
    "status-as-text": {"statusCode": "202", "body": "taken"},
    "no-status": {"body": "fine"},
    "other-field": {"statusCode": 200, "message": "not one of the fields"},
    "body-not-text": {"statusCode": 200, "body": {"a": 1}},
    "text": "just text",
    "nothing": None,
    "list": [200],
    "no-number": {"statusCode": "ok", "body": ""},
}


def handler(event, context):
    name = event["path"].strip("/")
    if name == "raise":
        raise ValueError("a secret")
    return ANSWERS[name]
"""

INTERNAL = {"message": "Internal server error"}


def test_answers_are_judged_as_api_gateway_does(bench: Workbench, name: str) -> None:
    api = RestApi(bench, name, bench.function(name, CODE))
    api.deploy(stageName="prod")

    assert api.get("whole") == (201, "made")
    assert api.get("status-as-text") == (202, "taken")
    assert api.get("no-status") == (200, "fine")
    malformed = ("other-field", "body-not-text", "text", "nothing", "list", "no-number")
    for path in (*malformed, "raise"):
        status, body = api.get(path)
        assert (path, status, json.loads(body)) == (path, 502, INTERNAL)
    dimensions = {"ApiName": name, "Stage": "prod"}
    assert bench.metric_sum("AWS/ApiGateway", "Count", dimensions) == 10
    assert bench.metric_sum("AWS/ApiGateway", "5XXError", dimensions) == 7


@pytest.mark.parametrize("qualifier", ["", ":absent"])
def test_missing_function_or_alias_is_a_500_nobody_is_invoked_for(
    bench: Workbench, name: str, qualifier: str
) -> None:
    function = bench.function(name, CODE) if qualifier else bench.function_arn(f"{name}-absent")
    api = RestApi(bench, name, f"{function}{qualifier}")
    api.deploy(stageName="prod")

    status, body = api.get("whole")
    assert (status, json.loads(body)) == (500, INTERNAL)
    dimensions = {"ApiName": name, "Stage": "prod"}
    assert bench.metric_sum("AWS/ApiGateway", "Count", dimensions) == 1
    assert bench.metric_sum("AWS/ApiGateway", "5XXError", dimensions) == 1
    assert bench.metric_sum("AWS/Lambda", "Invocations", {"FunctionName": name}) is None
