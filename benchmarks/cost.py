"""What the product costs: idle, from the template; a run, from the composed machines.

Prices of us-east-1 in USD, without free tiers, as AWS publishes them (CloudWatch, KMS, Secrets
Manager, Step Functions and Lambda pricing pages).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from stacks.catalog import CatalogEntry
from stacks.composition import CHILD_STATES, ROUND_STATES, WAIT_LIMIT, State, compose

ALARM_METRIC, FAST_ALARM_METRIC = 0.10, 0.30
IDLE = {
    "AWS::CloudWatch::CompositeAlarm": 0.50,
    "AWS::KMS::Key": 1.00,
    "AWS::SecretsManager::Secret": 0.40,
}
TRANSITION = 0.025 / 1_000
GB_SECOND, INVOCATION = 0.0000133334, 0.20 / 1_000_000
CUSTOM_METRIC_HOUR = 0.30 / 730
API_CALL = 0.01 / 1_000
# On the high side: most invocations of a run find a warm function and take a fraction of it.
SECONDS_PER_INVOCATION, MEMORY_GB = 1.0, 0.5
SWEEPS_PER_MONTH = 12 * 730


@dataclass(frozen=True, kw_only=True)
class Idle:
    """Month without an incident."""

    alarm_metrics: int
    composite_alarms: int
    keys: int
    dashboards: int
    usd: float


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of a machine."""

    transitions: int
    invocations: int

    @property
    def usd(self) -> float:
        """State transitions, Lambda, and the outcome's metric for the hour it is published in."""
        return self.transitions * TRANSITION + _lambda(self.invocations) + CUSTOM_METRIC_HOUR


def idle(resources: list[dict[str, Any]]) -> Idle:
    """Fixed price of a template's resources."""
    prices = [
        price
        for r in resources
        if r["Type"] == "AWS::CloudWatch::Alarm"
        for price in _alarm_metrics(r["Properties"])
    ]
    kinds = [r["Type"] for r in resources]
    return Idle(
        alarm_metrics=len(prices),
        composite_alarms=kinds.count("AWS::CloudWatch::CompositeAlarm"),
        keys=kinds.count("AWS::KMS::Key"),
        dashboards=kinds.count("AWS::CloudWatch::Dashboard"),
        usd=sum(prices) + sum(IDLE.get(kind, 0.0) for kind in kinds),
    )


def _alarm_metrics(alarm: dict[str, Any]) -> Iterator[float]:
    """Price of each metric an alarm reads: metric math is billed by its metrics."""
    periods = [alarm["Period"]] if "MetricName" in alarm else []
    periods += [m["MetricStat"]["Period"] for m in alarm.get("Metrics", []) if "MetricStat" in m]
    for period in periods:
        yield ALARM_METRIC if period >= 60 else FAST_ALARM_METRIC


def sweep_usd_per_month() -> float:
    """The sweep: one short invocation and one question to CloudWatch every five minutes."""
    return _lambda(SWEEPS_PER_MONTH) + SWEEPS_PER_MONTH * API_CALL


def _lambda(invocations: int) -> float:
    return invocations * (SECONDS_PER_INVOCATION * MEMORY_GB * GB_SECOND + INVOCATION)


def run(machine: State, limits: dict[str, int], *, children: bool, last_pass: bool) -> Run:
    """A run that is healed at the first look, or only at the last pass of every loop.

    Every state of the machine counts once, taken or not, and the states of a loop once per pass:
    more than any real run enters. The hold watch always looks `hold_checks` times. Without
    `children` a run cannot enter the states that start and join another; its time-out, too, leaves
    them out. What a plan of several runbooks repeats counts once per round.
    """
    states: dict[str, State] = machine["States"]
    closed = set() if children else CHILD_STATES
    rounds = dict.fromkeys(ROUND_STATES, limits.get("child_rounds", 1))
    passes = {name: rounds.get(name, 1) for name in states if name not in closed}
    for name, state in states.items():
        if name in passes and state["Type"] == "Wait":
            loop = WAIT_LIMIT.findall(str(state["Seconds"]))[0]
            always = f"{loop}_checks" in limits
            count = limits[f"{loop}_checks" if always else f"{loop}_attempts"]
            for member in shortest_path(states, state["Next"], name):
                passes[member] = rounds.get(name, 1) * (count if always or last_pass else 1)
    tasks = [n for n in passes if "FunctionName" in states[n].get("Arguments", {})]
    return Run(transitions=sum(passes.values()), invocations=sum(passes[n] for n in tasks))


def machine_of(entry: CatalogEntry, envelope: State, limits: dict[str, int]) -> State:
    """The composed machine of a runbook under these limits."""
    return compose(envelope, entry, limits=limits, example="{}")


def first_change(machine: State, change_function: str, own: set[str]) -> list[str]:
    """States from the start to the nearest of a runbook's own that calls the changing function."""
    states: dict[str, State] = machine["States"]
    return min(
        (
            path
            for name, state in states.items()
            if name in own
            and state.get("Arguments", {}).get("FunctionName") == change_function
            and (path := shortest_path(states, machine["StartAt"], name))
        ),
        key=len,
    )


def shortest_path(states: dict[str, State], start: str, end: str) -> list[str]:
    """Names from `start` to `end`, both included; without errors and retries. Empty if none."""
    paths, seen = [[start]], {start}
    for path in paths:
        if path[-1] == end:
            return path
        for name in _next_states(states[path[-1]]):
            if name not in seen:
                seen.add(name)
                paths.append([*path, name])
    return []


def _next_states(state: State) -> list[str]:
    choices = [c["Next"] for c in state.get("Choices", [])]
    return [*choices, *(state[k] for k in ("Next", "Default") if k in state)]
