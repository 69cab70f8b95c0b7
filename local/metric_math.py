"""CloudWatch metric math and alarm evaluation as pure functions.

One evaluator serves the local engine (``GetMetricData``, alarms) and the infrastructure tests,
which feed series to the alarms of a synthesised template. A series is a list with one value per
period, oldest first; ``None`` is a period without data.

Notes
-----
Sources: "Using math expressions with CloudWatch metrics" and "Configuring how CloudWatch alarms
treat missing data" (Amazon CloudWatch User Guide). Supported: ``+ - * /``, unary minus,
parentheses, comparisons, ``AND``/``OR`` (``&&``/``||``), ``IF``, ``FILL`` with a value,
``MIN``, ``MAX``, ``SUM``, ``AVG``. Not supported, and refused by name: ``SEARCH``, ``METRICS``,
Metrics Insights, ``FILL(..., REPEAT)`` and ``FILL(..., LINEAR)``.
"""

from __future__ import annotations

import functools
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

AlarmState = Literal["ALARM", "OK", "INSUFFICIENT_DATA"]
Point = float | None
Series = Sequence[Point]
Value = Point | list[Point]

# CloudWatch looks further back than the evaluation periods for points to replace missing ones;
# how far is not published. The documented example retrieves 5 points for 3 evaluation periods.
EXTRA_PERIODS = 2

COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "GreaterThanOrEqualToThreshold": operator.ge,
    "GreaterThanThreshold": operator.gt,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}


class MetricMathError(ValueError):
    """An expression CloudWatch would refuse, or one outside the supported subset."""


def evaluate(
    queries: Sequence[Mapping[str, Any]], series: Mapping[str, Series]
) -> dict[str, list[Point]]:
    """Evaluate metric data queries over raw series.

    Parameters
    ----------
    queries
        ``MetricDataQueries`` of ``GetMetricData``, or ``Metrics`` of an alarm.
    series
        By the ``Id`` of each ``MetricStat`` query: one statistic per period, oldest first. All
        of one length; a query without an entry has no data.

    Returns
    -------
    dict
        The series of every query, by ``Id``.

    Raises
    ------
    MetricMathError
        For a syntax error, an unknown name, a circular reference, or an expression whose result
        is a single number (CloudWatch wants a time series).
    """
    length = max((len(points) for points in series.values()), default=0)
    if any(len(points) != length for points in series.values()):
        raise MetricMathError("all series must have one value per period of the same range")
    evaluation = _Evaluation(queries, series, length)
    results = {}
    for query in queries:
        value = evaluation.value(query["Id"])
        if not isinstance(value, list):
            raise MetricMathError(f"{query['Id']}: the result must be a time series")
        results[query["Id"]] = value
    return results


def alarm_state(
    alarm: Mapping[str, Any],
    series: Mapping[str, Series],
    *,
    current: AlarmState = "INSUFFICIENT_DATA",
) -> AlarmState:
    """Tell the state CloudWatch gives a metric alarm for these raw series.

    Parameters
    ----------
    alarm
        Properties of an ``AWS::CloudWatch::Alarm``, or a ``PutMetricAlarm`` request.
    series
        One statistic per period, oldest first: by query ``Id`` for an alarm with ``Metrics``, by
        ``MetricName`` otherwise. At least ``EvaluationPeriods`` values; more are looked at, as
        CloudWatch does, only to replace missing ones.
    current
        The state before, which some evaluations keep.
    """
    points = alarm_points(alarm, series)
    return state_of_points(alarm, points, current=current)


def alarm_points(alarm: Mapping[str, Any], series: Mapping[str, Series]) -> list[Point]:
    """Return the series the alarm compares with its threshold."""
    if not alarm.get("Metrics"):
        return list(series.get(alarm["MetricName"], ()))
    returned = [query["Id"] for query in alarm["Metrics"] if query.get("ReturnData", True)]
    if len(returned) != 1:
        raise MetricMathError(f"an alarm returns the data of one query, this one of: {returned}")
    return evaluate(alarm["Metrics"], series)[returned[0]]


