"""The declaration of a runbook: pure data, safe to import at synth.

A declaration holds facts, not behaviour. What a runbook needs from IAM is not listed here: it is on
the steps that make the calls (`lambdas.remediation.runtime.step`).
"""

import dataclasses
import json
from dataclasses import field
from typing import Any

from lambdas.remediation.alarms import Alarm, AlarmSpec
from lambdas.remediation.contracts import Mode, Severity
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.platform import Platform
from lambdas.remediation.targets import Place, Target


def limit(default: int, minimum: int, maximum: int, meaning: str) -> int:
    """Declare a limit with its bounds; `stacks/config.py` holds an override to them."""
    bounds = {"minimum": minimum, "maximum": maximum, "meaning": meaning}
    return dataclasses.field(default=default, metadata=bounds)


class Limits(Frozen):
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
    child_timeout_seconds: int = limit(
        3_600, 5, 43_200, "how long a run waits for the runbook it started"
    )
    join_interval_seconds: int = limit(30, 1, 600, "first wait for the run that was joined; grows")
    join_attempts: int = limit(40, 1, 200, "looks at the joined run before a person takes over")
    mitigation_lease_seconds: int = limit(
        86_400, 60, 2_592_000, "when a temporary mitigation is due to be given back"
    )

    def merged(self, overrides: dict[str, int]) -> "Limits":
        """These limits with the platform file's overrides."""
        return dataclasses.replace(self, **overrides)

    def as_dict(self) -> dict[str, int]:
        """Name to number, as it travels in `$run.limits`."""
        return dataclasses.asdict(self)


class NoParameters(Frozen):
    """A runbook without parameters."""


class Runbook(Frozen):
    """One procedure of the operations runbook.

    Parameters
    ----------
    name
        snake_case; also the folder, the ASL file and the test folder.
    parameters
        Frozen dataclass of what a person may set; each field optional.
    preparation
        Lines for a shell that make what the example names, where it has to be there first.
        `<field>` stands for that field of the target's entry in the platform file.
    children
        Runbooks that a run of this one may start, before its own change or instead of it.
    options
        Switches of the platform file for this runbook: name to default.
    mode
        Ceiling after a first deploy.
    harmless
        Whether it changes nothing in its target: it takes no share of the platform's budget, and
        what it leaves is not lent out.
    keeps_ledger
        Whether the releases of its targets are noted every few minutes; its step
        `current_releases` reads them.
    heeds_runs
        Whether its plan heeds the changes of other runs: those under way, and those that stand.
    schedulable
        Whether the platform file may have it started by the clock.
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
    preparation: tuple[str, ...] = ()
    triggers: tuple[Alarm, ...] = ()
    children: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    options: dict[str, bool] = field(default_factory=dict)
    mode: Mode = Mode.PROPOSE
    reversible: bool = True
    harmless: bool = False
    keeps_ledger: bool = False
    heeds_runs: bool = False
    schedulable: bool = False
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

    def target_arn(self, target: dict[str, str], platform: Platform, place: Place) -> str:
        """ARN of what a run on this target locks.

        What changes nothing in its target has a lock of its own: an export that takes an hour must
        not keep anybody from healing the table.
        """
        arn = self.target.arn(target[self.target.key], platform, place)
        return f"{arn}/{self.kebab}" if self.harmless else arn

    def preparation_for(self, platform: Platform) -> str:
        """What to run before the example, for the same configured target."""
        text = "\n".join(self.preparation)
        for field_name, value in platform.first(self.target.key).items():
            text = text.replace(f"<{field_name}>", str(value))
        return text

    def example_input(self, platform: Platform) -> str:
        """JSON that a person can paste into the console: a configured target, observe mode."""
        names = self.target.names(platform)
        target = names[0] if names else f"<{self.target.key}>"
        example = {"target": {self.target.key: target}, "mode": "observe", "reason": "OPS-123"}
        if self.example:
            example["parameters"] = self.example
        return json.dumps(example)
