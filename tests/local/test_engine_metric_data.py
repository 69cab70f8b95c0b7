import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local.workbench import Workbench, metric_stat

pytestmark = pytest.mark.engine

# The start of a minute some time ago: periods of 60 s and of 2 s both begin here.
START = int(time.time() // 60) * 60 - 3600


def put(bench: Workbench, metric: str, case: str, *points: tuple[int, float]) -> None:
    data = [
        {
            "MetricName": metric,
            "Dimensions": [{"Name": "Case", "Value": case}],
            "Timestamp": START + offset,
            "Value": value,
        }
        for offset, value in points
    ]
    bench.client("cloudwatch").put_metric_data(Namespace="Local/Data", MetricData=data)


def query(bench: Workbench, *queries: dict[str, Any], **fields: Any) -> dict[str, Any]:
    answer = bench.client("cloudwatch").get_metric_data(
        StartTime=START, EndTime=START + 240, MetricDataQueries=list(queries), **fields
    )
    return {result["Id"]: result for result in answer["MetricDataResults"]}


def stat(identifier: str, metric: str, case: str, period: int = 60) -> dict[str, Any]:
    described = metric_stat("Local/Data", metric, {"Case": case}, period=period)
    return {"Id": identifier, "MetricStat": described, "ReturnData": False}


def test_expression_is_evaluated_over_its_metrics(bench: Workbench, name: str) -> None:
    put(bench, "Errors", name, (0, 5.0), (120, 20.0))
    put(bench, "Calls", name, (0, 100.0), (60, 10.0), (120, 40.0))
    expression = "IF(calls >= 20, 100 * FILL(errors, 0) / calls, 0)"
    results = query(
        bench,
        {"Id": "rate", "Expression": expression, "Label": "Error rate"},
        stat("errors", "Errors", name),
        stat("calls", "Calls", name),
        ScanBy="TimestampAscending",
    )
    assert list(results) == ["rate"]
    assert results["rate"]["StatusCode"] == "Complete"
    assert results["rate"]["Label"] == "Error rate"
    assert results["rate"]["Values"] == [5.0, 0.0, 50.0]
    assert [int(t.timestamp()) - START for t in results["rate"]["Timestamps"]] == [0, 60, 120]


def test_periods_below_a_minute_keep_their_points(bench: Workbench, name: str) -> None:
    put(bench, "Calls", name, (0, 1.0), (1, 2.0), (2, 4.0), (7, 8.0))
    plain = {**stat("calls", "Calls", name, period=2), "ReturnData": True}
    (result,) = query(bench, plain).values()
    assert result["Values"] == [8.0, 4.0, 3.0]
    assert [int(t.timestamp()) - START for t in result["Timestamps"]] == [6, 2, 0]


def test_metric_without_dimensions_is_a_metric_of_its_own(bench: Workbench, name: str) -> None:
    put(bench, f"Calls-{name}", name, (0, 1.0))
    bare = {"Id": "m", "MetricStat": metric_stat("Local/Data", f"Calls-{name}", {})}
    assert query(bench, bare)["m"]["Values"] == []


def test_unsupported_expression_is_refused_by_name(bench: Workbench, name: str) -> None:
    with pytest.raises(ClientError, match="SEARCH"):
        query(bench, {"Id": "all", "Expression": "SEARCH(m, 1, 2, 3)"}, stat("m", "M", name))
