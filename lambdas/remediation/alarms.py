"""The alarms that start runbooks: names and dimensions. Their maths is in `stacks/detection.py`."""

from typing import Protocol

from lambdas.remediation.frozen import Frozen
from lambdas.remediation.platform import Platform


class AlarmSpec(Frozen):
    """One alarm that starts a runbook for one target.

    `dimensions` pick the metrics the alarm reads; a composite alarm reads other alarms.
    """

    name: str
    target: dict[str, str]
    dimensions: dict[str, str]
    composite: bool = False


class Alarm(Protocol):
    """A kind of alarm."""

    def alarms(self, platform: Platform, prefix: str) -> tuple[AlarmSpec, ...]:
        """Alarms of this kind for the platform."""
        ...


class TableThrottleAlarm:
    """Throttled requests of a table, and of each index: the table's metric leaves those out."""

    def alarms(self, platform: Platform, prefix: str) -> tuple[AlarmSpec, ...]:
        """`<prefix>-<table>-throttled` and `<prefix>-<table>-<index>-throttled`."""
        found = []
        for table in platform.tables:
            name, target = table.table_name, {"table_name": table.table_name}
            found.append(
                AlarmSpec(
                    name=f"{prefix}-{name}-throttled",
                    target=target,
                    dimensions={"TableName": name},
                )
            )
            found += [
                AlarmSpec(
                    name=f"{prefix}-{name}-{index}-throttled",
                    target=target,
                    dimensions={"TableName": name, "GlobalSecondaryIndexName": index},
                )
                for index in table.indexes
            ]
        return tuple(found)


class FunctionErrorRateAlarm:
    """Failed invocations in percent, of the alias that serves the traffic where there is one.

    An alarm on the function alone would also count calls of `$LATEST`, which no alias can fix.
    """

    def alarms(self, platform: Platform, prefix: str) -> tuple[AlarmSpec, ...]:
        """`<prefix>-<function>-errors`."""
        return tuple(
            AlarmSpec(
                name=f"{prefix}-{f.function_name}-errors",
                target={"function_name": f.function_name},
                dimensions=f.dimensions,
            )
            for f in platform.functions
        )


class ApiErrorRateAlarm:
    """Requests of a stage that were answered with 5XX, in percent.

    REST APIs report under their name, HTTP APIs under their id.
    """

    def alarms(self, platform: Platform, prefix: str) -> tuple[AlarmSpec, ...]:
        """`<prefix>-<api>-<stage>-5xx`."""
        return tuple(
            AlarmSpec(
                # CloudWatch takes any character; the stage $default would be read as a variable.
                name=f"{prefix}-{a.api_name}-{a.stage.lstrip('$')}-5xx",
                target={"api_name": a.api_name},
                dimensions=a.dimensions,
            )
            for a in platform.apis
        )


class OutageAlarm:
    """Every API answers with errors, and something behind them is red too."""

    def alarms(self, platform: Platform, prefix: str) -> tuple[AlarmSpec, ...]:
        """`<prefix>-outage`, for platforms with APIs, something behind them, and a stack."""
        behind = platform.functions or platform.tables
        if not (platform.apis and behind and platform.stacks):
            return ()
        target = {"stack_name": platform.stacks[0].stack_name}
        return (AlarmSpec(name=f"{prefix}-outage", target=target, dimensions={}, composite=True),)
