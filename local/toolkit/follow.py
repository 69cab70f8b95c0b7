"""Follow the executions of state machines live, state by state."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter
from typing import Any

from local.toolkit.console import Console
from local.toolkit.history import Visit, decision, visits

_POLL_SECONDS = 0.25
_FIRST_SECONDS = 60.0
_SETTLE_SECONDS = 3.0  # a second alarm of the same cause starts its execution this much later
_INDENT = " " * 13
_PREFIX = "remediation-"


class FollowError(RuntimeError):
    """No execution came, or one did not end in time."""


@dataclass(kw_only=True)
class FollowedExecution:
    """One execution, how far it has been shown, and its answer once it is closed.

    Attributes
    ----------
    machine
        Name of its machine, without the product's prefix.
    alarm, alarm_at
        The alarm that started it, and when that went red; nothing if a person started it.
    """

    arn: str
    machine: str
    number: int
    started: datetime
    alarm: str | None = None
    alarm_at: datetime | None = None
    ended: datetime | None = None
    status: str = "RUNNING"
    visits: list[Visit] = field(default_factory=list)
    answer: dict[str, Any] = field(default_factory=dict)
    entered_shown: int = 0
    exited_shown: set[int] = field(default_factory=set)

    @property
    def outcome(self) -> str:
        """Outcome in the answer, or the status if there is none."""
        return str(self.answer.get("outcome") or self.status)

    @property
    def run_id(self) -> str | None:
        """The run's name in records and messages."""
        return self.answer.get("run_id")

    @property
    def relies_on(self) -> str | None:
        """The run whose remedy it used: the one it joined, or started."""
        return self.answer.get("joined") or self.answer.get("child")

    @property
    def changed(self) -> bool:
        """Whether it changed something itself."""
        return bool(self.answer.get("changes"))


@dataclass(frozen=True)
class _Moment:
    """Something to show, at its place among what other executions did."""

    at: datetime
    show: Callable[[], None]


