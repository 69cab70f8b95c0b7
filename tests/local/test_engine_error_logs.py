import json
from typing import Any

import pytest

from local.engine.error_logs import error_event
from tests.local.workbench import Workbench, eventually

pytestmark = pytest.mark.engine

CODE = """
calls = 0


def look_up(body):
    return body["chatSessionId"]


def handler(event, context):
    global calls
    calls += 1
    print("before")
    if event.get("fail"):
        look_up({})
    if event.get("long"):
        raise ValueError("first line\\nsecond line")
    return calls
"""


def log(bench: Workbench, name: str, **fields: Any) -> list[str]:
    answer = bench.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{name}", **fields)
    return [event["message"] for event in answer["events"]]


def test_exception_is_one_event_with_its_traceback(bench: Workbench, name: str) -> None:
    bench.function(name, CODE)
    bench.invoke(name, Payload='{"fail": true}')

    (event,) = eventually(lambda: log(bench, name, filterPattern='"[ERROR]"'))
    lines = event.splitlines()
    assert lines[:2] == ["[ERROR] KeyError: 'chatSessionId'", "Traceback (most recent call last):"]
    assert lines[2].startswith('\u00a0\u00a0File "')
    assert lines[2].endswith("in handler")
    assert any(line.endswith("in look_up") for line in lines)
    assert 'return body["chatSessionId"]' in event
    assert "handler_fn" not in event, "the runtime's own frame is not shown"


def test_events_stand_in_the_order_of_the_invocation(bench: Workbench, name: str) -> None:
    bench.function(name, CODE)
    bench.invoke(name, Payload='{"long": true}')

    first_words = [m.split()[0] for m in eventually(lambda: log(bench, name))]
    assert first_words == ["START", "before", "[ERROR]", "END", "REPORT"]
    (event,) = log(bench, name, filterPattern="second")
    assert event.startswith("[ERROR] ValueError: first line\nsecond line\nTraceback")


def test_environment_survives_an_exception(bench: Workbench, name: str) -> None:
    bench.function(name, CODE)
    calls = [
        bench.invoke(name, Payload=json.dumps(event))["Payload"]
        for event in ({}, {"fail": True}, {})
    ]
    assert (calls[0], calls[2]) == (1, 3)


def test_event_without_message_names_the_class_only() -> None:
    frames = ['  File "/var/task/m.py", line 3, in handler\n    raise ValueError\n']
    assert error_event("ValueError", "", frames) == (
        "[ERROR] ValueError\n"
        "Traceback (most recent call last):\n"
        '\u00a0\u00a0File "/var/task/m.py", line 3, in handler\n'
        "\u00a0\u00a0\u00a0\u00a0raise ValueError"
    )
