from typing import Any

import pytest

from local.metric_math import MetricMathError, alarm_state, evaluate

A = [10.0, 20.0, None, 40.0]
B = [1.0, None, 3.0, 4.0]
ZERO = [0.0, 2.0, 0.0, 4.0]


def result(expression: str, **series: list[float | None]) -> list[float | None]:
    given = series or {"a": A, "b": B, "z": ZERO}
    queries: list[dict[str, Any]] = [{"Id": name, "MetricStat": {}} for name in given]
    queries.append({"Id": "e", "Expression": expression})
    return evaluate(queries, given)["e"]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        # A point is there only where both series have one.
        ("a + b", [11.0, None, None, 44.0]),
        ("a - b", [9.0, None, None, 36.0]),
        ("a * 2", [20.0, 40.0, None, 80.0]),
        ("100 * a / (a + 10)", [50.0, 100 * 20 / 30, None, 80.0]),
        ("a - -1", [11.0, 21.0, None, 41.0]),
        ("-a", [-10.0, -20.0, None, -40.0]),
        ("1 + 2 * a", [21.0, 41.0, None, 81.0]),
        ("(1 + 2) * a", [30.0, 60.0, None, 120.0]),
        ("a - 1 - 2", [7.0, 17.0, None, 37.0]),
        # Division by zero drops the point.
        ("a / z", [None, 10.0, None, 10.0]),
        ("a / 0", [None, None, None, None]),
        # Comparisons and logic give 1 or 0.
        ("a > 15", [0.0, 1.0, None, 1.0]),
        ("a >= 20", [0.0, 1.0, None, 1.0]),
        ("a < 15", [1.0, 0.0, None, 0.0]),
        ("a <= 10", [1.0, 0.0, None, 0.0]),
        ("a == 20", [0.0, 1.0, None, 0.0]),
        ("a != 20", [1.0, 0.0, None, 1.0]),
        ("a > 5 AND a < 30", [1.0, 1.0, None, 0.0]),
        ("a > 5 && a < 30", [1.0, 1.0, None, 0.0]),
        ("a > 30 OR a < 15", [1.0, 0.0, None, 1.0]),
        ("a > 30 || a < 15", [1.0, 0.0, None, 1.0]),
        ("a + 1 > 15 + 1", [0.0, 1.0, None, 1.0]),
    ],
)
def test_operators(expression: str, expected: list[float | None]) -> None:
    assert result(expression) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("IF(a > 15, a, 0)", [0.0, 20.0, None, 40.0]),
        ("IF(a > 15, 1, b)", [1.0, 1.0, None, 1.0]),
        ("IF(a > 15, b, a)", [10.0, None, None, 4.0]),
        # The cases of the user guide: only above a threshold, floor, range.
        ("IF(a > 15, a)", [None, 20.0, None, 40.0]),
        ("IF(a > 15, a, 15)", [15.0, 20.0, None, 40.0]),
        ("IF(a > 15 AND a < 30, a)", [None, 20.0, None, None]),
        # A condition that is a number chooses for all periods.
        ("IF(1, a, b)", A),
        ("IF(0, a, b)", B),
        ("IF(0, a, 7)", [7.0, 7.0, 7.0, 7.0]),
        # Any number but 0 is true.
        ("IF(z, 1, 2)", [2.0, 1.0, 2.0, 1.0]),
    ],
)
def test_if(expression: str, expected: list[float | None]) -> None:
    assert result(expression) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("FILL(a, 0)", [10.0, 20.0, 0.0, 40.0]),
        ("FILL(a, -1)", [10.0, 20.0, -1.0, 40.0]),
        ("FILL(a, b)", [10.0, 20.0, 3.0, 40.0]),
        ("FILL(a, 0) + FILL(b, 0)", [11.0, 20.0, 3.0, 44.0]),
        ("FILL(a, MAX(a))", [10.0, 20.0, 40.0, 40.0]),
        ("a - MIN(a)", [0.0, 10.0, None, 30.0]),
        ("a + SUM(b)", [18.0, 28.0, None, 48.0]),
        ("a + AVG(z)", [11.5, 21.5, None, 41.5]),
        ("MAX([a, b])", [10.0, 20.0, 3.0, 40.0]),
        ("MIN([a, b, 2])", [1.0, 2.0, 2.0, 2.0]),
        ("SUM([a, b])", [11.0, 20.0, 3.0, 44.0]),
    ],
)
def test_functions(expression: str, expected: list[float | None]) -> None:
    assert result(expression) == expected


def test_fill_gives_a_metric_without_any_data_its_value() -> None:
    queries = [
        {"Id": "e", "Expression": "FILL(absent, 0) + a"},
        {"Id": "absent", "MetricStat": {}},
        {"Id": "a", "MetricStat": {}},
    ]
    assert evaluate(queries, {"a": [1.0, 2.0]})["e"] == [1.0, 2.0]


def test_expressions_refer_to_each_other_in_any_order() -> None:
    queries = [
        {"Id": "e1", "Expression": "e2 * 2"},
        {"Id": "e2", "Expression": "m + 1"},
        {"Id": "m", "MetricStat": {}},
    ]
    assert evaluate(queries, {"m": [1.0, None]})["e1"] == [4.0, None]


