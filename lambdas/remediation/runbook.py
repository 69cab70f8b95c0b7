"""The declaration of a runbook: pure data, safe to import at synth.

A declaration holds facts, not behaviour. What a runbook needs from IAM is not listed here: it is on
the steps that make the calls (`lambdas.remediation.runtime.step`).
"""

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from lambdas.remediation.contracts import Mode, Severity
from lambdas.remediation.platform import Platform


def limit(default: int, minimum: int, maximum: int, meaning: str) -> int:
    """Declare a limit with its bounds; `stacks/config.py` holds an override to them."""
    bounds = {"minimum": minimum, "maximum": maximum, "meaning": meaning}
    return dataclasses.field(default=default, metadata=bounds)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits every runbook has. Each number can be overridden in the platform file."""

    max_changes_per_hour: int = limit(2, 1, 20, "changes of one target in a clock hour")
    cool_down_seconds: int = limit(900, 0, 86_400, "pause on a target after a run that acted")
    breaker_failures: int = limit(3, 1, 20, "failed runs in a row that stop the runbook")
    breaker_open_seconds: int = limit(3_600, 1, 604_800, "how long a stopped runbook stays stopped")
    approval_timeout_seconds: int = limit(3_600, 1, 86_400, "how long a proposal waits for a yes")
    metric_period_seconds: int = limit(60, 1, 300, "period of alarms and verification")
    alarm_evaluation_periods: int = limit(3, 1, 30, "periods the alarm looks at")
    alarm_datapoints: int = limit(2, 1, 30, "bad periods of those that raise the alarm")
    look_back_seconds: int = limit(900, 1, 10_800, "how far back the diagnosis reads metrics")
    poll_interval_seconds: int = limit(5, 1, 300, "first wait for a change to settle; grows")
    poll_attempts: int = limit(40, 1, 200, "looks at a change before it counts as failed")
    verify_window_seconds: int = limit(300, 1, 3_600, "calm needed before a run is verified")
    verify_minimum_samples: int = limit(3, 1, 60, "periods with traffic needed in that window")
    verify_interval_seconds: int = limit(60, 1, 600, "wait between two verifications")
    verify_attempts: int = limit(15, 1, 120, "verifications before the answer is final")
    hold_interval_seconds: int = limit(300, 1, 3_600, "wait between two looks at a healed target")
    hold_checks: int = limit(3, 0, 48, "looks at a healed target before the run ends")
    mitigation_lease_seconds: int = limit(
        86_400, 60, 2_592_000, "when a temporary mitigation is due to be given back"
    )

    def merged(self, overrides: dict[str, int]) -> "Limits":
        """These limits with the platform file's overrides."""
        return dataclasses.replace(self, **overrides)

    def as_dict(self) -> dict[str, int]:
        """Name to number, as it travels in `$run.limits`."""
        return dataclasses.asdict(self)


class Target(Protocol):
    """A kind of AWS resource that a runbook works on: one key that names it."""

    key: ClassVar[str]
    service: ClassVar[str]

    def names(self, platform: Platform) -> tuple[str, ...]:
        """Names of this kind that the platform file protects."""
        ...

    def resource(self, name: str) -> str:
        """Last part of the resource's ARN."""
        ...


class DynamoDbTable:
    """A DynamoDB table, named by `table_name`."""

    key: ClassVar[str] = "table_name"
    service: ClassVar[str] = "dynamodb"

    def names(self, platform: Platform) -> tuple[str, ...]:
        """Tables of the platform file."""
        return tuple(t.table_name for t in platform.tables)

    def resource(self, name: str) -> str:
        """`table/<name>`."""
        return f"table/{name}"


@dataclass(frozen=True, kw_only=True)
class AlarmSpec:
    """One alarm that starts a runbook for one target.

    `members` are the dimension sets whose metrics the alarm adds up.
    """

    name: str
    target: dict[str, str]
    dimensions: dict[str, str]


class Alarm(Protocol):
    """A kind of alarm; `stacks/detection.py` has its maths."""

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


@dataclass(frozen=True, kw_only=True)
class NoParameters:
    """A runbook without parameters."""


@dataclass(frozen=True, kw_only=True)
class Runbook:
    """One procedure of the operations runbook.

    Parameters
    ----------
    name
        snake_case; also the folder, the ASL file and the test folder.
    parameters
        Frozen dataclass of what a person may set; each field optional.
    options
        Switches of the platform file for this runbook: name to default.
    mode
        Ceiling after a first deploy.
    keep_when_ineffective
        Whether a change that did not help stays (`ineffective`) instead of being rolled back.
    source
        Section of the operations runbook that this automates.
    deviations
        Where this does something else than that section, each with the reason.
    """

    name: str
    title: str
    category: str
    severity: Severity
    target: Target
    parameters: type = NoParameters
    example: dict[str, Any] = field(default_factory=dict)
    triggers: tuple[Alarm, ...] = ()
    limits: Limits = field(default_factory=Limits)
    options: dict[str, bool] = field(default_factory=dict)
    mode: Mode = Mode.PROPOSE
    reversible: bool = True
    keep_when_ineffective: bool = False
    source: str
    deviations: tuple[str, ...] = ()

    @property
    def kebab(self) -> str:
        """Name in kebab-case, as in the machine's name and in run ids."""
        return self.name.replace("_", "-")

    def ceiling(self, platform: Platform) -> Mode:
        """How far a run may go: the lowest of the platform's and the runbook's setting."""
        own = platform.settings(self.name).mode or self.mode
        return own if platform.mode is None else min(own, platform.mode, key=lambda m: m.rank)

    def limits_for(self, platform: Platform) -> Limits:
        """Limits in force."""
        return self.limits.merged(platform.settings(self.name).limits)

    def options_for(self, platform: Platform) -> dict[str, bool]:
        """Switches in force."""
        return {**self.options, **platform.settings(self.name).options}

    def alarms(self, platform: Platform, prefix: str) -> tuple[AlarmSpec, ...]:
        """Every alarm that starts this runbook."""
        return tuple(a for trigger in self.triggers for a in trigger.alarms(platform, prefix))

    def example_input(self, platform: Platform) -> str:
        """JSON that a person can paste into the console: a configured target, observe mode."""
        names = self.target.names(platform)
        target = names[0] if names else f"<{self.target.key}>"
        example = {"target": {self.target.key: target}, "mode": "observe", "reason": "OPS-123"}
        if self.example:
            example["parameters"] = self.example
        return json.dumps(example)
