"""Every alarm with series that turn it red and series that leave it green."""

import json
from dataclasses import dataclass, field

import pytest

from lambdas.remediation.observability import count
from local.metric_math import alarm_state

# One value per period, oldest first; `None` is a period without data.
NOTHING = [None] * 5


@dataclass(frozen=True)
class Case:
    """What an alarm makes of its series: by metric name, a number of periods of the newest data."""

    what: str
    series: dict[str, list[float | None]] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.what


FAILING = "-chat-lambda-errors"
ANSWERING_5XX = "-5xx"
THROTTLED = "-throttled"
RED = {
    THROTTLED: [
        Case("two of three periods", {"WriteThrottleEvents": [None, None, 4, None, 1]}),
        Case("reads alone", {"ReadThrottleEvents": [None, None, None, 1, 1]}),
        Case(
            "reads and writes in turn",
            {
                "ReadThrottleEvents": [None, None, 2, None, None],
                "WriteThrottleEvents": [None, None, None, None, 3],
            },
        ),
        Case("every period", {"WriteThrottleEvents": [9, 9, 9, 9, 9]}),
    ],
    FAILING: [
        Case(
            "two of three periods",
            {"Errors": [0, 0, 3, 0, 2], "Invocations": [20, 20, 20, 20, 20]},
        ),
        Case("all of them", {"Errors": [30] * 5, "Invocations": [30] * 5}),
    ],
    ANSWERING_5XX: [
        Case("two of three periods", {"5XXError": [0, 0, 3, 0, 2], "Count": [20] * 5}),
        Case("all of them", {"5XXError": [30] * 5, "Count": [30] * 5}),
    ],
    "-dead-letters": [
        Case("one message", {"ApproximateNumberOfMessagesVisible": [0, 0, 0, 0, 1]}),
    ],
    "-breaker-opened": [Case("once", {"BreakerOpened": [None, None, None, None, 1]})],
    "-target-quarantined": [Case("once", {"TargetQuarantined": [None, None, None, None, 1]})],
    "-own-failure": [
        Case("a run was interrupted", {"RunInterrupted": [None, None, None, None, 1]}),
        Case("a sweep failed", {"Errors": [0, 0, 0, 0, 1]}),
    ],
    "-silent": [
        Case("the sweep never ran"),
        Case("three sweeps missed", {"Invocations": [1, 1, None, None, None]}),
        Case("three sweeps at zero", {"Invocations": [1, 1, 0, 0, 0]}),
    ],
}
GREEN = {
    THROTTLED: [
        Case("no traffic"),
        Case("one of three periods", {"WriteThrottleEvents": [None, None, None, None, 50]}),
        Case("long ago", {"WriteThrottleEvents": [9, 9, None, None, None]}),
        Case("zeros", {"ReadThrottleEvents": [0] * 5, "WriteThrottleEvents": [0] * 5}),
    ],
    FAILING: [
        Case("no traffic"),
        Case("too few to tell", {"Errors": [19] * 5, "Invocations": [19] * 5}),
        Case("just the rate", {"Errors": [1] * 5, "Invocations": [20] * 5}),
        Case("one period", {"Errors": [0, 0, 0, 0, 50], "Invocations": [50] * 5}),
        Case("errors not published yet", {"Invocations": [50] * 5}),
    ],
    ANSWERING_5XX: [
        Case("no traffic"),
        Case("too few to tell", {"5XXError": [19] * 5, "Count": [19] * 5}),
        Case("just the rate", {"5XXError": [1] * 5, "Count": [20] * 5}),
        Case("one period", {"5XXError": [0, 0, 0, 0, 50], "Count": [50] * 5}),
    ],
    "-dead-letters": [
        Case("no data"),
        Case("empty again", {"ApproximateNumberOfMessagesVisible": [3, 3, 3, 3, 0]}),
    ],
    "-breaker-opened": [Case("no data")],
    "-target-quarantined": [Case("no data")],
    "-own-failure": [
        Case("no data"),
        Case("sweeps without error", {"Errors": [0, 0, 0, 0, 0]}),
        Case("over", {"RunInterrupted": [None, None, None, 1, None]}),
    ],
    "-silent": [
        Case("every sweep", {"Invocations": [1, 1, 1, 1, 1]}),
        Case("two sweeps missed", {"Invocations": [1, 1, 1, None, None]}),
        Case("one late", {"Invocations": [1, 1, 0, 2, 1]}),
    ],
}
# PutMetricAlarm: an alarm on a math expression may read ten metrics.
MAX_METRICS = 10


