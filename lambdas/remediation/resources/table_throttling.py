"""Which tables throttled requests: the one cause of other services' errors that is easy to see."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar

from lambdas.remediation.platform import Table
from lambdas.remediation.resources.metrics import Metric, Metrics
from lambdas.remediation.verification import total

_EVENTS = ("ReadThrottleEvents", "WriteThrottleEvents")


class TableThrottling:
    """Counts throttled requests; changes nothing.

    Parameters
    ----------
    client
        Client of CloudWatch.
    """

    service: ClassVar[str] = "cloudwatch"

    def __init__(self, client: Any) -> None:
        self._metrics = Metrics(client)

    def throttled(
        self, tables: Sequence[Table], *, start: datetime, end: datetime, period_seconds: int
    ) -> dict[str, float]:
        """Throttle events of those tables that had any, by table name, most throttled first.

        Parameters
        ----------
        tables
            Tables with the indexes to count: a table's own metrics leave those out.
        start, end
            From, and up to but without, whole multiples of the period.
        period_seconds
            Length of a period.

        Raises
        ------
        ThrottledError
            CloudWatch could not answer in full.
        """
        wanted = {t.table_name: _events(t) for t in tables}
        every = [m for metrics in wanted.values() for m in metrics]
        if not every:
            return {}
        series = self._metrics.read(every, start=start, end=end, period_seconds=period_seconds)
        counted = {name: total(series[m] for m in metrics) for name, metrics in wanted.items()}
        found = {name: count for name, count in counted.items() if count > 0}
        return dict(sorted(found.items(), key=lambda item: -item[1]))


def _events(table: Table) -> list[Metric]:
    parts: list[tuple[tuple[str, str], ...]] = [(("TableName", table.table_name),)]
    parts += [(*parts[0], ("GlobalSecondaryIndexName", index)) for index in table.indexes]
    return [Metric("AWS/DynamoDB", name, part) for part in parts for name in _EVENTS]