def state_of_points(alarm: Mapping[str, Any], points: Series, *, current: AlarmState) -> AlarmState:
    """Apply M of N and the treatment of missing data to the newest points."""
    window = int(alarm["EvaluationPeriods"])
    needed = int(alarm.get("DatapointsToAlarm") or window)
    newest_first = list(reversed(points))[: window + EXTRA_PERIODS]
    present = [(age, point) for age, point in enumerate(newest_first, 1) if point is not None]
    considered = present[:window]
    breaching = [age for age, point in considered if is_breaching(alarm, point)]
    if len(breaching) >= needed:
        return "ALARM"
    if len(considered) >= window:
        return "OK"
    missing = window - len(considered)
    treatment = missing_data_treatment(alarm)
    if treatment == "breaching":
        return "ALARM" if len(breaching) + missing >= needed else "OK"
    if treatment == "notBreaching":
        return "OK"
    if len(breaching) < len(considered):
        return "OK"
    if treatment == "ignore":
        return current
    if not considered:
        return "INSUFFICIENT_DATA"
    # Every point there is breaches, but there are fewer than needed: CloudWatch decides for ALARM
    # only when the oldest is at least as old as the datapoints to alarm.
    oldest = max((age for age in breaching if age <= window), default=0)
    return "ALARM" if oldest >= needed else current


def missing_data_treatment(alarm: Mapping[str, Any]) -> str:
    """Return how missing points count, with CloudWatch's exception for DynamoDB.

    Alarms on an ``AWS/DynamoDB`` metric always ignore missing data (PutMetricAlarm reference).
    """
    if alarm.get("Namespace") == "AWS/DynamoDB":
        return "ignore"
    return str(alarm.get("TreatMissingData") or "missing")


def is_breaching(alarm: Mapping[str, Any], point: float) -> bool:
    """Tell whether one point violates the threshold."""
    comparison = str(alarm["ComparisonOperator"])
    if comparison not in COMPARISONS:
        raise MetricMathError(f"{comparison}: anomaly detection is not supported")
    return COMPARISONS[comparison](point, float(alarm["Threshold"]))


# --- expressions ----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Number:
    value: float


@dataclass(frozen=True)
class _Name:
    name: str


@dataclass(frozen=True)
class _Array:
    items: tuple[_Node, ...]


@dataclass(frozen=True)
class _Operation:
    symbol: str
    left: _Node
    right: _Node


@dataclass(frozen=True)
class _Call:
    function: str
    arguments: tuple[_Node, ...]


_Node = _Number | _Name | _Array | _Operation | _Call

_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+)"
    r"|(?P<word>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<symbol>&&|\|\||[<>=!]=|[-+*/<>(),\[\]]))"
)
# From loosest to tightest binding.
_PRECEDENCE: tuple[tuple[str, ...], ...] = (
    ("OR", "||"),
    ("AND", "&&"),
    ("==", "!=", "<=", ">=", "<", ">"),
    ("+", "-"),
    ("*", "/"),
)


def _divide(left: float, right: float) -> Point:
    return left / right if right else None


_OPERATIONS: Mapping[str, Callable[[float, float], Point]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _divide,
    "==": lambda left, right: float(left == right),
    "!=": lambda left, right: float(left != right),
    "<=": lambda left, right: float(left <= right),
    ">=": lambda left, right: float(left >= right),
    "<": lambda left, right: float(left < right),
    ">": lambda left, right: float(left > right),
    "AND": lambda left, right: float(bool(left) and bool(right)),
    "OR": lambda left, right: float(bool(left) or bool(right)),
}
_ALIASES = {"&&": "AND", "||": "OR"}

_AGGREGATES: Mapping[str, Callable[[Sequence[float]], float]] = {
    "MIN": min,
    "MAX": max,
    "SUM": sum,
    "AVG": lambda points: sum(points) / len(points),
}


