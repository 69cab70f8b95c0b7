import pytest

from tests.local.workbench import Workbench

pytestmark = pytest.mark.engine

CODE = """
import json
import time


def handler(event, context):
    directive = {
        "Namespace": "Local/Embedded",
        "Dimensions": [["runbook"], ["runbook", "outcome"]],
        "Metrics": [{"Name": "Outcome", "Unit": "Count"}, {"Name": "Seconds"}],
    }
    print("a plain line")
    print(json.dumps({
        "_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [directive]},
        "runbook": event["runbook"], "outcome": "verified", "Outcome": 1, "Seconds": [2, 3],
    }))
"""


def test_log_line_becomes_a_metric_of_every_dimension_set(bench: Workbench, name: str) -> None:
    bench.function(name, CODE)
    for _ in range(2):
        bench.invoke(name, Payload=f'{{"runbook": "{name}"}}')
    both = {"runbook": name, "outcome": "verified"}
    assert bench.metric_sum("Local/Embedded", "Outcome", {"runbook": name}) == 2
    assert bench.metric_sum("Local/Embedded", "Outcome", both) == 2
    assert bench.metric_sum("Local/Embedded", "Seconds", both) == 10


def test_log_line_sets_off_an_alarm(bench: Workbench, name: str) -> None:
    bench.function(name, CODE)
    bench.alarm(
        name,
        Namespace="Local/Embedded",
        MetricName="Outcome",
        Period=60,
        Dimensions=[{"Name": "runbook", "Value": name}],
    )
    bench.invoke(name, Payload=f'{{"runbook": "{name}"}}')
    assert bench.reaches(name, "ALARM", seconds=2.0)
