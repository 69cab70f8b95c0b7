from datetime import UTC, datetime

import pytest

from local.incidents.bad_lambda_release import BadLambdaRelease
from local.incidents.bad_stage_deployment import BadStageDeployment
from local.incidents.catalog import INCIDENTS
from local.incidents.throttled_table import Capacity, ThrottledTable, throttling_metrics

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def put(capacity, seconds=2):
    data = throttling_metrics(capacity, seconds=seconds, timestamp=NOW)
    return {point["MetricName"]: point["Value"] for point in data}


def test_load_above_capacity_throttles_what_does_not_fit():
    assert put(Capacity(index=None, read=5, write=5)) == {
        "ConsumedReadCapacityUnits": 6,
        "ConsumedWriteCapacityUnits": 10,
        "WriteThrottleEvents": 4,
        "WriteProvisionedThroughputThrottleEvents": 4,
    }


def test_capacity_above_the_load_throttles_nothing():
    assert put(Capacity(index=None, read=5, write=7)) == {
        "ConsumedReadCapacityUnits": 6,
        "ConsumedWriteCapacityUnits": 14,
    }


def test_throttle_events_are_whole_and_never_lost_to_rounding():
    assert put(Capacity(index=None, read=5, write=5), seconds=0.1)["WriteThrottleEvents"] == 1


def test_metrics_of_an_index_do_not_count_for_the_table():
    (point, *_) = throttling_metrics(Capacity(index="i", read=5, write=5), seconds=1, timestamp=NOW)

    assert point["Dimensions"] == [
        {"Name": "TableName", "Value": "ChatMessage-prod"},
        {"Name": "GlobalSecondaryIndexName", "Value": "i"},
    ]


@pytest.mark.parametrize(("read", "write", "carries"), [(3, 7, True), (2, 7, False), (3, 6, False)])
def test_table_carries_the_load_when_both_units_do(read, write, carries):
    assert Capacity(index=None, read=read, write=write).carries_load is carries


def test_names_are_those_people_type():
    assert ThrottledTable.machine_names() == ("remediation-dynamodb-throttling",)
    assert ThrottledTable.alarm_names[0] == "remediation-ChatMessage-prod-throttled"
    assert BadLambdaRelease.machine_names() == (
        "remediation-lambda-errors",
        "remediation-api-gateway-errors",
    )
    assert BadLambdaRelease.alarm_names == (
        "remediation-chat-lambda-errors",
        "remediation-energy-insights-api-prod-5xx",
    )
    assert BadStageDeployment.machine_names() == ("remediation-api-gateway-errors",)
    assert BadStageDeployment.alarm_names == ("remediation-energy-insights-api-prod-5xx",)
    assert len({kind.name for kind in INCIDENTS}) == len(INCIDENTS)