class Follower:
    """Shows every execution of some machines that starts after ``since``, merged by time.

    Parameters
    ----------
    console
        Where the states are shown; with several machines, each line names its machine.
    stepfunctions
        boto3 client.
    machines
        Name of each machine to its ARN; every one has to have an execution.
    since
        Moment the incident began; all times are shown relative to it.
    """

    def __init__(
        self, console: Console, stepfunctions: Any, *, machines: Mapping[str, str], since: datetime
    ) -> None:
        self._console = console
        self._stepfunctions = stepfunctions
        self._machines = {short_name(name): arn for name, arn in machines.items()}
        self._since = since
        self._executions: dict[str, FollowedExecution] = {}
        self._on_screen: tuple[int, int] | None = None

    def follow(self, *, within_seconds: float) -> list[FollowedExecution]:
        """Show states until every execution is closed; return them, oldest first.

        Raises
        ------
        FollowError
            If a machine has none within a minute, or one still runs when the time is over.
        """
        started = time.monotonic()
        settled_since: float | None = None
        self._discover()
        if not self._executions:
            self._console.begin("waiting for an execution")
        with self._console.alive():
            while True:
                self._discover()
                self._show(self._news())
                now = time.monotonic()
                if self._all_closed():
                    settled_since = settled_since or now
                    if now - settled_since >= _SETTLE_SECONDS:
                        return list(self._executions.values())
                else:
                    settled_since = None
                if now - started > (_FIRST_SECONDS if self._idle() else within_seconds):
                    raise FollowError(self._overdue(now - started))
                time.sleep(_POLL_SECONDS)

    def _idle(self) -> list[str]:
        """Machines that have no execution yet."""
        busy = {e.machine for e in self._executions.values()}
        return [name for name in self._machines if name not in busy]

    def _all_closed(self) -> bool:
        return not self._idle() and all(e.status != "RUNNING" for e in self._executions.values())

    def _overdue(self, seconds: float) -> str:
        running = [e.arn for e in self._executions.values() if e.status == "RUNNING"]
        idle = self._idle()
        what = (
            f"no execution of {', '.join(idle)} started"
            if idle
            else f"still running: {', '.join(running)}"
        )
        return f"{what} {seconds:.0f} s after the alarm"

    def _discover(self) -> None:
        found = [
            (execution, machine)
            for machine, arn in self._machines.items()
            for execution in self._stepfunctions.list_executions(stateMachineArn=arn)["executions"]
            if execution["startDate"] >= self._since
            and execution["executionArn"] not in self._executions
        ]
        for execution, machine in sorted(found, key=lambda pair: pair[0]["startDate"]):
            self._begin_following(execution, machine)

    def _begin_following(self, found: Mapping[str, Any], machine: str) -> None:
        arn = found["executionArn"]
        described = self._stepfunctions.describe_execution(executionArn=arn)
        alarm, alarm_at = cause(described.get("input"))
        execution = FollowedExecution(
            arn=arn,
            machine=machine,
            number=len(self._executions) + 1,
            started=found["startDate"],
            alarm=alarm,
            alarm_at=alarm_at,
        )
        self._executions[arn] = execution
        of = f" of {machine}" if len(self._machines) > 1 else ""
        self._console.line(
            f"  {self._at(execution.started)}  execution {execution.number}{of} "
            f"{arn.rsplit(':', 1)[-1]}"
        )
        by = f"by alarm {alarm}" if alarm else "by a person, or another run"
        self._console.line(f"{_INDENT}{by}", style="dim")
        self._on_screen = None

    def _news(self) -> Iterator[_Moment]:
        for execution in self._executions.values():
            if execution.status == "RUNNING":
                yield from self._advance(execution)

    def _show(self, news: Iterable[_Moment]) -> None:
        for moment in sorted(news, key=attrgetter("at")):
            moment.show()

    def _advance(self, execution: FollowedExecution) -> Iterator[_Moment]:
        # Read first, so the history that is read after it cannot miss the last states.
        described = self._stepfunctions.describe_execution(executionArn=execution.arn)
        pages = self._stepfunctions.get_paginator("get_execution_history").paginate(
            executionArn=execution.arn, PaginationConfig={"PageSize": 1000}
        )
        execution.visits = visits(event for page in pages for event in page["events"])
        yield from self._new_visits(execution)
        if described["status"] != "RUNNING":
            execution.status = described["status"]
            execution.ended = described["stopDate"]
            execution.answer = answer(described)
            yield _Moment(described["stopDate"], lambda: self._show_end(execution))

    def _new_visits(self, execution: FollowedExecution) -> Iterator[_Moment]:
        for position, visit in enumerate(execution.visits):
            if position >= execution.entered_shown:
                execution.entered_shown = position + 1
                yield _Moment(visit.entered, self._showing(self._begin, execution, position))
            if visit.exited is not None and position not in execution.exited_shown:
                execution.exited_shown.add(position)
                yield _Moment(visit.exited, self._showing(self._end, execution, position))

    @staticmethod
    def _showing(
        show: Callable[[FollowedExecution, int, Visit], None],
        execution: FollowedExecution,
        position: int,
    ) -> Callable[[], None]:
        return lambda: show(execution, position, execution.visits[position])

    def _show_end(self, execution: FollowedExecution) -> None:
        of = f" of {execution.machine}" if len(self._machines) > 1 else ""
        self._console.line(
            f"  {self._at(execution.ended or execution.started)}  execution {execution.number}{of} "
            f"ended {execution.status}: {execution.outcome}",
            style="green" if execution.status == "SUCCEEDED" else "red",
        )
        self._on_screen = None

    def _begin(self, execution: FollowedExecution, position: int, visit: Visit) -> None:
        self._console.begin(f"{self._at(visit.entered)}  {self._label(execution, visit)}")
        self._on_screen = (execution.number, position)

    def _end(self, execution: FollowedExecution, position: int, visit: Visit) -> None:
        exited = visit.exited or visit.entered
        if self._on_screen != (execution.number, position):
            self._console.begin(f"{self._at(exited)}  {self._label(execution, visit)}, left")
        self._console.end(
            f"{(exited - visit.entered).total_seconds():6.1f} s",
            style="yellow" if visit.failure is not None else None,
        )
        if not visit.branch:
            self._console.paragraph(decision(visit), indent=_INDENT, style="dim")
        self._on_screen = None

    def _label(self, execution: FollowedExecution, visit: Visit) -> str:
        machine = f"{execution.machine} " if len(self._machines) > 1 else ""
        several = len(self._executions) > len(self._machines)
        number = f"{execution.number} " if several else ""
        return f"{machine}{number}{visit.name} {visit.branch}".rstrip()

    def _at(self, moment: datetime) -> str:
        return f"{(moment - self._since).total_seconds():+7.1f} s"


def short_name(machine_name: str) -> str:
    """Name of a machine without the product's prefix."""
    return machine_name.removeprefix(_PREFIX)


def acted(executions: Sequence[FollowedExecution]) -> FollowedExecution:
    """Return the execution that changed something, else the first."""
    return next((e for e in executions if e.changed), executions[0])


def answer(described: Mapping[str, Any]) -> dict[str, Any]:
    """Return the run's answer from ``DescribeExecution``: output when green, cause when red."""
    text = described.get("output") or described.get("cause") or "{}"
    try:
        value = json.loads(text)
    except ValueError:
        value = {"reason": text}
    if not isinstance(value, dict):
        return {"reason": str(value)}
    if described["status"] != "SUCCEEDED":
        return {"outcome": described.get("error"), **value}
    return value


def cause(text: str | None) -> tuple[str | None, datetime | None]:
    """Read the alarm out of an execution's input, and when it went red; else nothing."""
    try:
        detail = json.loads(text or "{}")["detail"]
        return str(detail["alarmName"]), datetime.fromisoformat(detail["state"]["timestamp"])
    except (ValueError, KeyError, TypeError):
        return None, None