def by_query(alarm, series):
    """The series as `alarm_state` wants them: by query id, or by the name of the only metric."""
    if "Metrics" not in alarm:
        return {alarm["MetricName"]: series.get(alarm["MetricName"], NOTHING)}
    return {
        query["Id"]: series.get(query["MetricStat"]["Metric"]["MetricName"], NOTHING)
        for query in alarm["Metrics"]
        if "MetricStat" in query
    }


def metric_names(alarm):
    if "Metrics" not in alarm:
        return {alarm["MetricName"]}
    return {q["MetricStat"]["Metric"]["MetricName"] for q in alarm["Metrics"] if "MetricStat" in q}


def alarms_of(product, kind):
    found = {name: a for name, a in product.alarms().items() if name.endswith(kind)}
    assert found, kind
    return found


def cases(table):
    return [
        pytest.param(kind, case, id=f"{kind[1:]}: {case}") for kind in table for case in table[kind]
    ]


@pytest.mark.parametrize(("kind", "case"), cases(RED))
def test_turns_red(product, kind, case):
    for name, alarm in alarms_of(product, kind).items():
        assert alarm_state(alarm, by_query(alarm, case.series)) == "ALARM", name


@pytest.mark.parametrize(("kind", "case"), cases(GREEN))
def test_stays_green(product, kind, case):
    for name, alarm in alarms_of(product, kind).items():
        assert alarm_state(alarm, by_query(alarm, case.series)) == "OK", name


def test_every_alarm_has_a_red_and_a_green_series(product):
    for name, alarm in product.alarms().items():
        kinds = [kind for kind in RED if name.endswith(kind)]
        assert len(kinds) == 1, name
        assert GREEN[kinds[0]], name
        named = {m for case in RED[kinds[0]] for m in case.series} or metric_names(alarm)
        assert named == metric_names(alarm), f"{name}: a metric of it has no red series"


def test_no_series_is_for_a_metric_that_no_alarm_reads(product):
    for table in (RED, GREEN):
        for kind, its_cases in table.items():
            read = set().union(*(metric_names(a) for a in alarms_of(product, kind).values()))
            assert {m for case in its_cases for m in case.series} <= read, kind


def test_an_alarm_that_is_red_turns_green_by_itself(product):
    """An alarm that sticks in ALARM never sends an event again."""
    for kind in set(RED) - {"-silent"}:
        for name, alarm in alarms_of(product, kind).items():
            assert alarm_state(alarm, by_query(alarm, {}), current="ALARM") == "OK", name


def test_a_limit_of_the_platform_file_moves_the_alarm(product):
    alarm = product.alarms()["remediation-ChatMessage-prod-throttled"]

    assert (alarm["DatapointsToAlarm"], alarm["EvaluationPeriods"]) == (2, 3)
    assert {q["MetricStat"]["Period"] for q in alarm["Metrics"] if "MetricStat" in q} == {60}


def test_an_index_alarm_reads_the_index_and_the_table_alarm_does_not(product):
    def dimensions(name):
        return {
            frozenset((d["Name"], d["Value"]) for d in q["MetricStat"]["Metric"]["Dimensions"])
            for q in product.alarms()[name]["Metrics"]
            if "MetricStat" in q
        }

    table = ("TableName", "ChatMessage-prod")
    index = ("GlobalSecondaryIndexName", "chatSessionId-index")
    assert dimensions("remediation-ChatMessage-prod-throttled") == {frozenset({table})}
    assert dimensions("remediation-ChatMessage-prod-chatSessionId-index-throttled") == {
        frozenset({table, index})
    }


def test_no_alarm_reads_more_metrics_than_cloudwatch_allows(product):
    for name, alarm in product.alarms().items():
        metrics = [q for q in alarm.get("Metrics", []) if "MetricStat" in q]
        assert len(metrics) <= MAX_METRICS, name


@pytest.mark.parametrize("metric", ["BreakerOpened", "TargetQuarantined"])
def test_own_metrics_are_read_with_the_dimensions_they_are_written_with(
    product, metric, monkeypatch, capsys
):
    """A metric with one dimension more is another metric: its alarm would stay green for ever."""
    (function,) = [
        f
        for f in product.of_type("AWS::Lambda::Function").values()
        if f["Handler"] == "lambdas.runbooks.dynamodb_throttling.handler.observe"
    ]
    monkeypatch.setenv(
        "POWERTOOLS_SERVICE_NAME", function["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"]
    )
    (alarm,) = [a for a in product.alarms().values() if a.get("MetricName") == metric]

    count(metric)

    written = json.loads(capsys.readouterr().out)
    (described,) = written["_aws"]["CloudWatchMetrics"]
    (dimensions,) = described["Dimensions"]
    assert described["Namespace"] == alarm["Namespace"]
    assert {name: written[name] for name in dimensions} == {
        d["Name"]: d["Value"] for d in alarm["Dimensions"]
    }
