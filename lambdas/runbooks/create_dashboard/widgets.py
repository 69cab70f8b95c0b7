"""The body of the dashboard, from the platform file: the same file gives the same body.

Two graphs a row: what comes in and what fails, and how long it takes or what it uses. Metrics are
those of the alarms, with the dimensions of the traffic that is served.
"""

from collections.abc import Sequence

from lambdas.remediation.contracts import Json
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.platform import Api, Function, Platform, Table

_GRID = 24
_WIDTH, _HEIGHT, _HEADER_HEIGHT = 12, 6, 2
_ACCESSES = ("Read", "Write")


class Body(Frozen):
    """A dashboard's body, and what there is to know about its size."""

    content: dict[str, Json]
    titles: tuple[str, ...]
    metrics: int


class Graph(Frozen):
    """One graph; `lines` as in a dashboard's body, metrics and expressions."""

    title: str
    lines: list[Json]
    stat: str = "Sum"


def body(platform: Platform, *, region: str, period_seconds: int) -> Body:
    """Body with the graphs of every API, function and table of the platform file.

    Notes
    -----
    Amazon CloudWatch API Reference, "Dashboard body structure and syntax".
    """
    graphs = [
        *(graph for api in platform.apis for graph in _api(api)),
        *(graph for function in platform.functions for graph in _function(function)),
        *(graph for table in platform.tables for graph in _table(table)),
    ]
    widgets: list[Json] = [_header(platform)]
    for number, graph in enumerate(graphs):
        row, column = divmod(number, _GRID // _WIDTH)
        widgets.append(
            {
                "type": "metric",
                "x": column * _WIDTH,
                "y": _HEADER_HEIGHT + row * _HEIGHT,
                "width": _WIDTH,
                "height": _HEIGHT,
                "properties": {
                    "title": graph.title,
                    "view": "timeSeries",
                    "region": region,
                    "stat": graph.stat,
                    "period": period_seconds,
                    "metrics": graph.lines,
                },
            }
        )
    return Body(
        content={"widgets": widgets},
        titles=tuple(graph.title for graph in graphs),
        metrics=sum(isinstance(line[0], str) for graph in graphs for line in graph.lines),
    )


def _header(platform: Platform) -> Json:
    return {
        "type": "text",
        "x": 0,
        "y": 0,
        "width": _GRID,
        "height": _HEADER_HEIGHT,
        "properties": {
            "markdown": f"# {platform.name}\nWritten by the runbook `create_dashboard` from "
            "platform.json: what is changed here by hand is replaced by its next run."
        },
    }


def _line(namespace: str, name: str, dimensions: dict[str, str], **rendering: Json) -> Json:
    flat = [text for pair in dimensions.items() for text in pair]
    return [namespace, name, *flat, *([rendering] if rendering else [])]


def _expression(text: str, label: str, **rendering: Json) -> Json:
    return [{"expression": text, "label": label, **rendering}]


def _api(api: Api) -> Sequence[Graph]:
    name = f"{api.api_name} {api.stage}"
    # HTTP APIs call it otherwise than REST APIs.
    errors = "5XXError" if api.protocol == "REST" else "5xx"
    latency = [
        _line("AWS/ApiGateway", "Latency", api.dimensions, stat=stat) for stat in ("p50", "p95")
    ]
    return [
        Graph(
            title=f"{name}: requests and 5XX rate",
            lines=[
                _line("AWS/ApiGateway", "Count", api.dimensions, id="requests"),
                _line("AWS/ApiGateway", errors, api.dimensions, id="errors", visible=False),
                # A REST API reports zeros, an HTTP API nothing where nothing failed.
                _expression("100*FILL(errors,0)/requests", "5XX in percent", yAxis="right"),
            ],
        ),
        Graph(title=f"{name}: latency", lines=latency, stat="p95"),
    ]


def _function(function: Function) -> Sequence[Graph]:
    served, name = function.dimensions, function.function_name
    if function.alias is not None:
        name += f":{function.alias}"
    return [
        Graph(
            title=f"{name}: invocations, errors, throttles",
            lines=[
                _line("AWS/Lambda", metric, served)
                for metric in ("Invocations", "Errors", "Throttles")
            ],
        ),
        Graph(
            title=f"{name}: duration",
            lines=[_line("AWS/Lambda", "Duration", served, stat=stat) for stat in ("p50", "p95")],
            stat="p95",
        ),
    ]


def _table(table: Table) -> Sequence[Graph]:
    # The table's own metrics leave its indexes out.
    parts = [(table.table_name, {"TableName": table.table_name})]
    parts += [
        (index, {"TableName": table.table_name, "GlobalSecondaryIndexName": index})
        for index in table.indexes
    ]
    capacity: list[Json] = []
    throttles: list[Json] = []
    for number, (name, dimensions) in enumerate(parts):
        for access in _ACCESSES:
            used = f"used{number}{access.lower()}"
            capacity += [
                _line(
                    "AWS/DynamoDB",
                    f"Consumed{access}CapacityUnits",
                    dimensions,
                    id=used,
                    visible=False,
                ),
                # Consumed is a sum over the period, provisioned a rate: per second they compare.
                _expression(f"{used}/PERIOD({used})", f"{name} {access.lower()} used"),
                _line(
                    "AWS/DynamoDB",
                    f"Provisioned{access}CapacityUnits",
                    dimensions,
                    stat="Average",
                    label=f"{name} {access.lower()} provisioned",
                ),
            ]
            throttles.append(
                _line(
                    "AWS/DynamoDB",
                    f"{access}ThrottleEvents",
                    dimensions,
                    label=f"{name} {access.lower()} throttles",
                )
            )
    return [
        Graph(title=f"{table.table_name}: capacity units per second", lines=capacity),
        Graph(title=f"{table.table_name}: throttles", lines=throttles),
    ]