class _Parser:
    """Recursive descent over the tokens of one expression."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = self._split(text)
        self._position = 0

    def parse(self) -> _Node:
        node = self._binary(0)
        if self._peek():
            raise self._error(f"unexpected {self._peek()!r}")
        return node

    def _split(self, text: str) -> list[str]:
        tokens, position, end = [], 0, len(text.rstrip())
        while position < end:
            match = _TOKEN.match(text, position)
            if match is None:
                raise self._error(f"cannot read {text[position:].strip()!r}")
            tokens.append(match.group().strip())
            position = match.end()
        return tokens

    def _error(self, problem: str) -> MetricMathError:
        return MetricMathError(f"{self._text!r}: {problem}")

    def _peek(self) -> str:
        return self._tokens[self._position] if self._position < len(self._tokens) else ""

    def _take(self, expected: str = "") -> str:
        token = self._peek()
        if not token or (expected and token != expected):
            raise self._error(f"expected {expected or 'a value'}, found {token or 'the end'}")
        self._position += 1
        return token

    def _binary(self, level: int) -> _Node:
        if level == len(_PRECEDENCE):
            return self._operand()
        node = self._binary(level + 1)
        while self._peek() in _PRECEDENCE[level]:
            symbol = self._take()
            node = _Operation(_ALIASES.get(symbol, symbol), node, self._binary(level + 1))
        return node

    def _operand(self) -> _Node:
        token = self._take()
        if token == "-":
            return _Operation("-", _Number(0.0), self._operand())
        if token == "(":
            node = self._binary(0)
            self._take(")")
            return node
        if token == "[":
            return _Array(self._list("]"))
        if token[0].isdigit() or token[0] == ".":
            return _Number(float(token))
        if not token[0].isalpha():
            raise self._error(f"unexpected {token!r}")
        if self._peek() == "(":
            self._take("(")
            return _Call(token.upper(), self._list(")"))
        return _Name(token)

    def _list(self, closing: str) -> tuple[_Node, ...]:
        items: list[_Node] = []
        while self._peek() != closing:
            items.append(self._binary(0))
            if self._peek() != closing:
                self._take(",")
        self._take(closing)
        return tuple(items)


@functools.cache
def _parsed(expression: str) -> _Node:
    return _Parser(expression).parse()


class _Evaluation:
    """The values of one set of queries; each is computed once, when first referred to."""

    def __init__(
        self,
        queries: Sequence[Mapping[str, Any]],
        series: Mapping[str, Series],
        length: int,
    ) -> None:
        self._queries = {query["Id"]: query for query in queries}
        self._series = series
        self._length = length
        self._values: dict[str, Value] = {}
        self._open: set[str] = set()

    def value(self, identifier: str) -> Value:
        if identifier not in self._values:
            self._values[identifier] = self._compute(identifier)
        return self._values[identifier]

    def _compute(self, identifier: str) -> Value:
        query = self._queries.get(identifier)
        if query is None:
            raise MetricMathError(f"{identifier}: no query has this id")
        if not query.get("Expression"):
            return list(self._series.get(identifier, [None] * self._length))
        if identifier in self._open:
            raise MetricMathError(f"{identifier}: the expression refers to itself")
        self._open.add(identifier)
        value = self._node(_parsed(query["Expression"]))
        self._open.discard(identifier)
        return value

    def _node(self, node: _Node) -> Value:
        if isinstance(node, _Number):
            return node.value
        if isinstance(node, _Name):
            return self.value(node.name)
        if isinstance(node, _Operation):
            operation = _OPERATIONS[node.symbol]
            return self._pointwise(
                lambda left, right: (
                    None if left is None or right is None else operation(left, right)
                ),
                self._node(node.left),
                self._node(node.right),
            )
        if isinstance(node, _Call):
            return self._call(node)
        raise MetricMathError("an array is an argument of MIN, MAX, SUM or AVG only")

    def _call(self, call: _Call) -> Value:
        if call.function == "IF" and len(call.arguments) in {2, 3}:
            return self._if(*call.arguments)
        if call.function == "FILL" and len(call.arguments) == 2:
            return self._fill(*call.arguments)
        if call.function in _AGGREGATES and len(call.arguments) == 1:
            return self._aggregate(_AGGREGATES[call.function], call.arguments[0])
        raise MetricMathError(
            f"{call.function} with {len(call.arguments)} arguments is not supported"
        )

    def _if(self, condition: _Node, when_true: _Node, when_false: _Node | None = None) -> Value:
        # Without a third argument the points where the condition is false are dropped.
        return self._pointwise(
            lambda test, yes, no: None if test is None else (yes if test else no),
            self._node(condition),
            self._node(when_true),
            None if when_false is None else self._node(when_false),
        )

    def _fill(self, metric: _Node, filler: _Node) -> Value:
        if isinstance(filler, _Name) and filler.name in {"REPEAT", "LINEAR"}:
            raise MetricMathError(f"FILL with {filler.name} is not supported")
        value = self._node(metric)
        if not isinstance(value, list):
            raise MetricMathError("FILL fills a time series, not a number")
        return self._pointwise(
            lambda point, fill: fill if point is None else point, value, self._node(filler)
        )

    def _aggregate(self, function: Callable[[Sequence[float]], float], argument: _Node) -> Value:
        """One number for a series; one series for an array, over the points there are."""
        if isinstance(argument, _Array):
            return self._pointwise(
                lambda *points: _over_present(function, points),
                *(self._node(item) for item in argument.items),
            )
        value = self._node(argument)
        return _over_present(function, value) if isinstance(value, list) else value

    def _pointwise(self, function: Callable[..., Point], *values: Value) -> Value:
        """Apply per period; a number stands for itself in every period."""
        if not any(isinstance(value, list) for value in values):
            return function(*values)
        columns = [value if isinstance(value, list) else [value] * self._length for value in values]
        return [function(*row) for row in zip(*columns, strict=True)]


def _over_present(function: Callable[[Sequence[float]], float], points: Sequence[Point]) -> Point:
    present = [point for point in points if point is not None]
    return function(present) if present else None
