import time

import pytest

from tests.local.workbench import Workbench

pytestmark = pytest.mark.engine

EVENTS = [
    "[ERROR] KeyError: 'x'\nTraceback (most recent call last):",
    "an error of another kind",
    "Task timed out after 3.00 seconds",
    "REPORT RequestId: 1",
]
ERROR, OTHER, TIMEOUT, REPORT = range(4)


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("", [ERROR, OTHER, TIMEOUT, REPORT]),
        ('"[ERROR]"', [ERROR]),
        ("ERROR", [ERROR]),
        ("error", [OTHER]),
        ('"Task timed out"', [TIMEOUT]),
        ('"timed Task"', []),
        ("out Task", [TIMEOUT]),
        ('?"[ERROR]" ?"Task timed out"', [ERROR, TIMEOUT]),
        ("-REPORT -Task", [ERROR, OTHER]),
        ("an -Task", [OTHER]),
    ],
)
def test_pattern_finds_what_aws_finds(
    bench: Workbench, name: str, pattern: str, found: list[int]
) -> None:
    logs = bench.client("logs")
    logs.create_log_group(logGroupName=name)
    logs.create_log_stream(logGroupName=name, logStreamName="one")
    now = int(time.time() * 1000)
    logs.put_log_events(
        logGroupName=name,
        logStreamName="one",
        logEvents=[{"timestamp": now + i, "message": text} for i, text in enumerate(EVENTS)],
    )
    answer = logs.filter_log_events(logGroupName=name, filterPattern=pattern)
    assert [EVENTS.index(e["message"]) for e in answer["events"]] == found