@pytest.mark.parametrize(
    ("expression", "named"),
    [
        ("a +", "the end"),
        ("a b", "'b'"),
        ("(a", "expected"),
        ("a ? b", r"'\? b'"),
        ("unknown + 1", "unknown"),
        ("e + 1", "refers to itself"),
        ("1 + 1", "must be a time series"),
        ("SEARCH(a, b, 1)", "SEARCH"),
        ("RATE(a)", "RATE"),
        ("FILL(a, REPEAT)", "REPEAT"),
        ("FILL(1, 0)", "FILL"),
        ("[a, b]", "array"),
        ("__import__(a)", "__import__"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(expression: str, named: str) -> None:
    with pytest.raises(MetricMathError, match=named):
        result(expression)


def test_series_of_different_lengths_are_refused() -> None:
    with pytest.raises(MetricMathError, match="same range"):
        result("a + b", a=[1.0], b=[1.0, 2.0])


# --- alarms -------------------------------------------------------------------------------------

POINTS = {"0": 0.0, "X": 9.0, "-": None}
TREATMENTS = ("missing", "ignore", "breaching", "notBreaching")


def states(drawn: str, needed: int, window: int, *, current: str) -> list[str]:
    """The state for each treatment of missing data, in the order of the user guide's table."""
    alarm = {
        "Namespace": "Local/Test",
        "MetricName": "m",
        "EvaluationPeriods": window,
        "DatapointsToAlarm": needed,
        "Threshold": 5,
        "ComparisonOperator": "GreaterThanThreshold",
    }
    series = {"m": [POINTS[character] for character in drawn]}
    return [
        alarm_state({**alarm, "TreatMissingData": treatment}, series, current=current)
        for treatment in TREATMENTS
    ]


@pytest.mark.parametrize(
    ("drawn", "expected"),
    [
        ("0-X-X", ["OK", "OK", "OK", "OK"]),
        ("----0", ["OK", "OK", "OK", "OK"]),
        ("-----", ["INSUFFICIENT_DATA", "kept", "ALARM", "OK"]),
        ("0XX-X", ["ALARM", "ALARM", "ALARM", "ALARM"]),
        ("--X--", ["ALARM", "kept", "ALARM", "OK"]),
    ],
)
def test_three_of_three_as_in_the_user_guide(drawn: str, expected: list[str]) -> None:
    for current in ("OK", "ALARM"):
        wanted = [current if state == "kept" else state for state in expected]
        assert states(drawn, 3, 3, current=current) == wanted


@pytest.mark.parametrize(
    ("drawn", "expected"),
    [
        ("0-X-X", ["ALARM", "ALARM", "ALARM", "ALARM"]),
        ("00X0X", ["ALARM", "ALARM", "ALARM", "ALARM"]),
        ("0-X--", ["OK", "OK", "ALARM", "OK"]),
        ("----0", ["OK", "OK", "ALARM", "OK"]),
        ("---X-", ["ALARM", "kept", "ALARM", "OK"]),
    ],
)
def test_two_of_three_as_in_the_user_guide(drawn: str, expected: list[str]) -> None:
    for current in ("OK", "ALARM"):
        wanted = [current if state == "kept" else state for state in expected]
        assert states(drawn, 2, 3, current=current) == wanted


def test_one_young_breaching_point_is_no_premature_alarm() -> None:
    assert states("----X", 2, 3, current="OK") == ["OK", "OK", "ALARM", "OK"]


def test_points_older_than_the_evaluation_range_do_not_count() -> None:
    assert states("XXX---", 1, 1, current="OK") == ["INSUFFICIENT_DATA", "OK", "ALARM", "OK"]


THROTTLES = {
    "Namespace": "AWS/DynamoDB",
    "MetricName": "WriteThrottleEvents",
    "EvaluationPeriods": 1,
    "Threshold": 0,
    "ComparisonOperator": "GreaterThanThreshold",
    "TreatMissingData": "notBreaching",
}


@pytest.mark.parametrize("current", ["OK", "ALARM"])
def test_dynamodb_metric_always_ignores_missing_data(current: Any) -> None:
    series = {"WriteThrottleEvents": [None, None, None]}
    assert alarm_state(THROTTLES, series, current=current) == current


def ratio_alarm() -> dict[str, Any]:
    """Properties as CDK writes them into a template."""
    return {
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        "EvaluationPeriods": 3,
        "DatapointsToAlarm": 2,
        "Threshold": 5,
        "TreatMissingData": "notBreaching",
        "Metrics": [
            {"Expression": "IF(n >= 20, 100 * FILL(e, 0) / n, 0)", "Id": "expr_1", "Label": "%"},
            {"Id": "n", "MetricStat": {"Stat": "Sum"}, "ReturnData": False},
            {"Id": "e", "MetricStat": {"Stat": "Sum"}, "ReturnData": False},
        ],
    }


@pytest.mark.parametrize(
    ("errors", "calls", "expected"),
    [
        ([0.0, 5.0, 5.0], [100.0, 100.0, 100.0], "ALARM"),
        ([0.0, 0.0, 5.0], [100.0, 100.0, 100.0], "OK"),
        ([5.0, 5.0, 5.0], [19.0, 19.0, 19.0], "OK"),
        ([None, None, None], [None, None, None], "OK"),
        ([None, 9.0, 9.0], [None, 20.0, 20.0], "ALARM"),
    ],
)
def test_ratio_alarm_needs_rate_volume_and_m_of_n(
    errors: list[float | None], calls: list[float | None], expected: str
) -> None:
    assert alarm_state(ratio_alarm(), {"e": errors, "n": calls}) == expected


def test_alarm_must_return_the_data_of_one_query() -> None:
    alarm = ratio_alarm()
    alarm["Metrics"][1]["ReturnData"] = True
    with pytest.raises(MetricMathError, match="one query"):
        alarm_state(alarm, {"e": [1.0], "n": [1.0]})


def test_alarm_on_an_anomaly_band_is_refused() -> None:
    alarm = {**THROTTLES, "ComparisonOperator": "GreaterThanUpperThreshold"}
    with pytest.raises(MetricMathError, match="anomaly"):
        alarm_state(alarm, {"WriteThrottleEvents": [1.0]})
