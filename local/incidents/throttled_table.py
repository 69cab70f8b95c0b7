"""Incident: more load than a provisioned table and its index have capacity for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from local.incidents.incident import PREFIX, Finding, Incident
from local.sample_platform import names

READS_PER_SECOND = 3
WRITES_PER_SECOND = 7

_TICK_SECONDS = 1.0
_STOP_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """Provisioned units per second of a table, or of one of its indexes."""

    index: str | None
    read: int
    write: int

    @property
    def label(self) -> str:
        """Name as shown on the screen."""
        return f"index {self.index}" if self.index else f"table {names.MESSAGE_TABLE}"

    @property
    def carries_load(self) -> bool:
        """Whether the load of this incident fits."""
        return self.read >= READS_PER_SECOND and self.write >= WRITES_PER_SECOND


def throttling_metrics(
    capacity: Capacity, *, seconds: float, timestamp: datetime
) -> list[dict[str, Any]]:
    """Return the data AWS would record for the load on this capacity.

    Parameters
    ----------
    capacity
        What is provisioned now.
    seconds
        How long the load lasted.
    timestamp
        When; one point for the whole time.

    Notes
    -----
    Like AWS: throttle metrics have no point when nothing was throttled, and a table's do not
    count its indexes.
    """
    dimensions = [{"Name": "TableName", "Value": names.MESSAGE_TABLE}]
    if capacity.index:
        dimensions.append({"Name": "GlobalSecondaryIndexName", "Value": capacity.index})
    values = {}
    for verb, load, units in (
        ("Read", READS_PER_SECOND, capacity.read),
        ("Write", WRITES_PER_SECOND, capacity.write),
    ):
        values[f"Consumed{verb}CapacityUnits"] = min(load, units) * seconds
        if load > units:
            throttled = float(max(round((load - units) * seconds), 1))
            values[f"{verb}ThrottleEvents"] = throttled
            values[f"{verb}ProvisionedThroughputThrottleEvents"] = throttled
    return [
        {
            "MetricName": metric,
            "Dimensions": dimensions,
            "Timestamp": timestamp,
            "Value": value,
            "Unit": "Count",
        }
        for metric, value in values.items()
    ]


class ThrottledTable(Incident):
    """Load on the message table and its index, until capacity is above it."""

    name = "throttled table"
    runbook = "dynamodb_throttling"
    alarm_names = (
        f"{PREFIX}-{names.MESSAGE_TABLE}-throttled",
        f"{PREFIX}-{names.MESSAGE_TABLE}-{names.MESSAGE_INDEX}-throttled",
    )
    story = (
        f"{names.MESSAGE_TABLE} and its index get {WRITES_PER_SECOND} writes and "
        f"{READS_PER_SECOND} reads a second, and have 5 + 5 units.\n"
        "Made by the demo: the metrics. The engine cannot throttle by itself, so a load thread "
        "puts what AWS would record (AWS/DynamoDB Consumed*CapacityUnits, *ThrottleEvents, "
        "*ProvisionedThroughputThrottleEvents), every second, computed from the capacity the "
        "table has at that moment. Throttling ends when somebody raises the capacity, and for no "
        "other reason."
    )

    def __init__(self, client: Callable[[str], Any]) -> None:
        super().__init__(client)
        self._dynamodb = client("dynamodb")
        self._cloudwatch = client("cloudwatch")
        self._ended = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._load, name="load", daemon=True)

    def values(self) -> dict[str, str]:
        """Read provisioned capacity of the table and its index."""
        return {c.label: f"{c.read:>4} read {c.write:>4} write units/s" for c in self._capacities()}

    def start(self) -> None:
        """Put the load on the table, for as long as the incident lasts."""
        self._thread.start()

    def stop(self) -> None:
        """End the load."""
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join(_STOP_SECONDS)
        if self._failure is not None:
            raise self._failure

    def findings(self) -> list[Finding]:
        """Compare the load with what the table and the index can carry now."""
        return [
            Finding(
                statement=f"{c.label} carries {WRITES_PER_SECOND} writes and "
                f"{READS_PER_SECOND} reads a second",
                true=c.carries_load,
            )
            for c in self._capacities()
        ]

    def _load(self) -> None:
        try:
            before = time.monotonic()
            while not self._ended.wait(_TICK_SECONDS):
                now = time.monotonic()
                self._put(datetime.now(UTC), seconds=now - before)
                before = now
        except Exception as error:
            self._failure = error  # raised by stop(), in the caller's thread

    def _put(self, timestamp: datetime, *, seconds: float) -> None:
        data = [
            point
            for capacity in self._capacities()
            for point in throttling_metrics(capacity, seconds=seconds, timestamp=timestamp)
        ]
        self._cloudwatch.put_metric_data(Namespace="AWS/DynamoDB", MetricData=data)

    def _capacities(self) -> Iterator[Capacity]:
        table = self._dynamodb.describe_table(TableName=names.MESSAGE_TABLE)["Table"]
        yield _capacity(None, table["ProvisionedThroughput"])
        for index in table["GlobalSecondaryIndexes"]:
            yield _capacity(index["IndexName"], index["ProvisionedThroughput"])


def _capacity(index: str | None, throughput: dict[str, int]) -> Capacity:
    return Capacity(
        index=index, read=throughput["ReadCapacityUnits"], write=throughput["WriteCapacityUnits"]
    )
