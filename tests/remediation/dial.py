"""A runbook for tests: turns the dials of a table that exists in memory only.

It has what every runbook has, and a script that says what its steps find.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, ClassVar

from lambdas.remediation import changes
from lambdas.remediation.alarms import AlarmSpec
from lambdas.remediation.contracts import (
    Change,
    ChildRequest,
    Decision,
    Mode,
    Plan,
    PlannedCall,
    Prepared,
    Run,
    Severity,
    Verdict,
    Verification,
)
from lambdas.remediation.errors import ResourceBusyError, RollbackFailedError
from lambdas.remediation.platform import Platform
from lambdas.remediation.runbook import Limits, Runbook, limit
from lambdas.remediation.step import Attempt, Clock, Role, step
from lambdas.remediation.targets import DynamoDbTable

TARGET = {"table_name": "ChatMessage-prod"}
ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/ChatMessage-prod"
ALARM = "remediation-ChatMessage-prod-throttled"
INDEX_ALARM = "remediation-ChatMessage-prod-chatSessionId-index-throttled"


class DialLimits(Limits):
    max_position: int = limit(10, 1, 10, "highest position of a dial")


@dataclass(frozen=True, kw_only=True)
class DialParameters:
    max_position: int | None = None
    gently: bool | None = None


class DialAlarms:
    """Two alarms of the table, one of another table, and the composite of an outage."""

    def alarms(self, platform: Platform, prefix: str) -> tuple[AlarmSpec, ...]:
        owners = {
            ALARM: "ChatMessage-prod",
            INDEX_ALARM: "ChatMessage-prod",
            "remediation-ChatSession-prod-throttled": "ChatSession-prod",
            "remediation-system-outage": "ChatMessage-prod",
        }
        return tuple(
            AlarmSpec(name=name, target={"table_name": table}, dimensions={})
            for name, table in owners.items()
        )


RUNBOOK = Runbook(
    name="stuck_dial",
    title="Stuck dial",
    category="Tests",
    severity=Severity.P1,
    target=DynamoDbTable(),
    parameters=DialParameters,
    example={"max_position": 7},
    triggers=(DialAlarms(),),
    children=("stuck_dial",),
    limits=DialLimits(cool_down_seconds=900, breaker_failures=2, max_changes_per_hour=2),
    mode=Mode.ACT,
    source="none",
)
KEEPS_CHANGE = dataclasses.replace(RUNBOOK, keep_when_ineffective=True)


def passed(reason: str = "No errors in 5 minutes.") -> Verification:
    return Verification(verdict=Verdict.PASSED, reason=reason)


def failed(reason: str = "Still 12 errors a minute.") -> Verification:
    return Verification(verdict=Verdict.FAILED, reason=reason)


@dataclass
class Script:
    """What the steps of one test find."""

    decision: Decision = Decision.CHANGE
    child: ChildRequest | None = None
    then: list[ChildRequest] = field(default_factory=list)
    prepare_error: Exception | None = None
    undo_obstacle: Exception | None = None
    verification: Verification = field(default_factory=passed)
    hold: Verification = field(default_factory=passed)
    apply_errors: list[Exception] = field(default_factory=list)


class Dials:
    """The dials of every table; a planned call sets one."""

    service: ClassVar[str] = "dynamodb"
    apis: ClassVar[tuple[str, ...]] = ("dynamodb:TurnDial",)
    positions: ClassVar[dict[str, int]] = {}
    turned: ClassVar[list[dict[str, int]]] = []
    script: ClassVar[Script] = Script()

    def __init__(self, client: Any) -> None:
        self.client = client

    @classmethod
    def reset(cls) -> Script:
        cls.positions = {"read": 1, "write": 1}
        cls.turned = []
        cls.script = Script()
        return cls.script

    def present(self, call: PlannedCall) -> dict[str, Any]:
        return {name: self.positions[name] for name in call.before}

    def apply(self, call: PlannedCall) -> None:
        if self.script.apply_errors:
            raise self.script.apply_errors.pop(0)
        self.turned.append(call.after)
        self.positions.update(call.after)


RESOURCES = (Dials,)


def turn_to_five(dial: str) -> PlannedCall:
    return PlannedCall(
        api="dynamodb:TurnDial",
        resource=ARN,
        arguments={"Dial": dial, "Position": 5},
        before={dial: 1},
        after={dial: 5},
    )


PLAN = Plan(
    decision=Decision.CHANGE,
    reason="Both dials are stuck at 1.",
    calls=[turn_to_five("read"), turn_to_five("write")],
    evidence={"errors": 12},
)


CHILD = ChildRequest(
    runbook="stuck_dial", target={"table_name": "ChatSession-prod"}, reason="asked by a test"
)


@step(Role.OBSERVE, calls=["dynamodb:DescribeDial"])
def prepare(run: Run, dials: Dials) -> Prepared:
    """Plan to turn both dials to five."""
    if dials.script.prepare_error:
        raise dials.script.prepare_error
    if dials.script.decision is Decision.HAND_OVER:
        plan = Plan(decision=Decision.HAND_OVER, reason="The dials turn, the fault is elsewhere.")
        return Prepared(snapshot={}, plan=plan)
    if dials.script.decision is Decision.DELEGATE:
        plan = Plan(
            decision=Decision.DELEGATE,
            reason="The fault is a dial of ChatSession-prod.",
            child=CHILD,
            then=dials.script.then,
        )
        return Prepared(snapshot={}, plan=plan)
    plan = dataclasses.replace(PLAN, child=dials.script.child)
    return Prepared(snapshot=dict(dials.positions), plan=plan)


@step(Role.CHANGE, calls=["dynamodb:TurnDial"], raises=[ResourceBusyError])
def turn(plan: Plan, dials: Dials, clock: Clock) -> Change:
    """Turn the dials as planned."""
    return changes.apply(plan.calls, [dials], clock.now)


@step(Role.OBSERVE)
def check_dials(change: Change | None, attempt: Attempt, dials: Dials) -> Verification:
    """Whether the dials have moved."""
    if change is None:
        return Verification(verdict=Verdict.INCONCLUSIVE, reason="nothing was changed")
    moved = all(dials.positions[name] == 5 for call in change.calls for name in call.after)
    late = Verdict.FAILED if attempt.final else Verdict.PENDING
    return Verification(verdict=Verdict.PASSED if moved else late, reason=f"look {attempt.number}")


@step(Role.OBSERVE)
def verify(dials: Dials) -> Verification:
    """As the script says."""
    return dials.script.verification


@step(Role.OBSERVE)
def watch_hold(dials: Dials) -> Verification:
    """As the script says."""
    return dials.script.hold


@step(Role.OBSERVE)
def check_undo(dials: Dials) -> None:
    """As the script says."""
    if dials.script.undo_obstacle:
        raise dials.script.undo_obstacle


@step(Role.CHANGE, calls=["dynamodb:TurnDial"], raises=[RollbackFailedError])
def roll_back(plan: Plan, dials: Dials, clock: Clock) -> Change:
    """Turn back what this run turned."""
    return changes.restore(plan.calls, [dials], clock.now)
