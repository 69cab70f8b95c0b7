import json

import pytest

from tests.local.workbench import Workbench

pytestmark = pytest.mark.engine

CODE = """
class ResourceBusyError(Exception):
    pass


def raise_plain():
    raise ResourceBusyError("table is busy")


def raise_many_lines():
    raise ResourceBusyError(
        "first line\\nTraceback (most recent call last):\\nValueError: not this one"
    )


def raise_chained():
    try:
        raise KeyError("the cause")
    except KeyError as error:
        raise ResourceBusyError("the one that counts") from error


def raise_empty():
    raise ResourceBusyError


def handler(event, context):
    globals()[event["raise"]]()
"""


@pytest.mark.parametrize("case", ["plain", "many_lines", "chained", "empty"])
def test_error_type_is_the_class_raised_last(bench: Workbench, name: str, case: str) -> None:
    bench.function(name, CODE)
    answer = bench.invoke(name, Payload=json.dumps({"raise": f"raise_{case}"}))
    assert answer["FunctionError"] == "Unhandled"
    assert answer["Payload"]["errorType"] == "ResourceBusyError"


def invoking(function: str, **fields: object) -> dict[str, object]:
    task = {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Arguments": {"FunctionName": function, "Payload": {"raise": "raise_plain"}},
        "End": True,
        **fields,
    }
    caught = {"Type": "Pass", "End": True}
    return {"StartAt": "Call", "States": {"Call": task, "Caught": caught}}


def test_catch_by_class_name_matches(bench: Workbench, name: str) -> None:
    catch = {
        "ErrorEquals": ["ResourceBusyError"],
        "Next": "Caught",
        "Output": "{% $states.errorOutput %}",
    }
    function = bench.function(name, CODE)
    ended = bench.run(name, invoking(function, Catch=[catch]))
    assert ended["status"] == "SUCCEEDED"
    output = json.loads(ended["output"])
    assert output["Error"] == "ResourceBusyError"
    assert json.loads(output["Cause"])["errorMessage"] == "table is busy"


def test_throttled_function_fails_the_task_with_the_service_error(
    bench: Workbench, name: str
) -> None:
    function = bench.function(name, CODE)
    bench.client("lambda").put_function_concurrency(
        FunctionName=name, ReservedConcurrentExecutions=0
    )
    ended = bench.run(name, invoking(function))
    assert ended["status"] == "FAILED"
    assert ended["error"] == "Lambda.TooManyRequestsException"
